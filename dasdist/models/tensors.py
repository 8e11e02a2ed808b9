"""The tensors in what a module takes or returns."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

__all__ = ["tensors_in"]


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in a value, however deep they lie in mappings, tuples and lists.

    Examples
    --------
    >>> [t.item() for t in tensors_in({"P": torch.tensor(1), "more": [torch.tensor(2), None]})]
    [1, 2]
    """
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
