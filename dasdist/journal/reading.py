"""What a journal says of its run, read without any library of data: status is asked often."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dasdist.geometry import SegmentGrid
from dasdist.journal.fingerprint import grid_from_description
from dasdist.journal.following import Followed, numbers_of, placed, renumbered
from dasdist.journal.ledger import History, read_ledger

__all__ = ["grids_of", "next_number", "read_fingerprint", "read_history"]


def read_fingerprint(folder: Path) -> dict[str, Any] | None:
    """Return the fingerprint of the run that a journal belongs to, if it got past setting up."""
    try:
        found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except FileNotFoundError:
        return None
    return found


def read_history(folder: Path, fingerprint: Mapping[str, Any]) -> History:
    """Return what the ledger of a run says of the blocks of its plan."""
    grids = grids_of(fingerprint)
    blocks = sum(map(len, grids))
    _, following = numbers_of(fingerprint, blocks)
    history = read_ledger(folder / "ledger.jsonl", following)
    found = Followed.held(fingerprint, blocks).standing(history)
    return replace(
        found,
        failures={
            block: placed(failure, grids, block) for block, failure in found.failures.items()
        },
        partial={block: renumbered(lacking, block) for block, lacking in found.partial.items()},
    )


def next_number(folder: Path) -> int | None:
    """Return the first number that no block of a run had, if it got past setting up."""
    fingerprint = read_fingerprint(folder)
    if not fingerprint:
        return None
    return numbers_of(fingerprint, sum(map(len, grids_of(fingerprint))))[1]


def grids_of(fingerprint: Mapping[str, Any]) -> tuple[SegmentGrid, ...]:
    """Return the segments, with their blocks, of a run."""
    return tuple(map(grid_from_description, fingerprint["segments"]))
