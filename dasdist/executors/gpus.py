"""GPUs of worker processes: which one each takes, and how much memory that has."""

import asyncio
import os
import re
from collections.abc import Mapping
from glob import glob
from typing import Any

from distributed import Client, get_worker

__all__ = ["gpu_bytes_here", "gpu_bytes_of", "take_turn_here"]

_FILES = ("/dev/nvidia[0-9]*", "/dev/kfd", "/dev/dxg")
"""Files of the drivers of GPUs."""

_PATIENCE = 60.0
"""Seconds to wait for workers' answers: they may have to import torch for it."""


def turn_of(name: object, address: str) -> int:
    """Return the number of a worker among those beside it, as far as its name tells.

    Those of a `LocalCluster` are called 0, 1, 2, ..., those of ``dask worker --name NAME`` NAME-0,
    NAME-1, ...; one without a name is called by its address, and takes a turn by chance.

    Examples
    --------
    >>> turn_of(3, "tcp://127.0.0.1:40211"), turn_of("node-2", "tcp://127.0.0.1:40212")
    (3, 2)
    """
    found = re.search(r"(\d+)$", str(name)) or re.search(r"(\d+)$", address)
    return int(found[1]) if found else 0


def take_turn_here(worker: Any = None) -> None:
    """Let this process compute on the GPU whose turn it is, if it is a worker's own process."""
    from dasdist.inference.gpus import take_turn

    try:
        worker = worker or get_worker()
    except ValueError:  # no task of a cluster
        return
    if not worker.address.startswith("inproc:"):  # such workers share a process, and its replicas
        take_turn(turn_of(worker.name, worker.address))


def gpu_bytes_of(client: Client, workers: Mapping[str, Mapping[str, Any]]) -> int | None:
    """Return the bytes of the smallest GPU of a cluster's workers; None if they have none.

    Parameters
    ----------
    client : Client
        A synchronous client.
    workers : mapping
        What the scheduler says of each worker, by address; one on every host is asked.
    """
    one_each = {worker["host"]: address for address, worker in workers.items()}
    if not one_each:
        return None
    asked: Any = client.run(
        gpu_bytes_here, workers=[*one_each.values()], on_error="ignore", asynchronous=True
    )
    loop: Any = client.loop
    answers = asyncio.run_coroutine_threadsafe(asked, loop.asyncio_loop)
    try:
        found = [size for size in answers.result(_PATIENCE).values() if isinstance(size, int)]
    except (TimeoutError, OSError):  # busy, or gone: the run will tell
        return None
    return min(found, default=None)


def gpu_bytes_here() -> int | None:
    """Return the bytes of the GPU that this process computes on; None if it is a CPU."""
    # torch takes seconds to import, in which a worker answers nobody
    if not any(map(glob, _FILES)) or os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return None
    import torch

    from dasdist.inference.gpus import device_of_process

    device = device_of_process()
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)
