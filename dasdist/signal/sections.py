"""Second-order sections, applied to many channels side by side."""

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
    y = np.empty(channels)
    first, second = state[:, 0].copy(), state[:, 1].copy()
    for row in range(x.shape[0]):
        for c in range(channels):
            y[c] = x[row, c]
        for s in range(sos.shape[0]):
            _advance(y, sos[s], first[s], second[s])
        for c in range(channels):
            out[row, c] = y[c]


@compiled
def _advance(
    y: NDArray[np.float64],
    section: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
) -> None:
    """Replace a sample of each channel by what a section makes of it."""
    b0, b1, b2, a1, a2 = section[0], section[1], section[2], section[4], section[5]
    for c in range(y.size):
        before = y[c]
        after = b0 * before + first[c]
        first[c] = b1 * before - a1 * after + second[c]
        second[c] = b2 * before - a2 * after
        y[c] = after
