"""What happens to the blocks of a run, as one stream of events.

::

    waiting -> reading -> computing -> writing -> done
                  ^            |           |
                  '--- again, if a worker dies     failed, or skipped: an earlier run did it

Workers send events of what they are doing, now and then: short blocks leave states out.  The end of
a block is told by the process that asked for the run, exactly once a block.  Nothing depends on
events: one that is lost, or late, changes no result.  Where a block lies is told by
``dasdist.plan(...).block(event.block)``, with the same arguments.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["ENDS", "BlockEvent", "BlockState", "Listener", "StageListener", "silent"]

BlockState = Literal["waiting", "reading", "computing", "writing", "done", "failed", "skipped"]

ENDS = frozenset({"done", "failed", "skipped"})
"""States after which nothing more happens to a block in this run."""


@dataclass(frozen=True, slots=True)
class BlockEvent:
    """What just happened to a block.

    Parameters
    ----------
    block : int
        Its number in the plan.
    state : {"waiting", "reading", "computing", "writing", "done", "failed", "skipped"}
        What it does from now on.  A block that is skipped was done, or given up, by an earlier run.
    stage : str
        While it runs: read, preprocess, model, reduce or write.
    share : float
        Share of its patches that are computed, from 0 to 1.
    samples : int
        Output samples times channels that this share comes to.
    worker : str
        Address of the worker; empty in this process.
    seconds : float
        While it runs: since it began on its worker.  Once it is done: of its stages together.
    stages : mapping of str to float
        Once it is done: seconds by stage.
    counts : mapping of str to int
        Once it is done: what it found or wrote, by name, where its callback counts that: ``picks``,
        those of each phase, ``bytes``.
    error : str
        Once it has failed: why.
    waits_for : str
        While it waits: for what, and what would end that, if no block of the run has begun for a
        while because no worker may take it.

    Examples
    --------
    >>> BlockEvent(3, "computing", share=0.25, samples=25_000).ended
    False
    """

    block: int
    state: BlockState
    stage: str = ""
    share: float = 0.0
    samples: int = 0
    worker: str = ""
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    waits_for: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the block in this run."""
        return self.state in ENDS


Listener = Callable[[BlockEvent], Any]
"""Takes events, one at a time."""

StageListener = Callable[[str, float], Any]
"""Takes the stage that a block is in, and the share of its patches that are computed."""


def silent(*_ignored: Any) -> None:
    """Listen to nothing."""
