"""Models in files: a JSON description and a file of weights beside it.

Unless they are trusted, nothing is unpickled but tensors, and a description can only name classes
of SeisBench and of dasdist itself.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from dasdist.api.model_names import pair_files
from dasdist.errors import InvalidInput
from dasdist.models.arguments import as_arguments
from dasdist.zoo.files import ModelFile
from dasdist.zoo.samples import Sample
from dasdist.zoo.weights import check_sums, check_tensors

__all__ = ["Pair", "build_model", "named_class", "of_version", "read_pair"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A model's description and its weights.

    Parameters
    ----------
    path : Path
        The JSON file.
    description : mapping
        Its content.
    weights : mapping of str to Tensor
        The state dict, on the CPU.
    whole : Module, optional
        What the file of weights holds instead, if that was trusted: the model itself.
    sample : Sample, optional
        A patch and its output, if they lie beside the others.
    """

    path: Path
    description: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]
    whole: torch.nn.Module | None = None
    sample: Sample | None = None

    @property
    def version(self) -> str:
        """The version that the name of the file has, or the description states; or 1."""
        named = ModelFile.of(self.path.name)
        stated = self.description.get("version", "1")
        return str(stated if named is None or named.version is None else named.version)


def read_pair(path: str | Path, *, trust: bool = False) -> Pair:
    """Read a description and its weights; a list of hashes beside them, ``x.sha256``, must hold.

    Parameters
    ----------
    path : str or Path
        Either file.
    trust : bool
        Whether the weights may be unpickled, which runs what code they hold.

    Raises
    ------
    InvalidInput
        If either is missing, damaged or not what it should be.
    """
    description_path, weights_path = pair_files(path, trust=trust)
    check_tensors(weights_path)
    name = ModelFile.of(description_path.name)
    listed = {description_path.with_name(replace(name, kind="sha256").name)} if name else set()
    # beside original.json.v1, earlier versions of dasdist looked for original.json.sha256
    for sums in sorted(listed | {description_path.with_suffix(".sha256")}):
        if sums.is_file():
            check_sums(sums)
    try:
        there = description_path.is_file()
        description = json.loads(description_path.read_text()) if there else {}
        weights = torch.load(weights_path, map_location="cpu", weights_only=not trust)
    except UnpicklingError as error:
        raise InvalidInput(
            f"{weights_path} holds more than tensors, and to load it could run code. Save tensors "
            "only, with torch.save(model.state_dict(), path); or, if you know who made the file, "
            "pass trust=True."
        ) from error
    except Exception as error:
        raise InvalidInput(
            f"{path} could not be read: {error}. A model is a JSON description and a file of "
            "tensors only, as torch.save(model.state_dict()) writes it."
        ) from error
    _check_kind(description_path, description, {"model_args", "default_args", "wrapper"})
    if trust and isinstance(weights, torch.nn.Module):
        return Pair(description_path, description, {}, weights.eval())
    if not isinstance(weights, Mapping) or not all(map(torch.is_tensor, weights.values())):
        raise InvalidInput(
            f"{weights_path} holds no tensors by name, but {_kind(weights)}; save weights with "
            "torch.save(model.state_dict(), path)."
        )
    kept = description_path.with_name(replace(name, kind="npz").name) if name else None
    sample = Sample.read(kept) if kept is not None and kept.is_file() else None
    return Pair(description_path, description, weights, sample=sample)


def of_version(pair: Pair, wanted: str | None) -> Pair:
    """Return a pair; refuse one of another version than the one that is wanted."""
    if wanted is not None and wanted != pair.version:
        raise InvalidInput(
            f"{pair.path.name} is version {pair.version}, not {wanted}; leave out "
            f"version={wanted!r}, or name the file of that version."
        )
    return pair


def _check_kind(path: Path, description: Any, inner: Set[str]) -> None:
    """Refuse a description that is no object of JSON, or where one within it is none."""
    if not isinstance(description, dict):
        raise InvalidInput(
            f"{path} holds {_kind(description)}; the description of a model is a JSON object, such "
            'as {"model": "PhaseNet", "model_args": {}}.'
        )
    for key in inner & description.keys():
        if not isinstance(description[key], dict):
            raise InvalidInput(
                f"{key} in {path} is {_kind(description[key])}; it must be a JSON object of names "
                "and values."
            )


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def build_model(cls: Any, pair: Pair) -> Any:
    """Build a model of a class from its description and weights.

    Raises
    ------
    InvalidInput
        If the class does not take what the description says, or the weights are of another model.
    """
    given = pair.description.get("model_args", {})
    try:
        model = cls(**as_arguments(cls, given))
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"{cls.__name__} cannot be made with the model_args of {pair.path}: {error}. Correct "
            "them there."
        ) from error
    try:
        model.load_state_dict(pair.weights)
    except RuntimeError as error:
        heading, *reasons = str(error).splitlines()
        first = (reasons or [heading])[0].strip().rstrip(".")
        more = f" (and {len(reasons) - 1} more)" if reasons[1:] else ""
        raise InvalidInput(
            f"The weights beside {pair.path} are not those of {cls.__name__} with its model_args: "
            f"{first}{more}. Keep the two files that belong together."
        ) from error
    model.default_args = {**model.default_args, **pair.description.get("default_args", {})}
    model._weights_docstring = pair.description.get("docstring", "")
    model._weights_version = pair.version
    model._weights_metadata = dict(pair.description)
    return model.eval()


def named_class(pair: Pair, *, trust: bool = False) -> type:
    """Return the class that a description names, or that its folder does in SeisBench's cache.

    Only with ``trust`` may it be a class of any module: to import one runs its code.
    """
    name = str(pair.description.get("model", pair.path.parent.name))
    module, _, attribute = name.rpartition(":")
    if module.startswith("dasdist.") or (module and trust):
        try:
            found = getattr(import_module(module), attribute, None)
        except ImportError:
            found = None
        return _checked(found, pair, name)
    try:
        import seisbench.models
    except ImportError as error:
        raise InvalidInput(
            f"{pair.path} describes the SeisBench model {name!r}, but SeisBench is not installed; "
            "install dasdist[seisbench]."
        ) from error
    for known, candidate in vars(seisbench.models).items():
        if known.lower() == name.lower() and isinstance(candidate, type):
            return _checked(candidate, pair, name)
    return _checked(None, pair, name)


def _checked(found: Any, pair: Pair, name: str) -> type:
    """Return a class of models; a file may name nothing else, such as a function to call."""
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        return found
    raise InvalidInput(
        f"{pair.path} belongs to {name!r}, which is not a model of SeisBench or dasdist; call "
        "from_pretrained on its own class, or pass trust=True if its module may be imported."
    )
