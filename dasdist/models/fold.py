"""Turn a network into one with less to compute and the same results up to rounding.

Batch normalisation of a trained network is a scale and a shift per channel, which its convolution
can do along with its own (Jacob et al. 2018, https://arxiv.org/abs/1712.05877, section 3.2)::

    gamma (w * x + b - mean) / sqrt(var + eps) + beta  =  w' * x + b'
    w' = w gamma / sqrt(var + eps)        b' = (b - mean) gamma / sqrt(var + eps) + beta

A convolution is linear in its input channels: of equal ones it needs one, with the sum of their
weights, and of channels that are zero it needs none.

What belongs together is seen in one run of the network: a convolution whose output goes into
batch normalisation and nowhere else, and one that alone takes the network's input.
"""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

from dasdist.models.tensors import tensors_in

__all__ = [
    "Foldable",
    "FoldedNetwork",
    "fold_batch_norms",
    "fold_components",
    "is_foldable",
    "replace_module",
]

# exact types: a subclass may do something else
_TRANSPOSED = (torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d)
_CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d, *_TRANSPOSED)
_BATCH_NORMS = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)
_LOOKS_ONLY = {"__get__", "size", "dim"}


@dataclass(frozen=True, slots=True)
class FoldedNetwork:
    """A network that computes in place of a waveform model's own.

    Parameters
    ----------
    network : callable
        Takes windows of shape (windows, components, samples).
    components : int
        How many components it takes, of all that the model knows.
    alone : bool
        Whether the model prepares one component by itself as it does among others, so that the
        others need not be there.
    """

    network: Callable[[torch.Tensor], Any]
    components: int
    alone: bool = False


class Foldable(Protocol):
    """A DAS model whose ``forward`` takes another network for its own, as ``folded``."""

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""

    def folded(self, samples: int, argdict: Mapping[str, Any]) -> FoldedNetwork:
        """Return the model's network with less to compute, for windows of some samples."""


def is_foldable(model: Any) -> bool:
    """Tell whether a model's ``forward`` heeds the network that ``folded`` returns.

    Both are of the same class: a subclass that computes in another way may not heed it.
    """
    known = (vars(kind) for kind in type(model).__mro__)
    return "folded" in next(names for names in known if "forward" in names)


def fold_batch_norms(network: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    """Return a copy of a network with batch normalisation folded into its convolutions.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    example : Tensor
        An input.

    Examples
    --------
    >>> block = torch.nn.Sequential(torch.nn.Conv1d(3, 8, 7), torch.nn.BatchNorm1d(8)).eval()
    >>> fold_batch_norms(block, torch.zeros(1, 3, 16))[1]
    Identity()
    """
    folded = copy.deepcopy(network)
    seen = _observe(folded, example)
    for norm in seen.calls:
        convolution = seen.maker_of_input(norm)
        if type(norm) in _BATCH_NORMS and _may_absorb(convolution, norm):
            _absorb(convolution, norm)
            replace_module(folded, norm, torch.nn.Identity())
    return folded


def fold_components(
    network: torch.nn.Module, example: torch.Tensor, strategy: Literal["clone", "pad"]
) -> torch.nn.Module | None:
    """Return a copy of a network that takes one component; None if there is no such network.

    Parameters
    ----------
    network : Module
        In evaluation mode.
    example : Tensor, shape (windows, components, samples)
        An input.
    strategy : {"clone", "pad"}
        Whether the components are all the same, or all but the first are zero.

    Examples
    --------
    >>> network = torch.nn.Conv1d(3, 8, 7)
    >>> fold_components(network, torch.zeros(1, 3, 16), "clone").weight.shape
    torch.Size([8, 1, 7])
    """
    folded = copy.deepcopy(network)
    seen = _observe(folded, example)
    first: Any = seen.only_user(example)
    if type(first) is not torch.nn.Conv1d or first.groups != 1:
        return None
    with torch.no_grad():
        weight = first.weight
        kept = weight.sum(1, keepdim=True) if strategy == "clone" else weight[:, :1].clone()
        first.weight = torch.nn.Parameter(kept, requires_grad=False)
    first.in_channels = 1
    # networks that check their input's shape do it by this attribute, as SeisBench's do
    if getattr(folded, "in_channels", None) == example.shape[1]:
        folded.in_channels = 1  # type: ignore[assignment]
    return folded


@dataclass(slots=True)
class _Seen(TorchFunctionMode):
    """Record of what was done to every tensor in one run of a network."""

    calls: dict[torch.nn.Module, list[tuple[int, int]]] = field(default_factory=dict)
    uses: Counter[int] = field(default_factory=Counter)
    kept: list[Any] = field(default_factory=list)  # so that no identity is given twice

    def __post_init__(self) -> None:
        TorchFunctionMode.__init__(self)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in _LOOKS_ONLY:
            self.uses.update(id(tensor) for tensor in tensors_in((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        self.kept.append((args, result))
        return result

    def note(self, module: torch.nn.Module, inputs: Any, output: Any) -> None:
        taken = inputs[0] if inputs else None
        self.calls.setdefault(module, []).append((id(taken), id(output)))

    def maker_of_input(self, module: torch.nn.Module) -> torch.nn.Module | None:
        """Return the module, called once, whose output this one alone takes, once."""
        (taken, _), *more = self.calls[module]
        if more or self.uses[taken] != 1:
            return None
        makers = [m for m, calls in self.calls.items() if taken in (made for _, made in calls)]
        return makers[0] if len(makers) == 1 and len(self.calls[makers[0]]) == 1 else None

    def only_user(self, tensor: torch.Tensor) -> torch.nn.Module | None:
        """Return the module, called once, that alone takes a tensor."""
        users = [
            m for m, calls in self.calls.items() if id(tensor) in (taken for taken, _ in calls)
        ]
        alone = len(users) == 1 and self.uses[id(tensor)] == len(self.calls[users[0]]) == 1
        return users[0] if alone else None


def _observe(network: torch.nn.Module, example: torch.Tensor) -> _Seen:
    seen = _Seen()
    leaves = [m for m in network.modules() if type(m) in (*_CONVOLUTIONS, *_BATCH_NORMS)]
    hooks = [module.register_forward_hook(seen.note) for module in leaves]
    try:
        with torch.no_grad(), seen:
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _may_absorb(convolution: Any, norm: Any) -> bool:
    return bool(
        type(convolution) in _CONVOLUTIONS
        and not norm.training
        and norm.running_mean is not None
        and (type(convolution) not in _TRANSPOSED or convolution.groups == 1)
    )


def _absorb(convolution: Any, norm: Any) -> None:
    dtype = convolution.weight.dtype
    tensors = (
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
    )
    weight, bias, mean, var, gamma, beta = (
        None if tensor is None else tensor.detach().double() for tensor in tensors
    )
    fuse: Any = fuse_conv_bn_weights  # its types leave out that weight and bias may be None
    transposed = type(convolution) in _TRANSPOSED
    fused = fuse(weight, bias, mean, var, norm.eps, gamma, beta, transpose=transposed)
    convolution.weight, convolution.bias = (
        torch.nn.Parameter(t.detach().to(dtype), requires_grad=False) for t in fused
    )


def replace_module(network: torch.nn.Module, old: torch.nn.Module, new: torch.nn.Module) -> None:
    """Put a module in the place of another, within a network that may be changed."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
