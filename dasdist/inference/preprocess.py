"""From recorded samples to what the model sees: resample, cast, filter.

On a CPU by scipy, on a GPU by tensors that lie there already (`dasdist.signal.on_device`).
"""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.geometry import Block, Ratio, SegmentGrid, Span
from dasdist.inference.lane import out_of_memory, to_device
from dasdist.signal import causal_filter, filter_tensor, resample_span, resample_tensor

__all__ = ["Prepared", "prepare", "prepare_tensor"]

_log = logging.getLogger("dasdist")

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Preprocessed samples of a block.

    Parameters
    ----------
    values : Tensor of float32, shape (samples, channels)
        At the model's sampling; on the model's device, if that has the memory.
    sample, channel : int
        Index within the segment of ``values[0, 0]``.
    """

    values: torch.Tensor
    sample: int
    channel: int


def prepare(
    raw: NDArray[Any],
    grid: SegmentGrid,
    block: Block,
    sections: NDArray[np.float64] | None,
    device: torch.device = _CPU,
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
    device : torch.device
        Where the model is.  A GPU preprocesses as well, unless the block is too large for it.

    Returns
    -------
    Prepared
        The inputs of the block's patches.

    Notes
    -----
    The order is SeisBench's: time before channels, single precision before the filter.
    """
    if device.type == "cuda":
        try:
            return prepare_tensor(to_device(raw, device), grid, block, sections)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            _log.warning(
                "A block of %.1f GB is preprocessed on the CPU: %s has no memory for it. Smaller "
                "blocks (block=) would be faster.",
                raw.nbytes / 1e9,
                device,
            )
        torch.cuda.empty_cache()  # not before the error is gone, which holds what was computed
    values = raw
    for axis, (wanted, first, ratio) in enumerate(_steps(grid, block)):
        if not ratio.is_identity:
            values = resample_span(values, wanted.start, wanted.stop, first, ratio, axis)
    single: NDArray[np.float32] = values.astype(np.float32, copy=False)
    if sections is not None:
        single = causal_filter(single, sections).astype(np.float32, copy=False)
    return _cut(torch.from_numpy(single), grid, block)


def prepare_tensor(
    raw: torch.Tensor, grid: SegmentGrid, block: Block, sections: NDArray[np.float64] | None
) -> Prepared:
    """Preprocess the samples that a block reads, on the device where they are.

    Parameters and result are those of :func:`prepare`.
    """
    values = raw
    for axis, (wanted, first, ratio) in enumerate(_steps(grid, block)):
        if not ratio.is_identity:
            values = resample_tensor(values, wanted.start, wanted.stop, first, ratio, axis)
    single = values.to(torch.float32)
    if sections is not None:
        single = filter_tensor(single, sections)
    return _cut(single, grid, block)


def _steps(grid: SegmentGrid, block: Block) -> list[tuple[Span, int, Ratio]]:
    """Return by axis the wanted samples, the first that was read, and the ratio between them."""
    read_time = block.read.time.shift(-grid.recorded.time.start)
    read_distance = block.read.distance.shift(-grid.recorded.distance.start)
    return [
        (block.inputs.time, read_time.start, grid.ratios[0]),
        (block.inputs.distance, read_distance.start, grid.ratios[1]),
    ]


def _cut(values: torch.Tensor, grid: SegmentGrid, block: Block) -> Prepared:
    """Drop what only the filter needed."""
    start = block.inputs.time.start
    first, last = grid.rows.input_span(block.rows.start, block.rows.stop)
    return Prepared(values[first - start : last - start], first, block.inputs.distance.start)
