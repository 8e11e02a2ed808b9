"""What changed in an archive while a run lasted, kept beside its output until all is done again."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dasdist.archive_changes import ArchiveChange, BlocksAgain, FileChange
from dasdist.storage.files import write_atomically
from dasdist.storage.seal import Damaged, seal, unseal

__all__ = ["change_from", "last", "note", "settle"]


def note(folder: Path, change: ArchiveChange) -> None:
    """Write a change down, in place of an earlier one."""
    _write(folder, {**asdict(change), "settled": False})


def settle(folder: Path) -> None:
    """Write down that all blocks that a change concerned are done again, or given up."""
    found = _read(folder)
    if found and not found.get("settled"):
        _write(folder, {**found, "settled": True})


def last(folder: Path) -> tuple[ArchiveChange, bool] | None:
    """Return the last change, and whether its blocks are done again; None if there was none."""
    found = _read(folder)
    try:
        return None if found is None else (change_from(found), bool(found["settled"]))
    except (KeyError, TypeError, AttributeError):  # damaged, and of a version without checksums
        return None


def change_from(described: Mapping[str, Any]) -> ArchiveChange:
    """Return the change that was described as JSON."""
    names = ArchiveChange.__dataclass_fields__
    change = ArchiveChange(**{key: value for key, value in described.items() if key in names})
    return replace(
        change,
        files=tuple(FileChange(**file) for file in described["files"]),
        again=tuple(BlocksAgain(**stretch) for stretch in described["again"]),
    )


def _write(folder: Path, described: Mapping[str, Any]) -> None:
    write_atomically(folder / "changes.json", seal(described, indent=1))


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return unseal((folder / "changes.json").read_bytes())[0]
    except (OSError, Damaged):
        return None
