"""Formats that others add: a name, and a function that opens a file.

A package adds one by an entry point, a script or a notebook by :func:`register_format`::

    [project.entry-points."dasdist.formats"]
    mydas = "mypackage.reader:open_mydas"

Without either, the name may be that of the function, ``mypackage.reader:open_mydas``.

Only a format that the user names is used: a file never chooses what code reads it.
"""

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import entry_points
from os import PathLike
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.sources.joined import JoinedFiles
from dasdist.spelling import unknown

__all__ = [
    "is_function",
    "known_formats",
    "open_files",
    "register_format",
]

Opener = Callable[[str], Any]

_registered: dict[str, Opener] = {}

_GROUP = "dasdist.formats"


def register_format(name: str, opener: Opener) -> None:
    """Add a format of files to those that dasdist reads, in this process.

    Parameters
    ----------
    name : str
        What ``--engine`` and :func:`open_files` call it.
    opener : callable
        Takes the path of a file and returns its recording, without reading samples: an
        xarray.DataArray, an xdas.DataArray or a :class:`dasdist.SourceArray`.

    Raises
    ------
    InvalidInput
        If the name is taken by another function or is not a word, or the opener is not a function.

    Examples
    --------
    >>> import numpy as np, xarray, dasdist
    >>> def open_text(path):
    ...     values = np.loadtxt(path, dtype="float32", ndmin=2)
    ...     start = np.datetime64("2024-01-01", "ns")
    ...     time = start + np.arange(len(values)) * np.timedelta64(10, "ms")
    ...     distance = 5.0 * np.arange(values.shape[1])
    ...     return xarray.DataArray(values, {"time": time, "distance": distance})
    >>> dasdist.register_format("text", open_text)
    >>> "text" in known_formats()
    True
    """
    if not callable(opener):
        raise InvalidInput(
            f"The opener of the format {name!r} is {opener!r}; pass a function that takes the path "
            "of a file and returns its recording."
        )
    if not name.isidentifier():
        raise InvalidInput(f"The name of a format, {name!r}, is not a single word; use one.")
    if name in _registered and not _same(_registered[name], opener):
        raise InvalidInput(f"The format {name!r} is registered already; choose another name.")
    _registered[name] = opener


def _same(one: Opener, other: Opener) -> bool:
    """Return whether a function is another version of one, as of a notebook's cell run again."""
    names = [
        (getattr(f, "__module__", ""), getattr(f, "__qualname__", id(f))) for f in (one, other)
    ]
    return names[0] == names[1]


def known_formats() -> list[str]:
    """Return the names of the formats that were added."""
    return sorted({*_registered, *(point.name for point in entry_points(group=_GROUP))})


def open_files(paths: Iterable[str | PathLike[str]], format: str) -> JoinedFiles:
    """Open files of a format that was added, for `annotate`, `classify` and `plan`.

    Parameters
    ----------
    paths : iterable of path
        The files, in the order of their time.
    format : str
        Name of the format, or the function itself, as ``"mypackage.reader:open_mydas"``.

    Returns
    -------
    JoinedFiles
        The recordings of the files; pass it as the data.  Files that follow one another without a
        gap are one segment, and windows cross their borders.

    Raises
    ------
    InvalidInput
        If there is no such format, no file, or the function that opens its files raises an error.
    """
    if isinstance(paths, str | PathLike):
        raise InvalidInput(f"paths is the text {str(paths)!r}; pass a list of paths.")
    opener = _opener(format)
    opened = tuple(_opened(opener, str(path), format) for path in paths)
    if not opened:
        raise InvalidInput("No files to open were given; pass a list of paths.")
    return JoinedFiles(opened)


def is_function(name: str) -> bool:
    """Return whether a name is that of a function in a module, as in ``reader:open_mydas``."""
    module, colon, function = name.partition(":")
    return bool(colon) and function.isidentifier() and all(map(str.isidentifier, module.split(".")))


def _opener(name: str) -> Opener:
    if name in _registered:
        return _registered[name]
    if is_function(name):
        return _imported(name)
    for point in entry_points(group=_GROUP, name=name):
        opener: Opener = point.load()
        return opener
    raise InvalidInput(unknown("format", name, known_formats()))


def _imported(name: str) -> Opener:
    module, _, function = name.partition(":")
    try:
        opener: Opener = getattr(import_module(module), function)
    except Exception as error:
        raise InvalidInput(
            f"The format {name} could not be loaded: {type(error).__name__}: {error}. Is the "
            "module in this folder, installed, or in a folder of PYTHONPATH?"
        ) from error
    if not callable(opener):
        raise InvalidInput(f"{name} is not a function that takes the path of a file.")
    return opener


def _opened(opener: Opener, path: str, name: str) -> Any:
    try:
        return opener(path)
    except Exception as error:
        raise InvalidInput(
            f"{path} could not be opened as {name!r}: {type(error).__name__}: {error}"
        ) from error
