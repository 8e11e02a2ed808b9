"""Batches computed on several cores, one core each, and yielded in order.

Layers of a picking network are too small to share: threads that meet after each of them wait for
one another, and where another process wants the core they wait long.  So a process computes one
batch per core at a time.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

__all__ = ["a_core_each", "computed_ahead"]

T = TypeVar("T")
R = TypeVar("R")


def computed_ahead(function: Callable[[T], R], items: Iterable[T], cores: int) -> Iterator[R]:
    """Yield ``function(item)`` for every item, in order, computed on several cores.

    One more item than there are cores is in flight, so that none waits for the consumer.

    Examples
    --------
    >>> list(computed_ahead(abs, [-1, 2, -3], cores=2))
    [1, 2, 3]
    """
    if cores < 2:
        yield from map(function, items)
        return
    flight: deque[Future[R]] = deque()
    try:
        for item in items:
            flight.append(_pool(cores).submit(function, item))
            if len(flight) > cores:
                yield flight.popleft().result()
        while flight:
            yield flight.popleft().result()
    finally:
        for future in flight:
            future.cancel()
        wait(flight)


@contextmanager
def a_core_each(cores: int) -> Iterator[None]:
    """Within this, torch's operators use one core each, where batches are on several at once.

    Else every operator also asks torch's own threads, which spin while they wait for one another:
    where another program wants a core as well, a batch then took four to seven times its CPU time.
    """
    before = torch.get_num_threads()
    if cores < 2 or before < 2:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pool(cores: int) -> ThreadPoolExecutor:
    return _pool_of(os.getpid(), cores)  # threads do not survive a fork


@cache
def _pool_of(process: int, cores: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores, "dasdist-batches", initializer=_one_thread)


def _one_thread() -> None:
    torch.set_num_threads(1)
