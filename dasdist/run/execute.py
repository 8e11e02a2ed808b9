"""Run a plan: blocks to an executor, parts to the callback."""

import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from typing import Any

from dask.delayed import delayed
from distributed import Client

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.errors import DataWarning
from dasdist.executors.block_task import Shared, Work
from dasdist.executors.cluster import run_on_cluster
from dasdist.executors.serial import run_serially
from dasdist.executors.stopping import Stop, stopping
from dasdist.inference import Recipe
from dasdist.inference.replica import Payload, remember
from dasdist.planning.plan import Plan
from dasdist.report import Done, Failure, RunReport
from dasdist.run.failures import FailureLimit
from dasdist.run.progress import Progress
from dasdist.run.state import RunState
from dasdist.sources import Recording, array_selection

__all__ = ["execute"]


def execute(
    plan: Plan,
    recording: Recording,
    payload: Payload,
    callback: DASAnnotateCallback,
    arguments: Mapping[str, Any],
    *,
    client: Client | None,
    most_failures: int | None = None,
    block_timeout: float | None = None,
    tally: RunState | None = None,
) -> RunReport:
    """Run every block of a plan that is not done yet, and reduce the parts.

    Parameters
    ----------
    plan : Plan
        The blocks.
    recording : Recording
        The data.
    payload : Payload
        The model.
    callback : DASAnnotateCallback
        Set up already; finalized here.
    arguments : mapping
        Arguments of ``annotate``.
    client : Client or None
        A synchronous client, or None to run in this process.
    most_failures : int, optional
        Blocks that may fail; if 0, the error of the first is raised.
    block_timeout : float, optional
        Seconds after which a block is given up; on a cluster only, see
        :func:`dasdist.executors.watchdog.check_timeout`.
    tally : RunState, optional
        What earlier runs did, and where this one writes down what it does.

    Returns
    -------
    RunReport
    """
    remember(payload)
    tally = tally or RunState(plan, callback)
    shared = _shared(plan, payload, callback, arguments, skip_errors=most_failures != 0)
    tasks = _tasks(plan, recording, shared, tally, on_cluster=client is not None)
    budget = FailureLimit(len(plan), most_failures, done=tally.over)
    shown = arguments.get("pbar", True)

    def results(stop: Stop) -> Generator[tuple[Work, Done | Failure], None, None]:
        if client is None:
            return run_serially(tasks, threads=plan.resources.threads, stop=stop)
        return run_on_cluster(
            client,
            payload,
            shared,
            tasks,
            in_order=callback.in_order,
            stop=stop,
            block_timeout=block_timeout,
        )

    with (
        Progress(len(plan), plan.data_seconds, shown=shown, done=tally.over) as progress,
        stopping() as stop,
        closing(results(stop)) as outcomes,  # whatever happens here, nothing stays in flight
    ):
        for work, outcome in outcomes:
            tally.take(work, outcome)
            budget = budget.after(outcome)
            progress.step(len(tally.failures))
    callback.finalize(tally.result())
    _warn_of(list(tally.failures.values()))
    return tally.report()


def _shared(
    plan: Plan,
    payload: Payload,
    callback: DASAnnotateCallback,
    arguments: Mapping[str, Any],
    *,
    skip_errors: bool,
) -> Shared:
    """Return what all blocks have in common."""
    for_model = {k: v for k, v in arguments.items() if k != "pbar"}
    return Shared(
        grids=plan.grids,
        recipes=tuple(Recipe(plan.batching, for_model, section) for section in plan.sections),
        token=payload.token,
        mapper=callback.mapper(),
        skip_errors=skip_errors,
    )


def _tasks(
    plan: Plan, recording: Recording, shared: Shared, tally: RunState, *, on_cluster: bool
) -> Iterator[tuple[Any, Work]]:
    """Yield what each block reads and what is to be done with it."""
    for index in filter(tally.waits, range(len(plan))):
        work = shared.work(index)
        read = work.block.read
        if recording.graph is not None and on_cluster:
            values = recording.graph[read.time.slice, read.distance.slice]
            yield delayed(array_selection)(values, read, work.grid.times_of(read)), work
        else:
            yield recording.select(read), work


def _warn_of(failures: list[Failure]) -> None:
    if failures:
        warnings.warn(
            f"{len(failures)} blocks were left out because their data could not be read; the "
            f"report lists them. The first: {failures[0].error}",
            DataWarning,
            stacklevel=4,
        )
