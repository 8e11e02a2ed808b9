"""Make a plan: fit model and recording together, choose blocks, check that they fit.

Everything that can be wrong about data, model and arguments is found here, before any block runs.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import isinf
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.callbacks.needs import Needs
from dasdist.errors import DataWarning, InvalidInput
from dasdist.geometry import PatchGrid, PatchingStructure, Ratio, SegmentGrid
from dasdist.geometry.choose import DEFAULT_LIMITS, Limits
from dasdist.inference import Predictor
from dasdist.models import ModelSpec, patching_structure
from dasdist.planning.block_size import HeldCore, with_blocks
from dasdist.planning.plan import Plan, Resources
from dasdist.planning.probe import batching, first_pass, model_bytes
from dasdist.planning.trial import speed_of
from dasdist.report import Skipped
from dasdist.signal import design, nearest_ratio, settling_samples
from dasdist.sources import Recording, SegmentAxes
from dasdist.units import count_of

__all__ = ["make_plan"]


def make_plan(
    recording: Recording,
    predictor: Predictor,
    arguments: Mapping[str, Any],
    *,
    needs: Needs,
    resources: Resources,
    block: Mapping[str, int] | None = None,
    held_core: HeldCore | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Plan:
    """Plan a run.

    Parameters
    ----------
    recording : Recording
        The data.
    predictor : Predictor
        The model; a patch or two of zeros go through it, and a small block of them.
    arguments : mapping
        Arguments of ``annotate``, defaults of the model included.
    needs : Needs
        What the callback asks for.
    resources : Resources
        What the run may use.
    block : mapping, optional
        Core of a block: ``{"time": samples, "distance": channels}``.
    held_core : callable, optional
        Returns the core that an earlier run chose for the blocks of a segment, or None.
    limits : Limits
        What chosen blocks should stay within.

    Raises
    ------
    InvalidInput
        If no segment is long enough, no ratio reaches the model's sampling, or ``block`` is wrong.
    ModelMismatch
        If the model's outputs do not match its patching structure.
    BlockTooLarge
        If a block does not fit into a worker's memory.
    """
    spec = predictor.spec
    sections: list[NDArray[np.float64] | None] = []
    grids: list[SegmentGrid] = []
    skipped: list[Skipped] = []
    for segment in recording.segments:
        structure, ratios = _fit(predictor.model, spec, segment, arguments)
        lengths = _usable(segment, structure, ratios)
        if lengths[0] < structure.in_samples or lengths[1] < structure.in_channels:
            skipped.append(_too_short(segment, structure, lengths))
            continue
        rows, columns = _patch_grids(structure, ratios, lengths)
        grid = SegmentGrid(
            index=len(grids),
            first_block=0,
            recorded=segment.recorded,
            time=segment.time,
            distance=segment.distance,
            ratios=ratios,
            rows=rows,
            columns=columns,
            channelwise=spec.channelwise and not needs.whole_patches,
            settling=0,
            pick_halo=0,
            core=(rows.out_size, columns.out_size),
        )
        filtering = None
        if spec.filter_samples is not None:
            filtering = design(spec.filter_samples, grid.model_time.sampling_rate)
            grid = replace(grid, settling=settling_samples(filtering))
        sections.append(filtering)
        halo = Fraction(needs.pick_halo) / grid.out_time.spacing
        grids.append(replace(grid, pick_halo=-(-halo // 1) + 1 if halo else 0))
    _report_short(skipped, grids, recording)
    plan = Plan(
        model=spec.name,
        grids=tuple(grids),
        skipped=tuple(skipped),
        dtype=recording.dtype,
        chunks=recording.chunks,
        batching=batching(predictor, grids, arguments, needs, resources),
        sections=tuple(sections),
        keys=len(spec.annotate_keys),
        held_outputs=needs.held_outputs,
        model_bytes=model_bytes(predictor, resources),
        batch_bytes=0,
        resources=resources,
    )
    found = first_pass(predictor, plan, arguments)
    plan = replace(plan, batch_bytes=found.batch_bytes)
    new = held_core is None or any(held_core(grid) is None for grid in grids)
    if new and isinf(limits.work):
        plan = replace(plan, speed=speed_of(predictor, plan, arguments, found.patch_seconds))
    return with_blocks(plan, block, needs, recording, held_core, limits)


def _fit(
    model: torch.nn.Module, spec: ModelSpec, segment: SegmentAxes, arguments: Mapping[str, Any]
) -> tuple[PatchingStructure, tuple[Ratio, Ratio]]:
    """Return patches and resampling for a segment."""
    time = _ratio(segment.time.spacing, spec.dt_range, "time", "s")
    distance = _ratio(abs(segment.distance.spacing), spec.dx_range, segment.distance.name, "m")
    shape = (
        segment.time.size * time.up // time.down,
        segment.distance.size * distance.up // distance.down,
    )
    structure = patching_structure(model, shape, arguments)
    return (
        replace(
            structure,
            overlap_samples=structure.in_samples - _aligned(structure.shift_samples, time.up),
            overlap_channels=structure.in_channels
            - _aligned(structure.shift_channels, distance.up),
        ),
        (time, distance),
    )


def _aligned(shift: int, up: int) -> int:
    """Return the largest shift up to the given one with which patches start on recorded samples.

    That is SeisBench's choice; where it comes to no shift at all, patches start ``up`` apart.
    """
    return shift if shift < 1 else max(up, shift - shift % up)


def _ratio(spacing: Fraction, allowed: tuple[float, float] | None, name: str, unit: str) -> Ratio:
    try:
        return nearest_ratio(spacing, allowed)
    except ValueError as error:
        raise InvalidInput(f"Along {name} (in {unit}): {error}") from error


def _usable(
    segment: SegmentAxes, structure: PatchingStructure, ratios: tuple[Ratio, Ratio]
) -> tuple[int, int]:
    """Return samples and channels after resampling, cut so that the last patch starts on the grid.

    SeisBench cuts the same, fewer than ``up`` resampled ones; a last patch between two recorded
    samples would need another resampling filter.
    """
    samples = ratios[0].size(segment.time.size)
    channels = ratios[1].size(segment.distance.size)
    return (
        samples - (samples - structure.in_samples) % ratios[0].up,
        channels - (channels - structure.in_channels) % ratios[1].up,
    )


def _patch_grids(
    structure: PatchingStructure, ratios: tuple[Ratio, Ratio], lengths: tuple[int, int]
) -> tuple[PatchGrid, PatchGrid]:
    rows = PatchGrid(
        lengths[0],
        structure.in_samples,
        structure.shift_samples,
        structure.out_samples,
        structure.range_samples,
    )
    columns = PatchGrid(
        lengths[1],
        structure.in_channels,
        structure.shift_channels,
        structure.out_channels,
        structure.range_channels,
    )
    for grid, axis in ((rows, "overlap_samples"), (columns, "overlap_channels")):
        if grid.hole():
            warnings.warn(
                f"Patches leave up to {grid.hole()} outputs between them empty: raise {axis} to at "
                f"least {grid.window - (grid.covers[1] - grid.covers[0])}.",
                DataWarning,
                stacklevel=5,
            )
    return rows, columns


def _too_short(
    segment: SegmentAxes, structure: PatchingStructure, lengths: tuple[int, int]
) -> Skipped:
    return Skipped(
        segment.recorded,
        segment.time,
        segment.distance,
        f"{count_of(max(lengths[0], 0), 'sample')} x {count_of(max(lengths[1], 0), 'channel')} at "
        "the model's sampling are less than its window of "
        f"{structure.in_samples:,} x {structure.in_channels:,}",
    )


def _report_short(skipped: list[Skipped], grids: list[SegmentGrid], recording: Recording) -> None:
    if not grids:
        raise InvalidInput(
            "Nothing of this recording can be processed "
            f"({count_of(len(recording.segments), 'segment')}, "
            f"{recording.shape[0]:,} samples x {count_of(recording.shape[1], 'channel')}): "
            f"{skipped[0] if skipped else 'it is empty'}. Pass a longer stretch, or a model with "
            "smaller windows."
        )
    if skipped:
        be = "is" if len(skipped) == 1 else "are"
        few = "; ".join(str(s) for s in skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        warnings.warn(
            f"{len(skipped):,} of {count_of(len(recording.segments), 'segment')} {be} too short "
            "for "
            f"a window of the model and left out (the report lists all of them): {few}.",
            DataWarning,
            stacklevel=4,
        )
