"""Read headers of many files: one of each layout in full, the others from few of their bytes."""

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from distributed import Client, as_completed

from dasdist.archive.header import Header, Problem
from dasdist.archive.layouts import Layouts, Quick
from dasdist.archive.readers import Answer, Asking, Readers, parsed
from dasdist.errors import DataWarning
from dasdist.safe_text import one_line
from dasdist.units import count_of

__all__ = ["Asking", "Withdrawn", "scan_here", "scan_on"]

_BATCH = 1024
"""Files of one task on a cluster; it starts a process, which takes as long as reading some ten."""


class Withdrawn(NamedTuple):
    """Files of which the header was told, but must be read again."""

    paths: tuple[str, ...]


Found = Header | Problem | Withdrawn


def scan_here(paths: Sequence[str], asking: Asking, processes: int) -> Iterator[Found]:
    """Yield headers as they are read on this machine.

    Parameters
    ----------
    paths : sequence of str
        The files.
    asking : Asking
        How to read them.
    processes : int
        How many read in full at once.
    """
    with Readers(asking, processes) as readers:
        yield from _Scan(readers).headers(paths)


class _Scan:
    """Chooses how each file is read, and has some read both ways."""

    def __init__(self, readers: Readers) -> None:
        self.readers = readers
        self.layouts = Layouts()
        self.waiting: deque[str] = deque()
        self.most = 1
        """Files that are read in full at once; only one at first, since it may teach the others."""

    def headers(self, paths: Iterable[str]) -> Iterator[Found]:
        """Yield a header, or a problem, for each file; twice, if the first was withdrawn."""
        self.waiting.extend(paths)
        while self.waiting or self.readers.open:
            while self.readers.answered or (self.readers.open and not self.waiting):
                yield from self._take(self.readers.answer())
            if self.waiting:
                yield from self._read(self.waiting.popleft())

    def _read(self, path: str) -> Iterator[Found]:
        quick = self.layouts.read(path)
        if quick is not None:
            yield quick.header
            if quick.layout.is_due:
                self.readers.ask(path, why=quick)
        elif self.readers.open < self.most:
            self.readers.ask(path, learn=self.layouts.wants_lessons)
        else:
            self.waiting.appendleft(path)
            yield from self._take(self.readers.answer())  # from which its layout may be known

    def _take(self, answer: Answer) -> Iterator[Found]:
        if isinstance(answer.why, Quick):
            yield from self._compare(answer.why, answer.found)
            return
        self.most = min(self.most + 1, 2 * self.readers.processes)
        if isinstance(answer.found, Header) and answer.lesson:
            self.layouts.learn(answer.found, answer.lesson)
        yield answer.found

    def _compare(self, quick: Quick, full: Header | Problem) -> Iterator[Found]:
        """Withdraw what was read from few bytes, if a file that was also read in full says else."""
        header, layout = quick
        if full == header or not layout.paths:
            return
        if isinstance(full, Header) and full.modified != header.modified:  # since
            yield Withdrawn((header.path,))
            yield full
            return
        self.layouts.drop(layout)
        paths, layout.paths = tuple(layout.paths), []
        warnings.warn(
            one_line(
                f"{header.path} is not what a few of its bytes promised, so that "
                f"{count_of(len(paths), 'file')} like it are read once more, each in full: the "
                "index is right, but takes longer. Please report this, with that file."
            ),
            DataWarning,
            stacklevel=2,
        )
        yield Withdrawn(paths)
        self.waiting.extend(paths)


def scan_on(client: Client, paths: Sequence[str], asking: Asking) -> Iterator[Found]:
    """Yield headers as they are read by the workers of a cluster, and processes beside them."""
    batches = [paths[first : first + _BATCH] for first in range(0, len(paths), _BATCH)]
    futures = client.map(_scan_batch, batches, asking=asking, pure=False)
    try:
        for future in as_completed(futures, loop=client.loop):
            forms, answers = future.result()
            future.release()
            for kind, fields in answers:
                if "form" in fields:
                    fields["form"] = forms[fields["form"]]
                yield parsed(kind, fields)
    finally:
        client.cancel(futures)


def _scan_batch(
    paths: Sequence[str], asking: Asking
) -> tuple[list[str], list[tuple[str, dict[str, Any]]]]:
    """Return plain values; a form that many files share travels once."""
    told: dict[str, Header | Problem] = {}
    for found in scan_here(paths, asking, 1):
        if not isinstance(found, Withdrawn):
            told[found.path] = found
    forms: dict[str, int] = {}
    answers = []
    for found in told.values():
        fields = {name: getattr(found, name) for name in found.__slots__}
        if isinstance(found, Header):
            fields["form"] = forms.setdefault(found.form, len(forms))
        answers.append((type(found).__name__, fields))
    return list(forms), answers
