"""Lost connections are expected: Dask's log tells each in a line, and not in a page of traceback.

Also a preload of Dask's, for schedulers, nannies and workers in processes of their own.
"""

import asyncio
import logging
from typing import Any

from distributed.comm.core import CommClosedError

__all__ = ["dask_setup", "told_in_a_line", "unanswered"]

_LOGGERS = ("batched", "client", "core", "nanny", "scheduler", "utils", "worker")

_LOST = (OSError, TimeoutError, asyncio.TimeoutError, asyncio.CancelledError)
"""What comes of a connection that breaks, is refused or silent, or is given up meanwhile."""

_ENDED = ("died unexpectedly", "Failed to restart worker", "name taken")
"""Said of a worker that ends because of it, of the next that finds no scheduler in time, and of one
that a scheduler refuses as long as it has not noticed."""


def told_in_a_line() -> None:
    """Let Dask tell in this process what broke a connection without a traceback."""
    for name in _LOGGERS:  # adding the same filter again changes nothing
        logging.getLogger(f"distributed.{name}").addFilter(_in_a_line)


def unanswered(error: BaseException) -> bool:
    """Tell whether an error says that a scheduler did not answer: it may come before Dask knows."""
    return isinstance(error, CommClosedError) or (
        isinstance(error, OSError) and str(error).startswith("Timed out trying to connect")
    )


def dask_setup(server: Any) -> None:
    """Do so in the process of a scheduler, nanny or worker that has this module as a preload."""
    told_in_a_line()


def _in_a_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return True
    lost = isinstance(error, _LOST)
    cause = error if lost else _first(error)
    if not lost and not any(words in f"{record.msg} {cause}" for words in _ENDED):
        return True
    said = [" ".join(str(each).split()) for each in (record.getMessage(), cause)]
    record.msg, record.args = ": ".join(dict.fromkeys(each for each in said if each)), ()
    record.exc_info = record.exc_text = None
    return bool(record.msg)


def _first(error: BaseException) -> BaseException:
    """Return the error that led to all others."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error
