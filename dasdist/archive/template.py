"""What files of one layout have in common, byte for byte, and where they may differ.

::

    first file   |header ..[start].. |  samples  | tables .. |
    another      |header ..[start].. |  samples  | tables .. |     of the same size
                  compared  read       not read    compared

Whoever reads the two in full, apart from their samples, is given the same bytes but for those in
the holes.  So what was read in full of the first holds for the other, too, as far as it does not
come from a hole.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

__all__ = ["Facts", "Hole", "Outline", "Template", "content_of", "outline_of"]

Facts = dict[str, tuple[bytes, ...]]
"""What stands in the holes, by their names, in the order of the file."""

_MOST_BYTES = 4 * 2**20
_MOST_PARTS = 256


class Hole(NamedTuple):
    """Bytes that may differ, ``start`` to before ``stop``; nobody reads those without a name."""

    start: int
    stop: int
    name: str


@dataclass(frozen=True, slots=True)
class Outline:
    """Where the bytes of a file are that are compared.

    Parameters
    ----------
    size : int
        Bytes of the file.
    parts : tuple of (int, int)
        Begin and end of what is read; the samples lie between.
    holes : tuple of Hole
        What may differ in these, in order.
    """

    size: int
    parts: tuple[tuple[int, int], ...]
    holes: tuple[Hole, ...]

    @classmethod
    def parsed(cls, fields: Sequence[Any]) -> "Outline":
        """Return an outline from what JSON makes of its fields."""
        size, parts, holes = fields
        return cls(
            size,
            tuple((start, stop) for start, stop in parts),
            tuple(Hole(*hole) for hole in holes),
        )

    def in_file(self, hole: Hole) -> Hole:
        """Return a hole of the content, counted from the first byte of the file."""
        before = 0
        for start, stop in self.parts:
            if before <= hole.start < before + stop - start:
                shift = start - before
                return Hole(hole.start + shift, hole.stop + shift, hole.name)
            before += stop - start
        raise ValueError(f"{hole} is in no part of {self.parts}")

    def fields(self) -> list[Any]:
        """Return the fields, for JSON."""
        return [self.size, self.parts, self.holes]


def outline_of(
    size: int, samples: Iterable[tuple[int, int]], holes: Iterable[Hole]
) -> Outline | None:
    """Return the outline of a file; None if too much of it would have to be compared.

    Parameters
    ----------
    size : int
        Bytes of the file.
    samples : iterable of (int, int)
        Begin and end of each stretch of samples, in any order.
    holes : iterable of Hole
        In any order; those that overlap are refused.

    Examples
    --------
    >>> outline_of(100, [(20, 50), (50, 90)], [Hole(4, 8, "start")]).parts
    ((0, 20), (90, 100))
    """
    parts: list[tuple[int, int]] = []
    end = 0
    for start, stop in sorted(samples):
        if start > end:
            parts.append((end, start))
        end = max(end, stop)
    if end < size:
        parts.append((end, size))
    ordered = sorted(set(holes))
    apart = all(a.stop <= b.start for a, b in pairwise(ordered))
    if not apart or len(parts) > _MOST_PARTS or sum(b - a for a, b in parts) > _MOST_BYTES:
        return None
    if not all(any(a <= h.start < h.stop <= b for a, b in parts) for h in ordered):
        return None
    return Outline(size, tuple(parts), tuple(ordered))


def content_of(file: int, outline: Outline) -> bytes:
    """Return the parts of an open file, one after the other."""
    return b"".join(os.pread(file, stop - start, start) for start, stop in outline.parts)


class Template:
    """The content that files with an outline have in common.

    Parameters
    ----------
    outline : Outline
        The outline.
    content : bytes
        Of a file with it.
    """

    def __init__(self, outline: Outline, content: bytes) -> None:
        self.outline = outline
        self._content = content
        self._holes = [(_place(outline, h.start), _place(outline, h.stop)) for h in outline.holes]
        ends = [0, *(place for hole in self._holes for place in hole), len(content)]
        self._same = [(a, b, content[a:b]) for a, b in zip(ends[::2], ends[1::2], strict=True)]

    def facts(self, content: bytes) -> Facts | None:
        """Return what another content has in the holes; None if it differs anywhere else."""
        if len(content) != len(self._content):
            return None
        for start, stop, known in self._same:
            if content[start:stop] != known:
                return None
        found: dict[str, list[bytes]] = {}
        for hole, (start, stop) in zip(self.outline.holes, self._holes, strict=True):
            if hole.name:
                found.setdefault(hole.name, []).append(content[start:stop])
        return {name: tuple(values) for name, values in found.items()}


def _place(outline: Outline, position: int) -> int:
    """Return where in the content a position of the file is."""
    sizes = accumulate((stop - start for start, stop in outline.parts), initial=0)
    for (start, stop), before in zip(outline.parts, sizes, strict=False):
        if start <= position <= stop:
            return before + position - start
    raise ValueError(f"{position} is in no part of {outline.parts}")
