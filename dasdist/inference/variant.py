"""How a model computes (plain, folded or compiled), and the check that results stay the same.

::

    plain          as it is
    folded         batch normalisation and components folded into convolutions
                   (dasdist.models.fold), and on CPUs transposed convolutions as plain ones
                   (dasdist.models.subpixel)
    channels-last  on CPUs the folded network with its samples in another order in memory
                   (dasdist.models.channels_last); on GPUs as folded
    compiled       the folded network compiled, where that is asked for: it takes a while.  On a CPU
                   by OpenVINO, on a GPU by torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal, get_args

import torch

from dasdist.errors import InvalidInput
from dasdist.inference.device import gathered
from dasdist.inference.engine import CompiledNetwork, compiler_found
from dasdist.models import FoldedNetwork
from dasdist.models.channels_last import channels_last
from dasdist.models.compiled_layers import with_compiled_layers
from dasdist.models.fold import Foldable, is_foldable
from dasdist.models.subpixel import with_subpixels

__all__ = [
    "LARGEST_DIFFERENCE",
    "PLAIN",
    "PRECISIONS",
    "Variant",
    "build",
    "choose_variant",
    "largest_difference",
    "less",
]

LARGEST_DIFFERENCE = 1e-4
"""Largest difference of probabilities that a variant may have from the plain model."""

PRECISIONS = {"float32": None, "tf32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What ``torch.autocast`` lowers the arithmetic to; TF32 is a setting of GPUs."""


Kind = Literal["plain", "folded", "channels-last", "compiled"]


@dataclass(frozen=True, slots=True)
class Variant:
    """How a model computes; the same for all blocks and workers of a run.

    Parameters
    ----------
    kind : {"plain", "folded", "channels-last", "compiled"}
        See the module.
    precision : {"float32", "tf32", "bf16", "fp16"}
        Of the arithmetic.
    callers : int
        Threads that compute batches at once in a process, a core each.
    """

    kind: Kind = "plain"
    precision: str = "float32"
    callers: int = 1


PLAIN = Variant()


def less(variant: Variant) -> Variant:
    """Return the variant that takes the place of one that does not do.

    Examples
    --------
    >>> less(Variant("compiled")).kind, less(Variant("folded")).kind
    ('channels-last', 'plain')
    """
    kinds = get_args(Kind)
    return replace(variant, kind=kinds[kinds.index(variant.kind) - 1])


def choose_variant(
    model: torch.nn.Module,
    arguments: Mapping[str, Any],
    callers: int = 1,
) -> Variant:
    """Choose the variant for a run from its arguments, not from its length, blocks or workers.

    So a run that is resumed, or grows, goes on in the variant that it was begun with.

    Parameters
    ----------
    model : Module
        The DAS model.
    arguments : mapping
        Arguments of ``annotate``.
    callers : int
        Threads that compute at once in a process.

    Raises
    ------
    InvalidInput
        For an unknown ``optimize`` or ``precision``, or "compile" without a compiler.
    """
    wanted = arguments.get("optimize", True)
    precision = arguments.get("precision", "float32")
    if not (isinstance(wanted, bool) or wanted == "compile"):
        raise InvalidInput(f"optimize is {wanted!r}; use True, False or 'compile'.")
    if precision not in PRECISIONS:
        raise InvalidInput(f"precision is {precision!r}; use one of {sorted(PRECISIONS)}.")
    if wanted == "compile" and not (compiler_found() or torch.cuda.is_available()):
        raise InvalidInput(
            "optimize is 'compile', which needs OpenVINO or a GPU; OpenVINO is not installed: "
            'python -m pip install "dasdist[openvino]"'
        )
    if wanted is False or not is_foldable(model):
        return Variant("plain", precision, callers)
    return Variant("compiled" if wanted == "compile" else "channels-last", precision, callers)


def build(
    model: Foldable,
    variant: Variant,
    shape: tuple[int, int],
    arguments: Mapping[str, Any],
) -> FoldedNetwork:
    """Return the network of a model in a variant.

    Parameters
    ----------
    model : Foldable
        The model.
    variant : Variant
        Not the plain one.
    shape : tuple of int
        Windows of a batch and samples of a window.
    arguments : mapping
        Arguments of ``annotate``.

    Raises
    ------
    ImportError, RuntimeError
        If it cannot be compiled.
    """
    folded = model.folded(shape[1], arguments)
    gathered(folded.network)
    network: Any = folded.network
    if model.device.type == "cuda":
        if variant.kind == "compiled":
            network = torch.compile(network, dynamic=False)
        return replace(folded, network=network)
    if variant.kind == "compiled" and PRECISIONS[variant.precision] is not None:
        raise RuntimeError(f"on CPUs it computes in float32, and precision is {variant.precision}")
    example = torch.zeros(shape[0], folded.components, shape[1])
    if variant.kind == "channels-last" and _has_onednn(model):
        return replace(folded, network=channels_last(with_compiled_layers(network), example))
    network = with_subpixels(network)
    if variant.kind == "compiled":
        network = CompiledNetwork(network, example, variant.callers)
    return replace(folded, network=network)


def _has_onednn(model: Foldable) -> bool:
    """Tell whether torch computes a model's convolutions by oneDNN, whose layout it is about."""
    return bool(torch.backends.mkldnn.is_available()) and model.dtype == torch.float32


def largest_difference(
    some: Mapping[str, torch.Tensor], others: Mapping[str, torch.Tensor]
) -> float:
    """Return the largest difference of annotations; infinite where only one is NaN."""
    largest = 0.0
    for key, values in some.items():
        if not torch.equal(values.isnan(), others[key].isnan()):
            return inf
        differences = (values - others[key]).abs().nan_to_num(0.0, posinf=inf)
        largest = max(largest, float(differences.max()) if differences.numel() else 0.0)
    return largest
