"""Processes that read headers in full: some files crash or hang the reading library.

::

    whoever asks ---> queue ---> threads, each with ---> process    one file at a time
                 <--- answers <---               <---               restarted when it has died
"""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple, Self

from dasdist.archive.header import Header, Problem
from dasdist.archive.learn import Lesson

__all__ = ["Answer", "Asking", "Reader", "Readers", "parsed"]

_GRACE = 30.0
"""Seconds beyond its limit after which a process that even the kernel cannot end is left behind."""

_START = 300.0
"""Seconds within which a process must have imported what it reads with."""

_WORTH = 32
"""Files per process: starting one takes as long as reading some hundred."""


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


class Reader:
    """A process that reads headers; it is started when first asked, and again when it has died."""

    def __init__(self, asking: Asking) -> None:
        self.asking = asking
        self.seconds = asking.seconds
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def read(self, path: str) -> Header | Problem:
        """Return the header of a file, or what is wrong with it."""
        return self.learn(path, wanted=False)[0]

    def learn(self, path: str, *, wanted: bool = True) -> tuple[Header | Problem, Lesson | None]:
        """Return the header of a file, and what can be learned of it, if that is wanted."""
        if self.process is None:
            self._start()
        question = {"path": path, "learn": wanted, **self.asking._asdict()}
        answer = self._ask(json.dumps(question), self.seconds + _GRACE)
        if answer:
            kind, fields, lesson = json.loads(answer)
            return parsed(kind, fields), Lesson(*lesson) if lesson else None
        return self._death(answer, path), None

    def _death(self, answer: str | None, path: str) -> Problem:
        """Say why there was no answer."""
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
            [sys.executable, "-P", "-m", "dasdist.archive.process"],
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
                f"`{sys.executable} -P -m dasdist.archive.process` to see why."
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


class Answer(NamedTuple):
    """What a process found, and for what it was asked.

    Parameters
    ----------
    path : str
        The file.
    found : Header or Problem
        Its header, or what is wrong with it.
    lesson : Lesson or None
        What can be learned of it.
    why : object
        What was given with the question.
    """

    path: str
    found: Header | Problem
    lesson: Lesson | None
    why: Any


class Readers:
    """Processes that read headers; one more is started for every so many files, up to a limit.

    Parameters
    ----------
    asking : Asking
        How to read.
    processes : int
        How many there may be.
    """

    def __init__(self, asking: Asking, processes: int) -> None:
        self.asking = asking
        self.processes = processes
        self.open = 0
        """Questions without an answer so far."""
        self._asked = 0
        self._questions: SimpleQueue[tuple[str, bool, Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[Answer | BaseException] = SimpleQueue()
        self._threads: list[Thread] = []
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        for _ in self._threads:
            self._questions.put(None)
        for thread in self._threads:
            thread.join()

    def ask(self, path: str, *, learn: bool = False, why: Any = None) -> None:
        """Have a file read."""
        self.open += 1
        self._asked += 1
        self._questions.put((path, learn, why))
        if len(self._threads) < min(self.processes, -(-self._asked // _WORTH)):
            self._threads.append(Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    @property
    def answered(self) -> bool:
        """Whether there is an answer to take."""
        return not self._answers.empty()

    def answer(self) -> Answer:
        """Wait for the next answer, and return it."""
        found = self._answers.get()
        if isinstance(found, BaseException):
            raise found
        self.open -= 1
        return found

    def _work(self) -> None:
        try:
            with Reader(self.asking) as reader:
                while (question := self._questions.get()) is not None and not self._ended:
                    path, learn, why = question
                    self._answers.put(Answer(path, *reader.learn(path, wanted=learn), why))
        except BaseException as error:  # noqa: BLE001 - raised in `answer`, where it is seen
            self._answers.put(error)


def parsed(kind: str, fields: dict[str, Any]) -> Header | Problem:
    """Return a header or a problem from its fields, as JSON has them."""
    if kind == "Problem":
        return Problem(**fields)
    several = {
        name: tuple(fields[name]) if fields[name] is not None else None
        for name in ("chunk", "counts", "values", "rate", "notes")
    }
    return Header(**{**fields, **several})
