"""Give the segments of a plan their blocks, and check that these fit into memory."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from dasdist.callbacks.needs import Needs
from dasdist.errors import BlockTooLarge, InvalidInput
from dasdist.geometry import SegmentGrid
from dasdist.geometry.choose import Limits, Work, choose_core
from dasdist.planning.files import file_samples
from dasdist.planning.gpu import fitting
from dasdist.planning.plan import Plan
from dasdist.planning.speed import nominal
from dasdist.planning.too_large import too_large
from dasdist.sources import Recording

__all__ = ["HeldCore", "with_blocks"]

HeldCore = Callable[[SegmentGrid], tuple[int, int] | None]
"""Returns the core that an earlier run chose for the blocks of a segment, or None."""

PLANNED_SHARE = 0.5
"""Share of a worker's memory that chosen blocks may fill; Dask starts spilling at 0.6."""

TIGHT_SHARE = 0.75
"""Share that they may fill on small workers, of which libraries and model take the first half."""


def with_blocks(
    plan: Plan,
    block: Mapping[str, int] | None,
    needs: Needs,
    recording: Recording,
    held_core: HeldCore | None,
    limits: Limits,
) -> Plan:
    """Give every segment its core, number the blocks and check that they fit."""
    wanted = _given_core(block or {}, recording.channel_name)
    chosen: dict[Any, tuple[int, int]] = {}
    keep = held_core if held_core is not None and not block else _none
    cores = [keep(grid) for grid in plan.grids]
    # of segments that differ in length only, the longest tells what blocks should be
    for grid in sorted(plan.grids, key=lambda grid: -grid.shape[0]):
        if _kind(grid) not in chosen and cores[grid.index] is None:
            chosen[_kind(grid)] = _core(grid, plan, needs, wanted, recording, limits)
    grids: list[SegmentGrid] = []
    first = 0
    for grid in plan.grids:
        held = cores[grid.index] or chosen[_kind(grid)]
        core = min(grid.shape[0], held[0]), min(grid.shape[1], held[1])
        grids.append(replace(grid, core=core, first_block=first))
        first += len(grids[-1])
    plan = replace(plan, grids=tuple(grids))
    if plan.peak_bytes > plan.resources.usable:
        raise BlockTooLarge(too_large(plan, given=bool(block or any(cores))))
    return plan


def _none(grid: SegmentGrid) -> None:
    """Return that no earlier run chose a core."""


def _kind(grid: SegmentGrid) -> tuple[Any, ...]:
    """Return what segments share whose blocks should be alike."""
    rows = grid.rows.window, grid.rows.shift, grid.rows.out, grid.rows.covers
    return grid.ratios, rows, grid.columns, grid.settling, grid.pick_halo, grid.around


def _core(
    grid: SegmentGrid,
    plan: Plan,
    needs: Needs,
    wanted: tuple[int, int],
    recording: Recording,
    limits: Limits,
) -> tuple[int, int]:
    """Return the core that is wanted; where it is not given, as it is best for a segment."""
    fixed = [
        min(size, given) if given else 0 for size, given in zip(grid.shape, wanted, strict=True)
    ]
    chosen = (0, 0)
    needed, budget = fitting(plan, _budget(plan))
    if not all(fixed):
        chosen = choose_core(
            replace(grid, core=(fixed[0] or grid.shape[0], fixed[1] or grid.shape[1])),
            _work(grid, plan, recording),
            chunks=plan.chunks,
            bytes_needed=needed,
            budget=budget,
            fixed=(fixed[0], fixed[1]),
            whole_fibre=needs.whole_patches,
            limits=limits,
        )
    along_fibre = grid.shape[1] if needs.whole_patches else fixed[1] or chosen[1]
    return fixed[0] or chosen[0], along_fibre


def _work(grid: SegmentGrid, plan: Plan, recording: Recording) -> Work:
    speed = plan.speed or nominal(grid)
    outputs = sum(other.shape[0] * other.shape[1] for other in plan.grids)
    return Work(
        slots=plan.resources.workers * plan.resources.threads,
        seconds=partial(plan.seconds_of, speed=speed),
        share=grid.shape[0] * grid.shape[1] / outputs,
        file=file_samples(recording, grid.recorded),
    )


def _budget(plan: Plan) -> float:
    """Return the bytes that a chosen block, and all that is there besides, may take."""
    memory = plan.resources.memory
    if not memory:
        return inf
    before = plan.process_bytes + plan.batch_bytes
    share = PLANNED_SHARE
    if before > 0.8 * PLANNED_SHARE * memory:
        share = TIGHT_SHARE
    if before > 0.9 * TIGHT_SHARE * memory:  # what is left is little, so all of it is taken
        share = plan.resources.pause
    return min(share * memory, plan.resources.usable)


def _given_core(block: Mapping[str, int], channel_name: str) -> tuple[int, int]:
    """Read ``block={"time": ..., "distance": ...}``; 0 stands for a size to be chosen."""
    known = {"time", "distance", channel_name}
    if not isinstance(block, Mapping):
        raise InvalidInput(
            f"block is {block!r}; use a mapping such as {{'time': 60_000, 'distance': 500}}."
        )
    for key, value in block.items():
        if key not in known:
            raise InvalidInput(f"block has the key {key!r}; its keys are {sorted(known)}.")
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InvalidInput(
                f"block[{key!r}] is {value!r}; use a whole number of outputs from 1 up."
            )
    return int(block.get("time", 0)), int(block.get("distance", block.get(channel_name, 0)))
