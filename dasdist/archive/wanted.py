"""Refuse what cannot be indexed, or no index can be written of, before any file is read."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dasdist.archive.index import by_ending
from dasdist.errors import InvalidInput, OutputUnwritable

__all__ = ["check_wanted", "nothing_there"]


def nothing_there(paths: Any, unlooked: Mapping[str, int]) -> str:
    """Say that there is no file to index, and what was not looked at."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    named = ", ".join(os.fspath(path) for path in given[:3]) + (", …" if len(given) > 3 else "")
    seen = f"; not looked at, for they are no HDF5: {by_ending(unlooked)}" if unlooked else ""
    return (
        f"There is no recording in {named}{seen}. Pass folders that hold some, or name their "
        "format (--engine): then every file is looked at."
    )


def check_wanted(
    target: Path,
    engine: str | None,
    options: Mapping[str, Any],
    processes: int | None,
    seconds_per_file: float,
) -> None:
    """Refuse arguments of :func:`dasdist.index_archive` that cannot be met.

    Raises
    ------
    InvalidInput, OutputUnwritable
        If there is no such engine or option, or the index cannot be written.
    """
    from dasdist.sources.engines import check_engine
    from dasdist.sources.formats import is_function, known_formats

    if not target.parent.is_dir():
        raise InvalidInput(
            f"The index cannot be written: there is no folder {target.parent}. Make it first."
        )
    if target.is_dir():
        raise InvalidInput(
            f"The index cannot be written: {target} is a folder. Name a file in it, such as "
            f"{target / 'index.nc'}."
        )
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputUnwritable(
            f"The index {target} cannot be written: you may not write to {target.parent}. Choose "
            "another folder for it."
        )
    if engine is not None and (is_function(engine) or engine in known_formats()):
        raise InvalidInput(
            f"{engine!r} is a format that was added to dasdist, and an index holds only what xdas "
            "and DASCore read. Give classify, annotate or plan a pattern of these files with "
            f"--engine {engine}; in Python, pass dasdist.open_files(paths, {engine!r})."
        )
    check_engine(engine, options)
    if not seconds_per_file > 0:
        raise InvalidInput(
            f"seconds_per_file is {seconds_per_file!r}; use more than 0 s, such as 60."
        )
    if processes is not None and processes < 1:
        raise InvalidInput(f"processes is {processes!r}; use 1 or more.")
