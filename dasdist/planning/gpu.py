"""What the blocks of a plan take of a GPU's memory, and how its batches are cut.

::

    every stream     samples as recorded | copies that preprocessing makes | rows of curves
    besides          batches in the model, and what its layers make of them

Nothing fails where that is too much: batches are halved, and blocks wait on the CPU.  But that is
slow, so blocks are chosen that fit.
"""

from collections.abc import Callable
from dataclasses import replace
from math import isinf
from typing import TYPE_CHECKING

from dasdist.geometry import SegmentGrid
from dasdist.planning.speed import patches_of
from dasdist.units import readable_bytes

if TYPE_CHECKING:
    from dasdist.planning.plan import Plan

__all__ = ["fitting", "gpu_rows", "with_even_batches"]

_SHARE, _LEAST = 0.8, 0.25
"""Shares of a GPU's memory that a plan may fill, the rest is the context's and what lies between;
and that blocks have in any case, for batches can be halved."""

_EIGHTS = 8
"""Of so many windows a batch is a multiple, as kernels divide it among their threads."""


def gpu_rows(plan: "Plan") -> list[tuple[str, str]]:
    """Return what is to be said of GPUs, as name and value; nothing where there are none."""
    gpu = plan.resources.gpu
    if not gpu:
        return []
    taken = plan.gpu_batch_bytes + max(_block_bytes(plan, grid) for grid in plan.grids)
    return [("memory of a GPU", f"about {readable_bytes(taken)} of {readable_bytes(gpu)}")]


def _block_bytes(plan: "Plan", grid: SegmentGrid) -> int:
    """Return the bytes of a GPU that the blocks of a segment take, besides the batches."""
    from dasdist.inference.cuda import STREAMS  # with torch, which a plan may do without

    return min(plan.resources.threads, STREAMS) * plan.samples_bytes(grid.largest_block())


def fitting(plan: "Plan", budget: float) -> tuple[Callable[[SegmentGrid], int], float]:
    """Return a measure of what blocks need, and how much of it there is.

    Parameters
    ----------
    plan : Plan
        The plan.
    budget : float
        Bytes of a worker process that chosen blocks, and all that is there besides, may take.

    Returns
    -------
    callable, float
        Bytes of the process.  Where workers have GPUs, these count as much as they are filled: half
        a GPU is as half a budget.
    """
    gpu = plan.resources.gpu
    if not gpu:
        return plan.bytes_needed, budget
    room = max(_SHARE * gpu - plan.gpu_batch_bytes, _LEAST * gpu)
    if isinf(budget):
        return lambda grid: _block_bytes(plan, grid), room
    return (
        lambda grid: max(plan.bytes_needed(grid), int(_block_bytes(plan, grid) / room * budget)),
        budget,
    )


def with_even_batches(plan: "Plan") -> "Plan":
    """Return a plan whose largest block fills its last batch on a GPU like the others.

    Batches have one size, and the last of a block is filled up: a block of little more than one
    batch would compute nearly twice its windows.
    """
    most = plan.batching.on_gpu
    windows = max(patches_of(grid, grid.largest_block()) for grid in plan.grids)
    each = -(-windows // -(-windows // most))
    if each > _EIGHTS:
        each = min(most, -(-each // _EIGHTS) * _EIGHTS)
    return replace(plan, batching=replace(plan.batching, on_gpu=each))
