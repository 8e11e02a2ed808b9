"""Convolutions in full float32 on GPUs, where torch rounds their inputs to ten bits by default."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

__all__ = ["full_precision"]


class _Setting:
    """The settings of this process, and how many threads want full precision."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[Any] = []

    def enter(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = [getattr(where, name) for where, name, _ in _switches()]
                for where, name, full in _switches():
                    setattr(where, name, full)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for (where, name, _), before in zip(_switches(), self._before, strict=True):
                    setattr(where, name, before)


def _switches() -> list[tuple[Any, str, Any]]:
    """Return objects, their attributes, and the value of those that means all bits."""
    convolutions: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    if hasattr(convolutions, "conv"):  # from torch 2.9 on; the two ways must not be mixed
        return [(one, "fp32_precision", "ieee") for one in (convolutions.conv, products)]
    return [(one, "allow_tf32", False) for one in (convolutions, products)]


_tf32 = _Setting()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let the GPU compute with all bits of float32 (no TF32) within the context.

    Several threads may be in it at once: torch has one setting for the whole process, which is put
    back when the last of them leaves.
    """
    if device.type != "cuda":
        yield
        return
    _tf32.enter()
    try:
        yield
    finally:
        _tf32.leave()
