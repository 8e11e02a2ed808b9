"""What a model says of itself, and whether it is that."""

import hashlib
from typing import Any

from dasdist.api.load import model_of
from dasdist.api.model_names import check_name, pair_files
from dasdist.api.naming import pair_named
from dasdist.errors import InvalidInput
from dasdist.zoo.samples import Outcome, Sample, outcomes

__all__ = ["card_of", "tried"]

_SAID = ("docstring", "citation", "licence", "source", "training", "scores")


def card_of(name: str, version: str | None = None) -> dict[str, Any]:
    """Return the card of a model: its facts in the order in which one wants to read them.

    Raises
    ------
    InvalidInput
        If there is no such model, or it is not in files.
    """
    check_name(name)
    with pair_named(name, version) as pair:
        said, (_, weights) = pair.description, pair_files(pair.path)
        found = {
            "name": name,
            "version": pair.version,
            "model": said.get("model", pair.path.parent.name),
            **{key: said.get(key) for key in _SAID},
            "arguments": said.get("model_args", {}),
            "defaults": said.get("default_args", {}),
            "sample": "kept" if pair.sample else "none",
            "weights": f"{sum(t.numel() for t in pair.weights.values()):,} numbers, SHA-256 "
            f"{hashlib.sha256(weights.read_bytes()).hexdigest()}",
        }
    return {key: value for key, value in found.items() if value}


def tried(name: str, version: str | None = None) -> tuple[bool, list[Outcome]]:
    """Return whether a model keeps a sample, and how it did on that in each form and place.

    Raises
    ------
    InvalidInput
        If there is no such model, or no sample can be made.
    """
    check_name(name)
    with pair_named(name, version) as pair:
        model = model_of(pair)
        sample = pair.sample or Sample.of(model)
        if sample is None:
            raise InvalidInput(f"{name} has no patching structure, so there is no patch to try.")
        return pair.sample is not None, list(outcomes(model, sample))
