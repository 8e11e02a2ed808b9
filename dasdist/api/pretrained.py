"""Models in files: a JSON description and a file of weights beside it.

Nothing is unpickled but tensors, and a description can only name classes of SeisBench and of
dasdist itself.
"""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dasdist.api.model_names import pair_files
from dasdist.errors import InvalidInput
from dasdist.models.weights import check_sums, check_tensors

__all__ = ["Pair", "build_model", "named_class", "read_pair"]


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
    """

    path: Path
    description: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]


def read_pair(path: str | Path) -> Pair:
    """Read a description and its weights; a list of hashes beside them, ``x.sha256``, must hold.

    Raises
    ------
    InvalidInput
        If either is missing, damaged or not what it should be.
    """
    description_path, weights_path = pair_files(path)
    check_tensors(weights_path)
    if (sums := description_path.with_suffix(".sha256")).is_file():
        check_sums(sums)
    try:
        description = json.loads(description_path.read_text())
        weights = torch.load(weights_path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InvalidInput(
            f"{path} could not be read: {error}. A model is a JSON description and a file of "
            "tensors only, as torch.save(model.state_dict()) writes it."
        ) from error
    _check_kind(description_path, description, {"model_args", "default_args"})
    if not isinstance(weights, Mapping) or not all(map(torch.is_tensor, weights.values())):
        raise InvalidInput(
            f"{weights_path} holds no tensors by name, but {_kind(weights)}; save weights with "
            "torch.save(model.state_dict(), path)."
        )
    return Pair(description_path, description, weights)


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
        model = cls(**given)
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
    return model.eval()


def named_class(pair: Pair) -> type:
    """Return the class that a description names, or that its folder does in SeisBench's cache."""
    name = str(pair.description.get("model", pair.path.parent.name))
    module, _, attribute = name.rpartition(":")
    if module.startswith("dasdist."):
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
        "from_pretrained on its own class."
    )
