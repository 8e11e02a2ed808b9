"""What all blocks of a run share, brought to every worker once; and what workers tell of blocks.

::

    client      delivered(...)  --->  RunPlugin(run, spec)     late workers get it, too
    a task      (selection, number of the block)  --->  plugin_here(run).spec.block(number)

When the run ends the plugin is taken back, so that a cluster that lives long collects no models.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from math import inf
from typing import Any

from distributed import Client, WorkerPlugin, get_worker

from dasdist.block_events import BlockEvent
from dasdist.errors import DasdistError
from dasdist.executors.block_task import Outcome, RunSpec, run_block
from dasdist.executors.gpus import take_turn_here
from dasdist.executors.names import TOPIC, plugin_name
from dasdist.executors.telemetry import BlockTelemetry
from dasdist.executors.watchdog import Watchdog
from dasdist.inference.replica import remember
from dasdist.safe_text import logger
from dasdist.sources import Selection

__all__ = ["RunPlugin", "delivered", "halt", "plugin_here"]

_log = logger()

_SPACING = 0.05
"""Seconds between two messages of a worker about its blocks: a message takes about a millisecond of
scheduler and client together."""

_TRIES = 10
"""Registrations that may meet with a dying worker before something else must be wrong."""


class RunPlugin(WorkerPlugin):
    """Brings the model of a run, and what its blocks share, to a worker.

    Parameters
    ----------
    run : str
        Names the run.
    spec : RunSpec
        What all blocks share, the model included.
    block_timeout : float
        Seconds that a block may take; infinity is no limit.
    period : float
        Seconds between two events of a block.

    Attributes
    ----------
    halted : bool
        Whether blocks are not to begin any more.
    """

    def __init__(
        self, run: str, spec: RunSpec, block_timeout: float = inf, period: float = 0.25
    ) -> None:
        self.name = plugin_name(run)
        self.run = run
        self.spec = spec
        self.block_timeout = block_timeout
        self.period = period
        self.halted = False
        self._watchdog: Watchdog | None = None
        self._worker: Any = None
        self._told = -inf

    def setup(self, worker: Any) -> None:
        """Keep the bytes; the first task that needs the model unpickles it."""
        self._worker = worker
        remember(self.spec.payload)
        take_turn_here(worker)
        if not worker.nanny:  # such a worker may share the process of the user
            return
        if threading.current_thread() is threading.main_thread():
            # a terminal sends Ctrl-C to all processes; what it means is for the client to say
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.block_timeout < inf:
            self._watchdog = Watchdog(worker, self.run, self.block_timeout)

    def teardown(self, worker: Any) -> None:
        """Forget the run."""
        if self._watchdog is not None:
            self._watchdog.close()

    def guard(self, block: int) -> AbstractContextManager[None]:
        """Watch over a block, if there is a timeout."""
        return nullcontext() if self._watchdog is None else self._watchdog.guard(block)

    def process(self, selection: Selection, index: int) -> Outcome | None:
        """Process a block on this worker; return None if no more are to begin."""
        if self.halted:
            return None
        block = self.spec.block(index)
        telemetry = BlockTelemetry(block, self._tell, self.period)
        outcome = run_block(selection, block, self.spec, telemetry, self.guard(index))
        return replace(outcome, worker=self._worker.address)

    def _tell(self, event: BlockEvent) -> None:
        """Tell the client what a block does; of many short blocks, now and then."""
        now = time.monotonic()
        if now - self._told < _SPACING:
            return
        self._told = now
        running = [event.block, event.state, event.stage, event.share, event.seconds]
        self._worker.log_event(
            TOPIC, {"run": self.run, "worker": self._worker.address, "running": running}
        )


def plugin_here(run: str) -> RunPlugin:
    """Return what this worker knows of a run; called in a task.

    Raises
    ------
    DasdistError
        If the run is over, or never reached this worker.
    """
    plugin = get_worker().plugins.get(plugin_name(run))
    if not isinstance(plugin, RunPlugin):
        raise DasdistError(
            f"This worker does not know the run {run}: it is over, or the worker plugin that "
            "brings it failed here. Restart the worker, or call annotate or classify again."
        )
    return plugin


@contextmanager
def delivered(client: Client, plugin: RunPlugin) -> Iterator[None]:
    """Bring a run to all workers, and to those that join while this lasts."""
    for attempt in range(_TRIES):
        try:
            client.register_plugin(plugin)
            break
        except OSError:  # a worker died while it was told; the scheduler has the plugin already
            if attempt == _TRIES - 1 or client.status != "running":
                raise
            time.sleep(0.1 * attempt)
    try:
        yield
    finally:
        try:
            if client.status == "running":
                client.unregister_worker_plugin(plugin.name)
        except (OSError, ValueError) as error:  # a worker died, or the scheduler is a new one
            _log.debug("could not take back %s: %s", plugin.name, error)


def halt(client: Client, run: str) -> None:
    """Tell all workers to begin no more blocks of a run; do not wait until they know."""
    telling: Any = client.run(_halt, run, asynchronous=True, on_error="ignore")
    loop: Any = client.loop
    asyncio.run_coroutine_threadsafe(telling, loop.asyncio_loop)


def _halt(run: str, dask_worker: Any) -> None:
    plugin = dask_worker.plugins.get(plugin_name(run))
    if plugin is not None:
        plugin.halted = True
