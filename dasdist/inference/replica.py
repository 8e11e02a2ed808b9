"""Replicas: the model as each process holds it, built once.

A model travels once to every worker process, as bytes under a token; tasks carry the token alone.
The first task that needs it builds the replica::

    client    pack(model) = Payload(token, bytes)
                 |  worker plugin, also on workers that join later
    worker    remember(payload)   ...   predictor_of(token) -> unpickled once, on its device
"""

import copy
import hashlib
import os
import sys
import threading
import uuid
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakSet

import cloudpickle
import torch

from dasdist.errors import DasdistError
from dasdist.inference import Predictor
from dasdist.inference.gpus import device_of_process
from dasdist.inference.malloc import keep_freed_memory
from dasdist.inference.packing import here_only, packed, refusal

__all__ = ["Payload", "pack", "predictor_of", "remember"]

_KEPT = 4
"""Replicas that a process keeps; the least recently used one goes first, and may be rebuilt."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Payload:
    """A pickled model.

    Parameters
    ----------
    token : str
        Hash of the bytes: the same model has the same token.
    data : bytes
        The model, its tensors on the CPU.
    device : str or None
        Where the replica goes; None takes the process's GPU if it has one, see
        :mod:`dasdist.inference.gpus`.
    folder : str or None
        Where modules of the model lie if that is the folder that the client works in.  Workers
        look there last of all, and only for a model that needs it.
    here : Module or None
        The model itself where it cannot be pickled, and need not travel.
    """

    token: str
    data: bytes = field(repr=False)
    device: str | None = None
    folder: str | None = None
    here: torch.nn.Module | None = field(default=None, repr=False)


_lock = threading.Lock()
_known = threading.Lock()
# a payload lives as long as the run, the worker plugin or the graph that holds it; several runs
# may bring the same model, and the first that ends must not take it from the others
_payloads: defaultdict[str, WeakSet[Payload]] = defaultdict(WeakSet)
_predictors: OrderedDict[str, Predictor] = OrderedDict()


def pack(model: torch.nn.Module, device: str | None = None) -> Payload:
    """Pickle a model.

    Parameters
    ----------
    model : torch.nn.Module
        Left as it is.
    device : str, optional
        Where replicas go, in this process; None for those of workers, which take a GPU where there
        is one.

    Raises
    ------
    InvalidInput
        If it must travel and cannot.
    """
    tensors = chain(model.parameters(), model.buffers())
    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    try:
        data = packed(model if on_cpu else copy.deepcopy(model).cpu())
    except Exception as error:
        if device is None:
            raise refusal(model, error) from error
        return Payload(uuid.uuid4().hex[:16], b"", device, here=here_only(model))
    token = hashlib.sha256(data + str(device).encode()).hexdigest()[:16]
    return Payload(token, data, device, _folder_of(model))


def _folder_of(model: torch.nn.Module) -> str | None:
    """Return the current folder if modules of a model were imported from there."""
    here = Path.cwd()
    for name in {type(module).__module__.partition(".")[0] for module in model.modules()}:
        source = Path(getattr(sys.modules.get(name), "__file__", None) or os.devnull)
        if here == (source.parent.parent if source.name == "__init__.py" else source.parent):
            return str(here)
    return None


def remember(payload: Payload) -> None:
    """Keep a payload for building the replica, as long as something else holds it."""
    with _known:
        _payloads[payload.token].add(payload)


def predictor_of(token: str) -> Predictor:
    """Return this process's replica of a model, building it the first time."""
    with _lock:
        if token not in _predictors:
            _predictors[token] = _build(token)
        _predictors.move_to_end(token)
        while len(_predictors) > _KEPT:
            _predictors.popitem(last=False)
        return _predictors[token]


def _build(token: str) -> Predictor:
    with _known:
        payload = next(iter(_payloads[token]), None)
    if payload is None:
        raise DasdistError(
            f"This worker did not receive the model (token {token}): the plugin that brings it did "
            "not run here. Restart the worker, or call annotate or classify again."
        )
    keep_freed_memory()
    if payload.folder and payload.folder not in sys.path:
        sys.path.append(payload.folder)
    model: Any = cloudpickle.loads(payload.data) if payload.here is None else payload.here
    device = payload.device or device_of_process()
    return Predictor(model.to(device).eval())
