"""Headers of millions of files, in columns: some 200 bytes a file, and no object for each.

::

    texts    /archive/2024/000000.h5/archive/2024/000001.h5...      paths, one after the other
    numbers  bytes, modified, form, samples, ...                    a row for each file
    ties     counts and values, one file's after the other's
    forms    what files share, each once
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from dasdist.archive.header import Header

__all__ = ["NONE", "NUMBERS", "Headers", "Known"]

_Ints = NDArray[np.int64]

NONE = -(2**63)
"""Stands for no tolerance; of chunks and rates, -1 does."""

NUMBERS = (
    *("bytes", "modified", "form", "samples", "chunk_0", "chunk_1"),
    *("rate_0", "rate_1", "tolerance", "note", "ties", "path"),
)
"""Columns; the last two are where in ties and texts a file ends."""

_AT = {name: number for number, name in enumerate(NUMBERS)}


class Headers(Sequence[Header]):
    """Headers that are made when they are asked for.

    Parameters
    ----------
    headers : iterable of Header
        The first of them.
    """

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        self.forms: list[str] = []
        self.notes: list[tuple[str, ...]] = []
        self._form_of: dict[str, int] = {}
        self._note_of: dict[tuple[str, ...], int] = {}
        self._texts = bytearray()
        self._numbers = array("q")
        self._counts, self._values = array("q"), array("q")
        for header in headers:
            self.append(header)

    @classmethod
    def of(cls, headers: Sequence[Header]) -> "Headers":
        """Return headers in columns, if they are not already."""
        return headers if isinstance(headers, cls) else cls(headers)

    @classmethod
    def of_columns(
        cls,
        paths: Sequence[str],
        numbers: _Ints,
        ties: tuple[_Ints, _Ints],
        forms: Sequence[str],
        notes: Sequence[tuple[str, ...]],
    ) -> "Headers":
        """Return headers from their columns.

        Parameters
        ----------
        paths : sequence of str
            The files.
        numbers : ndarray of int64, shape (files, columns)
            What :data:`NUMBERS` names, but for the last.
        ties : tuple of ndarray of int64
            Counts and values of all files.
        forms : sequence of str
            The forms.
        notes : sequence of tuple of str
            The notes.
        """
        found = cls()
        found.forms, found.notes = list(forms), list(notes)
        found._form_of = {form: number for number, form in enumerate(forms)}
        found._note_of = {note: number for number, note in enumerate(notes)}
        texts = [os.fsencode(path) for path in paths]
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
        found._texts = bytearray(b"".join(texts))
        found._numbers.frombytes(np.column_stack([numbers, ends]).astype(np.int64).tobytes())
        for held, column in zip((found._counts, found._values), ties, strict=True):
            held.frombytes(column.astype(np.int64).tobytes())
        return found

    def append(self, header: Header) -> None:
        """Add a header."""
        form = self._form_of.setdefault(header.form, len(self.forms))
        if form == len(self.forms):
            self.forms.append(header.form)
        note = self._note_of.setdefault(header.notes, len(self.notes))
        if note == len(self.notes):
            self.notes.append(header.notes)
        self._texts += os.fsencode(header.path)
        self._counts.extend(header.counts)
        self._values.extend(header.values)
        self._numbers.extend(
            (
                *(header.bytes, header.modified, form, header.samples),
                *(header.chunk or (-1, -1)),
                *(header.rate or (-1, -1)),
                NONE if header.tolerance is None else header.tolerance,
                *(note, len(self._counts), len(self._texts)),
            )
        )

    def __len__(self) -> int:
        return len(self._numbers) // len(NUMBERS)

    @overload
    def __getitem__(self, number: int) -> Header: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Header]: ...
    def __getitem__(self, number: int | slice) -> Header | Sequence[Header]:
        if isinstance(number, slice):
            return [self[i] for i in range(len(self))[number]]
        i = range(len(self))[number]
        width = len(NUMBERS)
        row = self._numbers[i * width : (i + 1) * width]
        size, modified, form, samples, *pairs, tolerance, note, tie, text = row
        tie_0, text_0 = self._numbers[i * width - 2 : i * width] if i else (0, 0)
        return Header(
            os.fsdecode(bytes(self._texts[text_0:text])),
            size,
            modified,
            self.forms[form],
            None if pairs[0] < 0 else (pairs[0], pairs[1]),
            samples,
            tuple(self._counts[tie_0:tie]),
            tuple(self._values[tie_0:tie]),
            None if pairs[3] < 0 else (pairs[2], pairs[3]),
            None if tolerance == NONE else tolerance,
            self.notes[note],
        )

    def column(self, name: str) -> _Ints:
        """Return a column of numbers, as a copy."""
        return np.asarray(self._numbers)[_AT[name] :: len(NUMBERS)].copy()

    def paths(self) -> Iterator[str]:
        """Yield the files."""
        start = 0
        for end in self._numbers[_AT["path"] :: len(NUMBERS)]:
            yield os.fsdecode(bytes(self._texts[start:end]))
            start = end

    def ties(self) -> tuple[_Ints, _Ints, _Ints]:
        """Return counts and values of all files; where those of each begin, and the last end."""
        starts = np.concatenate([[0], self.column("ties")])
        return np.array(self._counts, np.int64), np.array(self._values, np.int64), starts

    def ties_of(self, files: _Ints) -> tuple[_Ints, _Ints, _Ints]:
        """Return counts and values of some files, one after the other, and how many each has."""
        counts, values, starts = self.ties()
        sizes = np.diff(starts)[files]
        which = np.repeat(starts[files] - np.cumsum(sizes) + sizes, sizes)
        which += np.arange(which.size)
        return counts[which], values[which], sizes

    def taken(self, files: _Ints) -> "Headers":
        """Return some of the headers, in their order."""
        if np.array_equal(files, np.arange(len(self))):
            return self
        numbers = np.asarray(self._numbers).reshape(-1, len(NUMBERS))[files]
        counts, values, sizes = self.ties_of(files)
        numbers[:, _AT["ties"]] = np.cumsum(sizes)
        paths = list(self.paths())
        named = [paths[i] for i in files.tolist()]
        return Headers.of_columns(named, numbers[:, :-1], (counts, values), self.forms, self.notes)


class Known:
    """What is known so far of files, the last for each.

    Parameters
    ----------
    headers : iterable of Header
        The first of them.
    """

    def __init__(self, headers: Iterable[Header] = ()) -> None:
        self._headers = Headers()
        self._rows: dict[str, int] = {}
        for header in headers:
            self.add(header)

    def __contains__(self, path: str) -> bool:
        return path in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Header]:
        return (self._headers[row] for row in self._rows.values())

    def add(self, header: Header) -> None:
        """Add a header, or replace what is known of its file."""
        self._rows[header.path] = len(self._headers)
        self._headers.append(header)

    def forget(self, paths: Iterable[str]) -> None:
        """Forget files."""
        for path in paths:
            self._rows.pop(path, None)

    def by_path(self) -> Headers:
        """Return the headers, sorted by path."""
        order = (self._rows[path] for path in sorted(self._rows))
        return self._headers.taken(np.fromiter(order, np.int64, len(self)))
