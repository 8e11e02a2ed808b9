"""From recorded samples to what the model sees: resample, cast, filter."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Block, SegmentGrid, Span
from dasdist.signal import causal_filter, resample_span

__all__ = ["Prepared", "prepare"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Preprocessed samples of a block.

    Parameters
    ----------
    values : ndarray of float32, shape (samples, channels)
        At the model's sampling.
    sample, channel : int
        Index within the segment of ``values[0, 0]``.
    """

    values: NDArray[np.float32]
    sample: int
    channel: int


def prepare(
    raw: NDArray[Any], grid: SegmentGrid, block: Block, sections: NDArray[np.float64] | None
) -> Prepared:
    """Preprocess the samples that a block reads.

    Parameters
    ----------
    raw : ndarray, shape ``block.read.shape``
        Recorded samples.
    grid : SegmentGrid
        The block's segment.
    block : Block
        The block.
    sections : ndarray of float64, shape (n, 6), or None
        Second-order sections of the filter along time.

    Returns
    -------
    Prepared
        The inputs of the block's patches.

    Notes
    -----
    The order is SeisBench's: time before channels, single precision before the filter.
    """
    read_time = block.read.time.shift(-grid.recorded.time.start)
    read_distance = block.read.distance.shift(-grid.recorded.distance.start)
    times, channels = block.inputs.time, block.inputs.distance
    values = _resample(raw, times, read_time.start, grid, axis=0)
    values = _resample(values, channels, read_distance.start, grid, axis=1)
    single: NDArray[np.float32] = values.astype(np.float32, copy=False)
    first, last = grid.rows.input_span(block.rows.start, block.rows.stop)
    if sections is not None:
        single = causal_filter(single, sections).astype(np.float32, copy=False)
    return Prepared(single[first - times.start : last - times.start], first, channels.start)


def _resample(
    values: NDArray[Any], wanted: Span, first: int, grid: SegmentGrid, axis: int
) -> NDArray[Any]:
    ratio = grid.ratios[axis]
    if ratio.is_identity:
        return values
    return resample_span(values, wanted.start, wanted.stop, first, ratio, axis)
