"""Turn a network along time into one whose samples lie in memory channel by channel.

::

    torch's layout     a0 a1 a2 a3   b0 b1 b2 b3        windows, channels, samples
    channels last      a0 b0   a1 b1   a2 b2   a3 b3    the same tensor with other strides

oneDNN computes convolutions of few channels in blocks of these: before each layer torch copies what
lies in its own layout into blocks, and back behind it.  Channels last need no copy.  Tensors keep
their shape, (windows, channels, samples), so that any step of a network stays right as it is; those
that would bring the other layout back are replaced.

What belongs together becomes one step: a convolution, the zeros or repeated samples before it and
the rectifier behind it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from dasdist.models.recorded import (
    are_weights,
    call_instead,
    held_before,
    name_of,
    recorded,
    runnable,
    value_of,
)
from dasdist.models.row_convolution import (
    FEW,
    Kernel,
    RowConvolution,
    of_few,
    of_repeated,
    of_transposed,
)
from dasdist.models.row_steps import (
    interpolated,
    largest,
    mixed,
    repeated,
    side_by_side,
    with_ends,
)

__all__ = ["channels_last"]


def channels_last(network: torch.nn.Module, example: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return a function that computes what a network does, channels last.

    Parameters
    ----------
    network : Module
        In evaluation mode, in single precision, on the CPU.
    example : Tensor, shape (windows, channels, samples)
        An input: the function takes others of its shape only.

    Raises
    ------
    ValueError
        If it cannot be written down, or has no convolutions along time.

    Examples
    --------
    >>> network = torch.nn.Sequential(torch.nn.Conv1d(1, 4, 3), torch.nn.ReLU())
    >>> x = torch.randn(2, 1, 8)
    >>> torch.allclose(channels_last(network, x)(x), network(x), atol=1e-6)
    True
    """
    graph = recorded(network, example)
    if not any(name_of(node) in _CONVOLUTIONS for node in graph.nodes):
        raise ValueError("it has no convolutions along time")
    with torch.no_grad():
        for steps in (_CONVOLUTIONS, _OTHERS):  # the former take in what lies around them
            for node in list(graph.nodes):
                step = steps.get(name_of(node))
                if step is not None and value_of(node).ndim == 3:
                    step(node, *node.args, **node.kwargs)
    return runnable(graph)


# ---------------------------------------------------------------- convolutions
# each takes a step and then what torch's function of its name takes


def _convolution(
    node: fx.Node,
    input: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> None:
    stride, dilation = _one(stride), _one(dilation)
    edges = _edges(padding, dilation * (value_of(weight).shape[2] - 1))
    source, times = input, 1
    if dilation == groups == 1 and len(input.users) == 1:
        source, more = _zeros_before(input)
        edges = edges[0] + more[0], edges[1] + more[1]
        if stride == 1 and source is input:
            source, times = _repeats_before(input)
    if not are_weights(weight, bias) or (edges[0] != edges[1] and dilation != 1):
        return
    kernel = Kernel(value_of(weight), _bias(bias), stride, dilation, groups, edges)
    outputs, _, taps = kernel.weight.shape
    samples = value_of(source).shape[2]
    if times > 1:
        kernel = of_repeated(kernel, samples, times)
    elif stride == dilation == groups == 1 and outputs < FEW:
        if taps == 1 and edges == (0, 0):
            call_instead(node, mixed, source, held_before(node, kernel.weight[:, :, 0]), bias)
            return
        kernel = of_few(kernel, samples)
    _put(node, source, kernel)


def _transposed(
    node: fx.Node,
    input: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> None:
    if not are_weights(weight, bias) or groups != 1 or _one(dilation) != 1:
        return
    kernel = Kernel(value_of(weight), _bias(bias), _one(stride))
    samples = value_of(input).shape[2]
    found = of_transposed(kernel, samples, _one(padding), _one(output_padding))
    if found is not None:
        _put(node, input, found)


def _put(node: fx.Node, source: fx.Node, kernel: Kernel) -> None:
    """Put a convolution in the place of a node, and of the rectifier behind it."""
    last = node
    if len(node.users) == 1 and name_of(user := next(iter(node.users))) in ("relu", "relu_"):
        last = user
    convolution = RowConvolution(kernel, value_of(source).shape, rectify=last is not node)
    with node.graph.inserting_before(last):
        new = node.graph.create_node("call_module", f"convolution_{node.name}", (source,))
    new.meta = {"module": convolution, "value": value_of(last)}
    last.replace_all_uses_with(new)


def _edges(padding: Any, reach: int) -> tuple[int, int]:
    """Return the zeros at both ends; where there is no middle torch has one more at the end."""
    if padding == "same":
        return reach // 2, reach - reach // 2
    return (0, 0) if padding == "valid" else (_one(padding), _one(padding))


def _zeros_before(node: fx.Node) -> tuple[fx.Node, tuple[int, int]]:
    """Return what zeros are put around, and how many."""

    def taken(
        input: fx.Node, pad: Any, mode: str = "constant", value: float | None = None
    ) -> tuple[fx.Node, tuple[int, int]]:
        zeros = mode == "constant" and not value and len(pad) == 2 and min(pad) >= 0
        return (input, tuple(pad)) if zeros else (node, (0, 0))

    arguments: Any = node.args, node.kwargs
    return taken(*arguments[0], **arguments[1]) if name_of(node) == "pad" else (node, (0, 0))


def _repeats_before(node: fx.Node) -> tuple[fx.Node, int]:
    """Return what samples are repeated of, and how often."""

    def taken(
        input: fx.Node,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        *_: Any,
        **others: Any,
    ) -> tuple[fx.Node, int]:
        times = float(_first(scale_factor or 1))
        whole = mode == "nearest" and size is None and times == int(times)
        return (input, int(times)) if whole else (node, 1)

    arguments: Any = node.args, node.kwargs
    return taken(*arguments[0], **arguments[1]) if name_of(node) == "interpolate" else (node, 1)


_CONVOLUTIONS: dict[str, Callable[..., None]] = {
    "conv1d": _convolution,
    "conv_transpose1d": _transposed,
}


# ---------------------------------------------------------------- other steps


def _padded(
    node: fx.Node,
    input: fx.Node,
    pad: Any,
    mode: str = "constant",
    value: float | None = None,
) -> None:
    if mode == "constant" and len(pad) == 2:
        call_instead(node, with_ends, input, tuple(pad), value)


def _interpolated(
    node: fx.Node,
    input: fx.Node,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    **others: Any,
) -> None:
    source, times = _repeats_before(node)
    if source is not node:
        call_instead(node, repeated, source, times)
    elif mode == "linear" and scale_factor is not None and not any(others.values()):
        call_instead(node, interpolated, input, float(_first(scale_factor)), align_corners)


def _pooled(
    node: fx.Node,
    input: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> None:
    if not (_one(padding) or _one(dilation) != 1 or ceil_mode or return_indices):
        call_instead(node, largest, input, _one(kernel_size), _one(stride or kernel_size))


def _joined(node: fx.Node, tensors: list[fx.Node], dim: int = 0) -> None:
    if dim in (1, -2):
        call_instead(node, side_by_side, tensors)


def _softmax(node: fx.Node, input: fx.Node, *_: Any, **others: Any) -> None:
    # of a few channels it takes twenty times as long channels last
    with node.graph.inserting_before(node):
        copied = node.graph.call_method("contiguous", (input,))
    copied.meta["value"] = value_of(input)
    node.replace_input_with(input, copied)


# batch normalisation that is not folded stays torch's: an own one was four times as far from exact
_OTHERS: dict[str, Callable[..., None]] = {
    "cat": _joined,
    "interpolate": _interpolated,
    "max_pool1d": _pooled,
    "pad": _padded,
    "softmax": _softmax,
}


# ---------------------------------------------------------------- arguments


def _bias(node: fx.Node | None) -> torch.Tensor | None:
    return None if node is None else value_of(node)


def _first(value: Any) -> Any:  # of the axes, of which there is one
    return value[0] if isinstance(value, tuple | list) else value


def _one(value: Any) -> int:
    return int(_first(value))
