"""Give each worker process of a node one GPU.

The nannies of a node load this module as a preload of Dask's (``--preload-nanny``), which runs
before they start their workers.  A worker that dies and is started again keeps its device.
"""

import os
from collections import deque
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Nanny

__all__ = ["dask_setup", "give"]

_devices: deque[str] = deque()


def give(devices: tuple[str, ...]) -> None:
    """Set the GPUs that the nannies of this process get, one each."""
    _devices.clear()
    _devices.extend(devices)


def dask_setup(nanny: "Nanny") -> None:
    """Let the worker of a nanny see only the next GPU."""
    if not _devices:
        return
    device = _devices.popleft()
    nanny.env["CUDA_VISIBLE_DEVICES"] = device
    nearby = _cpus_near(device)
    if len(nearby) >= nanny.nthreads:
        from dask_cuda.plugins import CPUAffinity

        plugins = (*nanny.worker_kwargs.get("plugins", ()), CPUAffinity(nearby))
        nanny.worker_kwargs["plugins"] = plugins


def _cpus_near(device: str) -> list[int]:
    """Return the job's CPUs that are wired to a GPU, as dask-cuda knows them; none without it."""
    if find_spec("dask_cuda") is None:
        return []
    from dask_cuda.utils import get_cpu_affinity

    wired = get_cpu_affinity(int(device) if device.isdigit() else device)
    return sorted(os.sched_getaffinity(0).intersection(wired))
