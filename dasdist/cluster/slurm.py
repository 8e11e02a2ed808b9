"""A Dask cluster whose workers are jobs of SLURM, with settings that suit inference.

::

    this process          scheduler on one address, TLS; dashboard on 127.0.0.1
       | sbatch           keeps the jobs (kept.py); a sweeper ends them if it is killed (sweep.py)
       v
    job 1 .. job N        dasdist.cluster.worker: one process per GPU, 2-3 task threads each
"""

import os
import shlex
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.cluster.allocation import Allocation, Workers, workers_for
from dasdist.cluster.certificates import make_certificates
from dasdist.cluster.folder import new_folder, write_facts
from dasdist.cluster.jobs import job_name, node_addresses
from dasdist.cluster.lifetime import Lifetime
from dasdist.cluster.network import LOOPBACK, listening_address
from dasdist.errors import DasdistError, InvalidInput
from dasdist.planning.plan import Resources

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster

    from dasdist.cluster.kept import KeptCluster

__all__ = ["slurm_cluster"]

_CORES = 4
"""Of a job without GPUs, and for every GPU of one with: two or three task threads, and the rest."""

_MEMORY = 4 * 2**30
"""Bytes for every core."""


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
    """

    cores: int
    memory: int
    gpus: int

    @classmethod
    def of(cls, cores: int | None, memory: str | int | None, gpus: int) -> "Job":
        """Fill in what is not said, from the Dask configuration or as it is usual."""
        from dask.utils import parse_bytes

        cores = cores or _configured("cores") or _CORES * max(1, gpus)
        memory = memory or _configured("memory") or cores * _MEMORY
        try:
            return cls(int(cores), int(parse_bytes(memory)), gpus)
        except ValueError as error:
            raise InvalidInput(f"memory {memory!r} is no size; write 32GB or 1.5GiB.") from error

    def workers(self) -> Workers:
        """Return the worker processes that fit into a job."""
        devices = tuple(map(str, range(self.gpus)))
        return workers_for(Allocation(self.cores, self.memory, devices))


def slurm_cluster(
    jobs: int = 1,
    *,
    gpus_per_job: int = 0,
    partition: str | None = None,
    walltime: str | None = None,
    account: str | None = None,
    cores: int | None = None,
    memory: str | int | None = None,
    interface: str | None = None,
    adapt: tuple[int, int] | None = None,
    job_extra: Sequence[str] = (),
    folder: str | Path | None = None,
    idle_timeout: str | None = None,
    **options: Any,
) -> "SLURMCluster":
    """Start a Dask cluster whose workers are jobs of SLURM.

    The scheduler runs in this process and listens on one address, for whom has the certificates of
    this cluster only.  Each job has one worker process per GPU, or one per two cores; each leaves
    in order before its walltime is over.  Jobs that end are asked for again, as long as not too
    many in a row end before a worker registers.  No job stays in the queue when the cluster is
    closed, or this process ends in whatever way.

    Parameters
    ----------
    jobs : int
        Jobs to keep running.
    gpus_per_job : int
        GPUs of each, all on one node.
    partition, walltime, account : str, optional
        As ``sbatch`` takes them.  These and all below come from the Dask configuration of the site
        (section ``jobqueue.slurm``) if they are not given.
    cores : int, optional
        CPUs of each job; else 4, or 4 per GPU.
    memory : str or int, optional
        Memory of each job, such as ``"64GB"``; else 4 GiB per core.
    interface : str, optional
        Network interface of scheduler and workers; else that which leads to the nodes.
    adapt : tuple of int, optional
        ``(fewest, most)`` jobs, at least 1: their number follows the work, instead of `jobs`.
    job_extra : sequence of str
        Other options of ``sbatch``, such as ``"--qos=long"``.
    folder : str or Path, optional
        Where certificates, logs and the scheduler file go; nodes must see it.  By default a folder
        in ``~/.dasdist``, or in ``jobqueue.slurm.shared-temp-directory``.
    idle_timeout : str, optional
        Ends the cluster when it had nothing to do for so long, such as ``"2h"``.
    **options
        Any other of :class:`dask_jobqueue.SLURMCluster`; ``job_name`` begins the jobs' names.

    Returns
    -------
    dask_jobqueue.SLURMCluster
        Closed by ``close()`` or at the end of a ``with`` block.  Its ``folder`` has what
        `dasdist.connect` needs, and its ``tunnel`` is the line for the dashboard.

    Raises
    ------
    InvalidInput
        If SLURM is not there or refuses the jobs, or no address leads to the nodes.
    DasdistError
        If dask-jobqueue is missing.

    Examples
    --------
    >>> with dasdist.slurm_cluster(
    ...     jobs=8, gpus_per_job=4, partition="gpu", walltime="04:00:00"
    ... ) as cluster:  # doctest: +SKIP
    ...     with Client(cluster) as client:
    ...         picks = model.classify("2024.nc", client=client, out="picks.parquet")
    """
    fewest, most = adapt or (jobs, jobs)
    _check(fewest, most)
    if options.pop("asynchronous", False):
        raise InvalidInput(
            "slurm_cluster is not for event loops; call it in a thread, and make an asynchronous "
            "Client of its scheduler_address and security."
        )
    job = Job.of(cores, memory, gpus_per_job)
    partition = partition or _configured("queue")
    interface = interface or _configured("interface")
    address = listening_address(interface, node_addresses(partition))
    name = job_name(options.pop("job_name", None) or _prefix())
    place = new_folder(name, folder)
    settings = {
        **_of_workers(job, walltime or _configured("walltime"), options),
        **_of_jobs(job, job_extra, options),
        "scheduler_options": _of_scheduler(address, idle_timeout, options),
        "name": name,
        "job_name": name,
        "queue": partition,
        "account": account,
        "interface": interface,
        "log_directory": _configured("log-directory") or str(place / "logs"),
        **options,
        "folder": place,
        "security": make_certificates(place),
        "most_early": 2 * most,
    }
    cluster = _kept(settings)
    try:
        _ready(cluster, job.workers(), most)
        cluster.begin(fewest)
        if adapt is not None:
            cluster.adapt_jobs(fewest, most)
    except OSError as error:
        cluster.close()
        raise InvalidInput(f"SLURM does not take the job: {error}") from error
    except BaseException:
        cluster.close()
        raise
    return cluster


def _check(fewest: int, most: int) -> None:
    if not 1 <= fewest <= most:
        raise InvalidInput(
            f"{fewest} to {most} jobs cannot be; there must be one at the least, and no more at "
            "the least than at the most."
        )


def _configured(key: str) -> Any:
    """Return what the site's Dask configuration says, or dask-jobqueue's defaults do."""
    import dask.config

    if find_spec("dask_jobqueue") is None:
        raise DasdistError(
            'Jobs of SLURM need the package dask-jobqueue: python -m pip install "dasdist[slurm]"'
        )
    import dask_jobqueue  # noqa: F401 - it adds its defaults to the configuration

    return dask.config.get(f"jobqueue.slurm.{key}", None)


def _prefix() -> str:
    name = str(_configured("name"))
    return "dasdist" if name == "dask-worker" else name


def _of_workers(job: Job, walltime: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the worker processes."""
    workers = job.workers()
    extra = options.pop("worker_extra_args", None) or _configured("worker-extra-args") or ()
    lifetime = Lifetime.within(walltime)
    leaving = (
        []
        if lifetime is None
        else [
            *("--lifetime", f"{lifetime.seconds:g} s"),
            *("--lifetime-stagger", f"{lifetime.stagger:g} s"),
        ]
    )
    return {
        "walltime": walltime,
        "worker_command": "dasdist.cluster.worker",
        "worker_extra_args": [
            *("--nworkers", str(workers.count)),
            *("--nthreads", str(workers.threads)),
            *("--dashboard-address", f"{LOOPBACK}:0"),
            "--no-dashboard",
            *map(shlex.quote, leaving),
            *extra,
        ],
        "processes": workers.count,
    }


def _of_jobs(job: Job, extra: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """Return what is asked for per job."""
    directives = options.pop("job_extra_directives", None) or _configured("job-extra-directives")
    gres = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    return {
        "cores": job.cores,
        "memory": job.memory,
        "job_mem": f"{-(-job.memory // 2**20)}M",
        "job_extra_directives": [*gres, *(directives or ()), *extra],
    }


def _of_scheduler(
    address: str, idle_timeout: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of the scheduler: no port of it is open on more than one address."""
    given = options.pop("scheduler_options", None) or _configured("scheduler-options") or {}
    return {
        "host": address,
        "port": 0,
        "dashboard": find_spec("bokeh") is not None,
        "dashboard_address": f"{LOOPBACK}:0",
        "idle_timeout": idle_timeout,
        **given,
    }


def _kept(settings: dict[str, Any]) -> "KeptCluster":
    from dasdist.cluster.kept import KeptCluster

    return KeptCluster(**settings)


def _ready(cluster: "KeptCluster", workers: Workers, most: int) -> None:
    """Say what workers there will be, and write the scheduler file."""
    promised = Resources(most * workers.count, workers.threads, workers.memory)
    cluster.promise(asdict(promised))
    write_facts(
        cluster.folder,
        cluster.scheduler_address,
        {
            "name": cluster.job_name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "tunnel": cluster.tunnel,
            "logs": cluster.log_directory,
        },
    )
