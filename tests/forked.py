"""Processes that begin with everything loaded: forks of a server that imported it once.

A worker, or a whole run that a test kills, then starts in a moment, and not after four seconds of
CPU for torch, numba and xdas.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dask
from distributed.utils import get_mp_context


def fork_workers(*modules: str) -> None:
    """Let the nannies of this process fork their workers from its server.

    The server starts with the first worker, and ends with this process.  What is in ``os.environ``
    only later does not reach workers: it goes into ``env`` of their cluster.
    """
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    get_mp_context()  # which has the server load distributed, once; and now all that is needed:
    multiprocessing.set_forkserver_preload(["tests.preloaded", *modules])


class Forked:
    """A function in a process and a session of its own; what it says goes into a file."""

    def __init__(self, log: Path, function: Callable[..., None], *args: Any):
        # as nannies do, so that the server is the same whoever starts it
        os.environ.update(
            {k: str(v) for k, v in dask.config.get("distributed.nanny.pre-spawn-environ").items()}
        )
        self.log = log
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(target=_alone, args=(log, function, args))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def wait(self) -> int:
        """Wait for the end, and return the exit code: that of a signal is negative."""
        self._process.join()
        return self._process.exitcode

    def wait_for(self, condition: Callable[[], Any]) -> bool:
        """Wait until something holds; tell whether it did before the process ended."""
        while self.running:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def kill(self) -> None:
        """SIGKILL this process alone."""
        self._process.kill()

    def kill_all(self) -> None:
        """SIGKILL the process and all that it started: servers, nannies and workers."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.join()


def _alone(log: Path, function: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)
    function(*args)
