"""The Dask executor: one task per block, and a bounded window of them in flight.

::

    blocks   0 1 2 3 4 5 6 7 8 9 ...
             done  [ in flight ]  not yet submitted

A finished future is released as soon as its part is here, so that neither scheduler nor client
grows with the archive, and the death of a worker costs only what it held.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from uuid import uuid4

from dask.delayed import Delayed
from distributed import Client

from dasdist.run.delivery import delivered
from dasdist.run.flight import Flight, Task
from dasdist.run.plan import Resources
from dasdist.run.replica import Payload
from dasdist.run.report import Done, Failure
from dasdist.run.stopping import Stop
from dasdist.run.window import Window
from dasdist.run.work import Shared, Work
from dasdist.sources import Part

__all__ = ["cluster_resources", "current_client", "run_on_cluster", "synchronous"]


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


def run_on_cluster(
    client: Client,
    payload: Payload,
    shared: Shared,
    tasks: Iterable[tuple[Part | Delayed, Work]],
    *,
    in_order: bool = False,
    stop: Stop | None = None,
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run blocks on the workers of a cluster.

    Parameters
    ----------
    client : Client
        A synchronous client.
    payload : Payload
        The model.
    shared : Shared
        What all blocks share; it makes the work of the tasks.
    tasks : iterable of (Part or Delayed, Work)
        The blocks; consumed as the window moves on.
    in_order : bool
        Whether to yield in the order of the tasks instead of as they complete.
    stop : Stop, optional
        Ends the run before its last block.

    Yields
    ------
    Work, Done or Failure
        The block's work and what became of it.

    Raises
    ------
    ClusterLost
        If the scheduler is gone.
    RunInterrupted
        If the run was told to stop.
    """
    run = uuid4().hex[:8]
    with (
        delivered(client, run, payload, shared),
        closing(Flight(client, run)) as flight,
    ):
        waiting = (Task(part, work) for part, work in tasks)
        window = Window(client, steady=in_order)
        queue = _InOrder() if in_order else _AsTheyCome()
        while True:
            free = window.free(len(flight) + len(queue))
            submitted = list(islice(waiting, free))
            queue.expect(submitted)
            flight.submit(submitted)
            if not flight:
                return
            for task, outcome in flight.arrived():
                if isinstance(outcome, BaseException):
                    raise outcome
                window.learn(outcome)
                yield from queue.add(task, outcome)


class _AsTheyCome:
    """Passes results on."""

    def __len__(self) -> int:
        return 0

    def expect(self, tasks: Iterable[Task]) -> None:
        """Take note of what is to come."""

    def add(self, task: Task, outcome: Done | Failure) -> Iterator[tuple[Work, Done | Failure]]:
        """Take one result and yield those whose turn it is."""
        yield task.work, outcome


class _InOrder(_AsTheyCome):
    """Keeps results until it is their turn."""

    def __init__(self) -> None:
        self._expected: deque[int] = deque()
        self._kept: dict[int, tuple[Work, Done | Failure]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def expect(self, tasks: Iterable[Task]) -> None:
        self._expected.extend(task.index for task in tasks)

    def add(self, task: Task, outcome: Done | Failure) -> Iterator[tuple[Work, Done | Failure]]:
        self._kept[task.index] = (task.work, outcome)
        while self._expected and self._expected[0] in self._kept:
            yield self._kept.pop(self._expected.popleft())
