"""What a scan has found so far, in a file beside the index, so that a killed scan goes on from it.

Lines of JSON, appended: first what the scan was asked, then headers, each form once::

    {"version": 1, "engine": null}
    {"form": "..."}
    {"header": [path, bytes, modified, 0, chunk, samples, counts, values, rate, tolerance]}
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import IO, Any

from dasdist.archive.header import Header
from dasdist.errors import InvalidInput

__all__ = ["Journal", "open_journal"]

_NAMES = tuple(field.name for field in fields(Header))
_FORM = _NAMES.index("form")


class Journal:
    """Headers, appended one by one.

    Parameters
    ----------
    file : text file
        Open for reading and appending, and locked.
    asked : dict
        What the scan was asked; lines of a scan that was asked something else are dropped.
    """

    def __init__(self, file: IO[str], asked: dict[str, Any]) -> None:
        self.file = file
        self.forms: dict[str, int] = {}
        self.headers = {header.path: header for header in self._read(asked)}
        if not self.forms and not self.headers:
            file.truncate(0)
            self._append(asked)

    def add(self, header: Header) -> None:
        """Append a header; it is safe from a death of this process when this returns."""
        number = self.forms.get(header.form)
        if number is None:
            number = self.forms[header.form] = len(self.forms)
            self._append({"form": header.form})
        values = [getattr(header, name) for name in _NAMES]
        values[_FORM] = number
        self._append({"header": values})

    def _append(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def _read(self, asked: dict[str, Any]) -> Iterator[Header]:
        self.file.seek(0)
        forms: list[str] = []
        end = 0
        for number, text in enumerate(iter(self.file.readline, "")):
            try:
                line = json.loads(text) if text.endswith("\n") else None
            except json.JSONDecodeError:
                line = None
            if line is None or (number == 0 and line != asked):
                break
            end = self.file.tell()
            if "form" in line:
                self.forms[line["form"]] = len(forms)
                forms.append(line["form"])
            elif "header" in line:
                yield _header(line["header"], forms)
        self.file.seek(end)
        self.file.truncate()  # half a line of a process that was killed


def _header(values: list[Any], forms: list[str]) -> Header:
    held: list[Any] = [tuple(value) if isinstance(value, list) else value for value in values]
    held[_FORM] = forms[held[_FORM]]
    return Header(*held)


@contextmanager
def open_journal(out: Path, asked: dict[str, Any]) -> Iterator[Journal]:
    """Open the journal of an index, alone; it stays until the index is written.

    Raises
    ------
    InvalidInput
        If another process is making the same index.
    """
    path = journal_path(out)
    with open(path, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InvalidInput(
                f"Another process is writing the index {out}; wait until it ends, or choose "
                "another name."
            ) from error
        yield Journal(file, asked)
        os.unlink(path)


def journal_path(out: Path) -> Path:
    """Return where the journal of an index lies."""
    return out.with_name(f".{out.name}.scan")
