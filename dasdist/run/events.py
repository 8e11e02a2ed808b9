"""One stream of block events for all who listen: progress bar, page, log, the user's own view."""

import threading
from collections.abc import Iterable

from dasdist.block_events import BlockEvent, Listener
from dasdist.safe_text import logger

__all__ = ["EventStream"]

_log = logger()


class EventStream:
    """Passes events on to listeners, one at a time, from whichever thread they come.

    Parameters
    ----------
    listeners : iterable of callable
        One that raises is told no more; the run goes on.
    """

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._listeners = list(listeners)
        self._lock = threading.RLock()

    def __call__(self, event: BlockEvent) -> None:
        """Pass an event on."""
        with self._lock:
            for listener in tuple(self._listeners):
                try:
                    listener(event)
                except Exception:  # noqa: BLE001 -- whatever it is, the run goes on
                    self._listeners.remove(listener)
                    _log.exception(
                        "A listener of block events raised an error and gets no more of them; the "
                        "run goes on."
                    )
