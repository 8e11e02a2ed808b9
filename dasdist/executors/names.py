"""Names under which a scheduler and its workers know a run, and what is in them."""

from collections.abc import Sequence
from typing import Any

__all__ = ["TOPIC", "blocks_of", "plugin_name", "task_key"]

TOPIC = "dasdist-blocks"
"""Topic under which workers tell what their blocks do; a message names its run."""


def plugin_name(run: str) -> str:
    """Return the name of the worker plugin that brings a run to the workers."""
    return f"dasdist-run-{run}"


def task_key(run: str, blocks: Sequence[int], submission: int) -> tuple[str, tuple[int, ...], int]:
    """Return the key of a task that processes blocks.

    Dashboards and reports of dask group tasks by the first item.
    """
    return _group(run), tuple(blocks), submission


def blocks_of(key: Any, run: str) -> tuple[int, ...]:
    """Return the numbers of the blocks of a run that a task processes.

    Examples
    --------
    >>> blocks_of(task_key("4711", [3, 4], 1), "4711")
    (3, 4)
    >>> blocks_of("sum-0123", "4711")
    ()
    """
    return key[1] if isinstance(key, tuple) and key[0] == _group(run) else ()


def _group(run: str) -> str:
    return f"dasdist-{run}"
