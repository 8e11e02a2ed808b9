"""What a journal says of its run, read without any library of data: status is asked often."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dasdist.journal import run_file
from dasdist.journal.following import Followed, numbers_of, placed, renumbered
from dasdist.journal.ledger import History, read_ledger
from dasdist.journal.run_file import grids_of

__all__ = ["bounds", "grids_of", "read_fingerprint", "read_history"]


def read_fingerprint(folder: Path) -> dict[str, Any] | None:
    """Return the fingerprint of the run that a journal belongs to, if it got past setting up.

    Raises
    ------
    UnreadableData
        If it is damaged, and so is its copy.
    """
    found = run_file.read(folder)
    return None if found is None else found.run


def read_history(folder: Path, fingerprint: Mapping[str, Any]) -> History:
    """Return what the ledger of a run says of the blocks of its plan."""
    grids = grids_of(fingerprint)
    blocks = sum(map(len, grids))
    _, following = numbers_of(fingerprint, blocks)
    history = read_ledger(folder / "ledger.jsonl", following, fingerprint.get("taken_back"))
    found = Followed.held(fingerprint, blocks).standing(history)
    return replace(
        found,
        failures={
            block: placed(failure, grids, block) for block, failure in found.failures.items()
        },
        partial={block: renumbered(lacking, block) for block, lacking in found.partial.items()},
    )


def bounds(folder: Path) -> tuple[int | None, int | None]:
    """Return what the ledger of a run has at most, and at least, if it got past setting up.

    Returns
    -------
    int or None
        The first number that no block had.
    int or None
        Lines that take a block back.
    """
    fingerprint = read_fingerprint(folder)
    if not fingerprint:
        return None, None
    _, number = numbers_of(fingerprint, sum(map(len, grids_of(fingerprint))))
    return number, fingerprint.get("taken_back")
