"""Blocks in flight: submitted to a scheduler, and what became of them as they come back.

Blocks are submitted and fetched several at a time, for a message costs more than what is in it.
"""

import asyncio
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from dask.delayed import Delayed
from distributed import Client, Future

from dasdist.run.delivery import plugin_here
from dasdist.run.report import Done, Failure
from dasdist.run.work import Work, run_block
from dasdist.sources import Part

__all__ = ["Flight", "Outcome", "Task", "run_numbered"]

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
    part : Part or Delayed
        The slice of the recording, or the dask graph that makes it.
    work : Work
        The block's work.
    attempts : int
        How often it was submitted.
    """

    part: Part | Delayed
    work: Work
    attempts: int = 0

    @property
    def index(self) -> int:
        """The block's number."""
        return self.work.block.index


class Flight:
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
        self._tasks: dict[Future[Any], Task] = {}
        self._arrivals: SimpleQueue[tuple[Future[Any], Outcome]] = SimpleQueue()

    def __len__(self) -> int:
        return len(self._tasks)

    def submit(self, tasks: Sequence[Task], worker: str | None = None) -> None:
        """Submit blocks; to one worker only, if it is named."""
        if not tasks:
            return
        for task in tasks:
            task.attempts += 1
        futures = self._client.map(
            run_numbered,
            self._sent(tasks),
            [task.index for task in tasks],
            run=self._run,
            key=[(f"dasdist-{self._run}", task.index, task.attempts) for task in tasks],
            pure=False,
            workers=[worker] if worker else None,
        )
        self._tasks.update(zip(futures, tasks, strict=True))
        loop: Any = self._client.loop
        loop.add_callback(self._track, futures)

    def _sent(self, tasks: Sequence[Task]) -> list[Any]:
        """Return what blocks read: a recipe, or the future of a graph or of samples sent ahead."""
        parts = [task.part for task in tasks]
        graphs = [part for part in parts if isinstance(part, Delayed)]
        large = [p for p in parts if isinstance(p, Part) and p.held_bytes > _EMBEDDED_BYTES]
        computed = iter(self._client.compute(graphs) if graphs else [])
        scattered = iter(self._client.scatter(large, hash=False) if large else [])

        def sent(part: Part | Delayed) -> Any:
            if isinstance(part, Delayed):
                return next(computed)
            if part.held_bytes > _EMBEDDED_BYTES:
                return next(scattered)
            # as bytes: a scheduler unpickles what tasks carry, and pickles it again
            return pickle.dumps(part)

        return [sent(part) for part in parts]

    def arrived(self) -> list[tuple[Task, Outcome]]:
        """Wait until something comes back, but not long, and return what did."""
        try:
            landed = [self._arrivals.get(timeout=_BEAT)]
        except Empty:
            return []
        while not self._arrivals.empty():
            landed.append(self._arrivals.get())
        # what was withdrawn in the meantime is not in flight any more
        return [
            (self._tasks.pop(future), outcome)
            for future, outcome in landed
            if future in self._tasks
        ]

    def withdraw(self, index: int) -> Task | None:
        """Take back a block; return None if it is not in flight."""
        for future, task in self._tasks.items():
            if task.index == index:
                del self._tasks[future]
                self._client.cancel([future], force=True)
                return task
        return None

    def close(self) -> None:
        """Take back everything."""
        if self._tasks and self._client.status == "running":
            self._client.cancel(list(self._tasks), force=True)
        self._tasks.clear()

    async def _track(self, futures: list[Future[Any]]) -> None:
        """Wait for futures, on the client's event loop; results of several are fetched at once."""
        landings = [self._land(future) for future in futures]
        # each is to be released when it has landed, whatever the others do: a result that is here
        # would be computed again if the worker that still has to hold it died
        futures.clear()
        await asyncio.gather(*landings)

    async def _land(self, future: Future[Any]) -> None:
        outcome: Outcome
        try:
            outcome = await self._client.gather(future, asynchronous=True)
        except BaseException as error:  # noqa: BLE001 - it is what became of the block
            outcome = error
        self._arrivals.put((future, outcome))


def run_numbered(sent: Part | bytes, index: int, run: str) -> Done | Failure | None:
    """Process a block on a worker, which knows all about it but what it reads and its number.

    Parameters
    ----------
    sent : Part or bytes
        What it reads, perhaps pickled.
    index : int
        Its number.
    run : str
        Names the run.

    Returns
    -------
    Done or Failure or None
        None if no more blocks are to begin.
    """
    here = plugin_here(run)
    if here.halted:
        return None
    part: Part = pickle.loads(sent) if isinstance(sent, bytes) else sent
    return run_block(part, here.shared.work(index), here.guard(index))
