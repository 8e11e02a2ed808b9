"""The run: plan, set the callback up, compute what is left, reduce, report.

::

    Request -> Plan -> Executor -> BlockResult -> RunState -> RunReport
                          |                          |
                          '------- BlockEvent -------'----> progress bar, dashboard, log
"""

import warnings
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

from dask.delayed import delayed
from distributed import Client

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.callbacks.sink import SinkCallback
from dasdist.dashboard.watch import watched
from dasdist.errors import DataWarning, InvalidInput, RunInterrupted, TooManyFailures
from dasdist.executors.block_task import BlockTask, RunSpec
from dasdist.executors.clients import synchronous
from dasdist.executors.cluster import ClusterExecutor
from dasdist.executors.protocol import Executor
from dasdist.executors.serial import SerialExecutor
from dasdist.executors.stopping import stopping
from dasdist.executors.watchdog import check_timeout
from dasdist.inference import Recipe
from dasdist.inference.replica import predictor_of
from dasdist.journal.memory_journal import MemoryJournal
from dasdist.journal.run_journal import AnyJournal, RunJournal
from dasdist.planning.plan import Plan
from dasdist.report import RunReport
from dasdist.run.events import EventStream
from dasdist.run.failures import FailureLimit
from dasdist.run.options import MaxFailures
from dasdist.run.progress import RunProgress, progress_view
from dasdist.run.request import Request
from dasdist.run.state import RunState
from dasdist.safe_text import logger
from dasdist.sources import array_selection
from dasdist.units import count_of

__all__ = ["run"]

_log = logger()

_ATTEMPTS = 3
"""How often a block is computed whose results vanish from the output."""


def run(request: Request, callback: DASAnnotateCallback) -> RunReport:
    """Compute what was asked for and give it to a callback.

    Parameters
    ----------
    request : Request
        Model, recording, arguments and options.
    callback : DASAnnotateCallback
        What consumes the annotations; set up and finalized here.

    Returns
    -------
    RunReport
        What was done and what was left out.
    """
    options = request.options
    lasting = isinstance(callback, SinkCallback) and bool(callback.outputs)
    most = options.most_failures(lasting=lasting)
    with synchronous(request.client) as client, _journal(request, callback) as journal:
        check_timeout(client, options.block_timeout)
        plan = request.plan(
            callback.needs, client, held_core=journal.held_core, scale=journal.scale
        )
        held = journal.begin(plan, request.context(plan))
        state = RunState(plan, callback, journal, held)
        with journal.reporting(state):
            _compute_all(request, plan, callback, client, state, most)
            callback.finalize(state.result())
    report = state.report()
    _warn_of(report)
    return report


def _journal(request: Request, callback: DASAnnotateCallback) -> AnyJournal:
    """Return the journal of a run; for results in memory, one that keeps nothing."""
    options = request.options
    if isinstance(callback, SinkCallback) and callback.outputs:
        return RunJournal(
            callback,
            model_name=request.spec.name,
            model=predictor_of(request.payload.token).model,
            arguments={**request.arguments, **request.mask_argument},
            recording=request.recording,
            files=request.listed,
            overwrite=options.overwrite,
            retry_failed=options.retry_failed,
        )
    if options.retry_failed:
        raise InvalidInput(
            "retry_failed needs results that last, whose ledger says which blocks failed; these "
            "are kept in memory. Pass out=, or leave retry_failed out."
        )
    return MemoryJournal(callback)


def _compute_all(
    request: Request,
    plan: Plan,
    callback: DASAnnotateCallback,
    client: Client | None,
    state: RunState,
    most: MaxFailures,
) -> None:
    """Compute until all that is said to be in the outputs is there."""
    for _ in range(_ATTEMPTS):
        try:
            _compute(request, plan, callback, client, state, most)
        except (RunInterrupted, TooManyFailures):
            state.settle()
            raise
        gone = state.look_again()
        if not gone:
            break
        _log.warning("What %s wrote is gone from the output.", count_of(len(gone), "block"))
    else:
        state.give_up(
            gone,
            f"It was computed {_ATTEMPTS} times, and what it wrote was gone from the output when "
            "the run looked again: see what else removes files there.",
        )
    state.settle()


def _compute(
    request: Request,
    plan: Plan,
    callback: DASAnnotateCallback,
    client: Client | None,
    state: RunState,
    most: MaxFailures,
) -> None:
    """Compute the blocks that are left."""
    options = request.options
    spec = RunSpec(plan.grids, _recipes(request, plan, callback), request.payload, most != 0)
    limit = FailureLimit(len(plan), most, done=state.finished + len(state.failures))
    tasks = _tasks(request, plan, state.left, on_cluster=client is not None)
    name, view = uuid4().hex[:8], progress_view(options.pbar)
    phases = request.spec.phases or request.spec.annotate_keys
    executor: Executor = SerialExecutor(plan.resources.threads)
    if client is not None:
        executor = ClusterExecutor(client, options.block_timeout, name)
    with watched(client, name, plan, request.recording.channel_unit, phases) as watch:
        progress = RunProgress(plan, view, watch)
        listen = EventStream((progress, watch, *options.listeners))
        state.tell_skipped(listen)
        with (
            progress,
            stopping() as stop,
            # whatever happens here, nothing stays in flight
            closing(executor.run(spec, tasks, stop, listen)) as outcomes,
        ):
            for outcome in outcomes:
                state.take(outcome, listen)
                limit = limit.after(outcome)


def _recipes(request: Request, plan: Plan, callback: DASAnnotateCallback) -> tuple[Recipe, ...]:
    """Return what the blocks of each segment share."""
    mapper, needs = callback.mapper(), callback.needs
    return tuple(
        Recipe(
            plan.batching,
            request.arguments,
            section,
            mapper,
            needs,
            plan.amplitude,
            plan.slice_rows(grid.largest_block()),
            request.mask,
        )
        for grid, section in zip(plan.grids, plan.sections, strict=True)
    )


def _tasks(
    request: Request, plan: Plan, left: list[int], *, on_cluster: bool
) -> Iterator[BlockTask]:
    """Yield what each block reads."""
    recording: Any = request.recording
    for block in map(plan.block, left):
        read = block.read
        if recording.graph is not None and on_cluster:
            values = recording.graph[read.time.slice, read.distance.slice]
            yield BlockTask(block, delayed(array_selection)(values, read, block.read_time))
        else:
            yield BlockTask(block, recording.select(read))


def _warn_of(report: RunReport) -> None:
    told = []
    if report.failures:
        they = "it" if len(report.failures) == 1 else "they"
        told.append(
            f"{count_of(len(report.failures), 'block was', 'blocks were')} left out because {they} "
            f"failed; the report lists them. The first: {report.failures[0].error}"
        )
    if report.partial:
        told.append(
            f"Of {count_of(len(report.partial), 'block')}, windows were left out that cannot be "
            f"computed; the report lists why (report.missing). The first: {report.missing[0]}."
        )
    if told:
        warnings.warn(" ".join(told), DataWarning, stacklevel=4)
