"""What a GPU needs to be told, and a CPU does not."""

from contextlib import nullcontext
from typing import Any

import torch

__all__ = ["finish", "give_back", "out_of_memory", "using"]


def out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out: on a GPU it mostly has a class of its own, else a message."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    said = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in said)


def using(device: torch.device) -> Any:
    """Return a context in which a GPU is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def finish(device: torch.device) -> None:
    """Wait until a GPU did what this thread's stream asks of it."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def give_back(device: torch.device) -> None:
    """Give memory back that torch keeps on a GPU, and nothing holds."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
