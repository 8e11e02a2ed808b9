"""Blocks in flight: submitted to a scheduler, and what comes back of them.

Blocks are submitted and fetched several at a time, for a message costs more than what is in it.
A task costs as well, so short blocks that read little share one::

    tasks      | 0 1 2 3 | 4 5 6 7 |  8  |      8 reads samples that are sent ahead, or a graph
    outcomes   | . . . . |  died   |  .  |      then each of 4 5 6 7 is looked at alone
"""

import asyncio
import pickle
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

import dask.config
from dask.delayed import Delayed
from distributed import Client, Future
from distributed.protocol.pickle import dumps  # also of classes that only this process knows

from dasdist.executors.block_task import BlockTask, Outcome
from dasdist.executors.names import task_key
from dasdist.executors.worker_plugin import plugin_here
from dasdist.sources import Selection

__all__ = ["Arrival", "InFlight", "run_numbered"]

_EMBEDDED_BYTES = 2**18
"""Samples that travel inside a task; larger arrays in memory are sent ahead of it."""

_BEAT = 0.1
"""Seconds after which a wait looks up to see whether it is to stop."""

Arrival = Outcome | BaseException | None
"""What comes back of a block; an exception is about more than the block, or about its worker; None
is a block that did not begin."""


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
        self._submissions = count(1)  # a key that was used before would bring back its old task
        self._bundles: dict[Future[Any], list[BlockTask]] = {}
        self._arrivals: SimpleQueue[tuple[Future[Any], Any]] = SimpleQueue()

    def __len__(self) -> int:
        return sum(map(len, self._bundles.values()))

    def __contains__(self, index: int) -> bool:
        return index in self.blocks()

    def blocks(self) -> list[int]:
        """Return the numbers of the blocks."""
        return [task.block.index for bundle in self._bundles.values() for task in bundle]

    def submit(
        self, tasks: Sequence[BlockTask], together: int = 1, worker: str | None = None
    ) -> None:
        """Submit blocks.

        Parameters
        ----------
        tasks : sequence of BlockTask
            The blocks.
        together : int
            How many may share a task of the scheduler; those that were submitted before do not.
        worker : str, optional
            Submit them to this worker only.
        """
        bundles = list(_bundled([_tried(task) for task in tasks], together))
        if not bundles:
            return
        numbers = [tuple(task.block.index for task in bundle) for bundle in bundles]
        futures = self._client.map(
            run_numbered,
            self._sent(bundles),
            numbers,
            run=self._run,
            key=[task_key(self._run, indices, next(self._submissions)) for indices in numbers],
            pure=False,
            workers=[worker] if worker else None,
        )
        self._bundles.update(zip(futures, bundles, strict=True))
        loop: Any = self._client.loop
        loop.add_callback(self._track, futures)

    def _sent(self, bundles: Sequence[Sequence[BlockTask]]) -> list[Any]:
        """Return what blocks read: recipes, or the future of a graph or of samples sent ahead."""
        first = [bundle[0].selection for bundle in bundles]
        graphs = [each for each in first if isinstance(each, Delayed)]
        large = [each for each in first if not isinstance(each, Delayed) and not _travels(each)]
        computed = iter(self._client.compute(graphs) if graphs else [])
        scattered = iter(self._sent_ahead(large) if large else [])

        def sent(bundle: Sequence[BlockTask]) -> Any:
            selection = bundle[0].selection
            if isinstance(selection, Delayed):
                return next(computed)
            if not _travels(selection):
                return next(scattered)
            # as bytes: a scheduler unpickles what tasks carry, and pickles it again
            return dumps([task.selection for task in bundle])

        return [sent(bundle) for bundle in bundles]

    def _sent_ahead(self, large: Sequence[Selection]) -> list[Future[Any]]:
        """Send samples to workers; where none takes any now, with a task that waits for one."""
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if any(worker["status"] == "running" for worker in workers):
            with suppress(TimeoutError):  # they have gone, or paused, in the meantime
                sent: list[Future[Any]] = self._client.scatter(large, hash=False)
                return sent
        # an adaptive cluster starts workers only for tasks
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 PiB"}):
            return [self._client.submit(pickle.loads, dumps(one), pure=False) for one in large]

    def arrived(self) -> list[tuple[BlockTask, Arrival]]:
        """Wait until something comes back, but not long, and return what did."""
        try:
            landed = [self._arrivals.get(timeout=_BEAT)]
        except Empty:
            return []
        while not self._arrivals.empty():
            landed.append(self._arrivals.get())
        found: list[tuple[BlockTask, Arrival]] = []
        for future, outcome in landed:
            # what was withdrawn in the meantime is not in flight any more
            bundle = self._bundles.pop(future, [])
            each = outcome if isinstance(outcome, list) else [outcome] * len(bundle)
            found += zip(bundle, each, strict=False)
        return found

    def withdraw(self, index: int) -> list[BlockTask]:
        """Take back a block, with those that share its task.

        Returns
        -------
        list of BlockTask
            Empty if the block is not in flight.
        """
        for future, bundle in self._bundles.items():
            if any(task.block.index == index for task in bundle):
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
        arrival: Any
        try:
            arrival = await self._client.gather(future, asynchronous=True)
        except BaseException as error:  # noqa: BLE001 - it is what comes of the block
            arrival = error
        self._arrivals.put((future, arrival))


def _bundled(tasks: Sequence[BlockTask], together: int) -> Iterator[list[BlockTask]]:
    """Group neighbours that are to share a task."""
    bundle: list[BlockTask] = []
    for task in tasks:
        selection = task.selection
        alone = task.attempts > 1 or isinstance(selection, Delayed) or not _travels(selection)
        if bundle and (alone or len(bundle) >= together):
            yield bundle
            bundle = []
        if alone:
            yield [task]
        else:
            bundle.append(task)
    if bundle:
        yield bundle


def _tried(task: BlockTask) -> BlockTask:
    return replace(task, attempts=task.attempts + 1)


def _travels(selection: Selection) -> bool:
    """Return whether what a block reads travels inside its task."""
    return selection.held_bytes <= _EMBEDDED_BYTES


def run_numbered(sent: Selection | bytes, indices: Sequence[int], run: str) -> list[Outcome | None]:
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
    list of BlockResult, Failure or None
        None for a block that did not begin, for no more are to.
    """
    here = plugin_here(run)
    selections: list[Selection] = pickle.loads(sent) if isinstance(sent, bytes) else [sent]
    return [here.process(each, index) for each, index in zip(selections, indices, strict=True)]
