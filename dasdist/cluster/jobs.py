"""Ask SLURM for the jobs of one cluster, which share a name that no other cluster has."""

import asyncio
import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from dasdist.errors import InvalidInput
from dasdist.safe_text import one_line

__all__ = ["JobState", "cancel_jobs", "job_name", "jobs_of", "node_addresses", "tail", "user_name"]

_ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""States that no job leaves; COMPLETING is not among them, for such a job may be queued again."""

_PATIENCE = 60.0  # seconds that SLURM's commands may take


@dataclass(frozen=True, slots=True)
class JobState:
    """A job, as the queue shows it.

    Parameters
    ----------
    state : str
        SLURM's word, such as PENDING or RUNNING.
    reason : str
        Why it is in that state.
    nodes : str
        Where it runs, or ran.
    """

    state: str
    reason: str = ""
    nodes: str = ""

    @property
    def ended(self) -> bool:
        """Whether the job is over and will not run again."""
        return self.state in _ENDED

    def __str__(self) -> str:
        where = f" on {self.nodes}" if self.nodes else ""
        why = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return one_line(f"{self.state}{why}{where}")


def user_name() -> str:
    """Return the user that SLURM sees, whatever the environment says."""
    return pwd.getpwuid(os.getuid()).pw_name


def job_name(prefix: str = "dasdist") -> str:
    """Return a new name for a cluster's jobs, so that ``scancel --name`` finds all of them."""
    return f"{prefix}-{uuid4().hex[:8]}"


async def jobs_of(name: str) -> dict[str, JobState]:
    """Ask SLURM for the jobs with a name, including those that ended a short while ago.

    Returns
    -------
    dict of str to JobState
        By their numbers.

    Raises
    ------
    OSError
        If the queue does not answer.
    """
    asked = await asyncio.create_subprocess_exec(
        *_squeue(name),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(asked.communicate(), _PATIENCE)
    except TimeoutError:
        asked.kill()
        await asked.wait()
        raise
    if asked.returncode:
        raise OSError(f"squeue failed with exit code {asked.returncode}: {err.decode().strip()}")
    return _parsed(out.decode())


def _squeue(name: str) -> list[str]:
    user = user_name()
    columns = "--format=%A|%T|%r|%N"
    return ["squeue", "--noheader", "--states=all", f"--user={user}", f"--name={name}", columns]


def _parsed(lines: str) -> dict[str, JobState]:
    rows = (line.strip().split("|", 3) for line in lines.splitlines() if line.strip())
    return {row[0]: JobState(*row[1:]) for row in rows}


def cancel_jobs(name: str) -> None:
    """Cancel all jobs with a name.

    Raises
    ------
    OSError
        If the queue does not answer.
    """
    command = ["scancel", f"--user={user_name()}", f"--name={name}"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(str(error)) from error
    if done.returncode:
        raise OSError(f"scancel failed with exit code {done.returncode}: {done.stderr.strip()}")


def node_addresses(partition: str | None) -> Sequence[str]:
    """Return the names or addresses of the nodes of a partition, by default of the default one.

    Raises
    ------
    InvalidInput
        If SLURM's commands are not on the PATH.
    """
    of = [f"--partition={partition}"] if partition else []
    command = ["sinfo", "--noheader", "--Node", "--format=%o", *of]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except FileNotFoundError as error:
        raise InvalidInput(
            "SLURM's commands (sinfo, sbatch, squeue, scancel) are not on the PATH. Run this on a "
            "login node, or load SLURM's module first."
        ) from error
    except subprocess.TimeoutExpired:
        return ()
    return tuple(dict.fromkeys(found.stdout.split()))


def tail(path: Path, lines: int = 5) -> str:
    """Return the last lines of a log as one line; empty if it cannot be read."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - 4096))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])
