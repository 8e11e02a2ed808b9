"""Describe any DAS model, dasdist's own or SeisBench's, for planning."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch

from dasdist.errors import InvalidArgument, InvalidInput, ModelMismatch
from dasdist.geometry.patches import PatchingStructure
from dasdist.models.base import BaseDASModel
from dasdist.models.waveform import WaveformWrapper
from dasdist.spelling import nearest

__all__ = ["ModelSpec", "as_das_model", "check_arguments", "patching_structure"]

RUN_ARGUMENTS = {
    "optimize": (
        "True computes a faster form of the model if results are the same, 'compile' compiles it, "
        "False computes it as it is",
        True,
    ),
    "precision": ("Precision of the model's arithmetic: 'float32', 'bf16' or 'fp16'", "float32"),
    "pad": ("True extends recordings that are shorter than the model's window", False),
    "tolerance": ("Largest jitter of coordinates within a segment, in samples, below 0.5", 0.25),
}
"""Arguments of annotate and classify that concern the run, not the model."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What planning needs to know of a model.

    Parameters
    ----------
    name : str
        Name of the model.
    annotate_keys, phases : tuple of str
        Output keys, and those of them whose peaks are arrivals.
    dt_range, dx_range : tuple of float or None
        Admissible spacing in seconds and metres.
    filter_samples, fk_filter_args
        Preprocessing, see :class:`BaseDASModel`.
    channelwise : bool
        Whether windows of any channels may share a batch.
    """

    name: str
    annotate_keys: tuple[str, ...]
    phases: tuple[str, ...]
    dt_range: tuple[float, float] | None
    dx_range: tuple[float, float] | None
    filter_samples: tuple[str, Mapping[str, Any]] | None
    fk_filter_args: Mapping[str, Any] | None
    channelwise: bool

    @classmethod
    def of(cls, model: Any) -> "ModelSpec":
        """Describe a model.

        Raises
        ------
        ModelMismatch
            If the model has no annotation keys.
        """
        keys = tuple(model.annotate_keys)
        if not keys:
            raise ModelMismatch(
                f"{model.name} has no annotate_keys, so none of its outputs would be used; pass "
                "annotate_keys to its constructor."
            )
        return cls(
            name=model.name,
            annotate_keys=keys,
            phases=tuple(getattr(model, "phases", keys)),
            dt_range=model.dt_range,
            dx_range=model.dx_range,
            filter_samples=model.filter_samples,
            fk_filter_args=model.fk_filter_args,
            # an f-k filter mixes the channels of a patch before the model sees them
            channelwise=getattr(model, "channelwise", False) and model.fk_filter_args is None,
        )


def as_das_model(model: Any) -> torch.nn.Module:
    """Return a DAS model for anything that ``annotate`` accepts.

    Parameters
    ----------
    model : DASModel, or SeisBench's DASModel or WaveformModel
        SeisBench's waveform models, and its wrapper around them, become dasdist's wrapper.

    Raises
    ------
    InvalidInput
        For anything else.
    """
    if isinstance(model, BaseDASModel):
        return model
    if isinstance(model, torch.nn.Module) and hasattr(model, "annotate_keys"):
        if hasattr(model, "component_strategy"):
            return _rewrapped(model)
        return model
    if isinstance(model, torch.nn.Module) and hasattr(model, "_get_in_pred_samples"):
        return WaveformWrapper(model)
    raise InvalidInput(
        f"{type(model).__name__} is not a model for DAS data; pass a dasdist.DASModel, or a "
        "DASModel or WaveformModel of SeisBench."
    )


def _rewrapped(theirs: Any) -> WaveformWrapper:
    """Return dasdist's wrapper with all that was set on SeisBench's."""
    ours = WaveformWrapper(
        theirs.model, theirs.component_strategy, fk_filter_args=theirs.fk_filter_args
    )
    ours.default_args = dict(theirs.default_args)
    ours.annotate_forward_kwargs = dict(theirs.annotate_forward_kwargs)
    ours.filter_samples = theirs.filter_samples
    ours.dt_range, ours.dx_range = theirs.dt_range, theirs.dx_range
    ours.annotate_keys = [key for key in theirs.annotate_keys if key in ours.annotate_keys]
    return ours


def check_arguments(
    model: Any,
    arguments: Mapping[str, Any],
    also: set[str],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Refuse keyword arguments that neither the model nor the run nor the callback takes.

    Parameters
    ----------
    model : DASModel
        The model.
    arguments : mapping
        What was given.
    also : set of str
        What the callback takes.
    elsewhere : mapping of str to str
        Names that mean something, but not here, each with a sentence on where it belongs; empty
        for the caller's own arguments, which may be misspelt ones.

    Raises
    ------
    InvalidArgument
        Naming the nearest known argument.
    """
    known = {*model._annotate_args, *RUN_ARGUMENTS, *also}
    for key in arguments:
        if not any(fnmatchcase(key, pattern) for pattern in known):
            if elsewhere.get(key):
                raise InvalidArgument(f"{key!r} is not an argument here. {elsewhere[key]}")
            phase = key.removesuffix("_threshold")
            if phase != key and "thresholds" in also:
                raise InvalidArgument(
                    f"{model.name} takes no keyword argument {key!r}; on DAS data it is "
                    f"thresholds={{{phase!r}: ...}}."
                )
            near = nearest(key, [k for k in {*known, *elsewhere} if "*" not in k])
            hint = f"known are {', '.join(sorted(known))}."
            if near:
                hint = f"did you mean {near[0]!r}? {elsewhere.get(near[0], '')}".rstrip()
            raise InvalidArgument(f"{model.name} takes no keyword argument {key!r}; {hint}")


def patching_structure(
    model: Any, shape: tuple[int, int], arguments: Mapping[str, Any]
) -> PatchingStructure:
    """Ask a model for its patching structure and check that it makes sense.

    Raises
    ------
    ModelMismatch
        For sizes below one, or an output range outside the patch.
    """
    found = model.get_patching_structure(shape, dict(arguments))
    structure = PatchingStructure(
        in_samples=int(found.in_samples),
        in_channels=int(found.in_channels),
        out_samples=int(found.out_samples),
        out_channels=int(found.out_channels),
        range_samples=(int(found.range_samples[0]), int(found.range_samples[1])),
        range_channels=(int(found.range_channels[0]), int(found.range_channels[1])),
        overlap_samples=int(found.overlap_samples or 0),
        overlap_channels=int(found.overlap_channels or 0),
    )
    for axis, window, out, (first, last) in (
        ("samples", structure.in_samples, structure.out_samples, structure.range_samples),
        ("channels", structure.in_channels, structure.out_channels, structure.range_channels),
    ):
        if window < 1 or out < 1 or not 0 <= first < last <= window:
            raise ModelMismatch(
                f"The patching structure of {model.name} has out_{axis}={out}, in_{axis}={window} "
                f"and range_{axis}=({first}, {last}); it needs at least one output, and a range "
                "within the patch."
            )
    return structure
