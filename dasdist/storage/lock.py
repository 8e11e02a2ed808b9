"""One run at a time on an output.

The lock is a file that the run holds by ``flock`` and to which it adds a byte every now and then::

    {"host": ..., "pid": ..., "run": ...} . . . . .      a blank for every beat

A process that dies gives up its ``flock`` at once.  Where other machines do not see that (some
network file systems), whoever wants the lock watches for the next beat, by a clock of its own:
clocks of two machines are never compared, as they differ.
"""

import errno
import fcntl
import json
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dasdist.errors import OutputInUse
from dasdist.safe_text import logger
from dasdist.storage.files import open_own, writing

__all__ = ["Lock", "holder_of", "refuse_held"]

_log = logger()

BEAT = 2.0
"""Seconds between two beats."""

LOOK = 3 * BEAT
"""Seconds without a beat after which a run on another machine is not said to be running."""

DEAD = 120.0
"""Seconds without a beat after which a run on another machine counts as dead."""

_POLL = 0.2
"""Seconds between two looks for a beat."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """Holds an output for one run; a context manager.

    Parameters
    ----------
    path : Path
        The lock file, in a folder that exists.
    run : str
        Who wants it.
    patience : float, optional
        Seconds to watch for a beat of a run on another machine; `DEAD` by default.

    Raises
    ------
    OutputInUse
        On entering, if another run holds it.
    """

    def __init__(self, path: Path, run: str, patience: float | None = None) -> None:
        self._path, self._run = path, run
        self._patience = DEAD if patience is None else patience
        self._file: Any = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dasdist-lock", daemon=True)

    def __enter__(self) -> "Lock":
        self._file = _opened_exclusively(self._path, self._patience)
        here = {"host": socket.gethostname(), "pid": os.getpid(), "run": self._run}
        self._file.seek(0)
        self._file.truncate()
        self._file.write(json.dumps(here).encode())
        self._file.flush()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if _read(self._path).get("run") == self._run:  # else it was taken for dead
            self._file.seek(0)
            self._file.truncate()  # an empty lock file was given back, not left behind
        self._file.close()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):
                # opened anew, for other machines see what was written when it is closed
                file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
                try:
                    os.write(file, b" ")
                finally:
                    os.close(file)


def _opened_exclusively(path: Path, patience: float) -> Any:
    with writing(path):
        file = open_own(path, read=True)  # stays open as long as the run
    try:
        try:
            seen = _flock(file, fcntl.LOCK_EX)
            held = _alive(path, patience, flock=seen, say=patience > 0)
        except BlockingIOError:
            held = _read(path)
        if held is not None:
            raise _in_use(path, held)
    except BaseException:
        file.close()
        raise
    return file


def _flock(file: Any, how: int) -> bool:
    """Lock a file, and tell whether its file system has locks.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    """
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _in_use(path: Path, held: dict[str, Any]) -> OutputInUse:
    return OutputInUse(
        f"{path.parent} is in use by run {held.get('run', '?')}, process {held.get('pid', '?')} on "
        f"{held.get('host', '?')}. Wait until it ends, stop it, or choose another output; once its "
        f"process is dead, the output is free (from another machine after {DEAD:.0f} s)."
    )


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found: Any = json.loads(path.read_text())
        if isinstance(found, dict):
            return found
    return {}


def _alive(path: Path, seconds: float, *, flock: bool, say: bool = False) -> dict[str, Any] | None:
    """Return who holds a lock that is no flock here, if a beat comes within so many seconds.

    Parameters
    ----------
    path : Path
        The lock file.
    seconds : float
        How long to watch.
    flock : bool
        Whether a run on this machine would hold a flock.
    say : bool
        Whether to say why this takes a while.
    """
    held = _read(path)
    if not held or (flock and held.get("host") == socket.gethostname()):
        return None
    if say:
        _log.warning(
            "%s was locked by run %s, process %s on %s, which cannot be seen from here. If it "
            "gives no sign of life within %.0f s, it is dead and this run begins.",
            path.parent,
            *(held.get(name, "?") for name in ("run", "pid", "host")),
            seconds,
        )
    before, end = _beats(path), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_POLL)
        if _beats(path) != before:
            return _read(path) or None  # an empty one was given back meanwhile
    return None


def _beats(path: Path) -> tuple[int, int] | None:
    """Return what every beat changes; earlier versions changed the time alone."""
    with suppress(OSError), open(path, "rb") as file:  # opened anew, see Lock
        found = os.fstat(file.fileno())
        return found.st_size, found.st_mtime_ns
    return None


def holder_of(path: Path) -> dict[str, Any] | None:
    """Return host, pid and run of whoever holds a lock now; None if nobody does.

    The lock is not taken.  A run on another machine may take `LOOK` seconds to be seen.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return None
    with file:
        try:
            flock = _flock(file, fcntl.LOCK_SH)
        except BlockingIOError:
            return _read(path) or {"run": "?"}
    return _alive(path, LOOK, flock=flock)


def refuse_held(path: Path) -> None:
    """Raise `OutputInUse` if somebody holds a lock now; the lock is not taken."""
    held = holder_of(path)
    if held is not None:
        raise _in_use(path, held)
