"""The arguments that a model was made with, to make it again: in memory, and as JSON."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any
from warnings import catch_warnings, simplefilter

import torch

from dasdist.errors import InvalidInput
from dasdist.geometry.patches import PatchingStructure
from dasdist.models.base import BaseDASModel
from dasdist.models.waveform import WaveformWrapper

__all__ = ["arguments_of", "as_arguments", "as_json", "set_on_wrapper", "wrapper_of"]

_TUPLES = frozenset({"dt_range", "dx_range", "filter_samples"})
_ELSEWHERE = frozenset({"default_args", "self"})
_OF_WRAPPER = (
    *("component_strategy", "fk_filter_args", "filter_samples", "dt_range", "dx_range"),
    *("annotate_keys", "annotate_forward_kwargs"),
)


def arguments_of(model: torch.nn.Module, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a model's class makes one like it.

    They are looked for in its attributes; those of the weights are left to the weights.

    Parameters
    ----------
    model : Module
        The model.
    given : mapping
        Arguments that are known from the file that it was loaded from.

    Raises
    ------
    InvalidInput
        If the model does not keep one of them.
    """
    kind = type(model)
    own, others = _names(kind)
    found = _kept(model, own, given)
    if others:  # a class may set some of them itself, and then takes none
        with torch.random.fork_rng(devices=()):
            fresh = kind(**found)
        differing = [
            name for name in others if getattr(fresh, name, None) != getattr(model, name, None)
        ]
        found |= _kept(model, differing, given)
    return found


def _kept(model: torch.nn.Module, names: Iterable[str], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(model, name, getattr(model, f"_{name}", inspect.Parameter.empty))
        if value is inspect.Parameter.empty or isinstance(value, torch.nn.Module | torch.Tensor):
            if name in given:
                found[name] = given[name]
            elif value is inspect.Parameter.empty:
                raise InvalidInput(
                    f"{type(model).__name__} cannot be saved: it does not keep its argument "
                    f"{name!r}. Keep it as an attribute of that name, or override get_model_args "
                    "to return the arguments of its constructor."
                )
        elif value is not None:
            found[name] = value
    return found


def _names(cls: type) -> tuple[list[str], list[str]]:
    """Return the arguments of a class's own constructor, and those that it passes others on to."""
    found: list[list[str]] = []
    for one in cls.__mro__:
        if "__init__" not in vars(one):
            continue
        parameters = inspect.signature(vars(one)["__init__"]).parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        found.append([name for name in named if name not in _ELSEWHERE])
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    others = dict.fromkeys(name for names in found[1:] for name in names)
    return found[0], [name for name in others if name not in found[0]]


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments as what JSON has.

    Examples
    --------
    >>> as_json({"dt_range": (0.01, 0.02), "labels": {"P"}})
    {'dt_range': [0.01, 0.02], 'labels': ['P']}
    """
    return {str(name): _plain(value) for name, value in arguments.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return as_json(value)
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value))
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def as_arguments(cls: type, described: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a class from what JSON made of them; SeisBench has its own way."""
    if not issubclass(cls, BaseDASModel):
        return dict(described)
    found = {
        key: tuple(value) if key in _TUPLES and isinstance(value, list) else value
        for key, value in described.items()
    }
    structure = found.get("patching_structure")
    if isinstance(structure, Mapping):
        sizes: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in structure.items()
        }
        found["patching_structure"] = PatchingStructure(**sizes)
    return found


def wrapper_of(model: WaveformWrapper) -> dict[str, Any]:
    """Return what is set on a wrapper and is not what a new one around the same model has."""
    with catch_warnings():
        simplefilter("ignore")  # a filter that differs was told when the model was wrapped
        fresh = WaveformWrapper(model.model)
    found = {name: getattr(model, name) for name in _OF_WRAPPER}
    return {name: value for name, value in found.items() if value != getattr(fresh, name)}


def set_on_wrapper(model: WaveformWrapper, described: Mapping[str, Any]) -> None:
    """Set on a wrapper what JSON says of it.

    Raises
    ------
    InvalidInput
        If it says anything else.
    """
    for name, value in as_arguments(WaveformWrapper, described).items():
        if name not in _OF_WRAPPER:
            raise InvalidInput(
                f"A wrapper has no {name!r}; it has {', '.join(_OF_WRAPPER)}. Correct the "
                "description of the model."
            )
        setattr(model, name, value)
