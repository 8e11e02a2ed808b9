"""What this process may use when there is no cluster."""

import psutil
import torch
from distributed.system import MEMORY_LIMIT

from dasdist.inference.cuda import LANES
from dasdist.planning.plan import Resources

__all__ = ["local_resources", "resident_bytes"]

_YET_TO_COME = 32 * 2**20
"""Bytes of modules that the first block imports, and of stacks of threads."""


def local_resources(device: torch.device) -> Resources:
    """Return the memory of this machine, and the threads and cores that suit the model's device."""
    process = resident_bytes() + _YET_TO_COME
    if device.type == "cuda":
        return Resources(threads=LANES, memory=MEMORY_LIMIT, process=process, here=True)
    cores = torch.get_num_threads()
    return Resources(memory=MEMORY_LIMIT, cores=cores, process=process, here=True)


def resident_bytes() -> int:
    """Return the bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)
