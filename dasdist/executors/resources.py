"""What this process may use when there is no cluster."""

import torch
from distributed.system import MEMORY_LIMIT

from dasdist.inference.cuda import STREAMS
from dasdist.planning.plan import Resources

__all__ = ["local_resources"]


def local_resources(device: torch.device) -> Resources:
    """Return the memory of this machine, and the threads and cores that suit the model's device."""
    if device.type == "cuda":
        return Resources(threads=STREAMS, memory=MEMORY_LIMIT)
    return Resources(memory=MEMORY_LIMIT, cores=torch.get_num_threads())
