"""Read headers of many files in parallel, even if some crash or hang the reading library."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple

from distributed import Client, as_completed

from dasdist.archive.header import Header, Problem

__all__ = ["Asking", "scan_here", "scan_on"]

_GRACE = 30.0
"""Seconds beyond its limit after which a process that even the kernel cannot end is left behind."""

_START = 300.0
"""Seconds within which a process must have imported what it reads with."""

_WORTH = 32
"""Files per process: starting one takes as long as reading some hundred."""

_BATCH = 256
"""Files of one task on a cluster."""


class Asking(NamedTuple):
    """How files are to be read.

    Parameters
    ----------
    engine : str or None
        The engine.
    options : dict
        Its options.
    seconds : float
        Limit for one file.
    """

    engine: str | None
    options: dict[str, Any]
    seconds: float


class _Reader:
    """A process that reads headers; it is started when first asked, and again when it has died."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.seconds = asking.seconds
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def read(self, path: str) -> Header | Problem:
        """Return the header of a file, or what is wrong with it."""
        if self.process is None:
            self._start()
        question = {"path": path, **self.asking._asdict()}
        answer = self._ask(json.dumps(question), self.seconds + _GRACE)
        if answer:
            return _parsed(*json.loads(answer))
        code = self.end()
        if answer is None or code == -signal.SIGALRM:
            return Problem(path, "hang", f"reading its header took more than {self.seconds:g} s")
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return Problem(path, "crash", f"the reading library crashed ({name})")

    def end(self) -> int:
        """End the process and return its exit status: its own if it had ended by itself."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            return process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:  # a file system holds it
            return -signal.SIGKILL

    def _start(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dasdist.archive.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for whoever asked
        )
        if not self._ask(None, _START):
            raise RuntimeError(
                f"The process that reads headers did not start (exit status {self.end()}); run "
                f"`{sys.executable} -P -m dasdist.archive.reader` to see why."
            )

    def _ask(self, question: str | None, seconds: float) -> str | None:
        """Return the answer, empty if the process ended, None if there was none in time."""
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            return ""
        try:
            if question is not None:
                process.stdin.write(question + "\n")
                process.stdin.flush()
        except BrokenPipeError:
            return ""
        ready, _, _ = select.select([process.stdout], [], [], seconds)
        return process.stdout.readline() if ready else None


def scan_here(paths: Sequence[str], asking: Asking, processes: int) -> Iterator[Header | Problem]:
    """Yield headers as they are read by processes of this machine.

    Parameters
    ----------
    paths : sequence of str
        The files.
    asking : Asking
        How to read them.
    processes : int
        How many read at once.
    """
    waiting: SimpleQueue[str] = SimpleQueue()
    for path in paths:
        waiting.put(path)
    done: SimpleQueue[Header | Problem | BaseException] = SimpleQueue()
    stop = Event()

    def work() -> None:
        try:
            with _Reader(asking) as reader:
                while not stop.is_set():
                    done.put(reader.read(waiting.get_nowait()))
        except Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised below, where it is seen
            done.put(error)

    count = min(processes, -(-len(paths) // _WORTH))
    with ThreadPoolExecutor(max(count, 1)) as pool:
        try:
            for _ in range(count):
                pool.submit(work)
            for _ in paths:
                found = done.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            stop.set()


def scan_on(client: Client, paths: Sequence[str], asking: Asking) -> Iterator[Header | Problem]:
    """Yield headers as they are read by processes beside the workers of a cluster."""
    batches = [paths[first : first + _BATCH] for first in range(0, len(paths), _BATCH)]
    futures = client.map(_scan_batch, batches, asking=asking, pure=False)
    try:
        for future in as_completed(futures, loop=client.loop):
            forms, answers = future.result()
            future.release()
            for kind, fields in answers:
                if "form" in fields:
                    fields["form"] = forms[fields["form"]]
                yield _parsed(kind, fields)
    finally:
        client.cancel(futures)


def _scan_batch(
    paths: Iterable[str], asking: Asking
) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Return plain values; a form that many files share travels once."""
    forms: dict[str, int] = {}
    answers = []
    with _Reader(asking) as reader:
        for path in paths:
            found = reader.read(path)
            fields = {name: getattr(found, name) for name in found.__slots__}
            if isinstance(found, Header):
                fields["form"] = forms.setdefault(found.form, len(forms))
            answers.append((type(found).__name__, fields))
    return list(forms), answers


def _parsed(kind: str, fields: dict[str, Any]) -> Header | Problem:
    if kind == "Problem":
        return Problem(**fields)
    several = {
        name: tuple(fields[name]) if fields[name] is not None else None
        for name in ("chunk", "counts", "values", "rate", "notes")
    }
    return Header(**{**fields, **several})
