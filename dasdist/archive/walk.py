"""Find the files of an archive in folders, by patterns and in lists, in a fixed order."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

from dasdist.archive.header import Problem
from dasdist.errors import InvalidInput

__all__ = ["SUFFIXES", "Found", "find_files"]

SUFFIXES = {".h5", ".hdf", ".hdf5", ".nc", ".tdms"}
"""Ends of names that a walk through a folder takes, upper or lower case."""

Found = dict[str, tuple[int, int]]
"""Size and time of modification (nanoseconds since 1970) of each absolute path, sorted."""


def find_files(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], *, every: bool
) -> tuple[Found, list[Problem]]:
    """Find files, with their size and time of modification.

    Parameters
    ----------
    paths : path or iterable of path
        Files, folders (with all that is below them) and patterns such as ``"2024/*/*.h5"``.
    every : bool
        Whether to take all files of a folder instead of those that end like :data:`SUFFIXES`.
        Files that are named, or match a pattern, are taken anyway; hidden ones of folders never.

    Returns
    -------
    found : dict
        The files.
    problems : list of Problem
        Paths that could not be read.

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
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise InvalidInput("No paths to index were given; pass files, folders or patterns.")
    for path in dict.fromkeys(_matches(given)):
        files = _below(path, every, note) if path.is_dir() else [path]
        for file in files:
            try:
                status = os.stat(file)
            except OSError as error:
                note(error)
                continue
            if not stat.S_ISREG(status.st_mode):
                problems.append(Problem(str(file), "unreadable", "it is not a regular file"))
            else:
                found[str(file)] = (status.st_size, status.st_mtime_ns)
    return dict(sorted(found.items())), problems


def _matches(given: list[str | os.PathLike[str]]) -> Iterator[Path]:
    for entry in given:
        text = os.path.abspath(os.path.expanduser(os.fspath(entry)))
        if os.path.lexists(text):
            yield Path(text)
            continue
        matches = sorted(glob(text, recursive=True)) if has_magic(text) else []
        if not matches:
            raise InvalidInput(
                f"There is no file or folder {os.fspath(entry)!r}; pass files, folders, or "
                "patterns that match some."
            )
        yield from map(Path, matches)


def _below(folder: Path, every: bool, note: Callable[[OSError], None]) -> Iterator[Path]:
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
            fits = every or os.path.splitext(name)[1].lower() in SUFFIXES
            if fits and not name.startswith("."):
                yield Path(place, name)
