"""Combine parts as they come, holding few of them."""

from collections.abc import Callable
from typing import Any

__all__ = ["Reduction"]


class Reduction:
    """Combines parts as they come, in a tree: each is merged a few times, however many there are.

    Parameters
    ----------
    combine : callable
        Merges a list of parts into one.
    """

    width = 64

    def __init__(self, combine: Callable[[list[Any]], Any]) -> None:
        self._combine = combine
        self._levels: list[list[Any]] = [[]]

    def add(self, part: Any) -> None:
        """Take one part."""
        for level in self._levels:
            level.append(part)
            if len(level) < self.width:
                return
            part = self._combine(list(level))
            level.clear()
        self._levels.append([part])

    def result(self) -> Any:
        """Return all parts combined."""
        return self._combine([part for level in self._levels for part in level])
