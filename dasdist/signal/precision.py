"""Convolutions in full float32 on GPUs, where torch rounds their inputs to ten bits by default."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["full_precision"]


class _Setting:
    """The setting of this process, and how many threads want it off."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = (True, False)

    def enter(self) -> None:
        convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
        with self._lock:
            if self._inside == 0:
                self._before = convolutions.allow_tf32, products.allow_tf32
                convolutions.allow_tf32 = products.allow_tf32 = False
            self._inside += 1

    def leave(self) -> None:
        convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                convolutions.allow_tf32, products.allow_tf32 = self._before


_tf32 = _Setting()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within this, the GPU computes with all bits of float32 (no TF32).

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
