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
from math import inf
from uuid import uuid4

from distributed import CancelledError, Client, KilledWorker

from dasdist.block_events import BlockEvent, Listener
from dasdist.executors.backpressure import Backpressure
from dasdist.executors.block_task import BlockTask, Outcome, RunSpec, failure
from dasdist.executors.clients import nannies_kept, seceded, told_if_lost
from dasdist.executors.in_flight import Arrival, InFlight
from dasdist.executors.losses import Losses
from dasdist.executors.lost_links import told_in_a_line, unanswered
from dasdist.executors.ordering import AsTheyCome, InOrder
from dasdist.executors.stopping import Stop
from dasdist.executors.telemetry import running_event
from dasdist.executors.waiting import Patience
from dasdist.executors.worker_events import Died, Hung, Running, WorkerEvents
from dasdist.executors.worker_plugin import RunPlugin, delivered, halt
from dasdist.report import BlockResult, Failure
from dasdist.safe_text import logger

__all__ = ["ClusterExecutor"]

_log = logger()

_DEATHS = 2
"""Workers that die with a block before it waits for a worker of its own."""

_KILLS = 3
"""Workers that die with a block alone on them before it is given up."""

_LOOK = 1.0
"""Seconds between two looks whether a worker is still there."""

_PERIOD = 0.25
"""Seconds between two events of a block that runs, in a small cluster."""

_MESSAGES = 200
"""Events of blocks that a scheduler takes a second, in a large one."""


class ClusterExecutor:
    """Runs blocks on the workers of a cluster.

    Parameters
    ----------
    client : Client
        A synchronous client.
    block_timeout : float
        Seconds after which a block counts as hanging and is given up; infinity is never.  Needs
        workers with nannies, see :func:`dasdist.executors.watchdog.check_timeout`.
    name : str, optional
        Names the run where workers tell of its blocks; each run on a cluster needs another.
    """

    def __init__(self, client: Client, block_timeout: float = inf, name: str = "") -> None:
        self._client = client
        self._block_timeout = block_timeout
        self._name = name

    def run(
        self, spec: RunSpec, tasks: Iterable[BlockTask], stop: Stop, listen: Listener
    ) -> Generator[Outcome, None, None]:
        """Compute blocks, as :class:`~dasdist.executors.protocol.Executor` says.

        Raises
        ------
        ClusterLost
            If the scheduler is gone, or all workers are and no more will come.
        """
        client = self._client
        told_in_a_line()
        with told_if_lost(client), nannies_kept(client), seceded():
            period = max(_PERIOD, sum(client.nthreads().values()) / _MESSAGES)
            plugin = RunPlugin(self._name or uuid4().hex[:8], spec, self._block_timeout, period)
            with (
                WorkerEvents(client, plugin.run) as events,
                delivered(client, plugin),
                closing(InFlight(client, plugin.run)) as in_flight,
            ):
                yield from _Run(client, plugin, in_flight, events, stop, iter(tasks), listen)


class _Run:
    """The loop of a run; iterate over it once."""

    def __init__(
        self,
        client: Client,
        plugin: RunPlugin,
        in_flight: InFlight,
        events: WorkerEvents,
        stop: Stop,
        waiting: Iterator[BlockTask],
        listen: Listener,
    ) -> None:
        in_order = plugin.spec.needs.in_order
        self._client, self._plugin, self._listen = client, plugin, listen
        self._in_flight, self._events, self._stop = in_flight, events, stop
        self._waiting = waiting
        self._pressure = Backpressure(client, steady=in_order)
        self._patience = Patience(client)
        self._order = InOrder() if in_order else AsTheyCome()
        self._again: list[BlockTask] = []
        self._suspects: deque[BlockTask] = deque()
        self._died_with: Counter[int] = Counter()
        self._losses = Losses()
        self._given_up = False

    def __iter__(self) -> Iterator[Outcome]:
        halted = False
        while not self._stop.over:
            self._events.check()
            if not self._stop.requested:
                self._submit()
            elif not halted:
                halt(self._client, self._plugin.run)
                halted = True
            if self._in_flight:
                for task, arrival in self._in_flight.arrived():
                    yield from self._settled(task, arrival)
                for event in self._events.news():
                    yield from self._heard(event)
                self._say_what_is_missing()
            elif self._suspects and not self._stop.requested:
                task = self._suspects.popleft()
                yield from self._settled(task, self._alone(task))
            elif not self._again or self._stop.requested:
                break
        left = self._in_flight or self._suspects or self._again or self._given_up
        if left or next(self._waiting, None) is not None:
            raise self._stop.interrupted()

    def _submit(self) -> None:
        free = self._pressure.free(len(self._in_flight) + len(self._order))
        new = list(islice(self._waiting, max(0, free - len(self._again))))
        self._order.expect(new)
        again, self._again = self._again, []
        self._in_flight.submit([*again, *new], self._pressure.together)
        for task in (*again, *new):
            self._listen(BlockEvent(task.block.index, "waiting"))

    def _settled(self, task: BlockTask, arrival: Arrival) -> Iterator[Outcome]:
        """Yield what comes of a block, or keep it for later."""
        self._patience.heard()
        if isinstance(arrival, BlockResult | Failure):
            self._pressure.learn(arrival)
            yield from self._order.add(self._losses.noted(arrival))
        elif arrival is None:
            self._given_up = True
        elif isinstance(arrival, KilledWorker):
            self._suspects.append(task)
        elif isinstance(arrival, CancelledError | asyncio.CancelledError):
            # samples that were sent ahead are lost with the worker that held them
            self._events.check()
            self._again.append(task)
        elif isinstance(arrival, BaseException) and unanswered(arrival):
            self._again.append(task)  # its result is there, but did not come; or all is lost
        else:
            raise arrival

    def _heard(self, event: Died | Hung | Running) -> Iterator[Outcome]:
        """Pass on what a block does; give up one that hung; take note of a death."""
        if isinstance(event, Running):
            self._pass_on(event)
        elif isinstance(event, Hung):
            for task in self._in_flight.withdraw(event.block):
                if task.block.index == event.block:
                    yield from self._order.add(self._too_late(task, event))
                else:
                    self._again.append(task)
        else:
            self._losses.add(event)
            self._died_with.update(event.blocks)
            suspected = {b for b in event.blocks if self._died_with[b] >= _DEATHS}
            for block in suspected:
                for task in self._in_flight.withdraw(block):
                    alone = task.block.index in suspected
                    (self._suspects if alone else self._again).append(task)

    def _pass_on(self, event: Running) -> None:
        if event.block not in self._in_flight:
            return  # it has landed, or is given up: this is old
        self._patience.heard()
        block = self._plugin.spec.block(event.block)
        self._listen(
            running_event(block, event.state, event.stage, event.share, event.seconds, event.worker)
        )

    def _say_what_is_missing(self) -> None:
        reason = self._patience.reason()
        if reason:
            _log.warning(reason)
            for block in self._in_flight.blocks()[:1]:
                self._listen(BlockEvent(block, "waiting", waits_for=reason))

    def _alone(self, task: BlockTask) -> Arrival:
        """Run a block on a worker where nothing else of the run is, three times if need be."""
        for _ in range(_KILLS):
            worker = self._quietest()
            if worker is None:
                return None
            self._in_flight.submit([task], worker=worker)
            arrival = self._watched(task, worker)
            if not isinstance(arrival, KilledWorker | _Killed):
                return arrival
        return failure(
            task.block,
            f"It killed its worker {_KILLS} times, and nothing else ran there: it ran out of "
            "memory, or a library crashed. The log of the workers may tell which.",
            "killed",
        )

    def _watched(self, task: BlockTask, worker: str) -> Arrival:
        """Return what comes of a block on this worker."""
        looked = time.monotonic()
        while not self._stop.over:
            for _, arrival in self._in_flight.arrived():
                return arrival
            for event in self._events.news():
                if isinstance(event, Running):
                    self._pass_on(event)
                elif isinstance(event, Hung) and self._in_flight.withdraw(event.block):
                    return self._too_late(task, event)
            if time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                if worker not in self._client.nthreads():
                    self._in_flight.withdraw(task.block.index)
                    return _Killed()
            self._say_what_is_missing()
        return None

    def _quietest(self) -> str | None:
        """Return the worker with the least to do, when there is one."""
        while not self._stop.requested:
            self._events.check()
            self._pressure.look()
            self._say_what_is_missing()
            busy: dict[str, list[str]] = self._client.processing()
            if busy:
                return min(busy, key=lambda worker: len(busy[worker]))
            time.sleep(0.1)
        return None

    def _too_late(self, task: BlockTask, event: Hung) -> Failure:
        return failure(
            task.block,
            f"It took more than {self._plugin.block_timeout:g} s, and its worker was ended. "
            "Allow more with block_timeout if it may take that long.",
            "deadline",
            event.stack,
        )


class _Killed(Exception):
    """The worker of a block is gone."""
