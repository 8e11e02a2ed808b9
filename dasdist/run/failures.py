"""How many blocks may fail before a run stops."""

from dataclasses import dataclass, replace

from dasdist.errors import TooManyFailures
from dasdist.report import BlockResult, Failure
from dasdist.run.options import MaxFailures
from dasdist.units import count_of

__all__ = ["FailureLimit"]

_TRIED = 10
"""Blocks whose computing must have failed, and no other succeeded, before a run is given up as
hopeless.  Data that cannot be read do not count: an archive may begin with a long hole."""


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
        Blocks so far; ``done`` may begin with those of an earlier run.  A block that was done but
        for some windows counts in both.
    parts, broken : int
        How many of those that failed did so in part; for another reason than their data.
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
    parts: int = 0
    broken: int = 0
    first: str = ""

    def after(self, outcome: BlockResult | Failure) -> "FailureLimit":
        """Count one more block.

        Raises
        ------
        TooManyFailures
            If more than `max_failures` have failed, or so many that nothing else can be expected:
            all of the first ones, of which the data could be read, or all there are.
        """
        if isinstance(outcome, BlockResult):
            now = replace(self, done=self.done + 1)
            if outcome.partial is None:
                return now
            now = replace(now, parts=self.parts + 1)
            reason = f"block {outcome.block}, in part: {outcome.partial.missing[0]}"
        else:
            now = replace(self, broken=self.broken + (outcome.kind != "unreadable"))
            reason = f"block {outcome.block} ({outcome.start}): {outcome.error}"
        now = replace(now, failed=self.failed + 1, first=self.first or reason.rstrip("."))
        if self.max_failures != "any" and now.failed > self.max_failures:
            in_part = f", {now.parts:,} in part," if now.parts else ""
            raise TooManyFailures(
                f"{count_of(now.failed, 'block')} failed{in_part} and "
                f"{count_of(now.done, 'was', 'were')} done, of {self.blocks:,}; no more than "
                f"{self.max_failures} may fail. The first was {now.first}. Fix the cause, or allow "
                "more with max_failures (--max-failures); what is done is kept."
            )
        if now.done == 0 and (now.failed >= self.blocks or now.broken >= _TRIED):
            raise TooManyFailures(
                f"{self._every(now.failed)} failed and none was done. The first was {now.first}. "
                "Fix the cause and run again."
            )
        return now

    def _every(self, failed: int) -> str:
        if self.blocks == 1:
            return "The only block"
        if failed >= self.blocks:
            return f"All {self.blocks:,} blocks"
        return f"All of the first {failed:,} blocks, of {self.blocks:,},"
