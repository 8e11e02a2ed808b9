"""Collect facts about a worker process: its node, job and GPUs, and where it listens."""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dasdist.cluster.allocation import Allocation, find_allocation
from dasdist.errors import InvalidInput

__all__ = ["Surroundings", "look", "open_addresses"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Node, job, GPUs and limits of a worker process.

    Parameters
    ----------
    node : str
        Its node, by SLURM's name where there is one.
    host : str
        Its machine.
    job : str
        Number of its job; empty without.
    allocation : Allocation or None
        What all workers of this job may use on this node.
    contradiction : str
        Why the allocation could not be found.
    visible : str or None
        ``CUDA_VISIBLE_DEVICES``.
    gpus : tuple of str
        Identities of the GPUs that torch sees; first the one that this process computes on.
    gpu_error : str
        Why torch cannot compute on them; empty if it can.
    installed_gpus : int
        GPUs of the machine that the driver knows.
    torch_cuda : str or None
        Version of CUDA that torch was built for.
    compute_threads : int
        Threads with which torch computes one task.
    """

    node: str
    host: str
    job: str
    allocation: Allocation | None
    contradiction: str
    visible: str | None
    gpus: tuple[str, ...]
    gpu_error: str
    installed_gpus: int
    torch_cuda: str | None
    compute_threads: int

    @property
    def place(self) -> tuple[str, str]:
        """The machine and the node; emulated nodes share a machine."""
        return self.host, self.node


def look() -> Surroundings:
    """Return node, job, GPUs and limits of this process."""
    import torch

    host = socket.gethostname()
    allocation, contradiction = None, ""
    try:
        allocation = find_allocation()
    except InvalidInput as error:
        contradiction = str(error)
    gpus, gpu_error = _gpus()
    return Surroundings(
        node=os.environ.get("SLURMD_NODENAME", host),
        host=host,
        job=os.environ.get("SLURM_JOB_ID", ""),
        allocation=allocation,
        contradiction=contradiction,
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        gpus=gpus,
        gpu_error=gpu_error,
        installed_gpus=len(list(Path("/proc/driver/nvidia/gpus").glob("*"))),
        torch_cuda=torch.version.cuda,
        compute_threads=torch.get_num_threads(),
    )


def _gpus() -> tuple[tuple[str, ...], str]:
    """Return the GPUs that torch sees, and what went wrong when it used that of this process."""
    import torch

    from dasdist.executors.gpus import take_turn_here
    from dasdist.inference.gpus import device_of_process

    take_turn_here()
    device = device_of_process()
    if device.type != "cuda":
        return (), ""
    properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    found = [str(getattr(p, "uuid", f"{p.name} {i}")) for i, p in enumerate(properties)]
    names = (found.pop(device.index), *found)
    try:
        torch.ones(2, device=device).sum().item()
    except RuntimeError as error:
        return names, str(error).partition("\n")[0]
    return names, ""


def open_addresses() -> tuple[str, ...]:
    """Return the addresses on which this process, and its nanny, accept connections from anywhere.

    Only what ``/proc`` tells of processes of the same user can be seen.
    """
    return tuple(dict.fromkeys(_open_addresses()))


def _open_addresses() -> Iterator[str]:
    import psutil

    here = psutil.Process()
    parent = here.parent()
    nanny = parent is not None and parent.username() == here.username() and _is_dask(parent)
    for process in (here, parent) if nanny else (here,):
        for connection in process.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.ip in ("0.0.0.0", "::"):
                yield f"{connection.laddr.ip}:{connection.laddr.port}"


def _is_dask(process: object) -> bool:
    words = " ".join(process.cmdline())  # type: ignore[attr-defined]
    return any(word in words for word in ("dask", "distributed"))
