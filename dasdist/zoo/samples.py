"""A sample input of a model and the output that it must give, on any device and in any form.

Hashes say that weights are what was saved.  A sample says that the model is: also under another
version of SeisBench or torch, on another processor, folded or compiled.
"""

import copy
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, sqrt
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.inference import Predictor
from dasdist.inference.engine import compiler_found
from dasdist.inference.variant import LARGEST_DIFFERENCE, Kind, Variant, largest_difference
from dasdist.models import BaseDASModel, patching_structure
from dasdist.models.fold import is_foldable

__all__ = ["Outcome", "Sample", "check_sample", "outcomes"]

_SHAPE = 16_384, 2  # of the recording that a model is asked how it cuts
_STEP = 10.0  # metres, for models of any channel spacing
_INPUT, _OUTPUT = "input", "output."


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A patch, and what a model makes of it.

    Parameters
    ----------
    patch : array of float32, shape (in_samples, in_channels)
        Preprocessed samples at the model's own sampling.
    outputs : mapping of str to array of float32, each of shape (out_samples, out_channels)
        What the plain model gave for it on a CPU, by annotation key.
    """

    patch: NDArray[np.float32]
    outputs: dict[str, NDArray[np.float32]]

    @classmethod
    def of(cls, model: Any, patch: Any = None) -> Self | None:
        """Make the sample of a model; None for one that does not say how it cuts recordings.

        Parameters
        ----------
        model : DASModel
            The model, which stays as it is.
        patch : array, optional
            A patch of one's own; by default noise with an arrival.

        Raises
        ------
        InvalidInput
            If the patch does not have the shape that the model cuts.
        """
        theirs = getattr(type(model), "get_patching_structure", None)
        if theirs is BaseDASModel.get_patching_structure and model.patching_structure is None:
            return None
        values = _arrival(model) if patch is None else np.asarray(patch, dtype=np.float32)
        if values.ndim != 2:
            raise InvalidInput(
                f"The sample has {values.ndim} dimensions; give one patch, samples by channels."
            )
        _fits(model, values)
        return cls(values, _annotated(_copied(model, "cpu"), values, Variant()))

    def to_bytes(self) -> bytes:
        """Return it as a file of NumPy, ``.npz``."""
        held = io.BytesIO()
        arrays: dict[str, Any] = {f"{_OUTPUT}{key}": v for key, v in self.outputs.items()}
        np.savez(held, **{_INPUT: self.patch, **arrays})
        return held.getvalue()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read one; nothing is unpickled.

        Raises
        ------
        InvalidInput
            If the file holds no sample.
        """
        try:
            with np.load(path, allow_pickle=False) as held:
                found = {name: np.asarray(held[name], np.float32) for name in held.files}
            patch = found.pop(_INPUT)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidInput(
                f"{path} holds no sample of a model ({error}). Bring it once more, or remove it."
            ) from error
        return cls(patch, {name.removeprefix(_OUTPUT): values for name, values in found.items()})

    def difference(self, others: dict[str, NDArray[np.float32]]) -> float:
        """Return the largest difference of outputs, as a share of the largest output."""
        if others.keys() != self.outputs.keys():
            return inf
        if any(others[key].shape != values.shape for key, values in self.outputs.items()):
            return inf
        largest = max([1.0, *(float(np.abs(v).max(initial=0)) for v in self.outputs.values())])
        ours, theirs = (
            {key: torch.from_numpy(v) for key, v in some.items()} for some in (self.outputs, others)
        )
        return largest_difference(ours, theirs) / largest


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a model did on its sample in one form on one device.

    Parameters
    ----------
    device, form : str
        Such as ``cuda`` and ``channels-last``.
    difference : float
        The largest from the sample's output, as a share of the largest output.
    note : str
        Why another form took its place, if one did.
    """

    device: str
    form: str
    difference: float
    note: str = ""

    @property
    def reproduced(self) -> bool:
        """Whether the output is the sample's."""
        return self.difference <= LARGEST_DIFFERENCE


def check_sample(model: Any, sample: Sample | None, name: object) -> Any:
    """Return a model that reproduces its sample; as it is, on the device where it is.

    Raises
    ------
    InvalidInput
        If it does not.
    """
    if sample is None:
        return model
    found = _outcome(model, sample, Variant())
    if not found.reproduced:
        raise InvalidInput(
            f"{name} does not reproduce the sample that was saved with it: the output differs by "
            f"{found.difference:.1e} of the largest, allowed are {LARGEST_DIFFERENCE:.0e}. "
            "Use the versions of SeisBench and torch that it was saved with, or another version "
            "of the model; dasdist models test says more."
        )
    return model


def outcomes(model: Any, sample: Sample) -> Iterator[Outcome]:
    """Try a model on its sample, on each device and in each form that there is."""
    forms = get_args(Kind) if is_foldable(model) else ("plain",)
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        compiles = device == "cuda" or compiler_found()
        for form in forms:
            if form != "compiled" or compiles:
                yield _outcome(_copied(model, device), sample, Variant(form))


def _outcome(model: Any, sample: Sample, variant: Variant) -> Outcome:
    predictor = Predictor(model)
    device = predictor.device.type
    try:
        found = _annotated(model, sample.patch, variant, predictor)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:  # as models fail
        return Outcome(device, variant.kind, inf, f"{type(error).__name__}: {error}")
    return Outcome(
        device, variant.kind, sample.difference(found), " ".join(predictor.notes(variant))
    )


def _annotated(
    model: Any, patch: NDArray[np.float32], variant: Variant, predictor: Predictor | None = None
) -> dict[str, NDArray[np.float32]]:
    batch = torch.from_numpy(np.array(patch))[None]
    predictor = predictor or Predictor(model)
    found = predictor(batch, dict(model.default_args), _spacing(model), variant)
    return {key: values[0].cpu().numpy() for key, values in found.items()}


def _copied(model: Any, device: str) -> Any:
    return copy.deepcopy(model).to(device).eval()


def _spacing(model: Any) -> tuple[float, float]:
    """Return the spacing in seconds and metres at which a model computes."""
    dt, dx = (sqrt(r[0] * r[1]) if r else None for r in (model.dt_range, model.dx_range))
    return dt or 0.01, dx or _STEP


def _fits(model: Any, values: NDArray[np.float32]) -> None:
    shape = values.shape[0], values.shape[1]
    structure = patching_structure(model, shape, model.default_args)
    if (structure.in_samples, structure.in_channels) != shape:
        raise InvalidInput(
            f"The sample has {shape[0]} samples of {shape[1]} channels; a patch of the model has "
            f"{structure.in_samples} of {structure.in_channels}."
        )


def _arrival(model: Any) -> NDArray[np.float32]:
    """Return noise, and from a third of the patch on more of it, which dies away."""
    structure = patching_structure(model, _SHAPE, model.default_args)
    samples, channels = structure.in_samples, structure.in_channels
    noise = np.random.default_rng(0).standard_normal((samples, channels))
    since = np.arange(samples) - samples // 3
    envelope = 1 + 20 * (since >= 0) * np.exp(-np.maximum(since, 0) / max(samples / 10, 1.0))
    return (noise * envelope[:, None]).astype(np.float32)
