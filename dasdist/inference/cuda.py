"""A task thread's lane to its GPU: a stream of its own, and pinned buffers that samples go through.

While one thread's samples travel, the GPU computes for another; two or three threads keep it busy::

    thread 1   read | send | compute ........ | picks |  read  | send | compute
    thread 2          read | send |    waits  | compute ........ | picks | ...

On a CPU there is nothing to do.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from queue import LifoQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["LANES", "lane", "to_device"]

LANES = 3
"""Lanes of a device: one computes, one reads, one has its samples or picks copied.  More threads
wait for their turn, so that a device holds no more blocks than that."""

_BUFFER_BYTES = 2**25
"""Of each of a lane's two pinned buffers: while one is copied from, the other is filled."""

_here = threading.local()


@contextmanager
def lane(device: torch.device) -> Iterator[None]:
    """Within this, what this thread asks of a GPU goes through a stream of its own."""
    if device.type != "cuda":
        yield
        return
    lanes = _lanes_of(device)
    mine = lanes.get()
    try:
        mine = mine or _Lane(device)
        _here.lane = mine
        with torch.cuda.device(device), torch.cuda.stream(mine.stream):
            yield
    finally:
        _here.lane = None
        lanes.put(mine)


@cache
def _lanes_of(device: torch.device) -> "LifoQueue[_Lane | None]":
    """Return the lanes of a device that are free; None stands for one that is not made yet."""
    lanes: LifoQueue[_Lane | None] = LifoQueue()
    for _ in range(LANES):
        lanes.put(None)
    return lanes


def to_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; for a GPU, within this thread's lane.

    Parameters
    ----------
    values : ndarray
        On the CPU the tensor shares its memory.
    device : torch.device
        Where the tensor is to be.

    Examples
    --------
    >>> to_device(np.arange(3), torch.device("cpu"))
    tensor([0, 1, 2])
    """
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    if device.type != "cuda":
        return torch.from_numpy(native).to(device)
    mine: _Lane = _here.lane
    return mine.send(np.ascontiguousarray(native))


class _Lane:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream: Any = torch.cuda.Stream(device)
        self._buffers = [
            torch.empty(_BUFFER_BYTES, dtype=torch.uint8, pin_memory=True) for _ in range(2)
        ]
        self._sent: list[Any] = [torch.cuda.Event() for _ in range(2)]

    def send(self, values: NDArray[Any]) -> torch.Tensor:
        """Copy an array to the device; when this returns the array may be changed."""
        kind = torch.from_numpy(np.empty(0, values.dtype)).dtype
        tensor = torch.empty(values.shape, dtype=kind, device=self.device)
        source, target = values.reshape(-1).view(np.uint8), tensor.view(-1).view(torch.uint8)
        for number, first in enumerate(range(0, source.size, _BUFFER_BYTES)):
            buffer, sent = self._buffers[number % 2], self._sent[number % 2]
            sent.synchronize()  # what it held before is there
            piece = source[first : first + _BUFFER_BYTES]
            buffer[: piece.size].numpy()[:] = piece
            target[first : first + piece.size].copy_(buffer[: piece.size], non_blocking=True)
            sent.record(self.stream)
        return tensor
