"""Check the workers of a cluster: versions, memory, threads, clocks, open ports."""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from distributed import Client

from dasdist.doctor.asking import Answers
from dasdist.doctor.finding import NotChecked, Outcome, check, named_few, ok
from dasdist.doctor.surroundings import Surroundings, open_addresses
from dasdist.units import count_of

__all__ = [
    "check_answers",
    "check_clocks",
    "check_listening",
    "check_memory",
    "check_nannies",
    "check_present",
    "check_threads",
    "check_versions",
    "nodes_of",
]

PACKAGES = ("torch", "dask", "distributed", "xdas", "xarray", "zarr", "numpy", "pandas", "pyarrow")
OF_SCHEDULERS = ("python", "dask", "distributed", "cloudpickle", "dasdist")

CLOCK = 5.0
"""Seconds that clocks may differ: a lock of an output is told from one left behind by its age."""


@check("Workers")
def check_present(client: Client, expected: int, seconds: float, hint: str = "") -> Outcome:
    """Wait for the workers that the cluster should have."""
    end = time.monotonic() + seconds
    while True:
        try:
            client.wait_for_workers(expected, timeout=1)
        except TimeoutError:
            if time.monotonic() < end and client.status == "running":
                continue
        break
    workers = client.scheduler_info(n_workers=-1)["workers"]
    hosts = Counter(w["host"] for w in workers.values())
    fact = (
        f"{count_of(len(workers), 'worker')} on {count_of(len(hosts), 'machine')}: "
        f"{named_few(list(hosts))}"
    )
    if len(workers) < expected:
        return Outcome(
            "wrong",
            f"{fact}; {expected} were expected, but did not come within {seconds:.0f} s.",
            hint or "Start workers, or read the logs of those that should be there.",
        )
    return ok(fact)


@check("Versions")
def check_versions(client: Client) -> Outcome:
    """Compare packages of client, scheduler and workers."""
    found: Any = client.get_versions(packages=["dasdist", *PACKAGES])
    here = found["client"]["packages"]
    differing = [
        f"{name} {there.get(name) or 'cannot be imported'} on {who}, but {here[name]} here"
        for who, there, names in _places(found)
        for name in names
        if there.get(name) != here.get(name)
    ]
    if not differing:
        return ok(
            f"Client, scheduler and {count_of(len(found['workers']), 'worker')} have the same "
            "versions: "
            + ", ".join(
                f"{name} {here[name]}" for name in ("python", "dasdist", *PACKAGES[:3])
            ).replace(".final.0", "")
        )
    return Outcome(
        "wrong",
        "; ".join(differing[:5]) + (f" and {len(differing) - 5} more" if differing[5:] else ""),
        "Install the same versions on all machines: one environment in a shared folder, or one "
        "container.",
    )


def _places(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any], tuple[str, ...]]]:
    of_workers = ("python", "cloudpickle", "dasdist", *PACKAGES)
    return [
        ("the scheduler", found["scheduler"]["packages"], OF_SCHEDULERS),
        *(
            (f"worker {address}", worker["packages"], of_workers)
            for address, worker in found["workers"].items()
        ),
    ]


@check("Answers of the workers")
def check_answers(around: Answers[Surroundings]) -> Outcome:
    """Check whether all workers answer."""
    nodes = {s.place for s in around.given.values()}
    return around.missing() or ok(
        f"{count_of(len(around.given), 'worker')} answered, on {count_of(len(nodes), 'node')}."
    )


@check("Nannies")
def check_nannies(client: Client) -> Outcome:
    """Check whether workers that die are restarted."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    without = [address for address, worker in workers.items() if not worker.get("nanny")]
    if without:
        return Outcome(
            "warning",
            f"{len(without)} of {count_of(len(workers), 'worker has', 'workers have')} no nanny: "
            f"{named_few(without)}. Those "
            "that die are not restarted, and --block-timeout does not work.",
            "Start workers with --nanny.",
        )
    return ok(f"{count_of(len(workers), 'worker is', 'workers are')} restarted after a death.")


@check("Memory of the workers")
def check_memory(client: Client, around: Mapping[str, Surroundings]) -> Outcome:
    """Compare the limits of the workers with what their job has on the node."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    unlimited = [a for a in around if a in workers and not workers[a]["memory_limit"]]
    if unlimited:
        return Outcome(
            "warning",
            f"{count_of(len(unlimited), 'worker has', 'workers have')} no memory limit: "
            f"{named_few(unlimited)}. Blocks cannot "
            "be fitted to them, and a worker that uses too much is killed without a message.",
            "Start workers with --memory-limit.",
        )
    for place, members in _by_allocation(around).items():
        allocated = [s.memory for a in members if (s := around[a].allocation)]
        limits = [workers[a]["memory_limit"] for a in members if a in workers]
        if allocated and sum(limits) > min(allocated):
            return Outcome(
                "wrong",
                f"{count_of(len(limits), 'worker')} on {place} may use {_gib(sum(limits))}, but "
                "their job "
                f"has {_gib(min(allocated))} there; the system kills them before they reach their "
                "limit.",
                "Start workers with python -m dasdist.cluster.worker, which divides the job's "
                "memory, or with a smaller --memory-limit.",
            )
    return _contradiction(around) or ok(
        f"{named_few(sorted({_gib(workers[a]['memory_limit']) for a in around if a in workers}))} "
        "a worker, and no job has less memory than its workers may use."
    )


@check("Threads of the workers")
def check_threads(client: Client, around: Mapping[str, Surroundings]) -> Outcome:
    """Compare task threads times compute threads with the cores of the job."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for place, members in _by_allocation(around).items():
        allocated = [s.cpus for a in members if (s := around[a].allocation)]
        present = [a for a in members if a in workers]
        tasks = sum(workers[a]["nthreads"] for a in present)
        busy = sum(workers[a]["nthreads"] * around[a].compute_threads for a in present)
        on_gpus = all(around[a].gpus for a in members)
        if allocated and (tasks if on_gpus else busy) > min(allocated):
            return Outcome(
                "warning",
                f"On {place} {count_of(len(present), 'worker has', 'workers have')} "
                f"{count_of(tasks, 'task thread')} in all, computing "
                f"with up to {count_of(busy, 'thread')}, but only "
                f"{count_of(min(allocated), 'core')}.",
                "Start fewer workers or threads, or set OMP_NUM_THREADS=1 for the workers.",
            )
    return _contradiction(around) or ok(
        "No more threads than cores: "
        + named_few(
            sorted(
                {
                    f"{workers[a]['nthreads']} task threads of {s.compute_threads} compute threads"
                    for a, s in around.items()
                    if a in workers
                }
            )
        )
        + " a worker."
    )


def _contradiction(around: Mapping[str, Surroundings]) -> Outcome | None:
    for address, seen in around.items():
        if seen.contradiction:
            return Outcome(
                "wrong", f"Worker {address}: {seen.contradiction}", "Start it in that way."
            )
    return None


def _by_allocation(around: Mapping[str, Surroundings]) -> dict[str, list[str]]:
    """Group workers by what they share: a node, and a job there."""
    groups: dict[str, list[str]] = defaultdict(list)
    for address, seen in around.items():
        node = seen.node if seen.node == seen.host else f"{seen.node} ({seen.host})"
        groups[f"{node}, job {seen.job}" if seen.job else node].append(address)
    return groups


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"


@check("Clocks")
def check_clocks(client: Client) -> Outcome:
    """Compare the clocks of the workers with that of this machine."""
    before = time.time()
    answers: Mapping[str, Any] = client.run(time.time, on_error="return")
    after = time.time()
    middle, half = (before + after) / 2, (after - before) / 2
    off = {a: t - middle for a, t in answers.items() if isinstance(t, float)}
    if not off:
        raise NotChecked("No worker answered.")
    address, most = max(off.items(), key=lambda item: abs(item[1]))
    fact = f"They differ by up to {abs(most):.1f} s (+/- {half:.1f} s) from this machine's clock"
    if abs(most) > CLOCK + half:
        return Outcome(
            "warning",
            f"{fact}, on {address}. Clocks must agree, since the age of a lock shows whether "
            "another machine still writes an output.",
            "Let all machines set their clocks by NTP.",
        )
    return ok(f"{fact}.")


@check("Open ports")
def check_listening(client: Client) -> Outcome:
    """Check whether the cluster can be reached from needless networks, or without encryption."""
    scheduler: str = client.scheduler_info()["address"]
    found: dict[str, Any] = {
        "the scheduler": client.run_on_scheduler(open_addresses),
        **client.run(open_addresses, on_error="return"),
    }
    wide = {who: where for who, where in found.items() if isinstance(where, tuple) and where}
    if wide:
        who, where = next(iter(wide.items()))
        return Outcome(
            "warning",
            f"{count_of(len(wide), 'process listens', 'processes listen')} on all interfaces, "
            f"such as {who} on "
            f"{', '.join(where)}. Whoever reaches such a port can run code as you, unless it is "
            "encrypted with certificates.",
            "Start scheduler and workers with --host or --interface, and with --dashboard-address "
            "127.0.0.1:0, as --cluster slurm does.",
        )
    local = scheduler.startswith(("inproc://", "tcp://127.", "tls://127.", "tcp://[::1]"))
    if not local and not scheduler.startswith(("tls://", "wss://")):
        return Outcome(
            "warning",
            f"The scheduler at {scheduler} is not encrypted: whoever reaches it can run code as "
            "you.",
            "Use certificates, as --cluster slurm does.",
        )
    return ok(f"The scheduler is at {scheduler}; no process listens on all interfaces.")


def nodes_of(around: Mapping[str, Surroundings]) -> dict[tuple[str, str], str]:
    """Return one worker of each node."""
    chosen: dict[tuple[str, str], str] = {}
    for address, seen in around.items():
        chosen.setdefault(seen.place, address)
    return chosen
