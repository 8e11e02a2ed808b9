"""Dask's log tells a lost connection in a line; what else goes wrong keeps its traceback."""

import asyncio
import logging

import pytest
from distributed.comm.core import CommClosedError

from dasdist.executors.lost_links import told_in_a_line


@pytest.fixture
def logged(caplog):
    """What Dask's worker logs of an error, and with which traceback."""
    told_in_a_line()
    log = logging.getLogger("distributed.worker")

    def logged(message, error, cause=None):
        caplog.clear()
        with caplog.at_level(logging.INFO, "distributed"):
            log.addHandler(caplog.handler)  # Dask's do not reach the others
            try:
                raise error from cause
            except BaseException:
                log.exception(message)
            finally:
                log.removeHandler(caplog.handler)
        return [(r.getMessage(), bool(r.exc_info)) for r in dict.fromkeys(caplog.records)]

    return logged


def test_a_lost_connection_is_a_line(logged):
    found = logged("Failed during heartbeat", CommClosedError("in <TLS>:\n Stream is closed"))
    assert found == [("Failed during heartbeat: in <TLS>: Stream is closed", False)]
    assert logged("", TimeoutError("no answer")) == [("no answer", False)]


def test_what_was_given_up_meanwhile_is_not_told(logged):
    assert logged("", asyncio.CancelledError()) == []


def test_a_worker_that_is_refused_is_a_line(logged):
    refused = ValueError("Unexpected response: name taken, das1")
    found = logged("Failed to start worker", RuntimeError("Worker failed to start."), refused)
    assert found == [("Failed to start worker: Unexpected response: name taken, das1", False)]


def test_other_errors_keep_their_traceback(logged):
    assert logged("Failed to start worker", KeyError("plugin")) == [
        ("Failed to start worker", True)
    ]
    broken = RuntimeError("Worker failed to start.")
    assert logged("", broken, ImportError("no module")) == [("", True)]
