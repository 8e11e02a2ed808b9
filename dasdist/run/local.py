"""What this process may use when there is no cluster."""

import torch
from distributed.system import MEMORY_LIMIT

from dasdist.run.plan import Resources

__all__ = ["local_resources"]


def local_resources() -> Resources:
    """Return one task thread, the cores that torch uses, and the memory of this machine."""
    return Resources(workers=1, threads=1, memory=MEMORY_LIMIT, cores=torch.get_num_threads())
