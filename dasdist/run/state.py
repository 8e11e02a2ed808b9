"""What a run has done so far; grows with failures, but not with blocks."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.block_events import BlockEvent, Listener
from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.executors.block_task import failure
from dasdist.journal.memory_journal import Held
from dasdist.journal.run_journal import AnyJournal
from dasdist.planning.plan import Plan
from dasdist.report import BlockResult, Failure, Partial, RunReport
from dasdist.run.reduction import Reduction
from dasdist.units import count_of

__all__ = ["RunState"]


class RunState:
    """Takes what comes of the blocks of a run: writes it down, counts it, combines the parts.

    Parameters
    ----------
    plan : Plan
        The blocks.
    callback : DASAnnotateCallback
        Whose parts they make.
    journal : Journal or NoJournal
        Where finished blocks are written down.
    held : Held
        What earlier runs did.

    Attributes
    ----------
    done : ndarray of bool
        For each block, whether it is done.
    failures : dict of int to Failure
        Blocks that were given up, by index.
    partial : dict of int to Partial
        What blocks that are done could not compute, by index.
    """

    def __init__(
        self, plan: Plan, callback: DASAnnotateCallback, journal: AnyJournal, held: Held
    ) -> None:
        self.plan = plan
        self._callback, self._journal = callback, journal
        self.before = len(held.parts)
        self._change = held.change
        self._hold(held)
        self._seconds: dict[str, float] = {}
        self._peak = 0
        self._notes: dict[str, None] = {}
        self._started = time.monotonic()

    def _hold(self, held: Held) -> None:
        self.done: NDArray[np.bool_] = np.zeros(len(self.plan), dtype=bool)
        self.done[list(held.parts)] = True
        self.failures = dict(held.failures)
        self.partial: dict[int, Partial] = dict(held.partial)
        self.finished = len(held.parts)
        self._reduction = Reduction(self._callback.combine)
        for part in held.parts.values():
            self._reduction.add(part)

    def look_again(self) -> list[int]:
        """Return the blocks whose results are gone since they were written; they are left again."""
        held = self._journal.look_again(self.plan, self.done)
        if held is None:
            return []
        done = self.done
        self._hold(held)
        gone = [int(block) for block in np.flatnonzero(done & ~self.done)]
        self._notes[
            f"{count_of(len(gone), 'block')} had to be computed again, because what "
            f"{'it' if len(gone) == 1 else 'they'} had written to the output was gone."
        ] = None
        return gone

    def give_up(self, blocks: list[int], why: str) -> None:
        """Take note that blocks are not in the output, and will not be."""
        for index in blocks:
            told = failure(self.plan.block(index), why, "error")
            self.failures[index] = told
            self._journal.add_failure(told)

    def settle(self) -> None:
        """Let the output hold what is done and nothing of blocks that were given up."""
        if self.failures:
            self._journal.drop_all_but([int(block) for block in np.flatnonzero(self.done)])

    @property
    def left(self) -> list[int]:
        """The blocks that are still to be computed."""
        waiting = ~self.done
        waiting[list(self.failures)] = False
        return [int(block) for block in np.flatnonzero(waiting)]

    def tell_skipped(self, listen: Listener) -> None:
        """Tell which blocks are behind the run before it begins."""
        for block in (*np.flatnonzero(self.done), *self.failures):
            listen(BlockEvent(int(block), "skipped", share=1.0))

    def take(self, outcome: BlockResult | Failure, listen: Listener) -> None:
        """Take what comes of a block."""
        block = self.plan.block(outcome.block)
        if isinstance(outcome, Failure):
            self.failures[block.index] = outcome
            self._journal.add_failure(outcome)
            listen(BlockEvent(block.index, "failed", worker=outcome.worker, error=outcome.error))
            return
        self._journal.add(outcome)
        part = outcome.part
        counts = self._callback.counted(part)
        if self._callback.needs.in_order:
            part = self._callback.consume(part, block)
        self._reduction.add(part)
        self.done[block.index] = True
        if outcome.partial is not None:
            self.partial[block.index] = outcome.partial
        self.finished += 1
        self._peak = max(self._peak, outcome.peak)
        self._notes |= dict.fromkeys(outcome.notes)
        for stage, value in outcome.seconds.items():
            self._seconds[stage] = self._seconds.get(stage, 0.0) + value
        samples = block.core.time.size * block.core.distance.size
        spent = sum(outcome.seconds.values())
        listen(
            BlockEvent(
                block.index,
                "done",
                share=1.0,
                samples=samples,
                worker=outcome.worker,
                seconds=spent,
                stages=outcome.seconds,
                counts=counts,
            )
        )

    def result(self) -> Any:
        """Return the parts, combined."""
        return self._reduction.result()

    def report(self) -> RunReport:
        """Return the report of the run, so far."""
        return RunReport(
            model=self.plan.model,
            blocks=len(self.plan),
            data_seconds=self.plan.data_seconds,
            wall_seconds=time.monotonic() - self._started,
            finished=self.finished,
            skipped=self.plan.skipped,
            failures=tuple(sorted(self.failures.values(), key=lambda f: f.block)),
            before=self.before,
            seconds=dict(self._seconds),
            peak=self._peak,
            planned=self.plan.peak_bytes,
            notes=(*self.plan.notes, *self._notes),
            partial=dict(self.partial),
            unreached=self.plan.unreached,
            facts=self.plan.facts,
            change=self._change,
        )
