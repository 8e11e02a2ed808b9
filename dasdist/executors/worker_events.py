"""What a scheduler and its workers tell of blocks: what they do, which hang, which workers died.

The scheduler submits the blocks of a dead worker again, but blames all of them, also those that
only waited there.  Here deaths are counted per block, so that the run may judge for itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Self

from distributed import Client

from dasdist.block_events import BlockState
from dasdist.errors import ClusterLost
from dasdist.executors.clients import Connection, scheduler_address
from dasdist.executors.names import TOPIC, blocks_of

__all__ = ["DESERTED", "Died", "Hung", "Running", "WorkerEvents"]

DESERTED = "dasdist-deserted"
"""Topic of an event that says that a cluster has no workers and will have none; its message has
the ``reason``.  Who starts workers logs it."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker died.

    Parameters
    ----------
    blocks : frozenset of int
        Blocks of the run that it held, running or waiting.
    worker : str
        Its address.
    """

    blocks: frozenset[int]
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Hung:
    """A block took too long; its worker ends itself.

    Parameters
    ----------
    block : int
        Which.
    stack : str
        Where it was.
    """

    block: int
    stack: str


@dataclass(frozen=True, slots=True)
class Running:
    """A block is running.

    Parameters
    ----------
    block : int
        Which.
    state, stage, share, worker, seconds
        As of :class:`~dasdist.block_events.BlockEvent`.
    """

    block: int
    state: BlockState
    stage: str
    share: float
    worker: str
    seconds: float


class WorkerEvents:
    """Listens to a scheduler, on a connection of its own; a context manager.

    A client has but one handler for what a scheduler tells to all, and the user's may be in use.

    Parameters
    ----------
    client : Client
        A client of the scheduler.
    run : str
        Names the run.
    """

    def __init__(self, client: Client, run: str) -> None:
        self._run = run
        self._news: SimpleQueue[Died | Hung | Running] = SimpleQueue()
        self._excused: set[str] = set()
        self._deserted = ""
        self._client = Client(
            scheduler_address(client),
            security=client.security,
            set_as_default=False,
            name="dasdist-watch",
        )
        self._connections = Connection(client), Connection(self._client)

    def __enter__(self) -> Self:
        self._client.subscribe_topic("all", self._heard)
        self._client.subscribe_topic(TOPIC, self._told)
        self._client.subscribe_topic(DESERTED, self._left)
        for event in self._client.get_events(DESERTED):  # it may have been before
            self._left(event)
        return self

    def __exit__(self, *error: object) -> None:
        if self._client.status == "running":
            # else the scheduler tells a client that closes that it closes, and complains
            self._client.unsubscribe_topic("all")
        self._client.close()

    def check(self) -> None:
        """Make sure that there are a scheduler and workers, or may be.

        Raises
        ------
        ClusterLost
            If a connection broke, of the client or the one on which this listens; or if all workers
            are gone, and whoever starts them will start no more.
        """
        for connection in self._connections:
            if connection.lost:
                raise connection.error()
        if self._deserted:
            raise ClusterLost(self._deserted)

    def news(self) -> list[Died | Hung | Running]:
        """Return what happened since the last time; `check` as well."""
        self.check()
        found: list[Died | Hung | Running] = []
        while True:
            try:
                found.append(self._news.get_nowait())
            except Empty:
                return found

    def _heard(self, event: tuple[float, Any]) -> None:
        _, message = event
        if not isinstance(message, Mapping):
            return
        if message.get("action") == "retire-workers":
            # the last of all cannot hand over what it holds, and leaves all the same
            self._excused.update(message["could-not-retire"])
        if message.get("action") != "remove-worker":
            return
        worker = str(message.get("worker"))
        blamed = not message.get("expected") and worker not in self._excused
        held = message.get("processing-tasks", ()) if blamed else ()
        blocks = frozenset(index for key in held for index in blocks_of(key, self._run))
        self._news.put(Died(blocks, worker))

    def _left(self, event: tuple[float, Any]) -> None:
        _, message = event
        self._deserted = str(message["reason"])

    def _told(self, event: tuple[float, Any]) -> None:
        _, message = event
        if message["run"] != self._run:
            return
        if "hung" in message:
            self._excused.add(message["worker"])
            self._news.put(Hung(message["hung"], message["stack"]))
            return
        block, state, stage, share, seconds = message["running"]
        self._news.put(Running(block, state, stage, share, message["worker"], seconds))
