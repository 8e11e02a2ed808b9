"""A CUDA stream for every task thread, and pinned buffers through which samples reach the GPU.

While one thread's samples travel, the GPU computes for another; two or three threads keep it busy::

    thread 1   read | send | compute ........ | picks |  read  | send | compute
    thread 2          read | send |    waits  | compute ........ | picks | ...

On a CPU there is nothing to do.  What a stream is told it does later: its time is taken by events
in it, and that of all else by the clock.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from queue import LifoQueue
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = [
    "STREAMS",
    "Mark",
    "mark",
    "own_stream",
    "reached",
    "seconds_between",
    "to_device",
    "to_host",
]

STREAMS = 3
"""Streams of a device: one computes, one reads, one has its samples or picks copied.  More threads
wait for their turn, so that a device holds no more blocks than that."""

_BUFFER_BYTES = 2**25
"""Size of each of a stream's two pinned buffers: one is filled while the other is copied from."""

Mark = float | torch.cuda.Event
"""A moment: seconds of a clock, or an event of this thread's stream."""

_here = threading.local()

_lanes: "dict[torch.device, LifoQueue[_Stream | None]]" = {}
_making = threading.Lock()


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """Give this thread a CUDA stream of its own within the context; on a CPU do nothing."""
    if device.type != "cuda":
        yield
        return
    free = _free_streams(device)
    mine = free.get()
    try:
        mine = mine or _Stream(device)
        _here.stream = mine
        with torch.cuda.device(device), torch.cuda.stream(mine.stream):
            yield
    finally:
        _here.stream = None
        free.put(mine)


def _free_streams(device: torch.device) -> "LifoQueue[_Stream | None]":
    """Return the streams of a device that no thread uses; None stands for one not yet made."""
    with _making:  # threads may ask for them first at the same time
        if device not in _lanes:
            free: LifoQueue[_Stream | None] = LifoQueue()
            for _ in range(STREAMS):
                free.put(None)
            _lanes[device] = free
        return _lanes[device]


def to_device(values: NDArray[Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; for a GPU, through this thread's stream.

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
    mine: _Stream = _here.stream
    return mine.send(np.ascontiguousarray(native))


def to_host(values: torch.Tensor) -> torch.Tensor:
    """Return a tensor on the CPU, from a GPU through this thread's stream.

    What lies in memory axis by axis in another order comes as it lies there.
    """
    mine: _Stream | None = getattr(_here, "stream", None)
    if mine is None or values.device.type == "cpu":
        return values.cpu()
    order = sorted(range(values.dim()), key=lambda axis: -values.stride()[axis])
    back = [order.index(axis) for axis in range(values.dim())]
    return mine.fetch(values.permute(order)).permute(back)


def mark() -> Mark:
    """Return this moment; within a stream, when it gets to what it is told next."""
    mine: _Stream | None = getattr(_here, "stream", None)
    if mine is None:
        return perf_counter()
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)
    event.record(mine.stream)
    return event


def reached(moment: Mark) -> bool:
    """Tell whether a moment has come."""
    return isinstance(moment, float) or bool(moment.query())


def seconds_between(start: Mark, end: Mark) -> float:
    """Return the seconds from one moment to another of its kind; wait until that has come."""
    first: Any = start
    if isinstance(end, float):
        return float(end - first)
    end.synchronize()
    return float(first.elapsed_time(end)) / 1000


class _Stream:
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

    def fetch(self, values: torch.Tensor) -> torch.Tensor:
        """Copy a tensor from the device; while one piece comes, the one before is taken away."""
        source = values.reshape(-1).view(torch.uint8)
        found = torch.from_numpy(np.empty(values.shape, _numpy_type(values.dtype)))
        target = found.view(-1).view(torch.uint8).numpy()
        coming: deque[tuple[int, int]] = deque()

        def take() -> None:
            number, first = coming.popleft()
            self._sent[number].synchronize()
            piece = target[first : first + _BUFFER_BYTES]
            piece[:] = self._buffers[number][: piece.size].numpy()

        for count, first in enumerate(range(0, target.size, _BUFFER_BYTES)):
            if len(coming) == len(self._buffers):
                take()
            number = count % len(self._buffers)
            self._sent[number].synchronize()  # what it held for the device is there
            piece = source[first : first + _BUFFER_BYTES]
            self._buffers[number][: len(piece)].copy_(piece, non_blocking=True)
            self._sent[number].record(self.stream)
            coming.append((number, first))
        while coming:
            take()
        return found


def _numpy_type(dtype: torch.dtype) -> Any:
    return torch.empty(0, dtype=dtype).numpy().dtype
