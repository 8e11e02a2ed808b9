"""How many blocks may fail before a run stops."""

from dataclasses import dataclass, replace

from dasdist.errors import TooManyFailures
from dasdist.report import BlockResult, Failure
from dasdist.run.options import MaxFailures
from dasdist.units import count_of

__all__ = ["FailureLimit"]

_TRIED = 10
"""Blocks that must have failed, and no other succeeded, before a run is given up as hopeless."""


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """Counts what comes of blocks; a value, replaced with every block.

    Parameters
    ----------
    blocks : int
        Blocks of the run.
    max_failures : int or "any"
        More failures than this stop the run.
    done, failed : int
        Blocks so far; ``done`` may begin with those of an earlier run.
    first : str
        Why the first of them failed.

    Examples
    --------
    >>> limit = FailureLimit(blocks=100, max_failures=5).after(BlockResult(0, {"picks": 3}, {}))
    >>> limit.done, limit.failed
    (1, 0)
    """

    blocks: int
    max_failures: MaxFailures
    done: int = 0
    failed: int = 0
    first: str = ""

    def after(self, outcome: BlockResult | Failure) -> "FailureLimit":
        """Count one more block.

        Raises
        ------
        TooManyFailures
            If more than `max_failures` have failed, or so many that nothing else can be expected:
            all of the first ones.
        """
        if isinstance(outcome, BlockResult):
            return replace(self, done=self.done + 1)
        reason = self.first or f"block {outcome.block} ({outcome.start}): {outcome.error}"
        now = replace(self, failed=self.failed + 1, first=reason)
        if self.max_failures != "any" and now.failed > self.max_failures:
            raise TooManyFailures(
                f"{count_of(now.failed, 'block')} failed and {count_of(now.done, 'was', 'were')} "
                f"done, of {self.blocks}; no more "
                f"than {self.max_failures} may fail. The first was {reason}. Fix the cause, or "
                "allow more with max_failures; what is done is kept."
            )
        if now.done == 0 and now.failed >= min(self.blocks, _TRIED):
            every = "The only block" if now.failed == 1 else f"All of the first {now.failed} blocks"
            raise TooManyFailures(
                f"{every} failed, of {self.blocks:,}, and none was "
                f"done. The first was {reason}. Fix the cause and run again."
            )
        return now
