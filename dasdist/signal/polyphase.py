"""Resampling as a product with a banded matrix, the same for every group of resampled samples.

::

    input        |----+----+----+----+----+----+----+----|      `inputs` rows from group to group
    group 0      [========================]                     `before` rows before its first
    group 1                [========================]
    resampled    |-----------|-----------|                      `outputs` rows of each group

Sample m = up q + p of the resampled signal is the sum over k of ``phases[p, k]`` times input
sample ``q down + before + k``.  Groups begin at multiples of `outputs` of the whole signal, and
each sum is taken in the order of its input, so that a result depends neither on spans nor on slabs.

Four resampled samples are summed at once, over channels that lie side by side: each sample is then
taken from memory once for all four, and the processor's vector units are full.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from math import lcm
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which takes a second: most workers need none
from numpy.typing import NDArray

from dasdist.compiled import compiled
from dasdist.geometry import Ratio

__all__ = ["Band", "band_of", "phases_of", "taps_of", "weigh"]

_TILE = 4
"""Resampled samples, and input samples, that are taken at once."""

_LEAST_OUTPUTS = 16
"""Resampled samples of a group: with few, groups share most of their input."""


@lru_cache(maxsize=16)
def taps_of(ratio: Ratio) -> NDArray[np.float64]:
    """Return the low-pass filter of a ratio, over its sum; that of each phase is the same.

    It is that of :func:`scipy.signal.resample_poly`: a Kaiser window with beta 5, and ten steps of
    the coarser grid to either side; its phases are scaled as `dasdist.signal.resample` says.
    """
    longest = max(ratio.up, ratio.down)
    taps: NDArray[np.float64] = scipy.signal.firwin(
        20 * longest + 1, 1 / longest, window=("kaiser", 5.0)
    )
    for phase in range(ratio.up if ratio.up > 1 else 0):
        taps[phase :: ratio.up] /= ratio.up * taps[phase :: ratio.up].sum()
    taps.setflags(write=False)
    return taps


@lru_cache(maxsize=16)
def phases_of(ratio: Ratio) -> tuple[NDArray[np.float64], int]:
    """Return filters of shape (up, taps), and the input of their first tap, relative to q down."""
    up, down = ratio.up, ratio.down
    reach = 10 * max(up, down)
    taps = up * taps_of(ratio)
    before = -(reach // up)
    after = ((up - 1) * down + reach) // up
    phase, offset = np.arange(up)[:, None], np.arange(before, after + 1)[None]
    place = reach + phase * down - offset * up
    inside = (place >= 0) & (place <= 2 * reach)
    return np.where(inside, taps[place.clip(0, 2 * reach)], 0.0), before


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The matrix that makes one group of resampled samples.

    Parameters
    ----------
    weights : ndarray, shape (outputs, rows)
        The matrix; `rows` input samples of a group are reached.
    lows, highs : ndarray of int64, shape (outputs // 4,)
        Half-open range of the columns that each four of its rows need.
    before : int
        First of those input samples, relative to that of the first resampled one.
    inputs : int
        Input samples from one group to the next.
    """

    weights: NDArray[np.floating[Any]]
    lows: NDArray[np.int64]
    highs: NDArray[np.int64]
    before: int
    inputs: int

    @property
    def outputs(self) -> int:
        """Resampled samples of a group."""
        return int(self.weights.shape[0])

    def rows(self, groups: int) -> int:
        """Return how many input samples so many groups reach."""
        return (groups - 1) * self.inputs + int(self.weights.shape[1])

    def apply(self, slab: NDArray[Any], out: NDArray[Any]) -> None:
        """Resample whole groups: `slab` of ``rows(groups)`` rows into ``groups * outputs``."""
        weigh(slab, self.weights, self.lows, self.highs, self.inputs, out)


@lru_cache(maxsize=16)
def band_of(ratio: Ratio, dtype: Any) -> Band:
    """Return the matrix of a ratio, in the type in which its sums are taken."""
    phases, before = phases_of(ratio)
    taps = phases.shape[1]
    outputs = lcm(ratio.up, _TILE)
    outputs *= -(-_LEAST_OUTPUTS // outputs)
    firsts: NDArray[np.int64] = np.arange(outputs) // ratio.up * ratio.down
    weights = np.zeros((outputs, firsts[-1] + taps + _TILE - 1), dtype=dtype)
    for row, first in enumerate(firsts):
        weights[row, first : first + taps] = phases[row % ratio.up]
    inputs = outputs // ratio.up * ratio.down
    return Band(weights, firsts[::_TILE], firsts[_TILE - 1 :: _TILE] + taps, before, inputs)


@partial(compiled, fastmath={"contract"})  # a product and its sum are one instruction
def weigh(
    slab: NDArray[Any],
    w: NDArray[Any],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    inputs: int,
    out: NDArray[Any],
) -> None:
    """Multiply the rows of each group by the weights, four resampled samples by four inputs."""
    outputs = w.shape[0]
    for top in range(0, out.shape[0], outputs):
        base = top // outputs * inputs
        for tile in range(lows.size):
            m = 4 * tile
            y0, y1, y2, y3 = out[top + m], out[top + m + 1], out[top + m + 2], out[top + m + 3]
            for c in range(slab.shape[1]):
                y0[c], y1[c], y2[c], y3[c] = 0, 0, 0, 0
            for k in range(lows[tile], highs[tile], 4):
                x0, x1 = slab[base + k], slab[base + k + 1]
                x2, x3 = slab[base + k + 2], slab[base + k + 3]
                a0, a1, a2, a3 = w[m, k], w[m, k + 1], w[m, k + 2], w[m, k + 3]
                b0, b1, b2, b3 = w[m + 1, k], w[m + 1, k + 1], w[m + 1, k + 2], w[m + 1, k + 3]
                c0, c1, c2, c3 = w[m + 2, k], w[m + 2, k + 1], w[m + 2, k + 2], w[m + 2, k + 3]
                d0, d1, d2, d3 = w[m + 3, k], w[m + 3, k + 1], w[m + 3, k + 2], w[m + 3, k + 3]
                for c in range(slab.shape[1]):
                    p, q, r, s = x0[c], x1[c], x2[c], x3[c]
                    y0[c] += (a0 * p + a1 * q) + (a2 * r + a3 * s)
                    y1[c] += (b0 * p + b1 * q) + (b2 * r + b3 * s)
                    y2[c] += (c0 * p + c1 * q) + (c2 * r + c3 * s)
                    y3[c] += (d0 * p + d1 * q) + (d2 * r + d3 * s)
