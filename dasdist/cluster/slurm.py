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
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.cluster.allocation import Workers
from dasdist.cluster.certificates import make_certificates
from dasdist.cluster.folder import new_folder, write_facts
from dasdist.cluster.job_size import Job, check_jobqueue, configured
from dasdist.cluster.jobs import job_name, node_addresses
from dasdist.cluster.lifetime import Lifetime
from dasdist.cluster.network import LOOPBACK, listening_address
from dasdist.cluster.partition import Node, nodes_of
from dasdist.errors import InvalidInput
from dasdist.executors.lost_links import told_in_a_line
from dasdist.planning.resources import Resources

if TYPE_CHECKING:
    from dask_jobqueue.slurm import SLURMCluster

    from dasdist.cluster.kept import KeptCluster

__all__ = ["new_name", "slurm_cluster"]


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

    The scheduler runs in this process and listens on one address; only who has the certificates of
    this cluster can connect.  Each job has one worker process per GPU, or one per two cores, which
    finishes its blocks and leaves before the job's walltime is over.  Jobs that end are replaced,
    unless too many in a row end before one of their workers registers.  No job stays in the queue
    when the cluster is closed, or this process ends in whatever way.

    Parameters
    ----------
    jobs : int
        Jobs to keep running.
    gpus_per_job : int
        GPUs of each, all on one node.
    partition, walltime, account : str, optional
        As ``sbatch`` takes them.  These and all below come from the Dask configuration of the site
        (section ``jobqueue.slurm``) if they are not given.  Without a walltime jobs run as long as
        the partition lets jobs run by default, but at least half an hour.
    cores : int, optional
        CPUs of each job.  By default 4, or 4 per GPU, or all of a node where the partition's nodes
        have fewer.
    memory : str or int, optional
        Memory of each job, such as ``"64GB"``.  By default 4 GiB per core, or the share of a
        node's memory that goes with the cores where that is less.
    interface : str, optional
        Network interface of scheduler and workers.  By default the one that leads to the nodes.
    adapt : tuple of int, optional
        ``(fewest, most)`` jobs, at least 1: their number follows the work, instead of `jobs`.
    job_extra : sequence of str
        Other options of ``sbatch``, such as ``"--qos=long"``.
    folder : str or Path, optional
        Where certificates, logs and the scheduler file go; nodes must see it.  By default a folder
        with the cluster's name in ``~/.dasdist``, or in a folder of yours in the one that
        ``jobqueue.slurm.shared-temp-directory`` names.  There, folders of clusters that ended more
        than 14 days ago are removed, with their logs.
    idle_timeout : str, optional
        Ends the cluster after so long without work, such as ``"2h"``.
    **options
        Any other argument of :class:`dask_jobqueue.SLURMCluster`.  The jobs' names, as ``squeue``
        shows them, begin with ``job_name``, or are ``name`` as a whole, which no other of your
        jobs may have.

    Returns
    -------
    dask_jobqueue.SLURMCluster
        Closed by ``close()`` or at the end of a ``with`` block.  Its ``job_name`` is the name of
        its jobs in the queue, its ``folder`` has what `dasdist.connect` needs, and its ``tunnel``
        is the command for the dashboard.

    Raises
    ------
    InvalidInput
        If SLURM is not there or refuses the jobs, if no node of the partition has the cores, the
        memory or the GPUs of a job, or if no address leads to the nodes.
    DasdistError
        If dask-jobqueue is not installed.

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
            "slurm_cluster cannot be asynchronous. Call it in a thread, and make an asynchronous "
            "Client with its scheduler_address and security."
        )
    check_jobqueue()
    partition = partition or configured("queue")
    nodes = nodes_of(partition)
    job = Job.of(cores=cores, memory=memory, gpus=gpus_per_job, walltime=walltime, nodes=nodes)
    _check_fits(job, nodes, job_extra)
    interface = interface or configured("interface")
    address = listening_address(interface, node_addresses(partition))
    prefix = options.pop("job_name", None)
    name = options.pop("name", None) or new_name(prefix)
    place = new_folder(name, folder)
    settings = {
        **_of_workers(job, options),
        **_of_jobs(job, job_extra, options),
        "scheduler_options": _of_scheduler(address, idle_timeout, options),
        "name": name,
        "job_name": name,
        "queue": partition,
        "account": account,
        "interface": interface,
        "log_directory": configured("log-directory") or str(place / "logs"),
        **options,
        "folder": place,
        "security": make_certificates(place),
        "most_early": 2 * most,
    }
    told_in_a_line()  # by the scheduler, which runs in this process
    cluster = _kept(settings)
    try:
        _ready(cluster, job.workers(), most)
        cluster.begin(fewest)
        if adapt is not None:
            cluster.adapt_jobs(fewest, most)
    except OSError as error:
        cluster.close()
        raise InvalidInput(
            f"SLURM does not take the job: {error}. To see which limit it breaks, run `dasdist "
            "doctor --cluster slurm` with the same --partition, --cores, --memory, --walltime and "
            "--account."
        ) from error
    except BaseException:
        cluster.close()
        raise
    return cluster


def _check(fewest: int, most: int) -> None:
    if not 1 <= fewest <= most:
        raise InvalidInput(
            f"The cluster was asked for {fewest} to {most} jobs; it needs at least 1, and the "
            "first number must not be the larger one."
        )


def _check_fits(job: Job, nodes: Sequence[Node], extra: Sequence[str]) -> None:
    """Refuse what the partition cannot run, unless other options of sbatch may change that."""
    options = [*extra, *(configured("job-extra-directives") or ())]
    if any(option.startswith(("--partition", "-p")) for option in options):
        return
    job.check(nodes)
    if not any(option.startswith(("--qos", "-q", "--time", "-t")) for option in options):
        job.check_walltime(nodes)


def new_name(prefix: str | None = None) -> str:
    """Return a new name for a cluster, its jobs and its folder.

    Parameters
    ----------
    prefix : str, optional
        How it begins; else as the Dask configuration says (``jobqueue.slurm.name``), or "dasdist".
    """
    check_jobqueue()
    return job_name(prefix or configured("name") or "dasdist")


def _of_workers(job: Job, options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the worker processes."""
    workers = job.workers()
    extra = options.pop("worker_extra_args", None) or configured("worker-extra-args") or ()
    lifetime = Lifetime.within(job.walltime)
    leaving = (
        []
        if lifetime is None
        else [
            *("--lifetime", f"{lifetime.seconds:g} s"),
            *("--lifetime-stagger", f"{lifetime.stagger:g} s"),
        ]
    )
    return {
        "walltime": job.walltime,
        "worker_command": "dasdist.cluster.worker",
        # -P: a job starts in a folder of data, perhaps, and a module there is not to be imported
        "python": f"{options.pop('python', None) or configured('python') or sys.executable} -P",
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
    """Return the settings of the jobs: what is asked for per job."""
    directives = options.pop("job_extra_directives", None) or configured("job-extra-directives")
    gres = [f"--gres=gpu:{job.gpus}"] if job.gpus else []
    return {
        "cores": job.cores,
        "memory": job.memory,
        "job_mem": f"{job.mebibytes}M",
        "job_extra_directives": [*gres, *(directives or ()), *extra],
    }


def _of_scheduler(
    address: str, idle_timeout: str | None, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of the scheduler: no port of it is open on more than one address."""
    given = options.pop("scheduler_options", None) or configured("scheduler-options") or {}
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
    """Announce the workers that will come, and write the scheduler file."""
    gpu = 0 if workers.devices else None
    promised = Resources(most * workers.count, workers.threads, workers.memory, gpu=gpu)
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
