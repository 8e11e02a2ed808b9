"""Pair the picks of two tables one to one, as many as can be, and as near as can be.

::

    a        . . . 1 . . . . . 2 . . 3 . . .
    b        . . . . 1 . . . . . . 2 . . . .      2 of a and 2 of b could pair; 3 and 2 are nearer
    pairs          1-1                3-2

Between the sorted picks of one channel and phase no pairs need to cross: uncrossing two makes
neither of them longer than the longer one was, nor their sum.  So one pass from early to late finds
the best pairs of all picks before each time, as the alignment of two sequences is found [1]_, and
only looks within the tolerance.

References
----------
.. [1] Needleman & Wunsch (1970), A general method applicable to the search for similarities in the
   amino acid sequence of two proteins, J. Mol. Biol. 48.
"""

import numpy as np
from numpy.typing import NDArray

from dasdist.compiled import compiled
from dasdist.errors import InvalidInput

__all__ = ["pairs_of"]

_MOST = 2**31
"""Pairs within the tolerance that are weighed, a byte each."""

_SKIP_A, _SKIP_B, _PAIR = 0, 1, 2


def pairs_of(
    group_a: NDArray[np.int64],
    time_a: NDArray[np.int64],
    group_b: NDArray[np.int64],
    time_b: NDArray[np.int64],
    tolerance: int,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair picks of the same group whose times differ by no more than the tolerance.

    Of all ways to give each pick at most one partner, one with the most pairs; of these, one with
    the least sum of time differences.

    Parameters
    ----------
    group_a, group_b : ndarray of int64, shapes (n,), (m,)
        What only pairs with its own kind: a number per channel and phase.
    time_a, time_b : ndarray of int64, shapes (n,), (m,)
        Times in nanoseconds, in any order.
    tolerance : int
        Largest difference of a pair, in nanoseconds.

    Returns
    -------
    a, b : ndarray of intp, shape (pairs,)
        Which pick of the one goes with which of the other.

    Raises
    ------
    InvalidInput
        If more than two thousand million pairs are within the tolerance.

    Notes
    -----
    Time and memory grow with the picks and with the pairs within the tolerance, which are hardly
    more where it is shorter than what lies between two picks of a channel.

    Examples
    --------
    >>> zeros = np.zeros(3, dtype=np.int64)
    >>> a, b = np.array([3, 9, 12]), np.array([4, 11])
    >>> [found.tolist() for found in pairs_of(zeros, a, zeros[:2], b, 2)]
    [[0, 2], [0, 1]]
    """
    order_a, order_b = np.lexsort([time_a, group_a]), np.lexsort([time_b, group_b])
    ordered = (group_a[order_a], time_a[order_a], group_b[order_b], time_b[order_b])
    lows, highs = _windows(*ordered, tolerance)
    candidates = int((highs - lows).sum())
    if candidates > _MOST:
        raise InvalidInput(
            f"Within the tolerance of {tolerance / 1e9:g} s there are {candidates:,} possible "
            f"pairs of picks, and at most {_MOST:,} can be weighed. Choose a smaller tolerance, "
            "or compare a shorter period."
        )
    partners = _align(ordered[1], ordered[3], lows, highs)
    found = np.flatnonzero(partners >= 0)
    return order_a[found], order_b[partners[found]]


@compiled
def _windows(
    group_a: NDArray[np.int64],
    time_a: NDArray[np.int64],
    group_b: NDArray[np.int64],
    time_b: NDArray[np.int64],
    tolerance: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which of b are within the tolerance of each of a; both grow from row to row."""
    lows = np.empty(len(time_a), dtype=np.int64)
    highs = np.empty(len(time_a), dtype=np.int64)
    low = high = 0
    for i in range(len(time_a)):
        group, time = group_a[i], time_a[i]
        while low < len(time_b) and (
            group_b[low] < group or (group_b[low] == group and time_b[low] < time - tolerance)
        ):
            low += 1
        high = max(high, low)
        while high < len(time_b) and group_b[high] == group and time_b[high] <= time + tolerance:
            high += 1
        lows[i], highs[i] = low, high
    return lows, highs


@compiled
def _align(
    time_a: NDArray[np.int64],
    time_b: NDArray[np.int64],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return the partner in b of each of a, -1 of none.

    Cell j of row i holds the best that the first i + 1 of a and the first ``lows[i] + j`` of b
    make.
    """
    rows = len(time_a)
    starts = np.zeros(rows + 1, dtype=np.int64)
    starts[1:] = np.cumsum(highs - lows + 1)
    widest = 1
    for i in range(rows):
        widest = max(widest, highs[i] - lows[i] + 1)
    choices = np.empty(starts[rows], dtype=np.uint8)
    pairs, apart = np.zeros(widest, dtype=np.int64), np.zeros(widest, dtype=np.int64)
    pairs_before, apart_before = pairs.copy(), apart.copy()
    low_before = high_before = 0
    for i in range(rows):
        low, high = lows[i], highs[i]
        for j in range(low, high + 1):
            here = j - low
            before = min(j, high_before) - low_before
            most, least, choice = pairs_before[before], apart_before[before], _SKIP_A
            if j > low:
                if pairs[here - 1] > most or (pairs[here - 1] == most and apart[here - 1] < least):
                    most, least, choice = pairs[here - 1], apart[here - 1], _SKIP_B
                before = min(j - 1, high_before) - low_before
                paired = pairs_before[before] + 1
                difference = apart_before[before] + abs(time_a[i] - time_b[j - 1])
                if paired > most or (paired == most and difference < least):
                    most, least, choice = paired, difference, _PAIR
            pairs[here], apart[here], choices[starts[i] + here] = most, least, choice
        pairs, pairs_before = pairs_before, pairs
        apart, apart_before = apart_before, apart
        low_before, high_before = low, high
    return _traced(lows, highs, starts, choices)


@compiled
def _traced(
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    starts: NDArray[np.int64],
    choices: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """Go back from the last cell the way that its value came."""
    partners = np.full(len(lows), -1, dtype=np.int64)
    i = len(lows) - 1
    j = highs[i] if i >= 0 else 0
    while i >= 0:
        j = min(j, highs[i])
        choice = choices[starts[i] + j - lows[i]]
        if choice == _SKIP_B:
            j -= 1
            continue
        if choice == _PAIR:
            j -= 1
            partners[i] = j
        i -= 1
    return partners
