"""Optional columns of picks: what the data and the annotations say of each pick besides its time.

::

    samples      . . . . . . . . . . | . . . . . . . . . .     preprocessed, one channel
                 [---- before -----] | [----- after -----]     2 s each, cut at the segment's ends
                  mean, noise       pick   peak, signal

    amplitude    largest |sample - mean of before| after the pick
    snr          rms of (sample - mean of before) after the pick over that before it
    peak_width   seconds for which the annotation's peak is above half of its height

Samples are what preprocessing makes of the record: resampled and filtered for the model, in the
unit of the data, before the model demeans or scales windows.  They are counted from their mean
before the pick, for recorders count from anywhere.  The first sample after a pick is that at its
time, or the next one.  So a value depends on the segment alone, not on how it is cut into blocks.
It is NaN where a sample that it needs is missing, where no sample is left before or after the pick,
or the rms before it is 0; a peak that does not fall to half of its height within its window of the
model has no width.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Samples
from dasdist.callbacks.picks import MORE_COLUMNS, PickTable
from dasdist.geometry.blocks import SegmentGrid

__all__ = ["AROUND", "OF_SAMPLES", "measured", "nothing_measured", "units_of"]

AROUND = (2.0, 2.0)
"""Seconds before and after a pick in which the samples are looked at."""

OF_SAMPLES = ("amplitude", "snr")
"""The columns that need the samples."""

_AT_ONCE = 4096
"""Picks whose samples are in memory at once."""


def units_of(columns: tuple[str, ...], data_unit: str) -> dict[str, str]:
    """Return the units of optional columns.

    Examples
    --------
    >>> units_of(("amplitude", "peak_width"), "")
    {'amplitude': 'unknown', 'peak_width': 's'}
    """
    known = {"amplitude": data_unit or "unknown", "snr": "1", "peak_width": "s"}
    return {name: known[name] for name in columns}


def nothing_measured(columns: tuple[str, ...], picks: int) -> PickTable:
    """Return columns of picks of which nothing is known."""
    return {name: np.full(picks, np.nan, dtype=MORE_COLUMNS[name]) for name in columns}


def measured(samples: Samples, picks: NDArray[np.void], grid: SegmentGrid) -> PickTable:
    """Measure the samples around picks.

    Parameters
    ----------
    samples : Samples
        Of their block.
    picks : ndarray of CANDIDATE, shape (n,)
        Where they are.
    grid : SegmentGrid
        Their segment.

    Returns
    -------
    dict of str to ndarray of float32, shape (n,)
        ``"amplitude"`` and ``"snr"``.
    """
    parts = [
        _measured(samples, picks[first : first + _AT_ONCE], grid)
        for first in range(0, picks.size, _AT_ONCE)
    ]
    empty = nothing_measured(OF_SAMPLES, 0)
    return {name: np.concatenate([empty[name], *(p[name] for p in parts)]) for name in empty}


def _measured(
    samples: Samples, picks: NDArray[np.void], grid: SegmentGrid
) -> Mapping[str, NDArray[Any]]:
    spacing = grid.model_time.spacing
    before, after = (max(1, int(Fraction(seconds) / spacing)) for seconds in AROUND)
    # the sample at a pick, or the next one; the channel at its place, or the one before
    first = -(-picks["position"] // grid.rows.stride.denominator)
    channels = picks["place"] // grid.columns.stride.denominator
    values, whole = samples.windows(first - before, channels, before + after)
    index = (first - before)[:, np.newaxis] + np.arange(before + after)
    inside = (index >= 0) & (index < grid.rows.size)
    values = values.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        counts = inside[:, :before].sum(axis=1), inside[:, before:].sum(axis=1)
        mean = np.where(inside[:, :before], values[:, :before], 0.0).sum(axis=1) / counts[0]
        off = np.where(inside, values - mean[:, np.newaxis], 0.0)
        amplitude = np.abs(off[:, before:]).max(axis=1)
        noise = np.sqrt(np.square(off[:, :before]).sum(axis=1) / counts[0])
        signal = np.sqrt(np.square(off[:, before:]).sum(axis=1) / counts[1])
        snr = np.where(noise > 0, signal / noise, np.nan)
        known = whole & (counts[0] > 0) & (counts[1] > 0)
        return {
            "amplitude": np.where(known, amplitude, np.nan).astype(np.float32),
            "snr": np.where(known, snr, np.nan).astype(np.float32),
        }
