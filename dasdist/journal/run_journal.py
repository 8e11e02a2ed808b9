"""The journal as a run uses it: begin or resume, write down, report; or nothing at all.

::

    enter    lock and fence the outputs; which blocks were they begun with?
    begin    compare with the run that they hold, set the callback up, strike out what must be
             computed again -> what is done already
    add      write down a block that is done, once its data is in the output
    again    look whether all of it is still there
    leave    report, give the lock back
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Self
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.archive_changes import ArchiveChange
from dasdist.callbacks.base import Context
from dasdist.callbacks.sink import SinkCallback
from dasdist.errors import OutputUnwritable, RunInterrupted
from dasdist.geometry import SegmentGrid
from dasdist.journal import agreement
from dasdist.journal.comparing import HeldCores, Now
from dasdist.journal.fingerprint import describe_grid, plain
from dasdist.journal.following import Followed, describe_change, placed, renumbered
from dasdist.journal.journal import Journal
from dasdist.journal.memory_journal import Held, MemoryJournal, RunSoFar
from dasdist.journal.model_identity import describe_model
from dasdist.journal.report_file import as_text, summarise
from dasdist.planning.plan import Plan
from dasdist.report import BlockResult, Failure
from dasdist.safe_text import logger
from dasdist.sources import Recording
from dasdist.units import count_of

__all__ = ["AnyJournal", "RunJournal"]

_log = logger()

FORMAT = 1  # of run.json

_OF_THE_MACHINE = ("batch_size",)
"""Arguments that no result depends on."""


class RunJournal:
    """The journal of a run whose results last; a context manager.

    Parameters
    ----------
    sink : SinkCallback
        Whose outputs these are.
    model_name, model, arguments, recording
        What the run is: results depend on nothing else, besides the settings of the sink.
    files : sequence of (path, kind, reason)
        Files that the index of the archive lists as left out, or changed.
    overwrite : bool
        Whether to replace what the outputs hold.
    retry_failed : bool
        Whether to try blocks again that earlier runs gave up, or did only in part.

    Raises
    ------
    OutputInUse
        On entering, if another run holds an output.
    """

    def __init__(
        self,
        sink: SinkCallback,
        *,
        model_name: str,
        model: torch.nn.Module,
        arguments: Mapping[str, Any],
        recording: Recording,
        files: Sequence[tuple[str, str, str]],
        overwrite: bool,
        retry_failed: bool,
    ) -> None:
        self._sink = sink
        self._model_name, self._model = model_name, model
        self._arguments, self._recording, self._files = arguments, recording, files
        self._overwrite = overwrite or sink.overwrite
        self._retry_failed = retry_failed
        self._run = uuid4().hex[:12]
        self._journal = Journal(sink.outputs, self._run, overwrite=self._overwrite)
        self._grids: Sequence[SegmentGrid] = ()
        self._cores = HeldCores(())
        self._fingerprint: Mapping[str, Any] = {}
        self._each: Sequence[Followed] = ()
        self._context: Context | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # what is refused here gives the outputs back
            stack.enter_context(self._journal)
            self._grids = self._journal.grids()
            self._cores = HeldCores(self._grids)
            stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._journal.__exit__(*error)

    def held_core(self, grid: SegmentGrid) -> tuple[int, int] | None:
        """Return the core of the blocks that the outputs were begun with, for a segment of now."""
        return self._cores(grid)

    @property
    def scale(self) -> float | None:
        """Factor of the samples that the outputs were begun with; None if they are not begun."""
        return self._journal.scale() if self._grids else None

    def begin(self, plan: Plan, context: Context) -> Held:
        """Begin the outputs, or compare with the run that they hold; return what is done.

        Raises
        ------
        RunMismatch
            If the outputs hold another run.
        """
        journal = self._journal
        self._fingerprint = self._described(plan)
        listed = frozenset(path for path, *_ in self._files)
        now = Now(self._recording, listed, self._sink.follows_changes)
        resume = journal.begun
        if resume:
            self._each = journal.follow(self._fingerprint, plan.grids, now)
        else:
            journal.begin()
            self._each = [Followed.anew(len(plan)) for _ in self._sink.outputs]
        self._context = replace(
            context,
            run=self._run,
            resume=resume,
            overwrite=self._overwrite or journal.half_begun,
            numbers={
                o.journal: f.numbers for o, f in zip(self._sink.outputs, self._each, strict=True)
            },
            weights=self._fingerprint["model"]["weights"],
            moved=any(followed.moved for followed in self._each),
            standing=agreement.standing(self._each),
        )
        self._sink.setup(self._context)
        journal.open()
        held = self._held(plan, retry=self._retry_failed)
        if any(followed.carried is not None for followed in self._each):
            self._sink.retain(sorted(held.parts))
        held = replace(held, change=self._change(plan, len(held.parts)))
        # only now: of what it outgrew, the ledger has let go
        journal.write(self._fingerprint, self._each, now, len(plan))
        journal.describe(self._fingerprint, plan.grids, getattr(self._model, "citation", None))
        self._each = [followed.settled(len(plan)) for followed in self._each]
        return held

    def _described(self, plan: Plan) -> dict[str, Any]:
        recording = self._recording
        # results of an optimised model, or of one in lower precision, differ in their last digits
        given = {"optimize": True, "precision": "float32", **self._arguments}
        arguments = {k: v for k, v in given.items() if k not in _OF_THE_MACHINE}
        if not arguments.get("pad"):  # as if it was not said
            arguments.pop("pad", None)
        return {
            "format": FORMAT,
            "model": {"name": self._model_name, **describe_model(self._model)},
            "arguments": plain(arguments),
            "output": plain(self._sink.settings),
            "recording": {
                "samples": recording.shape[0],
                "channels": recording.shape[1],
                "dtype": str(recording.dtype),
                "identity": recording.identity(),
            },
            "segments": [describe_grid(grid) for grid in plan.grids],
            **({} if plan.amplitude.scale == 1 else {"scale": plan.amplitude.scale}),
        }

    def _held(self, plan: Plan, *, retry: bool) -> Held:
        """Return what stands; of all else the ledgers let go, and then the outputs."""
        told = self._journal.histories()
        standing = agreement.agreed([f.standing(h) for f, h in zip(self._each, told, strict=True)])
        parts = {block: self._sink.of_outputs(part) for block, part in standing.parts.items()}
        again = set(self._sink.lost(parts))
        if retry:
            again |= {*standing.failures, *standing.partial}
        parts = {block: part for block, part in parts.items() if block not in again}
        failures = {
            block: placed(failure, plan.grids, block)
            for block, failure in standing.failures.items()
            if block not in again and block not in parts
        }
        kept = {*parts, *failures}
        self._journal.forget(
            [agreement.let_go(f, h, kept) for f, h in zip(self._each, told, strict=True)]
        )
        partial = {
            block: renumbered(lacking, block)
            for block, lacking in standing.partial.items()
            if block in parts
        }
        return Held(parts, failures, partial)

    def look_again(self, plan: Plan, done: NDArray[np.bool_]) -> Held | None:
        """Return what stands, if not all that is done; the outputs are ready for the rest then.

        Raises
        ------
        OutputUnwritable
            If a ledger is gone.
        """
        self._journal.check_in_place()
        held = self._held(plan, retry=False)
        if len(held.parts) == done.sum():
            return None
        assert self._context is not None
        self._sink.setup(replace(self._context, resume=True, overwrite=False))
        return held

    def drop_all_but(self, blocks: Collection[int]) -> None:
        """Remove what blocks wrote that were then given up, and let nothing be written any more."""
        if self._sink.follows_changes:
            self._journal.retire_staging()
            self._sink.retain(sorted(blocks))

    def _change(self, plan: Plan, kept: int) -> ArchiveChange | None:
        """Return what changed in the archive: now, or before a run that did not come to its end."""
        followed = next((f for f in self._each if f.compared and f.compared.files), None)
        if followed is None:
            return self._journal.last_change()
        change = describe_change(followed, self._grids, plan.grids, kept)
        self._journal.note_change(change)
        return change

    def add(self, result: BlockResult) -> None:
        """Write down that a block is done."""
        self._journal.add(result, self._sink.by_output(result.part), self._each)

    def add_failure(self, failure: Failure) -> None:
        """Write down that a block was given up."""
        self._journal.add_failure(failure, self._each)

    @contextmanager
    def reporting(self, state: RunSoFar) -> Iterator[None]:
        """Leave a report beside the outputs, however the run ends."""
        started, how, reason = _now(), "stopped", ""
        try:
            yield
            how = "failures" if state.failures or state.partial else "complete"
        except RunInterrupted as error:
            how = "interrupted"
            be = "is" if state.done.sum() == 1 else "are"
            reason = (
                f"{error} {int(state.done.sum()):,} of {count_of(len(state.done), 'block')} {be} "
                "done and kept; "
                "the same call or command goes on with the rest."
            )
            raise RunInterrupted(reason) from error
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            raise
        finally:
            summary = summarise(
                state.plan,
                state.report(),
                state.done,
                state=how,
                reason=reason,
                run=self._run,
                outputs=[str(output.path) for output in self._sink.outputs],
                counts=plain(state.result()),
                fingerprint=self._fingerprint,
                files=self._files,
                started=started,
                ended=_now(),
            )
            try:
                self._journal.report(summary, as_text(summary))
                if how in ("complete", "failures"):
                    self._journal.settle_change()
            except OutputUnwritable as error:
                if not reason:
                    raise
                _log.warning("The report could not be written either: %s", error)


AnyJournal = MemoryJournal | RunJournal


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
