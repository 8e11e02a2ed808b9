"""What a scan has found so far, in a file beside the index, so that a killed scan goes on from it.

Lines of JSON, appended: first what the scan was asked, then headers, each form once::

    {"version": 1, "engine": null}
    {"form": "..."}
    {"header": [path, bytes, modified, 0, chunk, samples, counts, values, rate, tolerance, notes]}
    {"withdrawn": [path, ...]}

A bad line ends what is trusted; the files behind it are scanned again.
"""

import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from dasdist.archive.header import FORM_KEYS, Header
from dasdist.archive.headers import Headers, Known
from dasdist.errors import DataWarning, InvalidInput
from dasdist.storage.json_lines import JsonLines, read_json_lines

__all__ = ["Journal", "open_journal"]

_NAMES = tuple(field.name for field in fields(Header))
_FORM = _NAMES.index("form")


class Journal:
    """Headers, appended one by one.

    Parameters
    ----------
    path : Path
        The file.
    lines : JsonLines
        The same, open for appending, and locked.
    asked : dict
        What the scan was asked; lines of a scan that was asked something else are dropped.
    """

    def __init__(self, path: Path, lines: JsonLines, asked: dict[str, Any]) -> None:
        self._lines = lines
        self.forms: dict[str, int] = {}
        self.headers = Headers()
        reading = _Reading()
        found = read_json_lines(path, reading.take)
        if found.damage:
            warnings.warn(
                f"{found.damage}. The files listed there are scanned again.",
                DataWarning,
                stacklevel=2,
            )
        if reading.asked == asked:
            lines.cut(found.size)
            self.forms = {form: number for number, form in enumerate(reading.forms)}
            self.headers = reading.known.by_path()
        else:
            lines.cut(0)
            lines.append(asked)

    def add(self, header: Header) -> None:
        """Append a header; it is safe from a death of this process when this returns."""
        number = self.forms.get(header.form)
        if number is None:
            number = self.forms[header.form] = len(self.forms)
            self._lines.append({"form": header.form})
        values = [getattr(header, name) for name in _NAMES]
        values[_FORM] = number
        self._lines.append({"header": values})

    def withdraw(self, paths: Sequence[str]) -> None:
        """Take back the headers of files, until they are added once more."""
        self._lines.append({"withdrawn": list(paths)})


class _Reading:
    """Takes line after line of a journal, and refuses what no scan has written."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] | None = None
        self.forms: list[str] = []
        self.known = Known()

    def take(self, line: dict[str, Any]) -> None:
        if self.asked is None:
            self.asked = {"version": line["version"], **line}
        elif "withdrawn" in line:
            self.known.forget(map(str, line["withdrawn"]))
        elif "form" in line:
            self.forms.append(_form(line["form"]))
        else:
            self.known.add(_header(line["header"], self.forms))


def _form(text: str) -> str:
    if not FORM_KEYS <= json.loads(text).keys():
        raise ValueError(text)
    return text


def _header(values: list[Any], forms: list[str]) -> Header:
    held: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    held[_FORM] = forms[held[_FORM]]
    header = Header(*held)
    numbers = (header.bytes, header.modified, header.samples, *header.counts, *header.values)
    pairs = (header.chunk or (0, 0), header.rate or (0, 0))
    if (
        not isinstance(header.path, str)
        or not all(isinstance(note, str) for note in header.notes)
        or not all(type(n) is int for n in (*numbers, *pairs[0], *pairs[1], header.tolerance or 0))
        or not len(pairs[0]) == len(pairs[1]) == 2
        or not len(header.counts) == len(header.values) > 0
    ):
        raise ValueError(values)
    return header


@contextmanager
def open_journal(out: Path, asked: dict[str, Any]) -> Iterator[Journal]:
    """Open the journal of an index, alone; it stays until the index is written.

    Raises
    ------
    InvalidInput
        If another process is making the same index.
    """
    path = journal_path(out)
    with JsonLines(path) as lines:
        try:
            fcntl.flock(lines.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(
                f"Another process is writing the index {out}; wait until it ends, or choose "
                "another name."
            ) from error
        yield Journal(path, lines, asked)
        os.unlink(path)


def journal_path(out: Path) -> Path:
    """Return where the journal of an index lies."""
    return out.with_name(f".{out.name}.scan")
