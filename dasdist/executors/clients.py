"""Clusters and their clients."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask.config
from distributed import Client, LocalCluster, Nanny, Scheduler, Worker, rejoin, secede

from dasdist.errors import ClusterLost, DasdistError, InvalidInput
from dasdist.executors.lost_links import unanswered

__all__ = [
    "PROMISED",
    "Connection",
    "current_client",
    "nannies_kept",
    "scheduler_address",
    "seceded",
    "synchronous",
    "told_if_lost",
]

PROMISED = "dasdist-workers"
"""Key of the scheduler's metadata that says what workers there will be: ``workers``, ``threads``
and ``memory`` as in `Resources`.  Who starts a cluster sets it if its workers may come late."""


def current_client() -> Client | None:
    """Return the current ``dask.distributed`` client, if there is one."""
    try:
        client: Client = Client.current()
        return client
    except ValueError:
        return None


@contextmanager
def nannies_kept(client: Client) -> Iterator[None]:
    """Let the nannies of a local cluster start their workers again, however long that takes.

    A `LocalCluster` looks for a worker's name ``lost-worker-timeout`` (15 s) after each of its
    deaths and dismisses the nanny if it is not there: also if it came back meanwhile, and died
    again.  A worker takes seconds to start, so that a run could lose all of them for good.
    """
    if isinstance(client.cluster, LocalCluster):
        with dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"}):
            yield
    else:
        yield


@contextmanager
def synchronous(client: Client | None) -> Iterator[Client | None]:
    """Yield a client that this thread may wait on.

    A client of an event loop must not be waited on from another thread; a second connection to its
    scheduler may.

    Raises
    ------
    InvalidInput
        If nothing may wait in this thread, for the cluster itself runs in it.
    ClusterLost
        If the client is closed, now or before this ends, or its scheduler is gone.
    """
    if client is None:
        yield None
        return
    _refuse_own_loop()
    with told_if_lost(client):
        if not client.asynchronous:
            yield client
            return
        address = scheduler_address(client)
        with Client(address, security=client.security, set_as_default=False) as connection:
            yield connection


def scheduler_address(client: Client) -> str:
    """Return where the scheduler of a client is.

    Raises
    ------
    ClusterLost
        If the client is closed, and knows it no more.
    """
    connection: Any = client.scheduler
    if connection is None:
        raise ClusterLost("The client is closed. Make another, Client(address), and call again.")
    return str(connection.address)


def _refuse_own_loop() -> None:
    """Refuse to wait in an event loop that the scheduler or workers of this process need."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return
    servers: list[Any] = [*Scheduler._instances, *Nanny._instances, *Worker._instances]
    if any(server.loop.asyncio_loop is here for server in servers):
        raise InvalidInput(
            "This was called in the event loop in which the cluster itself runs, and which would "
            "stand still until the call returns. Let another thread wait: "
            "`await asyncio.to_thread(dasdist.classify, model, data, client=client)`, or the same "
            "with annotate or plan."
        )


class Connection:
    """The connection of a client to its scheduler, as it is when this is made.

    When it breaks, Dask forgets all that was under way and connects again if it can, perhaps to
    another scheduler at the same address: the client runs, but the run that it had is over.

    Parameters
    ----------
    client : Client
        The client.
    """

    def __init__(self, client: Client) -> None:
        self._client: Any = client
        self._address = scheduler_address(client)
        self._stream = self._client.scheduler_comm

    @property
    def lost(self) -> bool:
        """Whether it broke, or was closed."""
        return self._client.status != "running" or self._client.scheduler_comm is not self._stream

    def error(self) -> ClusterLost:
        """Return the error that says so."""
        return ClusterLost(
            f"The connection to the scheduler {self._address} was lost, or its client was closed. "
            "Connect again if the cluster still runs, else start one; and call again: what the "
            "output holds is kept, and the same call with the same output resumes."
        )


@contextmanager
def told_if_lost(client: Client) -> Iterator[Connection]:
    """Say in one sentence that a client is closed or cut off, whatever its methods make of that."""
    connection = Connection(client)
    try:
        yield connection
    except DasdistError:
        raise
    except Exception as error:
        if not (connection.lost or unanswered(error)):
            raise
        raise connection.error() from error


@contextmanager
def seceded() -> Iterator[None]:
    """Let another task have this thread's place if this is itself a task of a cluster.

    Blocks would else wait for a place that is taken until they are done.
    """
    try:
        secede()
    # in no task; in one that has no thread to give back; in one that has given it back before
    except (ValueError, AttributeError, KeyError):
        yield
        return
    try:
        yield
    finally:
        rejoin()
