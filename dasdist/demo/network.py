"""The picking network: a small one-dimensional U-Net of depthwise-separable convolutions.

One channel of the fibre at a time, in and out on the same sampling::

    input 2 x 2048 ── stem /4 ── down /4 ── down /4 ── down /4 ── 8 steps of 2.56 s
                        │          │          │          │
    3 x 2048 ── up x4 ──┴── up x4 ─┴── up x4 ─┴── up x4 ─┘

The U-Net is that of Ronneberger et al. (2015, https://arxiv.org/abs/1505.04597), its use for
picking that of PhaseNet (Zhu & Beroza 2019, https://doi.org/10.1093/gji/ggy423), the separable
convolutions those of MobileNet (Howard et al. 2017, https://arxiv.org/abs/1704.04861).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WINDOW = 2048  # samples
BASELINE = 64  # samples of a block mean
TINY = 1e-30
CLASSES = ("P", "S", "noise")


def normalise(x: Tensor) -> Tensor:
    """Make windows of any unit, offset and drift comparable.

    A broken line through block means is taken off, then each window appears twice: over
    its peak, and as ``asinh`` of the ratio to its geometric mean, in which a weak P is as
    plain as a strong S. The geometric mean follows the noise, not the few large values.

    Parameters
    ----------
    x : Tensor
        Windows, (windows, samples), samples a multiple of 64.

    Returns
    -------
    Tensor
        (windows, 2, samples), about -5 to 5.

    Examples
    --------
    >>> normalise(torch.randn(4, 2048)).shape
    torch.Size([4, 2, 2048])
    """
    x = x - x[:, :1]
    offset = x.abs().amax(dim=1, keepdim=True)
    x = x / offset.clamp_min(TINY)
    blocks = functional.avg_pool1d(x[:, None], BASELINE)
    x = x - functional.interpolate(blocks, scale_factor=float(BASELINE), mode="linear")[:, 0]
    x = x / x.abs().amax(dim=1, keepdim=True).clamp_min(1e-6)
    level = torch.exp(torch.log(x.abs() + 1e-5).mean(dim=1, keepdim=True))
    return torch.stack([x, torch.asinh(x / level) / 2], dim=1)


class Separable(nn.Module):
    """Depthwise then pointwise convolution with batch norm and ReLU."""

    def __init__(self, inner: int, outer: int, *, kernel: int = 7, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            inner, inner, kernel, stride=stride, padding=kernel // 2, groups=inner, bias=False
        )
        self.pointwise = nn.Conv1d(inner, outer, 1, bias=False)
        self.norm = nn.BatchNorm1d(outer)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, inner, samples) to (windows, outer, samples / stride)."""
        return functional.relu(self.norm(self.pointwise(self.depthwise(x))))


class PickNetwork(nn.Module):
    """Probabilities of P, S and neither on every sample.

    Parameters
    ----------
    width : int
        Features of the first level; the following have 1.5, 2.5 and 4 times as many.

    Examples
    --------
    >>> network = PickNetwork().eval()
    >>> network(torch.randn(4, 2048)).shape
    torch.Size([4, 3, 2048])
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        widths = [width, width * 3 // 2, width * 5 // 2, width * 4]
        self.stem = nn.Conv1d(2, width, 15, stride=4, padding=7)
        self.down = nn.ModuleList(
            nn.Sequential(Separable(a, b, stride=4), Separable(b, b)) for a, b in pairwise(widths)
        )
        self.up = nn.ModuleList(
            Separable(a + b, b) for a, b in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.fine = nn.Conv1d(2, 8, 11, padding=5)
        self.head = nn.Sequential(
            nn.Conv1d(width, 8, 1), nn.Upsample(scale_factor=4, mode="linear")
        )
        self.last = nn.Conv1d(16, len(CLASSES), 7, padding=3)
        with torch.no_grad():  # arrivals are rare: begin from that
            self.last.bias.copy_(torch.tensor([-2.0, -2.0, 2.0]))  # type: ignore[union-attr]

    def logits(self, x: Tensor) -> Tensor:
        """Unnormalised scores, (windows, samples) to (windows, 3, samples)."""
        features = normalise(x)
        fine = functional.relu(self.fine(features))
        levels = [functional.relu(self.stem(features))]
        for block in self.down:
            levels.append(block(levels[-1]))
        y = levels.pop()
        for block in self.up:
            skip = levels.pop()
            wide = functional.interpolate(y, scale_factor=4.0, mode="linear")
            y = block(torch.cat([wide, skip], dim=1))
        return self.last(torch.cat([functional.relu(self.head(y)), fine], dim=1))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities, (windows, samples) to (windows, 3, samples)."""
        return self.logits(x).softmax(dim=1)
