"""In which order results are passed on."""

from collections import deque
from collections.abc import Iterable, Iterator

from dasdist.executors.block_task import BlockTask, Outcome

__all__ = ["AsTheyCome", "InOrder"]


class AsTheyCome:
    """Passes results on at once."""

    def __len__(self) -> int:
        return 0

    def expect(self, tasks: Iterable[BlockTask]) -> None:
        """Take note of what is to come."""

    def add(self, outcome: Outcome) -> Iterator[Outcome]:
        """Take one result and yield those whose turn it is."""
        yield outcome


class InOrder(AsTheyCome):
    """Keeps results until those before them are there."""

    def __init__(self) -> None:
        self._expected: deque[int] = deque()
        self._kept: dict[int, Outcome] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def expect(self, tasks: Iterable[BlockTask]) -> None:
        """Take note of what is to come."""
        self._expected.extend(task.block.index for task in tasks)

    def add(self, outcome: Outcome) -> Iterator[Outcome]:
        """Take one result and yield those whose turn it is."""
        self._kept[outcome.block] = outcome
        while self._expected and self._expected[0] in self._kept:
            yield self._kept.pop(self._expected.popleft())
