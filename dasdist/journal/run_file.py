"""``run.json``: what the run of a journal is, with a checksum, and once more beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dasdist.errors import DasdistError, UnreadableData
from dasdist.geometry import SegmentGrid
from dasdist.journal.fingerprint import grid_from_description
from dasdist.storage.files import write_atomically
from dasdist.storage.seal import Damaged, seal, unseal

__all__ = ["COPY", "NAME", "RunFile", "grids_of", "mend", "mend_both", "read", "write"]

NAME, COPY = "run.json", "run-copy.json"

_NO_RUN = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)
_NEEDED = ("format", "model", "arguments", "output", "recording", "segments")


@dataclass(frozen=True, slots=True)
class RunFile:
    """What is known of a run.

    Parameters
    ----------
    run : mapping
        Its fingerprint.
    damage : str
        What is wrong with ``run.json``, if it is the copy that says so.
    """

    run: dict[str, Any]
    damage: str = ""


def write(folder: Path, run: Mapping[str, Any]) -> None:
    """Write what a run is: the copy first, for what stands there must never be of an older run."""
    data = seal(run, indent=1)
    write_atomically(folder / COPY, data)
    write_atomically(folder / NAME, data)


def read(folder: Path) -> RunFile | None:
    """Return what the run of a journal is; None if none got past setting up.

    Raises
    ------
    UnreadableData
        If that is damaged, and so is the copy.
    """
    try:
        return RunFile(_read(folder / NAME))
    except FileNotFoundError:
        return None
    except Damaged as error:
        why = f"{folder / NAME} {error}"
    try:
        run = _read(folder / COPY)
    except (FileNotFoundError, Damaged) as error:
        raise UnreadableData(
            f"{why}, and there is no whole copy of it, so what the output was computed from is "
            "unknown. Begin it anew with overwrite=True (--overwrite), or write to another output."
        ) from error
    return RunFile(run, f"{why}. Its copy, {COPY}, is whole and is used instead.")


def mend(folder: Path) -> str:
    """Put the copy in the place of a damaged ``run.json``; return what was wrong, if anything.

    Raises
    ------
    UnreadableData
        As for :func:`read`.
    """
    found = read(folder)
    if found is None:
        return ""
    if found.damage:
        write(folder, found.run)
    return found.damage


def mend_both(folder: Path) -> str:
    """Mend ``run.json`` or its copy, whichever is damaged; return what was wrong, if anything."""
    told = mend(folder)
    found = read(folder)
    if told or found is None:
        return told
    try:
        _read(folder / COPY)
    except (FileNotFoundError, Damaged):
        if "taken_back" not in found.run:  # of an earlier version, which kept none
            return ""
        write(folder, found.run)
        return f"{folder / COPY} was damaged, and is written anew."
    return ""


def grids_of(fingerprint: Mapping[str, Any]) -> tuple[SegmentGrid, ...]:
    """Return the segments, with their blocks, of a run."""
    return tuple(map(grid_from_description, fingerprint["segments"]))


def _read(path: Path) -> dict[str, Any]:
    run, sealed = unseal(path.read_bytes())
    if not sealed:  # of an earlier version: does it say what a run is?
        if "taken_back" in run:
            raise Damaged("has no checksum")
        try:
            _check(run)
        except (DasdistError, *_NO_RUN) as error:
            raise Damaged("is JSON of another kind") from error
    return run


def _check(run: Mapping[str, Any]) -> None:
    grids = grids_of(run)
    texts = [run["model"][name] for name in ("name", "class", "weights")]
    texts += [run["recording"][name] for name in ("identity", "dtype")]
    starts, firsts = run.get("numbers", ([0], [0]))
    numbers = (run.get("next_number", 0), run["recording"]["samples"], *starts, *firsts)
    blocks = 0
    for grid in grids:
        whole = all(type(size) is int and size > 0 for size in (*grid.core, *grid.shape))
        if not whole or grid.first_block != blocks:
            raise ValueError(grid)
        blocks += len(grid)
    if (
        not grids
        or not all(isinstance(text, str) for text in texts)
        or not all(type(number) is int for number in numbers)
        or not all(isinstance(run[name], Mapping) for name in ("model", "arguments", "output"))
        or not set(_NEEDED) <= run.keys()
    ):
        raise ValueError(run)
