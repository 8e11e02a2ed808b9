"""Second-order sections, applied to many channels side by side.

Four samples are taken at once, so that a section's state goes through memory once for all four.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.compiled import compiled

__all__ = ["filter_sections"]


@compiled
def filter_sections(
    x: NDArray[Any], sos: NDArray[np.float64], state: NDArray[np.float64], out: NDArray[Any]
) -> None:
    """Filter samples of shape (samples, channels) in double precision.

    :func:`scipy.signal.sosfilt` along the first axis, its sums in the same order; `state`, of shape
    (sections, 2, channels), is its `zi` with the channels last.
    """
    channels = x.shape[1]
    y = np.empty((4, channels))
    first, second = state[:, 0].copy(), state[:, 1].copy()
    for top in range(0, x.shape[0], 4):
        rows = min(4, x.shape[0] - top)
        for row in range(rows):
            for c in range(channels):
                y[row, c] = x[top + row, c]
        for s in range(sos.shape[0]):
            if rows == 4:
                _four(y[0], y[1], y[2], y[3], sos[s], first[s], second[s])
            else:
                for row in range(rows):
                    _one(y[row], sos[s], first[s], second[s])
        for row in range(rows):
            for c in range(channels):
                out[top + row, c] = y[row, c]


@compiled
def _one(
    y: NDArray[np.float64],
    section: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> None:
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    for c in range(y.size):
        x = y[c]
        r = b0 * x + first[c]
        first[c] = b1 * x - a1 * r + second[c]
        second[c] = b2 * x - a2 * r
        y[c] = r


@compiled
def _four(
    y0: NDArray[np.float64],
    y1: NDArray[np.float64],
    y2: NDArray[np.float64],
    y3: NDArray[np.float64],
    section: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> None:
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    for c in range(y0.size):
        p, q = first[c], second[c]
        x = y0[c]
        r = b0 * x + p
        p, q = b1 * x - a1 * r + q, b2 * x - a2 * r
        y0[c] = r
        x = y1[c]
        r = b0 * x + p
        p, q = b1 * x - a1 * r + q, b2 * x - a2 * r
        y1[c] = r
        x = y2[c]
        r = b0 * x + p
        p, q = b1 * x - a1 * r + q, b2 * x - a2 * r
        y2[c] = r
        x = y3[c]
        r = b0 * x + p
        first[c], second[c] = b1 * x - a1 * r + q, b2 * x - a2 * r
        y3[c] = r
