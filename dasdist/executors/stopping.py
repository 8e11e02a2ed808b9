"""Stopping a run from outside: Ctrl-C, and the signal that batch systems send before they kill.

::

    first signal    no new blocks; running ones may finish within the grace time
    second signal   at once (or the end of the grace time)

Either way the run ends in :class:`~dasdist.errors.RunInterrupted`, and what is done is kept.
"""

import _thread
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from dasdist.errors import RunInterrupted
from dasdist.safe_text import logger

__all__ = ["Stop", "stopping"]

_log = logger()


class Stop:
    """Whether a run was told to stop; as it stands, it never is.

    Parameters
    ----------
    grace : float
        Seconds that running blocks have to finish.
    """

    def __init__(self, grace: float = 60.0) -> None:
        self.grace = grace
        self.requested = False
        self._over = threading.Event()
        self._interruptible = False
        self._timer: threading.Timer | None = None
        self._signal = signal.SIGINT

    @property
    def over(self) -> bool:
        """Whether running blocks are to be given up, too."""
        return self._over.is_set()

    def request(self, number: int = signal.SIGINT) -> None:
        """Ask to stop; asked again, at once."""
        again, self.requested = self.requested, True
        self._signal = signal.Signals(number)
        name = self._signal.name
        if again:
            self._over.set()
            if self._interruptible:
                raise KeyboardInterrupt
            return
        _log.warning(
            "%s: stopping. Blocks that are running may finish, for %g s at most; %s stops at once.",
            name,
            self.grace,
            "Ctrl-C once more" if number == signal.SIGINT else f"another {name}",
        )
        # the same signal once more: it also ends a block that runs in the main thread
        self._timer = threading.Timer(self.grace, _thread.interrupt_main, [number])
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Forget the grace time."""
        if self._timer is not None:
            self._timer.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this, stopping at once interrupts the main thread, where nothing else could.

        Raises
        ------
        RunInterrupted
            When that happens.
        """
        self._interruptible = True
        try:
            yield
        except KeyboardInterrupt as error:
            if not self.over:
                raise
            raise self.interrupted() from error
        finally:
            self._interruptible = False

    def interrupted(self) -> RunInterrupted:
        """Return the error that ends the run."""
        return RunInterrupted(f"Stopped by {self._signal.name} before all blocks were done.")


@contextmanager
def stopping(grace: float = 60.0) -> Iterator[Stop]:
    """Let SIGINT and SIGTERM stop a run in an orderly way; put their handlers back afterwards.

    Only the main thread can take signals: in another one, the run is not stopped by them.  A signal
    that was ignored, as under ``nohup``, still is.

    Parameters
    ----------
    grace : float
        Seconds that running blocks have to finish after the first signal.

    Yields
    ------
    Stop

    Examples
    --------
    >>> with stopping(grace=10) as stop:
    ...     stop.requested
    False
    """
    stop = Stop(grace)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        stop.request(number)

    previous: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            previous[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        stop.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
