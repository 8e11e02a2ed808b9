"""Make a plan: fit model and recording together, choose blocks, check that they fit.

Everything that can be wrong about data, model and arguments is found here, before any block runs.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from math import inf, isinf, log, log1p
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
from dasdist.planning.amplitude import with_amplitude
from dasdist.planning.block_size import HeldCore, with_blocks
from dasdist.planning.distances import check_distances
from dasdist.planning.gpu import with_even_batches
from dasdist.planning.overlaps import aligned, warn_of_holes
from dasdist.planning.plan import Plan, padding_notes
from dasdist.planning.probe import batching, first_pass, model_bytes
from dasdist.planning.resources import Resources
from dasdist.planning.speed import on_a_gpu
from dasdist.planning.trial import speed_of
from dasdist.report import Skipped
from dasdist.signal import OFF_RATE, design, nearest_ratio, settling_samples
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
    scale: float | None = None,
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
    scale : float, optional
        Factor of the samples in the run that is resumed; else it is chosen.

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
    if spec.dx_range is not None or spec.fk_filter_args is not None:
        check_distances(recording, spec.name)
    pad = _pad(arguments, needs)
    sections: list[NDArray[np.float64] | None] = []
    grids: list[SegmentGrid] = []
    skipped: list[Skipped] = []
    for segment in recording.segments:
        structure, ratios = _fit(predictor.model, spec, segment, arguments)
        lengths = _usable(segment, structure, ratios)
        short = lengths[0] < structure.in_samples
        if short and pad:
            lengths = (ratios[0].size(segment.time.size), lengths[1])
        if (short and not pad) or lengths[1] < structure.in_channels:
            skipped.append(_too_short(segment, structure, lengths))
            continue
        rows, columns = _patch_grids(structure, lengths, padded=short)
        if not rows.out_size:
            skipped.append(_too_short(segment, structure, lengths))
            continue
        warn_of_holes((rows, columns), ratios, predictor.model, spec.name, arguments)
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
        spacing = grid.model_time.spacing
        before, after = (int(-(-Fraction(seconds) // spacing)) for seconds in needs.around)
        pick_halo = -(-halo // 1) + 1 if halo else 0
        grids.append(replace(grid, pick_halo=pick_halo, around=(before, after)))
    _report_left_out(skipped, grids, recording)
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
        notes=(*recording.notes, *padding_notes(grids)),
    )
    found = first_pass(predictor, plan, arguments)
    plan = replace(plan, batch_bytes=found.batch_bytes, gpu_batch_bytes=found.gpu_bytes)
    plan = with_amplitude(plan, recording, predictor, arguments, scale)
    plan = replace(plan, notes=plan.notes + _off_rate(spec, grids))
    new = held_core is None or any(held_core(grid) is None for grid in grids)
    if new and isinf(limits.work):
        speed = speed_of(predictor, plan, arguments, found.patch_seconds)
        elsewhere = plan.resources.gpu is not None and predictor.device.type == "cpu"
        plan = replace(plan, speed=on_a_gpu(speed) if elsewhere else speed)
    plan = with_blocks(plan, block, needs, recording, held_core, limits)
    return plan if arguments.get("batch_size") else with_even_batches(plan)


def _fit(
    model: torch.nn.Module, spec: ModelSpec, segment: SegmentAxes, arguments: Mapping[str, Any]
) -> tuple[PatchingStructure, tuple[Ratio, Ratio]]:
    """Return patches and resampling for a segment."""
    time = _ratio(segment.time.spacing, spec.dt_range, "time", "s")
    distance = Ratio(1, 1)  # also where channels share a position
    if spec.dx_range is not None:
        distance = _ratio(abs(segment.distance.spacing), spec.dx_range, segment.distance.name, "m")
    shape = (
        segment.time.size * time.up // time.down,
        segment.distance.size * distance.up // distance.down,
    )
    structure = patching_structure(model, shape, arguments)
    return (
        replace(
            structure,
            overlap_samples=structure.in_samples - aligned(structure.shift_samples, time.up),
            overlap_channels=structure.in_channels - aligned(structure.shift_channels, distance.up),
        ),
        (time, distance),
    )


def _off_rate(spec: ModelSpec, grids: list[SegmentGrid]) -> tuple[str, ...]:
    """Return a note, and warn, if the model sees a rate that is far from its own."""
    low, high = spec.dt_range or (0.0, inf)
    if low <= 0 or isinf(high):
        return ()
    own = 1 / (low * high) ** 0.5
    seen = max((g.model_time.sampling_rate for g in grids), key=lambda rate: abs(log(rate / own)))
    if abs(log(seen / own)) <= log1p(OFF_RATE) + 1e-9:
        return ()
    note = (
        f"{spec.name} sees {seen:g} Hz, which is {abs(seen / own - 1):.0%} off its own {own:g} Hz: "
        "no ratio that is allowed comes closer. Results may suffer; use a model for this rate."
    )
    warnings.warn(note, DataWarning, stacklevel=5)
    return (note,)


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
    structure: PatchingStructure, lengths: tuple[int, int], *, padded: bool
) -> tuple[PatchGrid, PatchGrid]:
    rows = PatchGrid(
        lengths[0],
        structure.in_samples,
        structure.shift_samples,
        structure.out_samples,
        structure.range_samples,
        padded,
    )
    columns = PatchGrid(
        lengths[1],
        structure.in_channels,
        structure.shift_channels,
        structure.out_channels,
        structure.range_channels,
    )
    return rows, columns


def _pad(arguments: Mapping[str, Any], needs: Needs) -> bool:
    """Return whether segments shorter than a patch are to be extended."""
    pad = arguments.get("pad", False)
    if not isinstance(pad, bool | np.bool_):
        raise InvalidInput(
            f"pad is {pad!r}; use True to extend recordings that are shorter than the model's "
            "window, or False."
        )
    if pad and needs.in_order:
        raise InvalidInput(
            "pad=True does not go with a callback that was written for SeisBench, which would see "
            "samples beyond the recording. Use one of dasdist's, or pad the data beforehand."
        )
    return bool(pad)


def _too_short(
    segment: SegmentAxes, structure: PatchingStructure, lengths: tuple[int, int]
) -> Skipped:
    return Skipped(
        segment.recorded,
        segment.time,
        segment.distance,
        f"{count_of(max(lengths[0], 0), 'sample')} x {count_of(max(lengths[1], 0), 'channel')} at "
        "the model's sampling are less than its window of "
        f"{structure.in_samples:,} x {structure.in_channels:,}"
        + _padding_helps(structure, lengths),
    )


def _padding_helps(structure: PatchingStructure, lengths: tuple[int, int]) -> str:
    fits = lengths[1] >= structure.in_channels and lengths[0] < structure.in_samples
    return " (pad=True, or --pad, extends it)" if fits else ""


def _report_left_out(
    skipped: list[Skipped], grids: list[SegmentGrid], recording: Recording
) -> None:
    for note in recording.notes:
        warnings.warn(f"{note[0].upper()}{note[1:]}.", DataWarning, stacklevel=4)
    if not grids:
        remedy = recording.jitter or "Pass a longer stretch, or a model with smaller windows."
        raise InvalidInput(
            "Nothing of this recording can be processed "
            f"({count_of(len(recording.segments), 'segment')}, "
            f"{recording.shape[0]:,} samples x {count_of(recording.shape[1], 'channel')}): "
            f"{skipped[0] if skipped else 'it is empty'}. {remedy}"
        )
    if skipped:
        be = "is" if len(skipped) == 1 else "are"
        few = "; ".join(str(s) for s in skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        warnings.warn(
            f"{len(skipped):,} of {count_of(len(recording.segments), 'segment')} {be} too short "
            "for "
            f"a window of the model and left out (the report lists all of them): {few}."
            + (f" {recording.jitter}" if recording.jitter else ""),
            DataWarning,
            stacklevel=4,
        )
