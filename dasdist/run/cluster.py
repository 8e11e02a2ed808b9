"""The Dask executor: one task per block, and a bounded window of them in flight.

::

    blocks   0 1 2 3 4 5 6 7 8 9 ...
             done  [ in flight ]  not yet submitted

A finished future is released as soon as its part is here, so that neither scheduler nor client
grows with the archive, and the death of a worker costs only what it held.
"""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any
from uuid import uuid4

from dask.delayed import Delayed
from distributed import Client, Future, WorkerPlugin, as_completed

from dasdist.run.plan import Resources
from dasdist.run.replica import Payload, remember
from dasdist.run.report import Done, Failure
from dasdist.run.work import Work, run_block
from dasdist.sources import Part

__all__ = ["ReplicaPlugin", "cluster_resources", "current_client", "run_on_cluster", "synchronous"]

_EMBEDDED_BYTES = 2**20
"""Samples that travel inside a task; larger arrays in memory are sent ahead of it."""


class ReplicaPlugin(WorkerPlugin):
    """Brings a model to every worker, also to those that join later.

    Parameters
    ----------
    payload : Payload
        The pickled model.
    """

    idempotent = True

    def __init__(self, payload: Payload) -> None:
        self.name = f"dasdist-replica-{payload.token}"
        self.payload = payload

    def setup(self, worker: Any) -> None:
        """Keep the bytes; the first task that needs the model unpickles it."""
        remember(self.payload)


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


class _Window:
    """How many blocks may be in flight: one running and one waiting for every task thread."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._size = 2
        self._asked = -float("inf")

    def size(self) -> int:
        # clusters grow and shrink, but asking for every block would cost more than it tells
        if time.monotonic() - self._asked > 2:
            self._size = 2 * max(1, sum(self._client.nthreads().values()))
            self._asked = time.monotonic()
        return self._size


class _InOrder:
    """Futures in the order in which they were added, with the interface of ``as_completed``."""

    def __init__(self) -> None:
        self._futures: deque[Future[Any]] = deque()

    def add(self, future: Future[Any]) -> None:
        self._futures.append(future)

    def __next__(self) -> Future[Any]:
        return self._futures.popleft()


def run_on_cluster(
    client: Client,
    payload: Payload,
    tasks: Iterable[tuple[Part | Delayed, Work]],
    *,
    in_order: bool = False,
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run blocks on the workers of a cluster.

    Parameters
    ----------
    client : Client
        A synchronous client.
    payload : Payload
        The model.
    tasks : iterable of (Part or Delayed, Work)
        The blocks; consumed as the window moves on.
    in_order : bool
        Whether to yield in the order of the tasks instead of as they complete.

    Yields
    ------
    Work, Done or Failure
        The block's work and what became of it.
    """
    client.register_plugin(ReplicaPlugin(payload))
    run = uuid4().hex[:8]
    waiting = iter(tasks)
    window = _Window(client)
    flight: dict[Future[Any], Work] = {}
    arrivals = _InOrder() if in_order else as_completed(loop=client.loop)
    try:
        while True:
            for part, work in islice(waiting, max(0, window.size() - len(flight))):
                future = _submit(client, part, work, f"dasdist-{run}-{work.block.index}")
                flight[future] = work
                arrivals.add(future)
            if not flight:
                return
            future = next(arrivals)
            result = future.result()
            work = flight.pop(future)
            future.release()
            yield work, result
    finally:
        if flight:
            client.cancel(list(flight), force=True)


def _submit(client: Client, part: Part | Delayed, work: Work, key: str) -> Future[Any]:
    """Submit a block; what it reads is a recipe, a dask graph, or samples sent ahead of it."""
    sent: Any = part
    if isinstance(part, Delayed):
        sent = client.compute(part)
    elif part.held_bytes > _EMBEDDED_BYTES:
        sent = client.scatter(part, hash=False)
    return client.submit(run_block, sent, work, key=key, pure=False)
