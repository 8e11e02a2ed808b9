"""One run at a time on an output.

The lock is a file that the run holds by ``flock`` and touches every now and then.  A process that
dies gives up its ``flock`` at once; where other machines do not see that (some network file
systems), a file that nobody touched for a while is taken as left behind.
"""

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
from dasdist.storage.files import open_own, writing

__all__ = ["Lock", "holder_of", "refuse_held"]

BEAT = 20.0
"""Seconds between touches."""

DEAD = 120.0
"""Seconds without a touch after which a run on another machine counts as dead."""


class Lock:
    """Holds an output for one run; a context manager.

    Parameters
    ----------
    path : Path
        The lock file, in a folder that exists.
    run : str
        Who wants it.

    Raises
    ------
    OutputInUse
        On entering, if another run holds it.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path, self._run = path, run
        self._file: Any = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="dasdist-lock", daemon=True)

    def __enter__(self) -> "Lock":
        self._file = _opened_exclusively(self._path)
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
        self._file.seek(0)
        self._file.truncate()  # an empty lock file was given back, not left behind
        self._file.close()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            with suppress(OSError):
                os.utime(self._path)


def _opened_exclusively(path: Path) -> Any:
    with writing(path):
        file = open_own(path, read=True)  # stays open as long as the run
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held = _alive_elsewhere(path)
    except BlockingIOError:
        held = _read(path)
    if held is None:
        return file
    file.close()
    raise _in_use(path, held)


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


def _alive_elsewhere(path: Path) -> dict[str, Any] | None:
    """Return who holds a lock that this machine sees no flock of, if that is still touched."""
    held = _read(path)
    if not held or held.get("host") == socket.gethostname():
        return None
    return held if time.time() - path.stat().st_mtime < DEAD else None


def holder_of(path: Path) -> dict[str, Any] | None:
    """Return host, pid and run of whoever holds a lock now; None if nobody does.

    The lock is not taken.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(path) or {"run": "?"}
        return _alive_elsewhere(path)


def refuse_held(path: Path) -> None:
    """Raise `OutputInUse` if somebody holds a lock now; the lock is not taken."""
    held = holder_of(path)
    if held is not None:
        raise _in_use(path, held)
