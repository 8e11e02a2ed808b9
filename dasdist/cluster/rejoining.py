"""Workers that lost their scheduler start again and wait for it, instead of ending.

::

    link      up |-------------------- down --------------------| up
    worker       | computes, unheard | a new one waits: scheduler? | joins
                 |-- TCP time-out ---|---- at most the death timeout ----|

Dask ends a worker whose connection broke, and its nanny with it: the host would have none any more
when its link is up again, or when a scheduler has started again at the same address.  The nannies
of a node load this module as a preload of Dask's (``--preload-nanny``).
"""

from typing import TYPE_CHECKING

from dasdist.executors import lost_links
from dasdist.safe_text import logger

if TYPE_CHECKING:
    from distributed import Nanny

__all__ = ["DEATH_TIMEOUT", "dask_setup"]

_log = logger("distributed.dasdist.worker")  # shown as Dask shows its own

DEATH_TIMEOUT = 300.0
"""Seconds that workers wait for their scheduler, at first and again, where nothing else is said."""

_LOST = ("worker-handle-scheduler-connection-broken", "worker-heartbeat-missing")
"""Why workers close that lost it: the connection broke; or the scheduler says that it knows none
such, for it took the silence for death, or is another one by now."""


def dask_setup(nanny: "Nanny") -> None:
    """Let a nanny outlive the connection of its worker, and tell lost connections in a line."""
    lost_links.told_in_a_line()
    given, argv = nanny.preload, nanny.preload_argv
    others = [given] if isinstance(given, str) else [*(given or ())]
    nanny.preload = [lost_links.__name__, *others]
    if argv and not isinstance(argv[0], str):  # of each preload its own
        nanny.preload_argv = [[], *argv]
    close = nanny.close_gracefully

    def unless_lost(reason: str = "") -> None:
        if reason not in _LOST:
            close(reason=reason)
            return
        _log.warning(
            "The connection to the scheduler %s is lost; a new worker waits for it, %g s at most.",
            nanny.scheduler_addr,
            nanny.death_timeout,
        )

    nanny.handlers["close_gracefully"] = unless_lost
