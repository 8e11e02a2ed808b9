"""Turn recorded samples into the model's input: resample, cast, filter.

On a CPU by compiled loops, on a GPU by torch (`dasdist.signal.on_device`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.amplitude import AS_RECORDED, Amplitude, is_wide
from dasdist.geometry import Block
from dasdist.inference.cuda import to_device
from dasdist.inference.device import give_back, out_of_memory
from dasdist.inference.prefetch import computed_ahead
from dasdist.safe_text import logger
from dasdist.signal import causal_filter, filter_tensor, padded, resample_span, resample_tensor
from dasdist.signal.spread import Spread

__all__ = ["Prepared", "prepare", "prepare_resampled", "prepare_tensor"]

_log = logger()

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Preprocessed samples of a block.

    Parameters
    ----------
    values : ndarray or Tensor, shape (samples, channels)
        At the model's sampling; a tensor where a GPU preprocessed them.  Of float32, but where
        windows will be centred they are wider still, if what was recorded is.
    sample, channel : int
        Index within the segment of ``values[0, 0]``.
    """

    values: NDArray[Any] | torch.Tensor
    sample: int
    channel: int

    def fetched(self) -> "Prepared":
        """Return the same with its samples on the CPU."""
        if isinstance(self.values, np.ndarray):
            return self
        return replace(self, values=self.values.cpu().numpy())


def prepare(
    raw: NDArray[Any],
    block: Block,
    sections: NDArray[np.float64] | None,
    device: torch.device = _CPU,
    note: Callable[[str], object] = _log.warning,
    amplitude: Amplitude = AS_RECORDED,
    cores: int = 1,
) -> Prepared:
    """Preprocess the samples that a block reads.

    Parameters
    ----------
    raw : ndarray, shape ``block.read.shape``
        Recorded samples.
    block : Block
        The block.
    sections : ndarray of float64, shape (n, 6), or None
        Second-order sections of the filter along time.
    device : torch.device
        Where the model is.  A GPU preprocesses as well, unless the block is too large for it.
    note : callable
        Called with a message if it is.
    amplitude : Amplitude
        What will be done to the amplitude of windows.
    cores : int
        Cores to use, where the CPU preprocesses; the result is the same.

    Returns
    -------
    Prepared
        The inputs of the block's patches.

    Notes
    -----
    The order is SeisBench's: time before channels, single precision before the filter, unless that
    could not hold what was recorded.
    """
    if device.type == "cuda":
        try:
            return prepare_tensor(to_device(raw, device), block, sections, amplitude)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            note(
                f"{device} does not have the memory to preprocess a whole block, so the CPU does "
                "it; smaller blocks (block=, --block) would be faster."
            )
        give_back(device)  # not before the error is gone, which holds what was computed
    spread = partial(computed_ahead, cores=cores)
    values = _resampled(raw, block, partial(resample_span, spread=spread))
    return prepare_resampled(values, is_wide(raw.dtype), block, sections, amplitude, spread)


def prepare_resampled(
    values: NDArray[Any],
    wide: bool,
    block: Block,
    sections: NDArray[np.float64] | None,
    amplitude: Amplitude,
    spread: Spread,
) -> Prepared:
    """Preprocess, on the CPU, what is resampled already.

    Parameters
    ----------
    values : ndarray, shape ``block.inputs.shape``
        Resampled samples.
    wide : bool
        Whether single precision could not hold the recorded ones.
    spread : callable
        Applies a function to each of many pieces, perhaps on several cores.
    block, sections, amplitude
        As for :func:`prepare`.
    """
    kept = np.float64 if wide and amplitude.centred else np.float32
    if sections is not None:
        values = causal_filter(values if wide else _single(values), sections, kept, spread)
    elif kept is np.float32:
        values = _single(values)
    return _cut(values, block)


def _single(values: NDArray[Any]) -> NDArray[np.float32]:
    return values.astype(np.float32, copy=False)


def prepare_tensor(
    raw: torch.Tensor,
    block: Block,
    sections: NDArray[np.float64] | None,
    amplitude: Amplitude = AS_RECORDED,
) -> Prepared:
    """Preprocess the samples that a block reads, on the device where they are.

    Parameters and result are those of :func:`prepare`.
    """
    values = _resampled(raw, block, resample_tensor)
    wide = is_wide(raw.dtype)
    kept = torch.float64 if wide and amplitude.centred else torch.float32
    if sections is not None:
        values = filter_tensor(values if wide else values.to(torch.float32), sections, kept)
    elif kept is torch.float32:
        values = values.to(torch.float32)
    return _cut(values, block)


def _resampled(values: Any, block: Block, resample: Callable[..., Any]) -> Any:
    """Resample along time, then along the fibre, where that changes anything."""
    grid = block.grid
    for axis, (wanted, read, recorded) in enumerate(
        (
            (block.inputs.time, block.read.time, grid.recorded.time),
            (block.inputs.distance, block.read.distance, grid.recorded.distance),
        )
    ):
        ratio, first = grid.ratios[axis], read.start - recorded.start
        if not ratio.is_identity:
            values = resample(values, wanted.start, wanted.stop, first, ratio, axis)
    return values


def _cut(values: Any, block: Block) -> Prepared:
    """Drop what only the filter needed; pad a segment that is shorter than a patch."""
    start, rows = block.inputs.time.start, block.grid.rows
    settled = block.grid.settled(block.core.time, block.rows)
    first, last = settled.start, settled.stop
    if rows.padded:
        values = padded(values, -first, last - rows.size)
    else:
        values = values[first - start : last - start]
    return Prepared(values, first, block.inputs.distance.start)
