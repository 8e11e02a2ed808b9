"""What a run may use: of this machine, or of a cluster."""

import torch
from distributed import Client
from distributed.system import MEMORY_LIMIT

from dasdist.executors.clients import PROMISED
from dasdist.inference.cuda import STREAMS
from dasdist.planning.plan import Resources

__all__ = ["resources_of", "resources_of_cluster"]


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
    if device.type == "cuda":
        return Resources(threads=STREAMS, memory=MEMORY_LIMIT)
    return Resources(memory=MEMORY_LIMIT, cores=torch.get_num_threads())


def resources_of_cluster(client: Client) -> Resources:
    """Return what a cluster's workers have, or will have; of unequal ones, the least.

    Workers that are promised count from the beginning.
    """
    workers = list(client.scheduler_info(n_workers=-1)["workers"].values())
    promised = Resources(**client.get_metadata([PROMISED], {}))
    limits = [w["memory_limit"] for w in workers if w["memory_limit"]]
    if promised.memory:
        limits.append(promised.memory)
    return Resources(
        workers=max(len(workers), promised.workers),
        threads=max([promised.threads, *(w["nthreads"] for w in workers)]),
        memory=min(limits) if limits else None,
    )
