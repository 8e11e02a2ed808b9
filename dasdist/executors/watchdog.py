"""Blocks that hang: a thread of the worker process watches, and ends the process.

::

    task thread      guard(block) [..............................
    watchdog                      | timeout |  tell the scheduler | exit
    nanny                                                         | starts a new worker

A thread cannot be ended alone.  What else the process had runs again elsewhere, without blame.
"""

import asyncio
import faulthandler
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

from distributed import Client

from dasdist.errors import InvalidInput
from dasdist.executors.names import TOPIC
from dasdist.units import count_of

__all__ = ["Watchdog", "check_timeout"]

_HEARD = 1.0
"""Seconds that the run has to take the block back, before its worker exits and another gets it."""

_STUCK = 10.0
"""Seconds more after which a process exits in which no Python thread can run any more."""


def check_timeout(client: Client | None, seconds: float) -> None:
    """Refuse a timeout for blocks where no process may be ended to enforce it.

    Raises
    ------
    InvalidInput
        Without a cluster, or if one of its workers has no nanny that starts it again.
    """
    if seconds == inf:
        return
    remedy = (
        "call it with a client of a distributed.LocalCluster, or of workers started by `dask "
        "worker` with their nannies, or leave block_timeout out."
    )
    if client is None:
        raise InvalidInput(
            f"block_timeout is {seconds:g} s, but blocks run in this very process, which cannot "
            f"end itself because of one that hangs; {remedy}"
        )
    workers = client.scheduler_info(n_workers=-1)["workers"]
    without = [address for address, worker in workers.items() if not worker.get("nanny")]
    if without:
        raise InvalidInput(
            f"block_timeout is {seconds:g} s, but {len(without)} of "
            f"{count_of(len(workers), 'worker has', 'workers have')} no "
            f"nanny ({without[0]}): ended because of a block that hangs, they would not start "
            f"again; {remedy}"
        )


class _Clock:
    """Counts the seconds in which this process ran: not those in which it was stopped.

    A beat that comes late, though the process was not busy, was held up from outside.

    Parameters
    ----------
    beat : float
        Seconds between two ticks.
    """

    def __init__(self, beat: float) -> None:
        self.beat, self.now = beat, 0.0
        self._wall, self._busy = time.monotonic(), time.process_time()

    def tick(self) -> None:
        """Go on."""
        wall, busy = time.monotonic(), time.process_time()
        self.now += min(wall - self._wall, max(2 * self.beat, busy - self._busy))
        self._wall, self._busy = wall, busy


class Watchdog:
    """Ends this process when a block takes too long.

    Parameters
    ----------
    worker : Worker
        The worker of this process.
    run : str
        Names the run.
    seconds : float
        How long a block may take.
    """

    def __init__(self, worker: Any, run: str, seconds: float) -> None:
        self._worker = worker
        self._run = run
        self._seconds = seconds
        self._running: dict[int, tuple[int, float]] = {}
        self._clock = _Clock(min(1.0, seconds / 10))
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="dasdist-watchdog", daemon=True).start()

    @contextmanager
    def guard(self, block: int) -> Iterator[None]:
        """Watch over a block in this thread."""
        thread = threading.get_ident()
        self._running[thread] = block, self._clock.now
        try:
            yield
        finally:
            del self._running[thread]

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(self._clock.beat):
            self._clock.tick()
            running = dict(self._running)
            # a call that never gives the interpreter back stops this thread, too: then C must do it
            if running:
                faulthandler.dump_traceback_later(self._seconds + _STUCK, exit=True, file=2)
            else:
                faulthandler.cancel_dump_traceback_later()
            for thread, (block, started) in running.items():
                if self._clock.now - started > self._seconds:
                    self._end(thread, block, started)
                    return
        faulthandler.cancel_dump_traceback_later()

    def _end(self, thread: int, block: int, started: float) -> None:
        frame = sys._current_frames().get(thread)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        message = {
            "run": self._run,
            "hung": block,
            "worker": self._worker.address,
            "stack": stack,
        }
        try:
            asyncio.run_coroutine_threadsafe(
                self._worker.scheduler.log_event(topic=TOPIC, msg=message),
                self._worker.loop.asyncio_loop,
            ).result(10)
            self._closed.wait(_HEARD)
        finally:
            # whatever happened to the message; and if the block has just ended, it is late anyway
            os._exit(1)
