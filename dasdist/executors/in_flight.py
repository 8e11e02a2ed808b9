"""Blocks in flight: submitted to a scheduler, and what became of them as they come back.

Blocks are submitted and fetched several at a time, for a message costs more than what is in it.
A task costs as well, so short blocks that read little share one::

    tasks      | 0 1 2 3 | 4 5 6 7 |  8  |      8 reads samples that are sent ahead, or a graph
    outcomes   | . . . . |  died   |  .  |      then each of 4 5 6 7 is looked at alone
"""

import asyncio
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from dask.delayed import Delayed
from distributed import Client, Future

from dasdist.executors.block_task import Work, run_block
from dasdist.executors.names import task_key
from dasdist.executors.worker_plugin import plugin_here
from dasdist.report import Done, Failure
from dasdist.sources import Selection

__all__ = ["InFlight", "Outcome", "Task", "run_numbered"]

_EMBEDDED_BYTES = 2**18
"""Samples that travel inside a task; larger arrays in memory are sent ahead of it."""

_BEAT = 0.1
"""Seconds after which a wait looks up to see whether it is to stop."""

Outcome = Done | Failure | BaseException | None
"""What became of a block; an exception is about more than the block, or about its worker; None is
a block that did not begin."""


@dataclass(slots=True)
class Task:
    """A block and what it reads.

    Parameters
    ----------
    part : Selection or Delayed
        The slice of the recording, or the dask graph that makes it.
    work : Work
        The block's work.
    attempts : int
        How often it was submitted.
    """

    part: Selection | Delayed
    work: Work
    attempts: int = 0

    @property
    def index(self) -> int:
        """The block's number."""
        return self.work.block.index


class InFlight:
    """The blocks that are at the scheduler, or waiting to be fetched from it.

    Parameters
    ----------
    client : Client
        A synchronous client.
    run : str
        Names the run; it is known to the workers.
    """

    def __init__(self, client: Client, run: str) -> None:
        self._client = client
        self._run = run
        self._bundles: dict[Future[Any], list[Task]] = {}
        self._arrivals: SimpleQueue[tuple[Future[Any], Any]] = SimpleQueue()

    def __len__(self) -> int:
        return sum(map(len, self._bundles.values()))

    def submit(self, tasks: Sequence[Task], together: int = 1, worker: str | None = None) -> None:
        """Submit blocks.

        Parameters
        ----------
        tasks : sequence of Task
            The blocks.
        together : int
            How many may share a task of the scheduler; those that were submitted before do not.
        worker : str, optional
            Submit them to this worker only.
        """
        bundles = list(_bundled(tasks, together))
        if not bundles:
            return
        for task in tasks:
            task.attempts += 1
        numbers = [tuple(task.index for task in bundle) for bundle in bundles]
        futures = self._client.map(
            run_numbered,
            self._sent(bundles),
            numbers,
            run=self._run,
            key=[
                task_key(self._run, indices, bundle[0].attempts)
                for indices, bundle in zip(numbers, bundles, strict=True)
            ],
            pure=False,
            workers=[worker] if worker else None,
        )
        self._bundles.update(zip(futures, bundles, strict=True))
        loop: Any = self._client.loop
        loop.add_callback(self._track, futures)

    def _sent(self, bundles: Sequence[Sequence[Task]]) -> list[Any]:
        """Return what blocks read: recipes, or the future of a graph or of samples sent ahead."""
        parts = [bundle[0].part for bundle in bundles]
        graphs = [part for part in parts if isinstance(part, Delayed)]
        large = [part for part in parts if not isinstance(part, Delayed) and not _travels(part)]
        computed = iter(self._client.compute(graphs) if graphs else [])
        scattered = iter(self._client.scatter(large, hash=False) if large else [])

        def sent(bundle: Sequence[Task]) -> Any:
            part = bundle[0].part
            if isinstance(part, Delayed):
                return next(computed)
            if not _travels(part):
                return next(scattered)
            # as bytes: a scheduler unpickles what tasks carry, and pickles it again
            return pickle.dumps([task.part for task in bundle])

        return [sent(bundle) for bundle in bundles]

    def arrived(self) -> list[tuple[Task, Outcome]]:
        """Wait until something comes back, but not long, and return what did."""
        try:
            landed = [self._arrivals.get(timeout=_BEAT)]
        except Empty:
            return []
        while not self._arrivals.empty():
            landed.append(self._arrivals.get())
        found: list[tuple[Task, Outcome]] = []
        for future, outcome in landed:
            # what was withdrawn in the meantime is not in flight any more
            bundle = self._bundles.pop(future, [])
            each = outcome if isinstance(outcome, list) else [outcome] * len(bundle)
            found += zip(bundle, each, strict=False)
        return found

    def withdraw(self, index: int) -> list[Task]:
        """Take back a block, with those that share its task.

        Returns
        -------
        list of Task
            Empty if the block is not in flight.
        """
        for future, bundle in self._bundles.items():
            if any(task.index == index for task in bundle):
                del self._bundles[future]
                self._client.cancel([future], force=True)
                return bundle
        return []

    def close(self) -> None:
        """Take back everything."""
        if self._bundles and self._client.status == "running":
            self._client.cancel(list(self._bundles), force=True)
        self._bundles.clear()

    async def _track(self, futures: list[Future[Any]]) -> None:
        """Wait for futures, on the client's event loop; results of several are fetched at once."""
        landings = [self._land(future) for future in futures]
        # each is to be released when it has landed, whatever the others do: a result that is here
        # would be computed again if the worker that still has to hold it died
        futures.clear()
        await asyncio.gather(*landings)

    async def _land(self, future: Future[Any]) -> None:
        outcome: Any
        try:
            outcome = await self._client.gather(future, asynchronous=True)
        except BaseException as error:  # noqa: BLE001 - it is what became of the block
            outcome = error
        self._arrivals.put((future, outcome))


def _bundled(tasks: Sequence[Task], together: int) -> Iterator[list[Task]]:
    """Group neighbours that are to share a task."""
    bundle: list[Task] = []
    for task in tasks:
        alone = task.attempts > 0 or isinstance(task.part, Delayed) or not _travels(task.part)
        if bundle and (alone or len(bundle) >= together):
            yield bundle
            bundle = []
        if alone:
            yield [task]
        else:
            bundle.append(task)
    if bundle:
        yield bundle


def _travels(part: Selection) -> bool:
    """Return whether what a block reads travels inside its task."""
    return part.held_bytes <= _EMBEDDED_BYTES


def run_numbered(
    sent: Selection | bytes, indices: Sequence[int], run: str
) -> list[Done | Failure | None]:
    """Process blocks on a worker, which knows all about them but what they read and their numbers.

    Parameters
    ----------
    sent : Selection or bytes
        What one block reads, or the pickled list of what each of them reads.
    indices : sequence of int
        Their numbers.
    run : str
        Names the run.

    Returns
    -------
    list of Done, Failure or None
        None for a block that did not begin, for no more are to.
    """
    here = plugin_here(run)
    parts: list[Selection] = pickle.loads(sent) if isinstance(sent, bytes) else [sent]
    return [
        None if here.halted else run_block(part, here.shared.work(index), here.guard(index))
        for part, index in zip(parts, indices, strict=True)
    ]
