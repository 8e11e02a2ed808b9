"""The Dask executor: a task per block or few short ones, and a bounded window of them in flight.

::

    blocks   0 1 2 3 4 5 6 7 8 9 ...            suspects
             done  [ in flight ]  not yet       were on two workers that died: they
                                  submitted     run last, one at a time, alone on a worker

A finished future is released as soon as its part is here, so that neither scheduler nor client
grows with the archive, and the death of a worker costs only what it held.  Blocks that a worker
held when it died are submitted again by the scheduler.  Which of them was the cause cannot be told
from one death; a block that kills three workers on which it is alone is to blame.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from itertools import islice
from uuid import uuid4

from dask.delayed import Delayed
from distributed import CancelledError, Client, KilledWorker

from dasdist.errors import ClusterLost
from dasdist.executors.backpressure import Backpressure
from dasdist.executors.block_task import Shared, Work, failure
from dasdist.executors.clients import nannies_kept
from dasdist.executors.in_flight import InFlight, Outcome, Task
from dasdist.executors.ordering import AsTheyCome, InOrder, Result
from dasdist.executors.stopping import Stop
from dasdist.executors.worker_deaths import Deaths, Died, Hung, scheduler_address
from dasdist.executors.worker_plugin import RunPlugin, delivered, halt
from dasdist.inference.replica import Payload
from dasdist.report import Done, Failure
from dasdist.sources import Selection

__all__ = ["run_on_cluster"]

_DEATHS = 2
"""Workers that die with a block before it waits for a worker of its own."""

_KILLS = 3
"""Workers that die with a block alone on them before it is given up."""

_LOOK = 1.0
"""Seconds between two looks whether a worker is still there."""


def run_on_cluster(
    client: Client,
    payload: Payload,
    shared: Shared,
    tasks: Iterable[tuple[Selection | Delayed, Work]],
    *,
    in_order: bool = False,
    stop: Stop | None = None,
    block_timeout: float | None = None,
) -> Generator[Result, None, None]:
    """Run blocks on the workers of a cluster.

    Parameters
    ----------
    client : Client
        A synchronous client.
    payload : Payload
        The model.
    shared : Shared
        What all blocks share; it makes the work of the tasks.
    tasks : iterable of (Selection or Delayed, Work)
        The blocks; consumed as the window moves on.
    in_order : bool
        Whether to yield in the order of the tasks instead of as they complete.
    stop : Stop, optional
        Ends the run before its last block.
    block_timeout : float, optional
        Seconds after which a block is given up, and its worker process ended.

    Yields
    ------
    Work, Done or Failure
        The block's work and what became of it.

    Raises
    ------
    ClusterLost
        If the scheduler is gone, or all workers are and no more will come.
    RunInterrupted
        If the run was told to stop.
    """
    plugin = RunPlugin(uuid4().hex[:8], payload, shared, block_timeout)
    waiting = (Task(part, work) for part, work in tasks)
    try:
        with (
            nannies_kept(client),
            Deaths(client, plugin.run) as deaths,
            delivered(client, plugin),
            closing(InFlight(client, plugin.run)) as flight,
        ):
            yield from _Run(client, plugin, flight, deaths, stop or Stop(), waiting, in_order)
    except ClusterLost:
        raise
    except OSError as error:
        if client.status == "running":
            raise
        raise _lost(client) from error


class _Run:
    """The loop of a run; iterate over it once."""

    def __init__(
        self,
        client: Client,
        plugin: RunPlugin,
        flight: InFlight,
        deaths: Deaths,
        stop: Stop,
        waiting: Iterator[Task],
        in_order: bool,
    ) -> None:
        self._client, self._plugin = client, plugin
        self._flight, self._deaths, self._stop = flight, deaths, stop
        self._waiting = waiting
        self._window = Backpressure(client, steady=in_order)
        self._order = InOrder() if in_order else AsTheyCome()
        self._again: list[Task] = []
        self._suspects: deque[Task] = deque()
        self._died_with: Counter[int] = Counter()
        self._given_up = False

    def __iter__(self) -> Iterator[Result]:
        halted = False
        while not self._stop.over:
            if not self._stop.requested:
                self._submit()
            elif not halted:
                halt(self._client, self._plugin.run)
                halted = True
            if self._flight:
                for task, outcome in self._flight.arrived():
                    yield from self._settled(task, outcome)
                for event in self._deaths.news():
                    yield from self._suspected(event)
            elif self._suspects and not self._stop.requested:
                task = self._suspects.popleft()
                yield from self._settled(task, self._alone(task))
            elif not self._again or self._stop.requested:
                break
        left = self._flight or self._suspects or self._again or self._given_up
        if left or next(self._waiting, None) is not None:
            raise self._stop.interrupted()

    def _submit(self) -> None:
        free = self._window.free(len(self._flight) + len(self._order))
        new = list(islice(self._waiting, max(0, free - len(self._again))))
        self._order.expect(new)
        again, self._again = self._again, []
        self._flight.submit([*again, *new], self._window.together)

    def _settled(self, task: Task, outcome: Outcome) -> Iterator[Result]:
        """Yield what became of a block, or keep it for later."""
        if isinstance(outcome, Done | Failure):
            self._window.learn(outcome)
            yield from self._order.add(task, outcome)
        elif outcome is None:
            self._given_up = True
        elif isinstance(outcome, KilledWorker):
            self._suspects.append(task)
        elif isinstance(outcome, CancelledError | asyncio.CancelledError):
            # samples that were sent ahead are lost with the worker that held them
            if self._client.status != "running":
                raise _lost(self._client) from outcome
            self._again.append(task)
        else:
            raise outcome

    def _suspected(self, event: Died | Hung) -> Iterator[Result]:
        """Take note of a death; give up a block that hung."""
        if isinstance(event, Hung):
            for task in self._flight.withdraw(event.block):
                if task.index == event.block:
                    yield from self._order.add(task, self._too_late(task, event))
                else:
                    self._again.append(task)
            return
        self._died_with.update(event.blocks)
        suspected = {b for b in event.blocks if self._died_with[b] >= _DEATHS}
        for block in suspected:
            for task in self._flight.withdraw(block):
                (self._suspects if task.index in suspected else self._again).append(task)

    def _alone(self, task: Task) -> Outcome:
        """Run a block on a worker where nothing else of the run is, three times if need be."""
        for _ in range(_KILLS):
            worker = self._quietest()
            if worker is None:
                return None
            self._flight.submit([task], worker=worker)
            outcome = self._watched(task, worker)
            if not isinstance(outcome, KilledWorker | _Killed):
                return outcome
        return failure(
            task.work,
            f"It killed its worker {_KILLS} times, and nothing else ran there: it ran out of "
            "memory, or a library crashed. The log of the workers may tell which.",
            "killed",
        )

    def _watched(self, task: Task, worker: str) -> Outcome:
        """Return what became of a block on this worker."""
        looked = time.monotonic()
        while not self._stop.over:
            for _, outcome in self._flight.arrived():
                return outcome
            for event in self._deaths.news():
                if isinstance(event, Hung) and self._flight.withdraw(event.block):
                    return self._too_late(task, event)
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                if worker not in self._client.nthreads():
                    self._flight.withdraw(task.index)
                    return _Killed()
        return None

    def _quietest(self) -> str | None:
        """Return the worker with the least to do, when there is one."""
        while not self._stop.requested:
            self._deaths.check()
            self._window.look()
            busy: dict[str, list[str]] = self._client.processing()
            if busy:
                return min(busy, key=lambda worker: len(busy[worker]))
            time.sleep(0.1)
        return None

    def _too_late(self, task: Task, event: Hung) -> Failure:
        return failure(
            task.work,
            f"It took more than {self._plugin.block_timeout:g} s, and its worker was ended. "
            "Allow more with block_timeout if it may take that long.",
            "deadline",
            event.stack,
        )


class _Killed(Exception):
    """The worker of a block is gone."""


def _lost(client: Client) -> ClusterLost:
    return ClusterLost(
        f"The connection to the scheduler {scheduler_address(client)} was lost. Start a cluster "
        "and call again: what the output holds is kept, and the same call with the same output "
        "resumes."
    )
