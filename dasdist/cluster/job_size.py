"""How large a job is and how long it runs: as asked for, else as its partition's nodes allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from statistics import median_low
from typing import Any

from dasdist.cluster.allocation import Allocation, Workers, workers_for
from dasdist.cluster.lifetime import walltime_seconds
from dasdist.cluster.partition import Node
from dasdist.errors import DasdistError, InvalidInput
from dasdist.units import count_of

__all__ = ["Job", "check_jobqueue", "configured"]

_CORES = 4
"""Of a job without GPUs, and for every GPU of one with: two or three task threads, and the rest."""

_MEMORY = 4 * 2**30
"""Bytes for every core, and the least that a job asks for where its node has that much."""

_WALLTIME = 4 * 3600.0
"""Seconds of a job where neither the user nor the partition says."""

_SHORTEST = 1800.0
"""Least seconds of a job, if the partition allows them: workers need minutes to start."""

_NOT_CONFIGURED = {"name": "dask-worker", "walltime": "00:30:00"}
"""What dask-jobqueue's own configuration says where no site and no user said anything."""

_LOOK = "`dasdist doctor --cluster slurm` shows what a partition has."


def check_jobqueue() -> None:
    """Refuse to go on without dask-jobqueue.

    Raises
    ------
    DasdistError
        If it is not installed.
    """
    if find_spec("dask_jobqueue") is None:
        raise DasdistError(
            "SLURM jobs need the package dask-jobqueue, which is not installed: "
            'python -m pip install "dasdist[slurm]"'
        )


def configured(key: str) -> Any:
    """Return a setting of SLURM jobs from the Dask configuration of the site or the user.

    Parameters
    ----------
    key : str
        Its name in the section ``jobqueue.slurm``.

    Returns
    -------
    object
        None if neither site nor user sets it.
    """
    import dask.config

    if find_spec("dask_jobqueue") is not None:
        import dask_jobqueue  # noqa: F401 - it adds its defaults to the configuration
    found = dask.config.get(f"jobqueue.slurm.{key}", None)
    return None if found == _NOT_CONFIGURED.get(key) else found


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for per job.

    Parameters
    ----------
    cores : int
        CPUs.
    memory : int
        Bytes.
    gpus : int
        GPUs.
    walltime : str
        How long it may run, as ``sbatch --time`` takes it.
    """

    cores: int
    memory: int
    gpus: int
    walltime: str

    @classmethod
    def of(
        cls,
        *,
        cores: int | None = None,
        memory: str | int | None = None,
        gpus: int = 0,
        walltime: str | None = None,
        nodes: Sequence[Node] = (),
    ) -> "Job":
        """Fill in what was not asked for: from the Dask configuration, else from the partition.

        Parameters
        ----------
        cores, memory, gpus, walltime
            What the user asked for.
        nodes : sequence of Node
            The partition's nodes; empty where they are not known.

        Raises
        ------
        InvalidInput
            If the memory is not a size.

        Notes
        -----
        A job has 4 cores, or 4 per GPU, and 4 GiB per core; where the partition's nodes are
        smaller it has all cores of a node, and where they have less memory per core, its cores'
        share of it.  It runs as long as the partition lets jobs run that do not ask, but not less
        than half an hour; where the partition does not say, four hours; never longer than the
        partition's limit.  Of a partition with different nodes the lower median counts, so that
        at least half of them can run the job.

        Examples
        --------
        >>> small = Node("normal", True, "n1", 2, 4000, "", "1:00:00", "10:00", up=True)
        >>> Job.of(nodes=[small])
        Job(cores=2, memory=4194304000, gpus=0, walltime='00:30:00')
        """
        from dask.utils import parse_bytes

        having = [node for node in nodes if node.gpus >= gpus]
        cores = cores or configured("cores") or _usual_cores(gpus, having)
        memory = memory or configured("memory") or _usual_memory(int(cores), having)
        walltime = walltime or configured("walltime") or _usual_walltime(nodes)
        try:
            return cls(int(cores), int(parse_bytes(memory)), gpus, walltime)
        except ValueError as error:
            raise InvalidInput(
                f"memory is {memory!r}, which is not a size; write for example 32GB or 1.5GiB."
            ) from error

    @property
    def mebibytes(self) -> int:
        """Memory in MiB, rounded up."""
        return -(-self.memory // 2**20)

    def workers(self) -> Workers:
        """Return the worker processes that fit into a job."""
        devices = tuple(map(str, range(self.gpus)))
        return workers_for(Allocation(self.cores, self.memory, devices))

    def check(self, nodes: Sequence[Node]) -> None:
        """Refuse a job that none of a partition's nodes could ever run.

        Raises
        ------
        InvalidInput
            It says what a job asks for, what the nodes have, and which options to change.
        """
        if not nodes:
            return
        where = f"partition {nodes[0].partition}"
        gpus = max(node.gpus for node in nodes)
        if self.gpus > gpus:
            raise InvalidInput(
                f"A job asks for {count_of(self.gpus, 'GPU')}, and the nodes of {where} have at "
                f"most {gpus}; "
                f"pass fewer with gpus_per_job (--gpus-per-job), or another partition "
                f"(--partition). {_LOOK}"
            )
        if not any(
            n.gpus >= self.gpus and n.cpus >= self.cores and n.memory >= self.mebibytes
            for n in nodes
        ):
            cpus, memory = max(n.cpus for n in nodes), max(n.memory for n in nodes)
            raise InvalidInput(
                f"A job asks for {count_of(self.cores, 'core')} and {self.mebibytes} MiB of "
                "memory, which no "
                f"node of {where} has (at most {cpus} cores and {memory} MiB); pass less with "
                f"cores and memory (--cores, --memory). {_LOOK}"
            )

    def check_walltime(self, nodes: Sequence[Node]) -> None:
        """Refuse a walltime beyond the partition's limit: such jobs would wait for ever.

        Raises
        ------
        InvalidInput
            It says the limit.
        """
        wanted = walltime_seconds(self.walltime)
        limits = [node.longest for node in nodes]
        longest = max((limit for limit in limits if limit is not None), default=None)
        if longest is None or None in limits:
            return
        if wanted is None or wanted > longest:
            most = next(node.most for node in nodes if node.longest == longest)
            raise InvalidInput(
                f"A job asks for a walltime of {self.walltime}, and partition "
                f"{nodes[0].partition} allows at most {most}; pass that or less with walltime "
                "(--walltime). Shorter jobs do as well: they are replaced when they end."
            )


def _usual_cores(gpus: int, nodes: Sequence[Node]) -> int:
    wanted = _CORES * max(1, gpus)
    return min(wanted, median_low([node.cpus for node in nodes])) if nodes else wanted


def _usual_memory(cores: int, nodes: Sequence[Node]) -> int:
    wanted = cores * _MEMORY
    if not nodes:
        return wanted
    mebibytes = _MEMORY // 2**20
    shares = [
        max(node.memory * min(cores, node.cpus) // node.cpus, min(node.memory, mebibytes))
        for node in nodes
    ]
    return min(wanted, median_low(shares) * 2**20)


def _usual_walltime(nodes: Sequence[Node]) -> str:
    longest = nodes[0].longest if nodes else None
    unasked = nodes[0].unasked if nodes else None
    seconds = max(unasked or _WALLTIME, _SHORTEST)
    return _written(seconds if longest is None else min(seconds, longest))


def _written(seconds: float) -> str:
    """Write a walltime as ``sbatch --time`` takes it.

    Examples
    --------
    >>> _written(14400.0), _written(100_000.0)
    ('04:00:00', '1-03:46:40')
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{f'{days}-' if days else ''}{hours:02d}:{minutes:02d}:{rest:02d}"
