"""How many blocks may be in flight at a time."""

import time
from collections import deque
from statistics import median

from distributed import Client

from dasdist.executors.block_task import Outcome
from dasdist.report import BlockResult

__all__ = ["Backpressure"]

_ASK = 2.0
"""Seconds between two looks at the cluster."""

_RECENT = 15
"""Blocks by whose median seconds the next are judged: a worker's first also loads what it needs."""

_SHORT = 0.2
"""Seconds of work that a task thread should have before it, where blocks are short."""

_TASK = 0.05
"""Seconds of work beside which the cost of a task is small."""

_TOGETHER = 8
"""Blocks that share a task at the most; a worker that dies may have done most of them in vain."""

_MOST = 4 * _TOGETHER
"""Blocks in flight for a task thread at the most."""


class Backpressure:
    """One running block and one waiting for every task thread; more where blocks are short.

    A scheduler hands over two tasks per thread and keeps the others, so that a worker that dies
    costs no more for a wider window.

    Parameters
    ----------
    client : Client
        A synchronous client.
    steady : bool
        Whether blocks in flight are held in memory, so that there may not be more of short ones.
    """

    def __init__(self, client: Client, *, steady: bool) -> None:
        self._client = client
        self._steady = steady
        self._threads = 1
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._asked = -float("inf")

    @property
    def together(self) -> int:
        """How many blocks are to share a task: several where they are so short that tasks cost."""
        return max(1, min(_TOGETHER, self._fit(_TASK)))

    def free(self, taken: int) -> int:
        """Return how many blocks to submit: none, or as many as are worth a message."""
        self.look()
        size = min(_MOST, 2 + self._fit(_SHORT)) * self._threads
        free = size - taken
        return free if 2 * free >= size or size <= 2 * self._threads else 0

    def learn(self, result: Outcome) -> None:
        """Learn how long blocks take."""
        if isinstance(result, BlockResult):
            self._recent.append(sum(result.seconds.values()))

    def _fit(self, seconds: float) -> int:
        """Return how many blocks are done in this time; none while that is not known."""
        if self._steady or not self._recent:
            return 0
        return int(seconds / max(median(self._recent), 1e-6))

    def look(self) -> None:
        """Look at the cluster: it grows and shrinks."""
        # but asking for every block would cost more than it tells
        if time.monotonic() - self._asked > _ASK:
            self._threads = max(1, sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
