"""Run a job; one whose results last is begun or resumed, and leaves a report.

::

    lock and fence the outputs -> plan, with the blocks that they were begun with
        -> compare fingerprints -> set the outputs up -> run what the ledger lacks -> report
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.errors import InvalidInput, OutputUnwritable, RunInterrupted
from dasdist.executors.clients import synchronous
from dasdist.executors.watchdog import check_timeout
from dasdist.geometry import SegmentGrid
from dasdist.inference.replica import predictor_of
from dasdist.journal.fingerprint import describe_grid, plain
from dasdist.journal.journal import Journal
from dasdist.journal.model_identity import describe_model
from dasdist.journal.report_file import as_text, summarise
from dasdist.planning.plan import Plan
from dasdist.report import RunReport
from dasdist.run.options import RunOptions
from dasdist.run.request import Request, needs_of
from dasdist.run.state import RunState

__all__ = ["run_job"]

_log = logging.getLogger("dasdist")

FORMAT = 1  # of run.json
_OF_THE_MACHINE = {"pbar", "batch_size", "on_error"}
"""Arguments that no result depends on."""


def run_job(
    job: Request,
    callback: DASAnnotateCallback,
    block: Mapping[str, int] | None,
    options: RunOptions,
) -> RunReport:
    """Plan, set the callback up, run all blocks that are not done, finalize the callback.

    Parameters
    ----------
    job : Request
        Model and recording.
    callback : DASAnnotateCallback
        What consumes the annotations.
    block : mapping or None
        Core of a block; None takes what the output was begun with, or chooses.
    options : RunOptions
        How to start, go on and give up.
    """
    with synchronous(job.client) as client:
        check_timeout(client, options.block_timeout)
    if callback.outputs:
        return _run_lasting(job, callback, block, options)
    if options.retry_failed:
        raise InvalidInput(
            "retry_failed is for results that last, where a ledger tells which blocks failed; "
            "these are kept in memory. Pass out=, or run anew."
        )
    run_plan = job.plan(needs_of(callback), block)
    callback.setup(job.context(run_plan))
    return job.execute(run_plan, callback, options)


def _run_lasting(
    job: Request,
    callback: DASAnnotateCallback,
    block: Mapping[str, int] | None,
    options: RunOptions,
) -> RunReport:
    run = uuid4().hex[:12]
    overwrite = options.overwrite or callback.overwrite
    with Journal(callback.outputs, run, overwrite=overwrite) as journal:
        resume, held = journal.begun, journal.grids()
        run_plan = job.plan(needs_of(callback), block, cores=[grid.core for grid in held])
        fingerprint = _fingerprint(job, run_plan, callback)
        context = replace(
            job.context(run_plan),
            run=run,
            resume=resume,
            overwrite=overwrite or journal.half_begun,
        )
        if resume:
            journal.check(fingerprint, run_plan.grids, job.recording.identity)
        else:
            journal.begin()
        callback.setup(context)
        journal.open()
        tally = _resumed(journal, callback, held, run_plan, retry_failed=options.retry_failed)
        journal.write(fingerprint)  # only now: of what it outgrew, the ledger has let go
        with _reported(journal, callback, fingerprint, tally, run, job.listed):
            return job.execute(run_plan, callback, options, tally)


def _fingerprint(job: Request, run_plan: Plan, callback: DASAnnotateCallback) -> dict[str, Any]:
    recording = job.recording
    model = predictor_of(job.payload.token).model
    # results of an optimised model, or of one in lower precision, differ in their last digits
    given = {"optimize": True, "precision": "float32", **job.arguments}
    arguments = {k: v for k, v in given.items() if k not in _OF_THE_MACHINE}
    return {
        "format": FORMAT,
        "model": {"name": job.spec.name, **describe_model(model)},
        "arguments": plain(arguments),
        "output": plain(callback.settings),
        "recording": {
            "samples": recording.shape[0],
            "channels": recording.shape[1],
            "dtype": str(recording.dtype),
            "identity": recording.identity(),
        },
        "segments": [describe_grid(grid) for grid in run_plan.grids],
    }


def _resumed(
    journal: Journal,
    callback: DASAnnotateCallback,
    held: Sequence[SegmentGrid],
    run_plan: Plan,
    *,
    retry_failed: bool,
) -> RunState:
    """Return what is done already; blocks that must be computed again are struck out."""
    history = journal.history()
    parts = {block: callback.of_outputs(part) for block, part in history.parts.items()}
    again = {*_outgrown(held, run_plan), *callback.lost(parts)} & {*parts, *history.failures}
    if retry_failed:
        again |= set(history.failures)
    journal.forget(sorted(again))
    return RunState(
        run_plan,
        callback,
        journal,
        parts={block: part for block, part in parts.items() if block not in again},
        failures={b: failure for b, failure in history.failures.items() if b not in again},
    )


def _outgrown(held: Sequence[SegmentGrid], run_plan: Plan) -> Iterator[int]:
    """Yield the blocks that the end of the recording changed: it has moved since."""
    if not held:
        return
    old, new = held[-1], run_plan.grids[len(held) - 1]
    if old == new:
        return
    for row in range(old.blocks[0]):
        if old.along_time(row) != new.along_time(row) or _starts(old, row) != _starts(new, row):
            first = old.first_block + row * old.blocks[1]
            yield from range(first, first + old.blocks[1])


def _starts(grid: SegmentGrid, row: int) -> tuple[int, ...]:
    """Return where the last patches of a row of blocks start: the last of all fits the end."""
    patches = grid.along_time(row)[1]
    return tuple(
        grid.rows.start(i) for i in range(max(patches.start, patches.stop - 2), patches.stop)
    )


@contextmanager
def _reported(
    journal: Journal,
    callback: DASAnnotateCallback,
    fingerprint: Mapping[str, Any],
    tally: RunState,
    run: str,
    files: Sequence[tuple[str, str, str]],
) -> Iterator[None]:
    """Leave a report, however the run ends."""
    started, state, reason = _now(), "stopped", ""
    try:
        yield
        state = "failures" if tally.failures else "complete"
    except RunInterrupted as error:
        state, reason = "interrupted", str(error)
        raise
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        raise
    finally:
        summary = summarise(
            tally.plan,
            tally.report(),
            tally.done,
            state=state,
            reason=reason,
            run=run,
            outputs=[str(output.path) for output in callback.outputs],
            counts=plain(tally.result()),
            fingerprint=fingerprint,
            files=files,
            started=started,
            ended=_now(),
        )
        try:
            journal.report(json.dumps(summary, indent=1), as_text(summary))
        except OutputUnwritable as error:
            if not reason:
                raise
            _log.warning("The report could not be written either: %s", error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
