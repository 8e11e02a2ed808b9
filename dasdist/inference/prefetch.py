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

__all__ = ["a_core_each", "computed_ahead", "in_order"]

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
    yield from in_order(lambda item: _pool(cores).submit(function, item), items, cores + 1)


def in_order(
    submit: Callable[[T], Future[R]],
    items: Iterable[T],
    ahead: int,
    *,
    take: Callable[[Future[R]], R] = Future.result,
    abandoned: Callable[[], bool] = lambda: False,
) -> Iterator[R]:
    """Yield the results of items in their order, while others are computed.

    Parameters
    ----------
    submit : callable
        Begins an item.
    items : iterable
        Consumed only as far as they are begun.
    ahead : int
        How many are begun before the first result is waited for.
    take : callable
        Waits for a result.
    abandoned : callable
        Tells at the end, however it comes, whether what still runs is not waited for.

    Examples
    --------
    >>> with ThreadPoolExecutor(2) as pool:
    ...     list(in_order(lambda item: pool.submit(abs, item), [-1, 2, -3], ahead=2))
    [1, 2, 3]
    """
    flight: deque[Future[R]] = deque()
    try:
        for item in items:
            flight.append(submit(item))
            if len(flight) >= ahead:
                yield take(flight.popleft())
        while flight:
            yield take(flight.popleft())
    finally:
        for future in flight:
            future.cancel()
        if not abandoned():
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
