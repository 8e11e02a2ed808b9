"""Probability curves that stay on a GPU, so that only their peaks are copied to the CPU."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["DeviceCurves"]


@dataclass(frozen=True, slots=True)
class DeviceCurves:
    """Curves on any device, which can be cut and searched for local maxima there.

    Parameters
    ----------
    values : Tensor of float32, shape (samples, channels)
        The curves.

    Examples
    --------
    >>> curves = DeviceCurves(torch.tensor([[0.0, 2, 2, 1, 0]]).T)
    >>> samples, channels, heights = curves[:, :1].local_maxima(1.0)
    >>> samples.tolist(), heights.tolist()
    ([1], [2.0])
    """

    values: torch.Tensor

    def __getitem__(self, where: Any) -> "DeviceCurves":
        return DeviceCurves(self.values[where])

    def on_host(self, channels: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the curves of some channels on the CPU."""
        at = torch.from_numpy(channels).to(self.values.device)
        found: NDArray[np.float32] = self.values[:, at].cpu().numpy()
        return found

    def local_maxima(
        self, height: float
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return samples, channels and heights of all peaks of at least this height.

        They are those that :func:`dasdist.callbacks.peaks.find_peaks` finds with a distance of 1,
        in the same order; what is returned is on the CPU.
        """
        curves = self.values.T
        if curves.shape[1] < 3:
            curves = curves[:, :0]
        inner = curves[:, 1:-1]
        rises = (inner >= _least(height)) & (curves[:, :-2] < inner)
        channels, starts = rises.nonzero(as_tuple=True)
        starts = starts + 1
        heights = curves[channels, starts]
        ends = _ends(curves, channels, starts, heights)
        falls = curves[channels, ends] < heights
        found = torch.stack([(starts + ends - 1) // 2, channels])[:, falls].cpu().numpy()
        return found[0], found[1], heights[falls].cpu().numpy()


def _least(height: float) -> float:
    """Return the least float32 that is not below a number in double precision."""
    nearest = np.float32(height)
    if float(nearest) < height:
        nearest = np.nextafter(nearest, np.float32(np.inf))
    return float(nearest)


def _ends(
    curves: torch.Tensor, channels: torch.Tensor, starts: torch.Tensor, heights: torch.Tensor
) -> torch.Tensor:
    """Return the first sample after each start with another value; the last one, if none has."""
    ends = starts + 1
    flat = curves[channels, ends] == heights
    if not flat.any():
        return ends
    # plateaus are rare: only channels that have one are searched for where values change
    rows, row_of = channels[flat].unique(return_inverse=True)
    some = curves[rows]
    last = some.shape[1] - 1
    place = torch.arange(last, device=some.device)
    changes = torch.where(some[:, 1:] != some[:, :-1], place, last - 1)
    following = changes.flip(1).cummin(1).values.flip(1)
    ends[flat] = following[row_of, starts[flat]] + 1
    return ends
