"""A run on many workers, as a discrete-event model of what its blocks wait for.

::

    scheduler (one server)    a block is sent, seconds of its own; so is its result
    storage (one pipe)        bytes of a block, at most so many per second for one worker and in all
    worker (one core)         start, then one block after the other; the next is read meanwhile

Times are measured on this machine and passed in.  Blocks differ in length by a seeded spread.
"""

import heapq
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["Cluster", "Costs", "best_block", "simulate"]

LONGEST = 20_000
"""Blocks that are simulated one by one."""


@dataclass(frozen=True)
class Costs:
    """What the blocks of an archive cost.

    Parameters
    ----------
    archive : float
        Bytes.
    block : float
        Bytes that a block owns.
    halo : float
        Bytes that it reads besides.
    per_byte : float
        Seconds that a core computes per byte read.
    per_block : float
        Seconds that a worker spends on a block whatever its size.
    spread : float
        Relative standard deviation of the time of a block.
    """

    archive: float
    block: float
    halo: float
    per_byte: float
    per_block: float
    spread: float = 0.05

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return max(1, round(self.archive / self.block))


@dataclass(frozen=True)
class Cluster:
    """What computes them.

    Parameters
    ----------
    workers : int
        Workers of one core.
    per_task : float
        Seconds of the scheduler and the client per block.
    bandwidth, per_worker : float
        Bytes per second of the storage, in all and at most for one worker.
    start : float
        Seconds before the first block: to bring the model, to build the replica.
    """

    workers: int
    per_task: float
    bandwidth: float = np.inf
    per_worker: float = np.inf
    start: float = 0.0


def simulate(costs: Costs, cluster: Cluster, seed: int = 0) -> float:
    """Return the seconds of a run.

    Notes
    -----
    Events are a worker's calls for its next block, in order of time.  A scheduler that is busy lets
    it wait; so does a storage whose pipe is full, which serves first what was asked for first.  A
    worker reads ahead: a block is there when the last one ends, if storage could bring it by then.
    Of more than `LONGEST` blocks, so many are simulated; the others take what the last half took.
    """
    if costs.blocks <= LONGEST:
        return _simulated(costs, cluster, costs.blocks, seed)
    half, whole = (_simulated(costs, cluster, n, seed) for n in (LONGEST // 2, LONGEST))
    return whole + (costs.blocks - LONGEST) * (whole - half) / (LONGEST - LONGEST // 2)


def _simulated(costs: Costs, cluster: Cluster, blocks: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    spread = rng.normal(1.0, costs.spread, blocks).clip(0.5, 2.0).tolist()
    size = costs.block + costs.halo
    # a time, whether that worker has a block already (idle ones come first), and which it is
    calls = [(cluster.start, 0, worker) for worker in range(min(cluster.workers, blocks))]
    heapq.heapify(calls)
    idle_since = [cluster.start] * cluster.workers
    scheduler = pipe = 0.0
    last = 0.0
    for factor in spread:
        now, _, worker = heapq.heappop(calls)
        scheduler = max(scheduler, now) + cluster.per_task
        pipe = max(pipe, scheduler) + size / cluster.bandwidth
        there = max(pipe, scheduler + size / cluster.per_worker)
        begins = max(there, idle_since[worker])
        ends = begins + costs.per_block + size * costs.per_byte * factor
        idle_since[worker] = ends
        last = max(last, ends)
        heapq.heappush(calls, (begins, 1, worker))  # the next is asked for as this one begins
    return last


def best_block(
    costs: Costs, cluster: Cluster, sizes: list[float], memory: float
) -> tuple[float, float]:
    """Return the size of block with which a run ends first, and its seconds.

    Parameters
    ----------
    sizes : list of float
        Bytes to try.
    memory : float
        Bytes that a worker has for blocks: it holds the one it computes and the next.
    """
    fitting = [size for size in sizes if 2 * (size + costs.halo) <= memory]
    tried = [(simulate(replace(costs, block=size), cluster), size) for size in fitting]
    seconds, size = min(tried)
    return size, seconds
