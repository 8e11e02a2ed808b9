"""A cluster on this machine, for as long as a command takes."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from dasdist.cluster.forking import forked_workers
from dasdist.errors import DasdistError
from dasdist.safe_text import logger

if TYPE_CHECKING:
    from distributed import Client, LocalCluster

__all__ = ["local_client"]

T = TypeVar("T")

_log = logger()

_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers run first: Ctrl-C reaches all processes of a terminal, and theirs should finish
their blocks while the client's stops the run."""

_DISCREET = (
    "import logging; logging.getLogger('distributed.worker').addFilter(lambda record: not any("
    "words in record.getMessage() for words in ('during heartbeat', 'Compute Failed')))"
)
"""Run next: a heartbeat that a closing worker has under way fails, and would print a traceback at
the end of a run that went well.  A scheduler that is lost ends the run, and says so itself; so does
a block that fails."""


def interrupts_after(start: Callable[..., T], **options: Any) -> T:
    """Call a function; Ctrl-C waits until it is done, for half a cluster cannot be closed."""
    if threading.current_thread() is not threading.main_thread():
        return start(**options)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return start(**options)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def local_client(
    workers: int, *, threads: int = 1, memory: int | str = "auto"
) -> Iterator["Client"]:
    """Start a cluster on this machine, for this process alone.

    It listens on loopback, and takes only connections with its certificate, which is made anew and
    never leaves memory: others on a shared machine know the port, and no more.  Its dashboard, if
    bokeh is installed, is at ``client.dashboard_link``; others can look at it.

    Parameters
    ----------
    workers : int
        Processes, each watched by a nanny that replaces it if it dies.
    threads : int
        Task threads of each.
    memory : int or str
        Bytes of memory of each; "auto" is its share of the machine's.
    """
    from distributed import Client

    with forked_workers(), _started(workers, threads, memory) as cluster, Client(cluster) as client:
        yield client


def _started(workers: int, threads: int, memory: int | str) -> "LocalCluster":
    """Start the cluster; once more if a worker dies meanwhile, as it may on a busy machine.

    Raises
    ------
    DasdistError
        If it does not start then, either.
    """
    from distributed import LocalCluster, Security

    dashboard = find_spec("bokeh") is not None
    for again in (True, False):
        try:
            return interrupts_after(
                LocalCluster,
                n_workers=workers,
                threads_per_worker=threads,
                memory_limit=memory,
                host="127.0.0.1",
                protocol="tls://",
                security=Security.temporary(),
                dashboard_address="127.0.0.1:0" if dashboard else None,
                silence_logs=logging.ERROR,  # on a busy machine workers warn that they stop slowly
                scheduler_kwargs={"dashboard": dashboard, "dashboard_address": "127.0.0.1:0"},
                preload=[_DEAF, _DISCREET],
            )
        except RuntimeError as error:  # distributed's, whatever became of a worker
            if again:
                _log.warning("A worker process died while the cluster started; trying once more.")
                continue
            raise DasdistError(
                f"The cluster of this machine did not start: a worker process died, and when it "
                f"was started again one died again ({_cause(error)}). Often memory is short: ask "
                f"for fewer workers than {workers}, or leave --workers out."
            ) from error
    raise AssertionError


def _cause(error: BaseException) -> str:
    """Return the first line of what led to an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error) or type(error).__name__).splitlines()[0]
