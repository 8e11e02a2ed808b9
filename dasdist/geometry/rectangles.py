"""Describe a mask of samples x channels by few rectangles."""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry.blocks import Region, Span

__all__ = ["bounds_of", "rectangles", "runs_of_true"]


def rectangles(mask: NDArray[np.bool_], most: int = 100) -> list[Region]:
    """Return rectangles that hold what is true in a mask: whole rows first, then channels.

    Parameters
    ----------
    mask : ndarray of bool, shape (samples, channels)
        The mask.
    most : int
        Rectangles at the most; of a mask that needs more, the one that holds all of it.

    Examples
    --------
    >>> mask = np.zeros((6, 4), dtype=bool)
    >>> mask[:, 3] = mask[2:4] = True
    >>> [(r.time, r.distance) for r in rectangles(mask)]  # doctest: +NORMALIZE_WHITESPACE
    [(Span(start=2, stop=4), Span(start=0, stop=4)),
     (Span(start=0, stop=2), Span(start=3, stop=4)),
     (Span(start=4, stop=6), Span(start=3, stop=4))]
    """
    found: list[Region] = []
    for region in _exact(mask):
        found.append(region)
        if len(found) > most:
            return [bounds_of(mask)]
    return found


def bounds_of(mask: NDArray[np.bool_]) -> Region:
    """Return the smallest rectangle that holds all that is true; something must be."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return Region(_around(rows), _around(columns))


def runs_of_true(mask: NDArray[np.bool_]) -> list[Span]:
    """Return where a mask of one dimension is true.

    Examples
    --------
    >>> runs_of_true(np.array([True, False, True, True]))
    [Span(start=0, stop=1), Span(start=2, stop=4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [Span(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _exact(mask: NDArray[np.bool_]) -> Iterator[Region]:
    """Yield runs of whole rows; of the rest, runs on neighbouring channels that are alike."""
    whole: NDArray[np.bool_] = np.all(mask, axis=1)
    if whole.any():
        yield from (Region(rows, Span(0, mask.shape[1])) for rows in runs_of_true(whole))
        mask = mask & ~whole[:, np.newaxis]
    concerned: NDArray[np.bool_] = np.any(mask, axis=0)
    for columns in runs_of_true(concerned):
        part = mask[:, columns.slice]
        same = np.all(part[:, 1:] == part[:, :-1], axis=0)
        number = np.concatenate([[0], np.cumsum(~same)])
        for _, alike in groupby(range(part.shape[1]), key=number.tolist().__getitem__):
            channels = [*alike]
            across = Span(columns.start + channels[0], columns.start + channels[-1] + 1)
            for samples in runs_of_true(part[:, channels[0]]):
                yield Region(samples, across)


def _around(indices: NDArray[np.int64]) -> Span:
    return Span(int(indices[0]), int(indices[-1]) + 1)
