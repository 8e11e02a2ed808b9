"""Turn transposed convolutions into convolutions, which CPUs compute several times as fast.

A transposed convolution of stride s gives s outputs an input; those at the same place in all groups
of s are a convolution of the input, with every s-th weight of the kernel (Shi et al. 2016,
https://arxiv.org/abs/1609.07009, for images)::

    kernel 7, stride 4      inputs    a       b       c
                            outputs   . . . . 0 1 2 3 . . . .
                                        0 = w0 b + w4 a      2 = w2 b + w6 a
                                        1 = w1 b + w5 a      3 = w3 b

For the transposed one torch does without oneDNN on CPUs: four of those took a quarter of PhaseNet's
time.
"""

import copy
from typing import Any, TypeGuard

import torch
from torch.nn.functional import conv1d, pad

from dasdist.models.fold import replace_module

__all__ = ["SubpixelConv1d", "with_subpixels"]


class SubpixelConv1d(torch.nn.Module):
    """A transposed convolution, computed as a convolution with an output per place in a stride.

    Parameters
    ----------
    transposed : ConvTranspose1d
        Of one group, without dilation and output padding.

    Examples
    --------
    >>> transposed = torch.nn.ConvTranspose1d(3, 2, kernel_size=7, stride=4)
    >>> same = SubpixelConv1d(transposed)
    >>> x = torch.randn(1, 3, 10)
    >>> torch.allclose(same(x), transposed(x), atol=1e-6)
    True
    """

    def __init__(self, transposed: torch.nn.ConvTranspose1d) -> None:
        super().__init__()
        (kernel,), (stride,) = transposed.kernel_size, transposed.stride
        inputs, outputs = transposed.in_channels, transposed.out_channels
        taps = -(-kernel // stride)
        weight = pad(transposed.weight.detach(), (0, taps * stride - kernel))
        weight = weight.view(inputs, outputs, taps, stride).permute(1, 3, 0, 2).flip(3)
        bias = transposed.bias
        self.weight = _constant(weight.reshape(outputs * stride, inputs, taps))
        self.bias = None if bias is None else _constant(bias.detach().repeat_interleave(stride))
        self._places = outputs, stride
        self._edge = taps - 1
        self._left = int(transposed.padding[0])
        self._longer = kernel - stride - 2 * self._left  # than the inputs times the stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs, shape (windows, channels, samples)."""
        found = conv1d(x, self.weight, self.bias, padding=self._edge)
        woven: torch.Tensor = found.unflatten(-2, self._places).transpose(-1, -2).flatten(-2)
        return woven.narrow(-1, self._left, x.shape[-1] * self._places[1] + self._longer)


def with_subpixels(network: torch.nn.Module) -> torch.nn.Module:
    """Return a copy of a network without transposed convolutions along one axis.

    Those in groups, dilated or with output padding stay.

    Parameters
    ----------
    network : Module
        For inference.
    """
    changed = copy.deepcopy(network)
    for module in list(changed.modules()):
        if _may_be_one(module):
            replace_module(changed, module, SubpixelConv1d(module))
    return changed


def _may_be_one(module: Any) -> TypeGuard[torch.nn.ConvTranspose1d]:
    # the exact type: a subclass may do something else
    return type(module) is torch.nn.ConvTranspose1d and (
        module.groups == 1 and module.dilation == (1,) and module.output_padding == (0,)
    )


def _constant(values: torch.Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(values.contiguous(), requires_grad=False)
