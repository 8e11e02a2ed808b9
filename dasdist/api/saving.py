"""Write a model into files, after making sure that it can be made again from them."""

import io
import json
from pathlib import Path
from typing import Any

import torch

from dasdist.api.pretrained import Pair, build_model, named_class
from dasdist.errors import InvalidInput
from dasdist.models import WaveformWrapper
from dasdist.models.arguments import as_json, wrapper_of
from dasdist.storage.files import make_folder, write_atomically
from dasdist.zoo.files import KINDS, ModelFile
from dasdist.zoo.samples import Sample, check_sample
from dasdist.zoo.weights import sums_of

__all__ = ["save"]

_OF_SEISBENCH = frozenset({"__class__", "self", "default_args"})


def save(model: Any, path: str | Path, docstring: str, version: str | None, patch: Any) -> None:
    """Write a model; see `DASModel.save`."""
    path = Path(path)
    files = {kind: path.with_name(_name(path, kind, version)) for kind in KINDS}
    network = model.model if isinstance(model, WaveformWrapper) else model
    described = _described(model, network, docstring, version)
    text = _text(described, model)
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    pair = Pair(files["json"], json.loads(text), weights)
    _check(network, pair)
    sample = Sample.of(model, patch)
    check_sample(type(model)._of_pair(pair), sample, f"{model.name}, made again from its files,")
    make_folder(path.absolute().parent)
    for kind in ("sha256", "npz"):  # which would vouch for what is replaced
        files[kind].unlink(missing_ok=True)
    held = io.BytesIO()
    torch.save(weights, held)
    write_atomically(files["pt"], held.getbuffer())
    write_atomically(files["json"], text)
    if sample is not None:
        write_atomically(files["npz"], sample.to_bytes())
    listed = [files[kind] for kind in ("json", "pt", "npz") if files[kind].exists()]
    write_atomically(files["sha256"], sums_of(*listed))


def _name(path: Path, kind: str, version: str | None) -> str:
    name = ModelFile(path.name, kind, version)
    if not path.name or ModelFile.of(path.name) or ModelFile.of(name.name) != name:
        raise InvalidInput(
            f"{path} with version {version!r} is no name for a model: give a path without an "
            "ending, such as models/mine/first, and a version of letters, digits and points."
        )
    return name.name


def _described(model: Any, network: Any, docstring: str, version: str | None) -> dict[str, Any]:
    kind = type(network)
    ours = network is model
    known = getattr(network, "_weights_metadata", None) or {}
    if ours:
        arguments = model.get_model_args()
    else:  # what SeisBench's models say of themselves does not always make them again
        said = known.get("model_args", None) or network.get_model_args()
        arguments = {name: value for name, value in said.items() if name not in _OF_SEISBENCH}
    found = {
        "model": kind.__name__
        if kind.__module__.startswith("seisbench.")
        else f"{kind.__module__}:{kind.__qualname__}",
        "docstring": docstring,
        "version": version or "1",
        "citation": model.citation or known.get("citation"),
        "licence": known.get("licence"),
        "model_args": as_json(arguments),
        "default_args": as_json(model.default_args),
        "wrapper": {} if ours else as_json(wrapper_of(model)),
    }
    return {name: value for name, value in found.items() if value or name == "model_args"}


def _text(described: dict[str, Any], model: Any) -> str:
    try:
        return json.dumps(described, indent=2)
    except TypeError as error:
        raise InvalidInput(
            f"{model.name} cannot be saved: an argument or default argument is no value of JSON "
            f"({error}). Override get_model_args to return numbers, texts, lists and dicts."
        ) from error


def _check(network: Any, pair: Pair) -> None:
    """Refuse what would make no model, or another one."""
    kind: Any = type(network)
    before: dict[str, Any] = network.get_model_args()
    if not _is_foreign(kind) and named_class(pair) is not kind:
        raise InvalidInput(
            f"{kind.__name__} cannot be saved: its name is that of another model of SeisBench. "
            "Rename the class."
        )
    again = build_model(kind, pair).get_model_args()
    others = [
        name
        for name in before.keys() - _OF_SEISBENCH
        if as_json({"": before[name]}) != as_json({"": again.get(name)})
    ]
    if others:
        raise InvalidInput(
            f"{kind.__name__} cannot be saved: made again with the same arguments, its "
            f"{', '.join(others)} would be another. Override get_model_args."
        )


def _is_foreign(kind: type) -> bool:
    return not kind.__module__.startswith(("seisbench.", "dasdist."))
