"""Read files of layouts that were learned, from few of their bytes.

::

    first file of a layout   read in full by a process beside ---> its header, a lesson
    the others               its bytes, but for the start      ---> the header, moved in time
    now and then one         both ways                         ---> must agree
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dasdist.archive.clocks import Moment, moment_of
from dasdist.archive.header import Header, tick_of
from dasdist.archive.learn import Lesson
from dasdist.archive.template import Outline, Template, content_of

__all__ = ["Layout", "Layouts", "Quick"]

_MOST = 16
"""Layouts of files of one size: where there are more, files have hardly anything in common."""

_AT_FIRST = 64
"""Lessons that are taken, even if no other file is ever like those."""

_EVERY = 1000
"""Of so many files that are read from few bytes, one is read in full, too."""


@dataclass(slots=True, eq=False)
class Layout:
    """Files that are the same byte for byte, but for samples and times.

    Parameters
    ----------
    template : Template
        What they share.
    engine : str
        What reads them.
    constants : mapping
        What its clock needs.
    tick : int
        Nanoseconds of a tick of their times.
    known : dict
        By the pattern of its times, when a file starts that was read in full, and its header.
    paths : list of str
        Files that were read from few bytes.
    """

    template: Template
    engine: str
    constants: Mapping[str, Any]
    tick: int
    known: dict[Any, tuple[int, Header]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def moment(self, content: bytes) -> Moment | None:
        """Return when a file starts; None if it is not of this layout."""
        facts = self.template.facts(content)
        return None if facts is None else moment_of(self.engine, facts, self.constants)

    def header(self, path: str, status: os.stat_result, moment: Moment) -> Header | None:
        """Return the header of a file; None if none with such times was read in full."""
        found = self.known.get(moment.pattern)
        if found is None:
            return None
        ticks, rest = divmod(moment.start - found[0], self.tick)
        if rest:
            return None
        like = found[1]
        return Header(
            path,
            status.st_size,
            status.st_mtime_ns,
            like.form,
            like.chunk,
            like.samples,
            like.counts,
            tuple(value + ticks for value in like.values),
            like.rate,
            like.tolerance,
            like.notes,
        )

    @property
    def is_due(self) -> bool:
        """Whether the last file is to be read in full, too: the first, the 10th, the 100th, ..."""
        count = len(self.paths)
        return count in (1, 10, 100) or count % _EVERY == 0


class Quick(NamedTuple):
    """The header of a file that was read from few bytes, and its layout."""

    header: Header
    layout: Layout


class Layouts:
    """The layouts that a scan has learned so far."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[Layout]] = {}
        self._lessons = 0
        self._read = 0

    @property
    def wants_lessons(self) -> bool:
        """Whether files that are read in full are to be learned: it pays only if others match."""
        return self._lessons < _AT_FIRST + self._read // 8

    def read(self, path: str) -> Quick | None:
        """Return the header of a file; None if its layout is not known, or it cannot be read."""
        if not self._by_size:
            return None
        try:
            with _opened(path) as file:
                quick = self._quick(path, file)
        except OSError:
            return None
        if quick is not None:
            quick.layout.paths.append(path)
            self._read += 1
        return quick

    def _quick(self, path: str, file: int) -> Quick | None:
        status = os.fstat(file)
        contents: dict[Any, bytes] = {}
        for layout in self._by_size.get(status.st_size, ()):
            outline = layout.template.outline
            if outline.parts not in contents:
                contents[outline.parts] = content_of(file, outline)
            moment = layout.moment(contents[outline.parts])
            header = layout.header(path, status, moment) if moment else None
            if header is not None:
                return Quick(header, layout) if _is_still(header, file) else None
        return None

    def learn(self, header: Header, lesson: Lesson) -> None:
        """Take what was learned of a file that was read in full."""
        outline = Outline.parsed(lesson.outline)
        try:
            with _opened(header.path) as file:
                content = content_of(file, outline)
                if not _is_still(header, file):
                    return
        except OSError:
            return
        self._lessons += 1
        form = json.loads(header.form)
        constants = (form["engine"]["name"], lesson.constants, tick_of(form))
        held = self._by_size.setdefault(header.bytes, [])
        layout = Layout(Template(outline, content), *constants)
        for other in held:
            alike = (other.engine, other.constants, other.tick) == constants
            if alike and other.template.outline == outline and other.moment(content):
                layout = other
        moment = layout.moment(content)
        if moment is None:
            return
        layout.known.setdefault(moment.pattern, (moment.start, header))
        if layout not in held:
            held.insert(0, layout)
            del held[_MOST:]

    def drop(self, layout: Layout) -> None:
        """Forget a layout."""
        held = self._by_size.get(layout.template.outline.size, [])
        held[:] = [other for other in held if other is not layout]


@contextmanager
def _opened(path: str) -> Iterator[int]:
    """Open a file as HDF5 does, which takes no file that somebody writes.

    Raises
    ------
    OSError
        If it cannot be opened, or is locked.
    """
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would be waited for
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # this file system knows no locks
            pass
        yield number
    finally:
        os.close(number)


def _is_still(header: Header, file: int) -> bool:
    """Return whether an open file has the size and the time of modification of its header."""
    status = os.fstat(file)
    return (status.st_size, status.st_mtime_ns) == (header.bytes, header.modified)
