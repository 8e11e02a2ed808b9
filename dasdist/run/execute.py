"""Run a plan: blocks to an executor, parts to the callback."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from dask.delayed import delayed
from distributed import Client

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.errors import DataWarning
from dasdist.inference import Recipe
from dasdist.run.cluster import run_on_cluster
from dasdist.run.plan import Plan
from dasdist.run.progress import Progress
from dasdist.run.replica import Payload, remember
from dasdist.run.report import Failure, RunReport
from dasdist.run.serial import run_serially
from dasdist.run.tally import Tally
from dasdist.run.work import Work
from dasdist.sources import Recording, array_part

__all__ = ["execute"]


def execute(
    plan: Plan,
    recording: Recording,
    payload: Payload,
    callback: DASAnnotateCallback,
    arguments: Mapping[str, Any],
    *,
    client: Client | None,
    tally: Tally | None = None,
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
    tally : Tally, optional
        What earlier runs did, and where this one writes down what it does.

    Returns
    -------
    RunReport
    """
    remember(payload)
    tally = tally or Tally(plan, callback)
    tasks = _tasks(
        plan, recording, payload, callback, arguments, tally, on_cluster=client is not None
    )
    if client is None:
        results = run_serially(tasks)
    else:
        results = run_on_cluster(client, payload, tasks, in_order=callback.in_order)
    shown = bool(arguments.get("pbar", True))
    with (
        Progress(len(plan), plan.data_seconds, shown=shown) as progress,
        closing(results),  # whatever happens here, nothing stays in flight
    ):
        for work, outcome in results:
            tally.take(work, outcome)
            progress.step(len(tally.failures))
    callback.finalize(tally.result())
    _warn_of(list(tally.failures.values()))
    return tally.report()


def _tasks(
    plan: Plan,
    recording: Recording,
    payload: Payload,
    callback: DASAnnotateCallback,
    arguments: Mapping[str, Any],
    tally: Tally,
    *,
    on_cluster: bool,
) -> Iterator[tuple[Any, Work]]:
    """Yield what each block reads and what is to be done with it."""
    mapper = callback.mapper()
    model_arguments = {k: v for k, v in arguments.items() if k != "pbar"}
    skip_errors = arguments.get("on_error", "raise") == "skip"
    for grid in plan.grids:
        recipe = Recipe(plan.batching, model_arguments, plan.sections[grid.index])
        for block in grid:
            if not tally.waits(block.index):
                continue
            work = Work(grid, block, recipe, payload.token, mapper, skip_errors)
            if recording.graph is not None and on_cluster:
                read = block.read
                values = recording.graph[read.time.slice, read.distance.slice]
                yield delayed(array_part)(values, read, grid.times_of(read)), work
            else:
                yield recording.part(block.read), work


def _warn_of(failures: list[Failure]) -> None:
    if failures:
        warnings.warn(
            f"{len(failures)} blocks were left out because their data could not be read; the "
            f"report lists them. The first: {failures[0].error}",
            DataWarning,
            stacklevel=4,
        )
