"""Clusters and their clients."""

from collections.abc import Iterator
from contextlib import contextmanager

import dask.config
from distributed import Client, LocalCluster

from dasdist.executors.resources import resident_bytes
from dasdist.planning.plan import WORKER_BYTES, Resources

__all__ = ["PROMISED", "cluster_resources", "current_client", "nannies_kept", "synchronous"]

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


def cluster_resources(client: Client) -> Resources:
    """Return what a cluster's workers have, or will have; of unequal ones, the least.

    Workers that are promised count from the beginning.  Where Dask pauses them is what this
    process's configuration says.
    """
    found = client.scheduler_info(n_workers=-1)["workers"]
    workers = list(found.values())
    within = any(address.startswith("inproc:") for address in found)
    promised = Resources(**client.get_metadata([PROMISED], {}))
    limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
    if promised.memory:
        limits.append(promised.memory)
    return Resources(
        workers=max(len(workers), promised.workers),
        threads=max([promised.threads, *(w["nthreads"] for w in workers)]),
        memory=min(limits) if limits else None,
        process=resident_bytes() if within else WORKER_BYTES,
        pause=_pause(),
    )


def _pause() -> float:
    """Return the share of its memory at which Dask pauses a worker, else at which it ends one."""
    shares = (dask.config.get(f"distributed.worker.memory.{at}") for at in ("pause", "terminate"))
    return float(next(filter(None, shares), 1.0))


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
