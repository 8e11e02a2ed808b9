"""Clusters and their clients."""

from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client

from dasdist.run.plan import Resources

__all__ = ["cluster_resources", "current_client", "synchronous"]


def current_client() -> Client | None:
    """Return the current ``dask.distributed`` client, if there is one."""
    try:
        client: Client = Client.current()
        return client
    except ValueError:
        return None


def cluster_resources(client: Client) -> Resources:
    """Return what the workers of a cluster have; of unequal workers, what the least has."""
    workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    if not workers:
        return Resources()
    limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
    return Resources(
        workers=len(workers),
        threads=max(w["nthreads"] for w in workers),
        memory=min(limits) if limits else None,
    )


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
