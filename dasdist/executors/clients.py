"""Clusters and their clients."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask.config
from distributed import Client, LocalCluster

__all__ = ["PROMISED", "current_client", "nannies_kept", "synchronous"]

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
    """
    if client is None or not client.asynchronous:
        yield client
        return
    address = client.scheduler_info()["address"]
    with Client(address, security=client.security, set_as_default=False) as connection:
        yield connection
