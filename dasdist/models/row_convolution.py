"""Convolutions along time of tensors that lie in memory channels last.

A row of samples is an image of height one to torch, which computes its convolutions without a copy
if its channels lie last.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import conv2d, pad

from dasdist.models.row_steps import rows_of

__all__ = ["FEW", "Kernel", "RowConvolution", "of_few", "of_repeated", "of_transposed"]


FEW = 8
"""Outputs that processors compute at once: of fewer, each takes as long as all."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a convolution does.

    Parameters
    ----------
    weight : Tensor, shape (places * outputs, inputs / groups, taps)
        Of several places, the outputs of the first come first.
    bias : Tensor, shape (places * outputs,), or None
        What is added.
    stride, dilation, groups : int
        As of ``torch.nn.functional.conv1d``.
    edges : tuple of int
        Zeros before and behind the samples.
    places : int
        Samples that each step of the kernel gives.
    kept : tuple of int or None
        First sample that is kept of those, and how many; None keeps all.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    edges: tuple[int, int] = (0, 0)
    places: int = 1
    kept: tuple[int, int] | None = None


def of_transposed(
    kernel: Kernel, samples: int, padding: int = 0, output_padding: int = 0
) -> Kernel | None:
    """Return a kernel that does what one does transposed; None if there is none.

    Parameters
    ----------
    kernel : Kernel
        With its stride, and weights of shape (inputs, outputs, taps).
    samples : int
        Of a window.
    padding, output_padding : int
        As of ``torch.nn.functional.conv_transpose1d``.
    """
    inputs, outputs, size = kernel.weight.shape
    stride = kernel.stride
    taps = -(-size // stride)
    length = (samples - 1) * stride + size - 2 * padding + output_padding
    if padding + length > (samples + taps - 1) * stride:
        return None
    weight = pad(kernel.weight, (0, taps * stride - size)).view(inputs, outputs, taps, stride)
    weight = weight.permute(3, 1, 0, 2).flip(3).reshape(stride * outputs, inputs, taps)
    bias = None if kernel.bias is None else kernel.bias.repeat(stride)
    return Kernel(weight, bias, edges=(taps - 1, taps - 1), places=stride, kept=(padding, length))


def of_repeated(kernel: Kernel, samples: int, times: int) -> Kernel:
    """Return the kernel for windows whose samples are to be repeated, but are not.

    Neighbouring weights meet the same sample and are added up::

        kernel 5, twice     a a b b c c     0 = (w0 + w1) a + (w2 + w3) b + w4 c
                                  0 1       1 = w0 a + (w1 + w2) b + (w3 + w4) c

    Parameters
    ----------
    kernel : Kernel
        Of stride, dilation and groups 1.
    samples : int
        Of a window that is not repeated.
    times : int
        How often each is.
    """
    outputs, inputs, size = kernel.weight.shape
    before, behind = kernel.edges
    earliest, latest = (-before) // times, (times - 1 + size - 1 - before) // times
    weight = kernel.weight.new_zeros(times, outputs, inputs, latest - earliest + 1)
    for place in range(times):
        for tap in range(size):
            at = (place + tap - before) // times
            weight[place, :, :, at - earliest] += kernel.weight[:, :, tap]
    length = times * samples + before + behind - size + 1
    return Kernel(
        weight.flatten(0, 1),
        None if kernel.bias is None else kernel.bias.repeat(times),
        edges=(-earliest, max(0, -(-length // times) - samples + latest)),
        places=times,
        kept=(0, length),
    )


def of_few(kernel: Kernel, samples: int) -> Kernel:
    """Return a kernel that gives the next few samples at once, in steps of as many.

    Parameters
    ----------
    kernel : Kernel
        Of stride, dilation and groups 1.
    samples : int
        Of a window.
    """
    outputs, inputs, size = kernel.weight.shape
    before, behind = kernel.edges
    weight = kernel.weight.new_zeros(FEW, outputs, inputs, FEW + size - 1)
    for place in range(FEW):
        weight[place, :, :, place : place + size] = kernel.weight
    length = samples + before + behind - size + 1
    last = -(-length // FEW) * FEW + size - 1 - samples - before
    bias = None if kernel.bias is None else kernel.bias.repeat(FEW)
    return Kernel(
        weight.flatten(0, 1), bias, FEW, edges=(before, last), places=FEW, kept=(0, length)
    )


class RowConvolution(torch.nn.Module):
    """A convolution along time, channels last.

    Parameters
    ----------
    kernel : Kernel
        What it does.
    shape : tuple of int
        Windows, channels and samples of its inputs.
    rectify : bool
        Whether what is negative becomes zero.

    Examples
    --------
    >>> double = RowConvolution(Kernel(2 * torch.ones(1, 1, 1), None), (1, 1, 2), rectify=True)
    >>> double(torch.tensor([[[-1.0, 1.0]]]))
    tensor([[[0., 2.]]])
    """

    def __init__(self, kernel: Kernel, shape: tuple[int, ...], *, rectify: bool = False) -> None:
        super().__init__()
        before, behind = kernel.edges
        weight = kernel.weight.detach()
        if before != behind:  # as many on both sides, of which weights that are zero take no notice
            weight = pad(weight, (max(0, behind - before), max(0, before - behind)))
        self.weight = torch.nn.Parameter(
            weight[:, :, None].contiguous(memory_format=torch.channels_last), requires_grad=False
        )
        bias = kernel.bias
        self.bias = None if bias is None else torch.nn.Parameter(bias.detach(), requires_grad=False)
        self._steps = (1, kernel.stride), (0, max(kernel.edges)), (1, kernel.dilation)
        self._groups = kernel.groups
        self._places = kernel.places
        self._kept = kernel.kept
        self._rectify = rectify
        self._packed = self._in_order_of_onednn(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (windows, outputs, samples), channels last."""
        found = self._convolved(rows_of(x))[:, :, 0]
        if self._places > 1:
            rows = found.transpose(1, 2).unflatten(2, (self._places, -1))
            found = rows.flatten(1, 2).transpose(1, 2)
        return found if self._kept is None else found.narrow(2, *self._kept)

    def _convolved(self, rows: torch.Tensor) -> torch.Tensor:
        stride, padding, dilation = self._steps
        if self._packed is None or torch.is_autocast_enabled("cpu"):
            found = conv2d(rows, self.weight, self.bias, stride, padding, dilation, self._groups)
            return found.relu_() if self._rectify else found
        convolve: Any = torch.ops.mkldnn._convolution_pointwise
        after = "relu" if self._rectify else "none"
        made: torch.Tensor = convolve(
            *(rows, self._packed, self.bias, padding, stride, dilation, self._groups),
            *(after, [], ""),
        )
        return made

    def _in_order_of_onednn(self, shape: tuple[int, ...]) -> torch.Tensor | None:
        """Return the weights as oneDNN wants them; None if this torch does not say how."""
        windows, channels, samples = shape
        stride, padding, dilation = self._steps
        try:
            order: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
            kept: torch.Tensor = order(
                self.weight.to_mkldnn(),
                *(padding, stride, dilation, self._groups),
                [windows, channels, 1, samples],
            )
            torch.ops.mkldnn._convolution_pointwise  # noqa: B018 - whether it is there
        except (AttributeError, RuntimeError):
            return None
        return kept
