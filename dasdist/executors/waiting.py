"""What a run waits for when none of its blocks begins, and what would end that.

A scheduler keeps tasks that no worker may take, and says nothing.
"""

import time
from collections.abc import Mapping
from typing import Any

from dask.base import get_annotations
from distributed import Client

from dasdist.units import count_of, readable_bytes

__all__ = ["FIRST", "Patience"]

FIRST = 20.0
"""Seconds in which nothing was heard of a block, after which the scheduler is asked why."""

_RARER = 4
"""How much longer than before the same wait lasts when it is told again."""


class Patience:
    """Says now and then what a run waits for.

    Parameters
    ----------
    client : Client
        A synchronous client.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._annotations: Mapping[str, Any] = get_annotations()
        self._heard = time.monotonic()
        self._due = FIRST

    def heard(self) -> None:
        """Take note that a block has begun or ended."""
        self._heard, self._due = time.monotonic(), FIRST

    def reason(self) -> str:
        """Return what is to be said now; empty if nothing is."""
        waited = time.monotonic() - self._heard
        if waited < self._due:
            return ""
        found = _cause(self._client, self._annotations)
        self._due = _RARER * waited if found else waited + FIRST
        return f"No block has begun for {waited:.0f} s: {found}" if found else ""


def _cause(client: Client, annotations: Mapping[str, Any]) -> str:
    """Say why no worker takes tasks, and what would end that; empty if one may."""
    workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    if not workers:
        return (
            "the cluster has no workers. The run goes on as soon as there is one: start some, or "
            "see why those that are to come do not start."
        )
    wanted = annotations.get("resources")
    wanted = wanted if isinstance(wanted, Mapping) else {}
    fit = [w for w in workers if all(w["resources"].get(r, 0) >= n for r, n in wanted.items())]
    if not fit:
        asked = ", ".join(f"{name}={amount:g}" for name, amount in wanted.items())
        return (
            f"none of {count_of(len(workers), 'worker')} has the resources that an annotation asks "
            f"for ({asked}). Start a worker that has them (dask worker ... --resources "
            f'"{asked.replace(",", "")}"), or call again without dask.annotate(resources=...).'
        )
    if any(worker["status"] == "running" for worker in fit):
        return ""
    if any(worker["status"] == "paused" for worker in fit):
        return f"{_those(len(fit), wanted)} paused, as Dask does with {_fullest(fit)}"
    states = ", ".join(sorted({worker["status"] for worker in fit}))
    return f"{_those(len(fit), wanted)} about to leave ({states}). Start others."


def _those(count: int, wanted: Mapping[str, Any]) -> str:
    which = f" with {', '.join(wanted)}" if wanted else ""
    return f"the only worker{which} is" if count == 1 else f"all {count:,} workers{which} are"


def _fullest(workers: list[Any]) -> str:
    held = {w["metrics"].get("memory", 0): w["memory_limit"] for w in workers}
    used = max(held)
    limit = f" of {readable_bytes(held[used])}" if held[used] else ""
    return (
        f"workers that are short of memory (the fullest holds {readable_bytes(used)}{limit}). They "
        "go on when what else they hold is let go, such as results and persisted arrays of others; "
        "else start workers with more memory."
    )
