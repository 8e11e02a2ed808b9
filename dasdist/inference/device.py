"""Small helpers for GPUs that do nothing on CPUs."""

from contextlib import nullcontext
from typing import Any

import torch

__all__ = ["finish", "give_back", "out_of_memory", "using"]


def out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, by its class or its message."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    said = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in said)


def using(device: torch.device) -> Any:
    """Return a context in which a GPU is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def finish(device: torch.device) -> None:
    """Wait until the GPU has finished this thread's stream."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def give_back(device: torch.device) -> None:
    """Give back the memory that torch keeps on a GPU but does not use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
