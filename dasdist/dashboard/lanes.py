"""A lane for each block that a worker works on at a time, with the stages it goes through.

::

    worker a   [read|===== model =====|write]   [read|==== model
    worker b   ....idle....[read|=== model ===
                                              now
"""

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Lanes", "Stretch"]

_KEPT = 4_000
"""Stretches that are kept: of all lanes together, the latest."""

_MOST = 1_024
"""Lanes that are kept."""

Lane = tuple[str, int]
"""A worker, and which of the blocks it works on at a time."""


@dataclass(slots=True)
class Stretch:
    """A stage that a block was in, in seconds since 1970; `stop` is None while it lasts."""

    lane: Lane
    block: int
    stage: str
    start: float
    stop: float | None = None


@dataclass(slots=True)
class Lanes:
    """What workers do, and what they did lately."""

    past: deque[Stretch] = field(default_factory=lambda: deque(maxlen=_KEPT))
    count: int = 0
    _open: dict[int, Stretch] = field(default_factory=dict)
    _taken: dict[Lane, int] = field(default_factory=dict)

    @property
    def open(self) -> list[Stretch]:
        """What workers do now."""
        return list(self._open.values())

    def since(self, count: int) -> list[Stretch]:
        """Return what has ended since so many had, as far as it is kept."""
        new = min(self.count - count, len(self.past))
        return list(self.past)[len(self.past) - new :]

    def tell(self, worker: str, block: int, stage: str, now: float) -> None:
        """Take the stage that a block is in."""
        held = self._open.get(block)
        if held is not None and held.lane[0] == worker:
            if held.stage == stage:
                return
            self._close(held, now)
            self._open[block] = Stretch(held.lane, block, stage, now)
            return
        self.end(block, now)
        if len(self._taken) < _MOST:
            lane = self._free(worker)
            self._taken[lane] = block
            self._open[block] = Stretch(lane, block, stage, now)

    def end(self, block: int, now: float) -> None:
        """Take that a block has ended."""
        held = self._open.pop(block, None)
        if held is not None:
            del self._taken[held.lane]
            self._close(held, now)

    def drop(self, worker: str, now: float) -> None:
        """End what a worker does."""
        for block in [b for b, held in self._open.items() if held.lane[0] == worker]:
            self.end(block, now)

    def clear(self, now: float) -> None:
        """End what all workers do."""
        for block in list(self._open):
            self.end(block, now)

    def _close(self, stretch: Stretch, now: float) -> None:
        stretch.stop = now
        self.past.append(stretch)
        self.count += 1

    def _free(self, worker: str) -> Lane:
        number = 0
        while (worker, number) in self._taken:
            number += 1
        return worker, number
