"""What a job may use on one node, and which worker processes to start there.

::

    SLURM_*, CUDA_VISIBLE_DEVICES ┐
    limits of the cgroups         ├─► Allocation ──► Workers
    the machine                   ┘   CPUs, bytes,   processes, threads, bytes, devices
                                      devices

The smallest of these limits counts: a batch system that enforces nothing still states in
environment variables what the job asked for, and one that enforces it uses cgroups.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["Allocation", "Workers", "cgroup_limits", "find_allocation", "workers_for"]

MIB = 2**20

READERS = 2
"""Task threads of a worker: while one reads a block, another computes one."""

WORKER_BYTES = 2 * 2**30
"""Memory a worker process should have, since its libraries and its replica need 0.5 GiB or more."""

SPARE_BYTES = 512 * MIB
"""Memory of a node that is left for nannies and the batch system's own processes."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What a job may use on one node.

    Parameters
    ----------
    cpus : int
        CPUs.
    memory : int
        Bytes.
    devices : tuple of str
        GPUs, by the names that ``CUDA_VISIBLE_DEVICES`` takes.
    """

    cpus: int
    memory: int
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes of one node, which differ only in their device.

    Parameters
    ----------
    count : int
        Processes.
    threads : int
        Task threads of each.
    compute_threads : int
        Threads of each task: those of OpenMP, BLAS and torch.
    memory : int
        Bytes that each may use.
    devices : tuple of str
        The GPU of each; empty on a node without.
    """

    count: int
    threads: int
    compute_threads: int
    memory: int
    devices: tuple[str, ...] = ()

    def __str__(self) -> str:
        pinned = f", one on each of the GPUs {', '.join(self.devices)}" if self.devices else ""
        return (
            f"{count_of(self.count, 'worker process', 'worker processes')}{pinned}: "
            f"{count_of(self.threads, 'task thread')} each, "
            f"{self.compute_threads} compute threads a task, {self.memory / 2**30:.2f} GiB"
        )


def workers_for(
    allocation: Allocation,
    *,
    count: int | None = None,
    threads: int | None = None,
    memory: int | None = None,
    spare: int = SPARE_BYTES,
) -> Workers:
    """Choose the worker processes for what a job has on a node.

    Parameters
    ----------
    allocation : Allocation
        What the job has on this node.
    count, threads, memory : int, optional
        Processes, task threads and bytes of each, where they are given; else chosen.
    spare : int
        Bytes of the node's memory to leave for others, such as a scheduler on it.

    Returns
    -------
    Workers

    Raises
    ------
    InvalidInput
        If there are fewer GPUs than processes, or no memory is left for workers.

    Notes
    -----
    *With GPUs* there is one process per GPU: a process sees one device and holds one replica on it.
    It has two task threads, so that one block is read and prepared while another is on the GPU,
    and three where it has six CPUs or more, since reading and filtering then keep up better.

    *Without* there is one process per two CPUs, with two task threads, each of which computes with
    one thread.  Task threads times compute threads never exceed the CPUs, so that BLAS, OpenMP and
    torch do not fight over them.  Blocks are independent, so several at a time use all CPUs to the
    full, while threads within a block share only its larger operations.  Two task threads, since
    one reads while the other computes; no more, since they share one Python lock.  Where memory is
    short there are fewer processes, of at least `WORKER_BYTES` each, and the CPUs that this
    leaves idle become compute threads.

    *Memory* is that of the allocation, less `spare`, in equal parts, and a limit that is given is
    cut to that: a batch system kills a job that uses more than it asked for, the node's memory
    notwithstanding.

    Examples
    --------
    >>> print(workers_for(Allocation(cpus=32, memory=128 * 2**30, devices=("0", "1", "2", "3"))))
    4 worker processes, one on each of the GPUs 0, 1, 2, 3: each 3 task threads, \
2 compute threads a task, 31.88 GiB
    >>> print(workers_for(Allocation(cpus=64, memory=256 * 2**30)))
    32 worker processes: each 2 task threads, 1 compute threads a task, 7.98 GiB
    """
    usable = allocation.memory - spare
    if usable <= 0:
        raise InvalidInput(
            f"The job has {allocation.memory / MIB:.0f} MiB of memory on this node, and "
            f"{spare / MIB:.0f} MiB are kept for other processes, so none is left for workers. Ask "
            "for more memory (sbatch --mem, or memory of slurm_cluster), or lower --spare."
        )
    devices = allocation.devices
    if count is None:
        fitting = min(allocation.cpus // READERS, usable // WORKER_BYTES)
        count = len(devices) or max(1, fitting)
    if devices and count > len(devices):
        raise InvalidInput(
            f"{count} worker processes were asked for, but the job has "
            f"{count_of(len(devices), 'GPU')} on this "
            f"node and each process needs its own. Use --nworkers {len(devices)} or less."
        )
    share = max(1, allocation.cpus // count)
    if threads is None:
        threads = (3 if share >= 6 else READERS) if devices else min(READERS, share)
    return Workers(
        count=count,
        threads=threads,
        compute_threads=max(1, share // threads),
        memory=min(usable // count, memory or usable),
        devices=devices[:count],
    )


# ---------------------------------------------------------------- what there is


def find_allocation() -> Allocation:
    """Return what this process may use on its node.

    Raises
    ------
    InvalidInput
        If the batch system runs several such processes on the node.
    """
    from dask.system import CPU_COUNT  # knows the affinity that task plugins set
    from distributed.system import MEMORY_LIMIT

    machine = CPU_COUNT, MEMORY_LIMIT
    cpus, memory = _least(machine, cgroup_limits(), slurm_limits(os.environ))
    visible = visible_devices(os.environ)
    if visible is None:  # SLURM says which GPUs are the job's; those of the node may be others'
        visible = () if "SLURM_JOB_ID" in os.environ else _all_devices()
    return Allocation(cpus, memory, visible)


def _least(machine: tuple[int, int], *limits: tuple[int | None, int | None]) -> tuple[int, int]:
    cpus = [machine[0], *(cpus for cpus, _ in limits if cpus)]
    memory = [machine[1], *(memory for _, memory in limits if memory)]
    return min(cpus), min(memory)


def slurm_limits(environ: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Return the CPUs and bytes that a SLURM job has on this node; None where SLURM does not say.

    Raises
    ------
    InvalidInput
        If several tasks run on the node: each would take all that they share.

    Examples
    --------
    >>> slurm_limits({"SLURM_CPUS_ON_NODE": "8", "SLURM_MEM_PER_CPU": "2000"})
    (8, 16777216000)
    """
    tasks = environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
    if max(map(int, re.findall(r"(\d+)(?:\(x\d+\))?(?:,|$)", tasks)), default=1) > 1:
        raise InvalidInput(
            f"This job step runs {tasks} tasks per node, but one task starts all workers of a "
            "node. Use srun --ntasks-per-node=1."
        )
    cpus = _number(environ, "SLURM_CPUS_ON_NODE")
    per_node = _number(environ, "SLURM_MEM_PER_NODE")  # 0 stands for all the node has
    per_cpu = (_number(environ, "SLURM_MEM_PER_CPU") or 0) * (cpus or 0)
    per_gpu = (_number(environ, "SLURM_MEM_PER_GPU") or 0) * (
        _number(environ, "SLURM_GPUS_ON_NODE") or 0
    )
    mebibytes = per_node or per_cpu or per_gpu
    return cpus, mebibytes * MIB if mebibytes else None


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isdigit() else None


def visible_devices(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` leaves; None if it does not say.

    CUDA takes no device after the first that it cannot read; SLURM writes ``NoDevFiles`` for none.

    Examples
    --------
    >>> visible_devices({"CUDA_VISIBLE_DEVICES": "2,GPU-8932f937"})
    ('2', 'GPU-8932f937')
    >>> visible_devices({"CUDA_VISIBLE_DEVICES": "NoDevFiles"})
    ()
    """
    if "CUDA_VISIBLE_DEVICES" not in environ:
        return None
    names = [name.strip() for name in environ["CUDA_VISIBLE_DEVICES"].split(",")]
    valid = [bool(re.fullmatch(r"\d+|(GPU|MIG)-.+", name)) for name in names]
    return tuple(names[: valid.index(False)] if False in valid else names)


def _all_devices() -> tuple[str, ...]:
    import torch

    return tuple(map(str, range(torch.cuda.device_count())))


def cgroup_limits(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """Return the CPUs and bytes that cgroups allow this process; None where there is no limit.

    A limit holds for all groups below it, so each group is asked up to the topmost; a batch system
    sets that of a job two or three levels above its processes.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are.
    """
    cpus: list[int] = []
    memory: list[int] = []
    for controllers, group in _groups(root):
        memory += _integers(group, "memory.max", "memory.limit_in_bytes")
        if "cpu" in controllers or not controllers:
            cpus += _quota(group)
    return min(cpus, default=None), min(memory, default=None)


def _groups(root: Path) -> Iterator[tuple[list[str], Path]]:
    """Yield the folders of this process's groups, and for cgroups v1 their controllers."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        mount = root / "sys/fs/cgroup" / controllers  # of v2: none, so the folder itself
        inner = PurePosixPath(path.lstrip("/"))
        for place in (inner, *inner.parents):
            yield controllers.split(",") if controllers else [], mount / place


def _integers(group: Path, *names: str) -> list[int]:
    texts = [_text(group / name) for name in names]
    return [int(text) for text in texts if text.isdigit()]


def _quota(group: Path) -> list[int]:
    """Return the CPUs of a group's quota, rounded up as dask does."""
    v1 = [_text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    words = next((w for w in (_text(group / "cpu.max").split(), v1) if len(w) == 2), v1)
    if not all(word.isdigit() for word in words):  # "max", -1, or not there
        return []
    quota, period = map(int, words)
    return [-(-quota // period)]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
