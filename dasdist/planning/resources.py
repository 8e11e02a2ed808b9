"""What a run may use: workers, cores and memory."""

from dataclasses import dataclass
from math import inf

__all__ = ["CUDA_BYTES", "PAUSE", "WORKER_BYTES", "Resources"]

WORKER_BYTES = 650 * 2**20
"""What a worker holds before its first batch: the interpreter, Dask, torch, numba, xdas, PyArrow.
645 to 680 MB were measured: peaks of nannies' workers with the demo's picker, picks in memory or in
Parquet, less batch and block (Linux, Python 3.11, torch 2.13 for CPUs)."""

CUDA_BYTES = 2 * 2**30
"""What CUDA adds to a process: its context, the libraries for convolutions and products, and pinned
buffers.  A guess: 2 to 3 GB in all are common."""

PAUSE = 0.8
"""Share of a worker's memory at which Dask pauses it, unless it is configured otherwise."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the run may use.

    Parameters
    ----------
    workers, threads : int
        Worker processes, and task threads of each.
    cores : int
        Cores for the batches of one task thread.  On a cluster one: workers have as many task
        threads as they have cores, and Dask's nannies set OMP_NUM_THREADS to 1.
    memory : int or None
        Bytes of memory per worker process; None is no limit.
    process : int
        Bytes that such a process holds before its first batch.
    pause : float
        Share of the memory that no plan may pass: there Dask pauses a worker.
    here : bool
        Whether it is this process that computes, and `process` has the model in it.
    gpu : int or None
        Bytes of memory of each worker's GPU, 0 if that is not known; None on CPUs.
    """

    workers: int = 1
    threads: int = 1
    memory: int | None = None
    cores: int = 1
    process: int = WORKER_BYTES
    pause: float = PAUSE
    here: bool = False
    gpu: int | None = None

    @property
    def usable(self) -> float:
        """Bytes that a worker process may reach."""
        return self.pause * self.memory if self.memory else inf
