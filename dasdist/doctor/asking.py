"""Call one function on all workers of a cluster; those that leave or raise are reported."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from distributed import Client, Future, wait

from dasdist.doctor.finding import Outcome, named_few
from dasdist.units import count_of

__all__ = ["Answers", "ask", "collect", "submit"]

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds for an answer: starting up, a worker imports torch from a slow file system."""


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What workers answered.

    Parameters
    ----------
    given : mapping of str to object
        The answers, by the worker's address.
    lost : mapping of str to str
        Why other workers did not answer.
    """

    given: Mapping[str, T]
    lost: Mapping[str, str] = field(default_factory=dict)

    def missing(self) -> Outcome | None:
        """Return the outcome for workers that did not answer; None if all did."""
        if not self.lost:
            return None
        return Outcome(
            "wrong",
            f"{len(self.lost)} of {count_of(len(self.lost) + len(self.given), 'worker')} did not "
            "answer: "
            + named_few([f"{address} ({reason})" for address, reason in self.lost.items()]),
            "Read the logs of these workers, then run the check again.",
        )


def ask(client: Client, function: Callable[..., T], *args: Any) -> Answers[T]:
    """Call a function on all workers, each once, in a task thread.

    Parameters
    ----------
    client : Client
        A synchronous client.
    function : callable
        Importable on the workers.
    *args
        Its arguments.
    """
    return collect(
        client,
        submit(client, list(client.scheduler_info(n_workers=-1)["workers"]), function, *args),
    )


def submit(
    client: Client, workers: Iterable[str], function: Callable[..., T], *args: Any
) -> dict[str, "Future[T]"]:
    """Call a function on each of some workers, and do not wait."""
    return {
        address: client.submit(
            function, *args, workers=[address], allow_other_workers=False, pure=False, priority=100
        )
        for address in workers
    }


def collect(
    client: Client, futures: Mapping[str, "Future[T]"], patience: float = PATIENCE
) -> Answers[T]:
    """Wait for answers, but not for those of workers that have left."""
    given: dict[str, T] = {}
    lost: dict[str, str] = {}
    pending = dict(futures)
    end = time.monotonic() + patience
    while pending:
        with suppress(TimeoutError), client.as_current():
            wait(list(pending.values()), timeout=1, return_when="FIRST_COMPLETED")
        present = client.scheduler_info(n_workers=-1)["workers"]
        for address, future in list(pending.items()):
            if future.done():
                try:
                    given[address] = future.result(timeout=10)
                except Exception as error:  # noqa: BLE001 - whatever a worker raised is its answer
                    lost[address] = f"{type(error).__name__}: {error}"
            elif address not in present:
                lost[address] = "it left the cluster"
            elif time.monotonic() > end:
                lost[address] = f"no answer within {patience:.0f} s"
            else:
                continue
            pending.pop(address).cancel()
    return Answers(given, lost)
