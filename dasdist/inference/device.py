"""Small helpers for GPUs that do nothing on CPUs."""

from contextlib import nullcontext
from typing import Any

import torch

__all__ = ["finish", "gathered", "give_back", "out_of_memory", "using"]


_SURE = ("allocate memory", "not enough memory", "out of memory", "alloc_failed")

_MAYBE = ("unable to find an engine", "valid cudnn algorithm")
"""What cuDNN says where none of its algorithms finds the memory that it works with; or where it has
none for what is asked, such as a precision."""


def out_of_memory(error: BaseException, *, surely: bool = False) -> bool:
    """Tell whether an error means that memory ran out, by its class or its message.

    Parameters
    ----------
    error : BaseException
        The error.
    surely : bool
        Whether it must not mean anything else.

    Examples
    --------
    >>> error = RuntimeError("GET was unable to find an engine to execute this computation")
    >>> out_of_memory(error), out_of_memory(error, surely=True)
    (True, False)
    """
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    said = str(error).lower()
    words = _SURE if surely else _SURE + _MAYBE
    return isinstance(error, RuntimeError) and any(word in said for word in words)


def using(device: torch.device) -> Any:
    """Return a context in which a GPU is the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def gathered(network: Any) -> Any:
    """Return a network, with the weights of each LSTM or GRU in one piece of memory again.

    Those of a copy lie one by one: cuDNN would warn, and gather them for every batch.
    """
    if isinstance(network, torch.nn.Module):
        for module in network.modules():
            if isinstance(module, torch.nn.RNNBase):
                module.flatten_parameters()
    return network


def finish(device: torch.device) -> None:
    """Wait until the GPU has finished this thread's stream."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def give_back(device: torch.device) -> None:
    """Give back the memory that torch keeps on a GPU but does not use."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
