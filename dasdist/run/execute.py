"""Run a plan: blocks to an executor, parts to the callback."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
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
) -> RunReport:
    """Run every block of a plan and reduce the parts.

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

    Returns
    -------
    RunReport
    """
    started = time.monotonic()
    remember(payload)
    tasks = _tasks(plan, recording, payload, callback, arguments, on_cluster=client is not None)
    if client is None:
        results = run_serially(tasks)
    else:
        results = run_on_cluster(client, payload, tasks, in_order=callback.in_order)
    parts = _Fold(callback.combine)
    failures: list[Failure] = []
    shown = bool(arguments.get("pbar", True))
    with (
        Progress(len(plan), plan.data_seconds, shown=shown) as progress,
        closing(results),  # whatever happens here, nothing stays in flight
    ):
        for work, result in results:
            if isinstance(result, Failure):
                failures.append(result)
            elif callback.in_order:
                parts.add(callback.consume(result.part, work.grid))
            else:
                parts.add(result.part)
            progress.step(len(failures))
    callback.finalize(parts.result())
    _warn_of(failures)
    return RunReport(
        model=plan.model,
        blocks=len(plan),
        data_seconds=plan.data_seconds,
        wall_seconds=time.monotonic() - started,
        skipped=plan.skipped,
        failures=tuple(sorted(failures, key=lambda f: f.block)),
    )


class _Fold:
    """Combines parts as they come, in a tree: each is merged a few times, however many there are.

    Parameters
    ----------
    combine : callable
        Merges a list of parts into one.
    """

    width = 64

    def __init__(self, combine: Callable[[list[Any]], Any]) -> None:
        self._combine = combine
        self._levels: list[list[Any]] = [[]]

    def add(self, part: Any) -> None:
        """Take one part."""
        for level in self._levels:
            level.append(part)
            if len(level) < self.width:
                return
            part = self._combine(list(level))
            level.clear()
        self._levels.append([part])

    def result(self) -> Any:
        """Return all parts combined."""
        return self._combine([part for level in self._levels for part in level])


def _tasks(
    plan: Plan,
    recording: Recording,
    payload: Payload,
    callback: DASAnnotateCallback,
    arguments: Mapping[str, Any],
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
