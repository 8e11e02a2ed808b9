"""Steps of networks along time, on tensors that lie in memory channels last, and leave them so."""

from functools import reduce

import torch
from torch.nn import functional

__all__ = [
    "interpolated",
    "largest",
    "mixed",
    "repeated",
    "rows_of",
    "side_by_side",
    "with_ends",
]


def rows_of(x: torch.Tensor) -> torch.Tensor:
    """Return windows (windows, channels, samples) as (windows, channels, 1, samples).

    Examples
    --------
    >>> rows_of(torch.zeros(2, 3, 5)).stride()
    (15, 1, 15, 3)
    """
    windows, channels, samples = x.shape
    size = channels * samples
    rows = x.transpose(1, 2).contiguous()  # no copy of what lies so already
    return rows.as_strided((windows, channels, 1, samples), (size, 1, size, channels))


def mixed(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return few sums of channels, in torch's layout: as what follows them wants it."""
    if bias is None:
        return torch.matmul(weight, x)
    return torch.baddbmm(bias[:, None], weight.expand(len(x), -1, -1), x)


def with_ends(x: torch.Tensor, ends: tuple[int, int], value: float | None) -> torch.Tensor:
    """Return windows with a constant at both ends."""
    return functional.pad(x.transpose(1, 2), (0, 0, *ends), value=value).transpose(1, 2)


def repeated(x: torch.Tensor, times: int) -> torch.Tensor:
    """Return windows with every sample several times."""
    rows = x.transpose(1, 2)
    return rows[:, :, None].expand(-1, -1, times, -1).flatten(1, 2).transpose(1, 2)


def interpolated(x: torch.Tensor, scale: float, corners: bool | None) -> torch.Tensor:
    """Return windows with more samples, on lines between what they have."""
    found = functional.interpolate(
        rows_of(x), scale_factor=(1.0, scale), mode="bilinear", align_corners=corners
    )
    return found[:, :, 0]


def largest(x: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    """Return the largest of neighbouring samples."""
    # torch's own also tells where they are, and takes six times as long
    length = (x.shape[2] - kernel) // stride * stride + 1
    parts = [x[:, :, first : first + length : stride] for first in range(kernel)]
    return reduce(torch.maximum, parts)


def side_by_side(parts: list[torch.Tensor]) -> torch.Tensor:
    """Return the channels of all parts."""
    # parts of longer windows are copied twice: at once takes torch twice as long
    return torch.cat([part.transpose(1, 2).contiguous() for part in parts], 2).transpose(1, 2)
