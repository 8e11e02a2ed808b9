"""Events of one block while it runs, at most a few a second."""

import time

from dasdist.block_events import BlockEvent, BlockState, Listener
from dasdist.geometry import Block

__all__ = ["BlockTelemetry", "running_event"]

_STATES: dict[str, BlockState] = {"read": "reading", "write": "writing"}
"""States by stage; in all other stages a block is computing."""


class BlockTelemetry:
    """Turns the stages of a block into events.

    Parameters
    ----------
    block : Block
        The block.
    listen : callable
        Takes events.
    period : float
        Seconds between two events, unless the state changes.
    """

    def __init__(self, block: Block, listen: Listener, period: float = 0.1) -> None:
        self._block, self._listen, self._period = block, listen, period
        self._began = time.monotonic()
        self._told = self._began
        self._state: BlockState = "waiting"

    def __call__(self, stage: str, share: float) -> None:
        """Take the stage that begins, and the share of the patches that are computed."""
        state = _STATES.get(stage, "computing")
        now = time.monotonic()
        if state == self._state and now - self._told < self._period:
            return
        self._state, self._told = state, now
        self._listen(running_event(self._block, state, stage, share, now - self._began))


def running_event(
    block: Block, state: BlockState, stage: str, share: float, seconds: float, worker: str = ""
) -> BlockEvent:
    """Return the event of a block that runs."""
    samples = int(share * block.core.time.size * block.core.distance.size)
    return BlockEvent(block.index, state, stage, share, samples, worker, seconds)
