"""What a run may use: of this machine, or of a cluster."""

import dask.config
import psutil
import torch
from distributed import Client
from distributed.system import MEMORY_LIMIT

from dasdist.executors.clients import PROMISED
from dasdist.executors.gpus import gpu_bytes_of
from dasdist.inference.cuda import STREAMS
from dasdist.planning.resources import CUDA_BYTES, WORKER_BYTES, Resources

__all__ = ["resident_bytes", "resources_of", "resources_of_cluster"]

_YET_TO_COME = 32 * 2**20
"""Bytes of modules that the first block imports, and of stacks of threads."""


def resources_of(client: Client | None, device: torch.device) -> Resources:
    """Return what a run may use.

    Parameters
    ----------
    client : Client or None
        A synchronous client of a cluster; None is this process.
    device : torch.device
        Where the model is in this process.
    """
    if client is not None:
        return resources_of_cluster(client)
    process = resident_bytes() + _YET_TO_COME
    if device.type == "cuda":
        # of its libraries, what is loaded when they are first used is yet to come
        process = max(process, WORKER_BYTES + CUDA_BYTES)
        gpu = torch.cuda.get_device_properties(device).total_memory
        return Resources(
            threads=STREAMS, memory=MEMORY_LIMIT, process=process, here=True, gpu=int(gpu)
        )
    cores = torch.get_num_threads()
    return Resources(memory=MEMORY_LIMIT, cores=cores, process=process, here=True)


def resources_of_cluster(client: Client) -> Resources:
    """Return what a cluster's workers have, or will have; of unequal ones, the least.

    Workers that are promised count from the beginning.  Where Dask pauses them is what this
    process's configuration says.
    """
    found = client.scheduler_info(n_workers=-1)["workers"]
    workers = list(found.values())
    within = any(address.startswith("inproc:") for address in found)
    promised = Resources(**client.get_metadata([PROMISED], {}))
    limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
    if promised.memory:
        limits.append(promised.memory)
    gpu = gpu_bytes_of(client, found)
    if not found and torch.backends.cuda.is_built():  # else they, too, have a torch for CPUs
        gpu = promised.gpu
    process = resident_bytes() if within else WORKER_BYTES
    return Resources(
        workers=max(len(workers), promised.workers),
        threads=max([promised.threads, *(w["nthreads"] for w in workers)]),
        memory=min(limits) if limits else None,
        process=process + CUDA_BYTES * (gpu is not None),
        pause=_pause(),
        gpu=gpu,
    )


def resident_bytes() -> int:
    """Return the bytes that this process has in memory now."""
    return int(psutil.Process().memory_info().rss)


def _pause() -> float:
    """Return the share of its memory at which Dask pauses a worker, else at which it ends one."""
    shares = (dask.config.get(f"distributed.worker.memory.{at}") for at in ("pause", "terminate"))
    return float(next(filter(None, shares), 1.0))
