"""Models as bytes, also those with parts that pickle refuses.

::

    scripted layers         as torch.jit.save writes them
    parametrized layers     with the weights that their parametrizations make of them
    locks and the like      stay where they are: without a cluster nothing travels
"""

import copy
import io
from collections.abc import Iterator
from typing import Any

import cloudpickle
import torch
from torch.nn.utils import parametrize

from dasdist.errors import InvalidInput

__all__ = ["here_only", "packed", "refusal"]


def packed(model: torch.nn.Module) -> bytes:
    """Pickle a model, or a part of one; `Exception` of any kind if it cannot be."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(model)
    return buffer.getvalue()


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc] # it ships no types
    def reducer_override(self, obj: Any) -> Any:
        """Take apart what pickle refuses of torch's."""
        if isinstance(obj, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            torch.jit.save(obj, buffer)
            return _scripted, (buffer.getvalue(),)
        if isinstance(obj, torch.nn.Module) and parametrize.is_parametrized(obj):
            return _itself, (_plain(obj),)
        return super().reducer_override(obj)


def _scripted(data: bytes) -> Any:
    return torch.jit.load(io.BytesIO(data))


def _itself(layer: torch.nn.Module) -> torch.nn.Module:
    return layer


def _plain(module: Any) -> torch.nn.Module:
    """Return a layer with the weights that this one computes with after training.

    Not by torch's `remove_parametrizations`, which takes them from the class, which copies share.
    """
    twin = copy.deepcopy(module).eval()
    with torch.no_grad():
        weights = {name: getattr(twin, name).clone() for name in module.parametrizations}
    original = module.__class__.__bases__[0]
    plain: torch.nn.Module = original.__new__(original)
    vars(plain).update(vars(twin))
    plain._modules = {k: v for k, v in twin._modules.items() if k != "parametrizations"}
    for name, weight in weights.items():
        plain.register_parameter(name, torch.nn.Parameter(weight, requires_grad=False))
    return plain


def here_only(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model with the same parameters and attributes, but modules of its own.

    So that what a replica is set to, evaluation above all, leaves the user's model as it is.
    """
    return _twin(model, {})


def _twin(module: torch.nn.Module, made: dict[int, torch.nn.Module]) -> torch.nn.Module:
    if isinstance(module, torch.jit.ScriptModule):
        return copy.deepcopy(module)
    if id(module) not in made:
        twin = made[id(module)] = module.__class__.__new__(module.__class__)
        held = dict(vars(module))
        for name in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
            held[name] = copy.copy(held[name])
        held["_modules"] = {
            name: None if child is None else _twin(child, made)
            for name, child in module._modules.items()
        }
        vars(twin).update(held)
    return made[id(module)]


def refusal(model: torch.nn.Module, error: Exception) -> InvalidInput:
    """Say which attribute of a model cannot travel to workers, and what to do."""
    name, kind, why = next(_stuck(model), ("", type(model).__name__, error))
    what = f"its attribute {name}, a {kind}," if name else f"its class {kind}"
    return InvalidInput(
        f"The model cannot travel to the workers: {what} cannot be pickled "
        f"({type(why).__name__}: {' '.join(str(why).split())}). Leave it out in __getstate__ and "
        "make it where it is first used, or compute without a cluster: client=False, or the "
        "command without --workers, --scheduler and --cluster."
    )


def _stuck(model: torch.nn.Module) -> Iterator[tuple[str, str, Exception]]:
    for prefix, module in model.named_modules():
        for name, value in vars(module).items():
            if name == "_modules":
                continue
            try:
                packed(value)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                yield f"{prefix}.{name}".lstrip("."), type(value).__name__, error
