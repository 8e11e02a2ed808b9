"""What all blocks of a run share, brought to every worker once.

::

    client      delivered(...)  --->  RunPlugin(run, model, shared)     late workers get it, too
    a task      (part, number of the block)  --->  shared_here(run).work(number)

When the run ends the plugin is taken back, so that a cluster that lives long collects no models.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, WorkerPlugin, get_worker

from dasdist.errors import DasdistError
from dasdist.run.replica import Payload, remember
from dasdist.run.work import Shared

__all__ = ["RunPlugin", "delivered", "shared_here"]

_log = logging.getLogger("dasdist")

_TRIES = 10
"""Registrations that may meet with a dying worker before something else must be wrong."""


class RunPlugin(WorkerPlugin):
    """Brings the model of a run, and what its blocks share, to a worker.

    Parameters
    ----------
    run : str
        Names the run.
    payload : Payload
        The pickled model.
    shared : Shared
        What all blocks share.
    """

    def __init__(self, run: str, payload: Payload, shared: Shared) -> None:
        self.name = _name(run)
        self.payload = payload
        self.shared = shared

    def setup(self, worker: Any) -> None:
        """Keep the bytes; the first task that needs the model unpickles it."""
        remember(self.payload)


def _name(run: str) -> str:
    return f"dasdist-run-{run}"


def shared_here(run: str) -> Shared:
    """Return what the blocks of a run share; called in a task.

    Raises
    ------
    DasdistError
        If the run is over, or never reached this worker.
    """
    plugin = get_worker().plugins.get(_name(run))
    if not isinstance(plugin, RunPlugin):
        raise DasdistError(
            f"This worker does not know the run {run}: it is over, or the worker plugin that "
            "brings it failed here. Restart the worker, or call annotate or classify again."
        )
    return plugin.shared


@contextmanager
def delivered(client: Client, run: str, payload: Payload, shared: Shared) -> Iterator[None]:
    """Bring a run to all workers, and to those that join while this lasts."""
    plugin = RunPlugin(run, payload, shared)
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
            _log.debug("could not take back the run %s: %s", run, error)
