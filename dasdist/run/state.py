"""What a run has done so far; grows with failures, but not with blocks."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.executors.block_task import Work
from dasdist.journal.journal import Journal
from dasdist.planning.plan import Plan
from dasdist.report import Done, Failure, RunReport
from dasdist.run.reduction import Reduction

__all__ = ["RunState"]


class RunState:
    """Takes what becomes of the blocks of a run: writes it down, counts it, combines the parts.

    Parameters
    ----------
    plan : Plan
        The blocks.
    callback : DASAnnotateCallback
        Whose parts they make.
    journal : Journal or None
        Where finished blocks are written down, if the results last.
    parts : mapping of int to object
        Parts of the blocks that earlier runs did.
    failures : mapping of int to Failure
        Blocks that earlier runs gave up and that are left alone.

    Attributes
    ----------
    done : ndarray of bool
        For each block, whether it is done.
    failures : dict of int to Failure
        Blocks that were given up, by index.
    """

    def __init__(
        self,
        plan: Plan,
        callback: DASAnnotateCallback,
        journal: Journal | None = None,
        parts: Mapping[int, Any] | None = None,
        failures: Mapping[int, Failure] | None = None,
    ) -> None:
        self.plan = plan
        self.done: NDArray[np.bool_] = np.zeros(len(plan), dtype=bool)
        self.failures = dict(failures or {})
        self._callback, self._journal = callback, journal
        self._fold = Reduction(callback.combine)
        for block, part in (parts or {}).items():
            self.done[block] = True
            self._fold.add(part)
        self._before = int(self.done.sum())
        self._finished = self._before
        self._seconds: dict[str, float] = {}
        self._peak = 0
        self._notes: dict[str, None] = {}
        self._started = time.monotonic()

    def waits(self, block: int) -> bool:
        """Tell whether a block is still to be computed."""
        return not self.done[block] and block not in self.failures

    def take(self, work: Work, outcome: Done | Failure) -> None:
        """Take what became of a block."""
        block = work.block.index
        if isinstance(outcome, Failure):
            self.failures[block] = outcome
            if self._journal:
                self._journal.add_failure(outcome)
            return
        part = outcome.part
        if self._journal:
            self._journal.add(block, outcome, self._callback.by_output(part))
        if self._callback.in_order:
            part = self._callback.consume(part, work.grid)
        self._fold.add(part)
        self.done[block] = True
        self._finished += 1
        self._peak = max(self._peak, outcome.peak)
        self._notes |= dict.fromkeys(outcome.notes)
        for stage, value in outcome.seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + value

    def result(self) -> Any:
        """Return the parts, combined."""
        return self._fold.result()

    @property
    def over(self) -> int:
        """Number of blocks that are done or given up."""
        return self._finished + len(self.failures)

    def report(self) -> RunReport:
        """Return the report of the run, so far."""
        return RunReport(
            model=self.plan.model,
            blocks=len(self.plan),
            data_seconds=self.plan.data_seconds,
            wall_seconds=time.monotonic() - self._started,
            skipped=self.plan.skipped,
            failures=tuple(sorted(self.failures.values(), key=lambda f: f.block)),
            before=self._before,
            done=self._finished,
            seconds=dict(self._seconds),
            peak=self._peak,
            planned=self.plan.peak_bytes,
            notes=tuple(self._notes),
        )
