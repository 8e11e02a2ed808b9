"""Patterns of paths, as shells have them, on disks where folders have brackets in their names."""

import os
from glob import escape, glob, has_magic
from pathlib import Path

__all__ = ["bracket_hint", "matching"]


def matching(pattern: str) -> list[str]:
    """Return the paths that match a pattern, sorted; a path without any stands for itself.

    Folders at its start that are there by that very name are no pattern: ``"DAS[1]/*.h5"`` are the
    files in ``DAS[1]``, if there is such a folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "DAS[1]"
    >>> folder.mkdir()
    >>> _ = (folder / "a.h5").write_text("")
    >>> [Path(found).name for found in matching(f"{folder}/*.h5")]
    ['a.h5']
    """
    if os.path.lexists(pattern):
        return [pattern]
    if not has_magic(pattern):
        return []
    parts = Path(pattern).parts
    known = next((n for n in range(len(parts) - 1, 0, -1) if _there(parts[:n])), 0)
    start = escape(os.path.join(*parts[:known])) if known else ""
    return sorted(glob(os.path.join(start, *parts[known:]), recursive=True))


def _there(parts: tuple[str, ...]) -> bool:
    return os.path.lexists(os.path.join(*parts))


def bracket_hint(pattern: str) -> str:
    """Return what to say of a pattern with brackets that nothing matches; empty if it has none.

    Examples
    --------
    >>> bracket_hint("2024/*.h5")
    ''
    """
    if "[" not in pattern:
        return ""
    return " In a pattern, [12] stands for 1 or 2; write [[] for a bracket that is part of a name."
