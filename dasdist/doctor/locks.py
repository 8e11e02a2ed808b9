"""Check whether other machines see a file lock that this one holds."""

import fcntl
from collections.abc import Mapping
from pathlib import Path

from distributed import Client

from dasdist.doctor.asking import Answers, ask
from dasdist.doctor.finding import Outcome, check, named_few, ok
from dasdist.units import count_of

__all__ = ["check_locks", "judge_locks"]

LOCKED = "lock"


def try_lock(folder: str) -> str:
    """Try to lock the file that the client holds; return held, taken, or the error."""
    try:
        with open(Path(folder) / LOCKED, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return "taken"
    except BlockingIOError:
        return "held"
    except OSError as error:
        return f"{error.strerror}"


@check("File locks")
def check_locks(probe: Path, client: Client | None, hosts: Mapping[str, str], here: str) -> Outcome:
    """Check whether workers see a lock that this process holds."""
    with open(probe / LOCKED, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return _no_locks({"this process": str(error.strerror)})
        if client is None:
            tried = Answers({"this process": try_lock(str(probe))})
        else:
            tried = ask(client, try_lock, str(probe))
    return judge_locks(tried.given, hosts, here) or tried.missing() or ok("")


def judge_locks(tried: Mapping[str, str], hosts: Mapping[str, str], here: str) -> Outcome | None:
    """Judge the attempts to take a lock that is held; None if there were none.

    Parameters
    ----------
    tried : mapping of str to str
        What `try_lock` returned, by worker.
    hosts : mapping of str to str
        The machines of the workers.
    here : str
        The machine that holds the lock.
    """
    failed = {who: said for who, said in tried.items() if said not in ("held", "taken")}
    if failed:
        return _no_locks(failed)
    taken = [who for who, said in tried.items() if said == "taken"]
    if taken:
        return Outcome(
            "warning",
            f"{count_of(len(taken), 'worker')} took a lock that this process holds: "
            f"{named_few(taken)}. So "
            "only the age of its lock file shows whether a run on another machine still writes an "
            "output: it is free 120 s after that run has died.",
            "Ask your administrators to mount the file system with flock (Lustre) or locks (NFS "
            "without nolock).",
        )
    if not tried:
        return None
    elsewhere = {hosts[who] for who in tried if hosts.get(who, here) != here}
    if not elsewhere:
        return ok(
            "Other processes on this machine see a lock; there are no workers elsewhere to ask."
        )
    return ok(f"A lock that this process holds is seen on {len(elsewhere)} other machines.")


def _no_locks(failed: Mapping[str, str]) -> Outcome:
    return Outcome(
        "wrong",
        "Files cannot be locked: " + named_few([f"{who} ({said})" for who, said in failed.items()]),
        "Write outputs to another file system, or ask for this one to be mounted with flock.",
    )
