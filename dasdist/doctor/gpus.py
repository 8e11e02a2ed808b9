"""Check the workers' GPUs: whether torch computes on them, and whether each has its own."""

from collections import defaultdict
from collections.abc import Mapping

from dasdist.cluster.allocation import visible_devices
from dasdist.doctor.finding import NotChecked, Outcome, check, named_few, ok
from dasdist.doctor.surroundings import Surroundings
from dasdist.units import count_of

__all__ = ["check_gpus", "check_pinning"]


@check("GPUs of the workers")
def check_gpus(around: Mapping[str, Surroundings]) -> Outcome:
    """Check whether torch computes on the GPUs that workers were given."""
    if not around:
        raise NotChecked("No worker answered.")
    for judge in (_blind, _failing):
        found = judge(around)
        if found is not None:
            return found
    with_gpu = [s for s in around.values() if s.gpus]
    if not with_gpu:
        return ok("No worker has a GPU or was given one: all compute on CPUs.")
    if len(with_gpu) < len(around):
        return Outcome(
            "warning",
            f"{len(with_gpu)} of {count_of(len(around), 'worker has', 'workers have')} a GPU, the "
            "others compute on CPUs.",
            "Blocks have one size for all workers; use workers of one kind at a time.",
        )
    return ok(f"torch computes on a GPU in each of {count_of(len(around), 'worker')}.")


def _blind(around: Mapping[str, Surroundings]) -> Outcome | None:
    """Look for GPUs that torch does not see."""
    promised = {a: s for a, s in around.items() if not s.gpus and _given(s)}
    if promised:
        address, seen = next(iter(promised.items()))
        return Outcome(
            "wrong",
            f"{count_of(len(promised), 'worker was', 'workers were')} given GPUs that torch does "
            f"not see. On {address} "
            f"CUDA_VISIBLE_DEVICES is {seen.visible}, {_torch(seen)}, and the driver lists "
            f"{seen.installed_gpus} GPUs.",
            "Run nvidia-smi on that node, and install the build of torch for its driver.",
        )
    idle = {a: s for a, s in around.items() if s.visible is None and s.installed_gpus > len(s.gpus)}
    if idle:
        address, seen = next(iter(idle.items()))
        return Outcome(
            "warning",
            f"The node of {address} has {seen.installed_gpus} GPUs of which torch sees "
            f"{len(seen.gpus)}; {_torch(seen)}.",
            "To use them, ask for them (--gpus-per-job) and install the build of torch for CUDA.",
        )
    return None


def _given(seen: Surroundings) -> tuple[str, ...]:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` names."""
    visible = {} if seen.visible is None else {"CUDA_VISIBLE_DEVICES": seen.visible}
    return visible_devices(visible) or ()


def _torch(seen: Surroundings) -> str:
    return f"torch is built for {f'CUDA {seen.torch_cuda}' if seen.torch_cuda else 'CPUs only'}"


def _failing(around: Mapping[str, Surroundings]) -> Outcome | None:
    for address, seen in around.items():
        if seen.gpu_error:
            return Outcome(
                "wrong",
                f"Worker {address} sees a GPU but cannot compute on it: {seen.gpu_error}",
                "Install the build of torch for this GPU and its driver.",
            )
    return None


@check("One GPU a worker")
def check_pinning(around: Mapping[str, Surroundings]) -> Outcome:
    """Check that each worker has one GPU, and no two workers the same."""
    devices = {address: found for address, seen in around.items() if (found := _devices(seen))}
    if not devices:
        raise NotChecked("No worker has a GPU.")
    users: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for address, found in devices.items():
        users[found[0]].append(address)
    for device, members in users.items():
        if len(members) > 1:
            return Outcome(
                "wrong",
                f"{len(members)} workers on {around[members[0]].node} compute on the same GPU, "
                f"{device[-1]}: {named_few(members)}.",
                "Start workers with python -m dasdist.cluster.worker, or set CUDA_VISIBLE_DEVICES "
                "for each.",
            )
    seen = {device for found in devices.values() for device in found}
    if len(seen) > len(users):
        address, found = max(devices.items(), key=lambda item: len(item[1]))
        return Outcome(
            "warning",
            f"{count_of(len(seen) - len(users), 'GPU is', 'GPUs are')} idle: each worker computes "
            f"on one of those that it sees, and {address} sees {len(found)}.",
            "Start one worker per GPU, as python -m dasdist.cluster.worker does.",
        )
    return ok(
        f"{count_of(len(devices), 'worker has', 'workers have')} one GPU each, and no two the same."
    )


def _devices(seen: Surroundings) -> list[tuple[str, ...]]:
    """Return an identity for each GPU of a worker that no other GPU has.

    That is their identity where torch sees them; else their number, which counts within a job.
    """
    if seen.gpus:
        return [(seen.host, gpu) for gpu in seen.gpus]
    return [(*seen.place, seen.job, number) for number in _given(seen)]
