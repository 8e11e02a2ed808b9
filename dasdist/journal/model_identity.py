"""What a model is, as plain JSON: part of the fingerprint of a run.

Apart from the rest of it because it needs torch, which whoever only looks at a run does not.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dasdist.journal.fingerprint import plain

__all__ = ["describe_model"]


def describe_model(model: torch.nn.Module) -> dict[str, Any]:
    """Describe a model by its class, the hash of its tensors and its settings.

    Settings are the plain values among the attributes of the model and its parts, such as a kernel
    size; code is not looked at.

    Examples
    --------
    >>> sorted(describe_model(torch.nn.Linear(2, 1)))
    ['class', 'settings', 'weights']
    """
    weights = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, torch.Tensor):
            values = tensor.detach().cpu().contiguous()
            weights.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
            weights.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    settings = hashlib.sha256()
    for name, module in model.named_modules():
        kind = type(module)
        own = {k: v for k, v in sorted(vars(module).items()) if k not in ("training", "_version")}
        known = {k: plain(v) for k, v in own.items() if k[0] != "_" and _is_plain(v)}
        line = json.dumps([name, f"{kind.__module__}.{kind.__qualname__}", known], sort_keys=True)
        settings.update(line.encode())
    kind = type(model)
    return {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "weights": weights.hexdigest()[:32],
        "settings": settings.hexdigest()[:32],
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, tuple | list | set | frozenset):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | np.generic | np.ndarray)
