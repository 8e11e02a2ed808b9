"""Find the files of an archive in folders, by patterns and in lists, in a fixed order."""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from dasdist.archive.header import Problem
from dasdist.errors import InvalidInput
from dasdist.sources.first_bytes import SEGY_ENDINGS, is_recording
from dasdist.storage.patterns import bracket_hint, matching

__all__ = ["SUFFIXES", "Found", "find_files"]

SUFFIXES = {".das", ".h5", ".hdf", ".hdf5", ".nc", ".tdms", *SEGY_ENDINGS}
"""Ends of names that a walk through a folder takes, upper or lower case, whatever is inside.

Of all others the first bytes are looked at.
"""

Found = dict[str, tuple[int, int]]
"""Size and time of modification (nanoseconds since 1970) of each absolute path, sorted."""


def find_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, every: bool
) -> tuple[Found, list[Problem], Counter[str]]:
    """Find files, with their size and time of modification.

    Parameters
    ----------
    paths : path or iterable of path
        Files, folders (with all that is below them) and patterns such as ``"2024/*/*.h5"``.
    every : bool
        Whether to take all files of a folder instead of those that end like :data:`SUFFIXES` or
        begin as a recording does.  Files that are named, or match a pattern, are taken anyway;
        hidden ones of folders never.

    Returns
    -------
    found : dict
        The files.
    problems : list of Problem
        Paths that could not be read.
    unlooked : Counter
        How many files of folders were left out, by the endings of their names.

    Raises
    ------
    InvalidInput
        If there is nothing at a path.
    """
    problems: list[Problem] = []

    def note(error: OSError) -> None:
        where = os.path.abspath(os.fsdecode(error.filename or ""))
        problems.append(Problem(where, "unreadable", f"{type(error).__name__}: {error.strerror}"))

    found: Found = {}
    unlooked: Counter[str] = Counter()
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise InvalidInput("No paths to index were given; pass files, folders or patterns.")
    for path in dict.fromkeys(_matches(given)):
        files = _below(path, every, note, unlooked) if path.is_dir() else [str(path)]
        for file in files:
            try:
                status = os.stat(file)
            except OSError as error:
                note(error)
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append(Problem(file, "unreadable", "it is not a regular file"))
            else:
                found[file] = (status.st_size, status.st_mtime_ns)
    return dict(sorted(found.items())), problems, unlooked


def _matches(given: list[str | os.PathLike[str]]) -> Iterator[Path]:
    for entry in given:
        text = os.path.abspath(os.path.expanduser(os.fspath(entry)))
        matches = matching(text)
        if not matches:
            raise InvalidInput(
                f"There is no file or folder {os.fspath(entry)!r}; pass files, folders, or "
                f"patterns that match some.{bracket_hint(text)}"
            )
        yield from map(Path, matches)


def _below(
    folder: Path, every: bool, note: Callable[[OSError], None], unlooked: Counter[str]
) -> Iterator[str]:
    """Yield the files below a folder; a folder that links reach twice is walked once."""
    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, onerror=note, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            ending = os.path.splitext(name)[1].lower()
            path = os.path.join(place, name)
            if every or ending in SUFFIXES or is_recording(path):
                yield path
            else:
                unlooked[ending] += 1
