"""A `dask_jobqueue.SLURMCluster` that replaces jobs that end, and leaves none behind.

dask-jobqueue believes the scheduler, which knows nothing of a job before its worker registers, and
forgets it afterwards.  Here the queue is asked::

    every look:   squeue ---> which jobs ended?  ---> forgotten, others asked for in their place
                                |
                                none of their workers ever registered: counted, and too many in a
                                row end it, with the reason and the log of the last

Whether a departure was to be expected is for the scheduler to say; it makes no difference here.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dask.config
from dask.utils import parse_timedelta
from dask_jobqueue.slurm import SLURMCluster, SLURMJob
from distributed.core import Status
from distributed.deploy.cluster import Cluster
from distributed.deploy.spec import ProcessInterface

from dasdist.cluster import sweep
from dasdist.cluster.certificates import CERTIFICATE, KEY, remove_certificates
from dasdist.cluster.folder import SCHEDULER_FILE
from dasdist.cluster.jobs import JobState, cancel_jobs, jobs_of, tail, user_name
from dasdist.cluster.network import tunnel
from dasdist.cluster.old_folders import LOCK
from dasdist.executors.clients import PROMISED
from dasdist.executors.worker_events import DESERTED
from dasdist.safe_text import logger
from dasdist.storage.lock import Lock
from dasdist.units import count_of

__all__ = ["KeptCluster", "KeptJob", "look_interval"]

_log = logger()

_FEWEST = 3
"""Jobs that must have failed in a row before no more are submitted."""


def look_interval() -> float:
    """Return the seconds between two looks at the queue: ``dasdist.slurm.look-interval``, or 10."""
    return float(parse_timedelta(dask.config.get("dasdist.slurm.look-interval", "10s")))


def job_of(worker: Any) -> str:
    """Return the job of a worker, as the scheduler knows it: its name but for its last number."""
    return str(worker.name).rpartition("-")[0]


class KeptJob(SLURMJob):
    """A job that keeps SLURM's reason for refusing it, instead of failing unseen.

    Attributes
    ----------
    refused : str
        What sbatch said; empty if it took the job.
    """

    refused = ""

    async def start(self) -> None:
        """Submit the job."""
        try:
            await super().start()
        except (OSError, RuntimeError, ValueError) as error:
            self.refused = _complaint(str(error))
            await ProcessInterface.start(self)


def _complaint(text: str) -> str:
    """Extract what sbatch printed from dask-jobqueue's error."""
    said = text.partition("stderr:")[2] or text
    return " ".join(said.split())


class KeptCluster(SLURMCluster):
    """A SLURM cluster that replaces jobs that end, and cancels all when it is closed.

    Parameters
    ----------
    folder : Path
        The cluster's folder, private.
    most_early : int
        Jobs that may end in a row before any worker registers.
    options
        Of `SLURMCluster`.

    Attributes
    ----------
    lost : str
        Why no more jobs are submitted; empty as long as they are.
    """

    job_cls = KeptJob

    def __init__(self, *, folder: Path, most_early: int, **options: Any) -> None:
        self.folder = folder
        self.lost = ""
        self.most_early = max(_FEWEST, most_early)
        self._deserted = False
        self._early = 0
        self._arrived: set[str] = set()
        self._missing: set[str] = set()
        self._jobs_name = options["job_name"]
        self._cleaned = False
        self._held = ExitStack()
        self._held.enter_context(Lock(folder / LOCK, self._jobs_name))
        self._sweeper = _sweeper(self._jobs_name, folder)
        try:
            super().__init__(**options)
        except BaseException:
            self._clean()
            raise
        self._keeping: asyncio.Future[None] = self.sync(self._keep)

    @property
    def tunnel(self) -> str | None:
        """The command that brings the dashboard to one's own machine; None without bokeh."""
        if not self.scheduler_spec["options"].get("dashboard"):
            return None
        scheduler: Any = self.scheduler
        return tunnel(scheduler.services["dashboard"].port)

    @property
    def log_directory(self) -> str:
        """The folder of the workers' logs."""
        return str(self._job_kwargs["log_directory"])

    def promise(self, workers: Mapping[str, Any]) -> None:
        """Tell all clients which workers will come, since jobs may wait in the queue."""
        scheduler: Any = self.scheduler_comm
        self.sync(scheduler.set_metadata, keys=[PROMISED], value=dict(workers))

    def begin(self, jobs: int) -> None:
        """Submit the first jobs.

        Raises
        ------
        OSError
            If SLURM refuses all of them; the message is SLURM's.
        """
        self.scale(jobs=jobs)
        self.sync(self._correct_state)
        refused = [job.refused for job in self.workers.values() if job.refused]
        if refused and len(refused) == len(self.workers):
            raise OSError(refused[0])

    def adapt_jobs(self, fewest: int, most: int) -> None:
        """Let the number of jobs follow the work."""
        grouped = self._processes > 1
        self.adapt(
            minimum_jobs=fewest,
            maximum_jobs=most,
            interval=look_interval() / 2,
            target_duration="1s",  # for a run keeps few blocks in flight, and has many
            wait_count=12,  # a job waited long in the queue: not for every lull
            worker_key=job_of if grouped else None,
        )

    @property
    def _processes(self) -> int:
        return int(self._dummy_job.worker_processes)

    # ------------------------------------------------------------ the jobs

    def new_worker_spec(self) -> Mapping[str, Any]:
        """Name a job as none was named before: the scheduler may still think of a dead one."""
        spec: Mapping[str, Any] = super().new_worker_spec()
        self._i += 1
        return spec

    def _update_worker_status(self, op: str, message: Any) -> None:
        """Note workers that register; one that leaves does not end its job, as it would above."""
        if op == "add":
            for worker in message["workers"].values():
                name = str(worker["name"])
                self._arrived.add(name if name in self.worker_spec else name.rpartition("-")[0])
            self._early = 0
            self.lost = ""
        Cluster._update_worker_status(self, op, message)

    async def _keep(self) -> "asyncio.Future[None]":
        """Start to look at the queue every few seconds."""

        async def keep() -> None:
            scheduler: Any = self.scheduler  # it may close itself, idle or told by a client
            while Status.running == self.status == scheduler.status:
                await asyncio.sleep(look_interval())
                try:
                    await self._look()
                except Exception:  # noqa: BLE001 - a look that failed must not be the last one
                    _log.exception("could not look after the SLURM jobs; trying again")

        return asyncio.ensure_future(keep())

    async def _look(self) -> None:
        """Compare the jobs of this cluster with those in the queue, and replace what ended."""
        scheduler: Any = self.scheduler
        async with self._lock:  # or jobs are submitted meanwhile
            try:
                queue = await jobs_of(self._jobs_name)
            except OSError as error:  # a busy queue: the next look may be luckier
                _log.debug("squeue did not answer: %s", error)
                return
            if scheduler.status != Status.running:
                return
            ended = self._ended(queue)
            for name, (job, state) in ended.items():
                del self.workers[name]
                self.worker_spec.pop(name, None)
                job.status = Status.closed
                self._count(name, job, state)
            if not self.lost and self._adaptive is None:
                for _ in ended:
                    self.worker_spec.update(self.new_worker_spec())
        if ended and not self.lost:
            await asyncio.shield(self._correct_state())
        elif self.lost and not self.workers and not self._deserted:
            self._desert()

    def _ended(self, queue: Mapping[str, JobState]) -> dict[str, tuple[KeptJob, JobState]]:
        """Return the jobs of this cluster that are over."""
        unknown = {n for n, j in self.workers.items() if j.job_id not in queue and not j.refused}
        gone = unknown & self._missing  # a queue may be slow to show what it took
        self._missing = unknown
        found = {}
        for name, job in self.workers.items():
            if job.refused:
                found[name] = job, JobState("REFUSED", job.refused)
            elif name in gone:
                found[name] = job, JobState("GONE", "SLURM does not know it any more")
            elif job.job_id in queue and queue[job.job_id].ended:
                found[name] = job, queue[job.job_id]
        return found

    def _count(self, name: str, job: KeptJob, state: JobState) -> None:
        """Count a job that ended before a worker registered; too many in a row end the cluster."""
        _log.info("SLURM job %s ended: %s", job.job_id, state)
        if name in self._arrived:
            self._arrived.discard(name)
            return
        if job.refused and any(not other.refused for other in self.workers.values()):
            return  # a limit of the site, perhaps: there may be room when one of the others ends
        self._early += 1
        if self._early < self.most_early or self.lost:
            return
        self.lost = (
            f"{count_of(self._early, 'job')} in a row ended before one of their workers "
            "registered, so no more "
            f"are submitted. The last, {job.job_id or 'which SLURM refused'}, is {state}. "
            f"{self._log_of(job)}Fix the cause and call again: finished blocks are kept."
        )
        if self._adaptive is not None:
            self._adaptive.stop()
        _log.error("%s", self.lost)

    def _log_of(self, job: KeptJob) -> str:
        """Return where the log of a job is, and what stands at its end."""
        if not job.job_id or not job.log_directory:
            return ""
        path = Path(job.log_directory) / f"{job.job_name}-{job.job_id}.err"
        end = tail(path)
        return f"Its log {path} ends: {end} " if end else f"It wrote no log at {path}. "

    def _desert(self) -> None:
        """Tell all clients that no workers are left and none will come."""
        self._deserted = True
        scheduler: Any = self.scheduler
        scheduler.log_event(DESERTED, {"reason": self.lost})

    # ------------------------------------------------------------ the end

    async def _close(self) -> None:
        keeping = getattr(self, "_keeping", None)  # not there if it never came up
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
        scheduler: Any = self.scheduler
        if scheduler is not None and scheduler.status != Status.running:
            self.shutdown_scheduler = False  # or telling it to would wait for an answer
        await super()._close()

    def close(self, timeout: float | None = None) -> Any:
        """End the jobs and the scheduler, and remove the certificates."""
        try:
            return super().close(timeout)
        finally:
            self._clean()

    def _clean(self) -> None:
        """Cancel all jobs and remove the certificates; the sweeper retries if SLURM is silent."""
        if self._cleaned:
            return
        with suppress(OSError):
            cancel_jobs(self._jobs_name)
            self._sweeper.terminate()
            self._sweeper.wait()
            self._cleaned = True
        remove_certificates(self.folder)
        (self.folder / SCHEDULER_FILE).unlink(missing_ok=True)
        self._held.close()


def _sweeper(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that cancels the jobs if this one is killed."""
    files = [str(folder / file) for file in (KEY, CERTIFICATE, SCHEDULER_FILE)]
    with (folder / "sweep.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-I", sweep.__file__),
                *(str(os.getpid()), user_name(), name),
                *files,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
