"""The plan of a run: which blocks there are, and what they will cost.

Everything that can be wrong about data, model and arguments is found while planning, before any
block runs.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from html import escape
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.errors import BlockTooLarge, DataWarning, InvalidInput, ModelMismatch
from dasdist.geometry import Block, PatchGrid, PatchingStructure, Ratio, SegmentGrid
from dasdist.geometry.choose import choose_core, recompute_factor, samples_read
from dasdist.inference import Batching, Predictor
from dasdist.models import ModelSpec, patching_structure
from dasdist.run.report import Skipped
from dasdist.signal import design, nearest_ratio, settling_samples
from dasdist.sources import Recording, SegmentAxes

__all__ = ["Needs", "Plan", "Resources", "make_plan"]

PROCESS_BYTES = 500 * 2**20
"""What a worker process holds before any block: the interpreter and its libraries."""

PLANNED_SHARE = 0.5
"""Share of a worker's memory that chosen blocks may fill; Dask starts spilling at 0.6."""

LARGEST_SHARE = 0.8
"""Share that no block may exceed; Dask pauses a worker there."""

BATCH_VALUES = {"cpu": 2**18, "cuda": 2**23}
"""Input values of a batch: in the caches of a core, or enough to fill a GPU."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What the run may use.

    Parameters
    ----------
    workers, threads : int
        Worker processes, and task threads of each.
    memory : int or None
        Bytes of memory per worker process; None is no limit.
    """

    workers: int = 1
    threads: int = 1
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Needs:
    """What a callback asks of the plan.

    Parameters
    ----------
    pick_halo : float
        Seconds of output around a core that its part depends on.
    held_outputs : int
        Arrays of the size of the core that an accumulator holds per annotation key.
    whole_patches : bool
        Whether patches must stay whole and blocks span the fibre.
    """

    pick_halo: float = 0.0
    held_outputs: int = 0
    whole_patches: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """Blocks and predictions; iterating yields the blocks, ``len`` counts them.

    Parameters
    ----------
    model : str
        Name of the model.
    grids : tuple of SegmentGrid
        The segments, with their blocks.
    skipped : tuple of Skipped
        Segments too short for a patch.
    dtype : dtype
        Type of the recorded samples.
    chunks : tuple of int or None
        Storage chunk of the recording.
    batching : Batching
        Shape of the batches.
    sections : tuple of ndarray or None
        Second-order sections of the filter along time, for each segment.
    keys : int
        Number of annotation keys.
    held_outputs : int
        See :class:`Needs`.
    batch_bytes : int
        Memory of a batch and of what the model makes of it.
    resources : Resources
        What the run may use.
    """

    model: str
    grids: tuple[SegmentGrid, ...]
    skipped: tuple[Skipped, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, int] | None
    batching: Batching
    sections: tuple[NDArray[np.float64] | None, ...]
    keys: int
    held_outputs: int
    batch_bytes: int
    resources: Resources

    def __len__(self) -> int:
        return sum(map(len, self.grids))

    def __iter__(self) -> Iterator[Block]:
        return (block for grid in self.grids for block in grid)

    @property
    def data_seconds(self) -> float:
        """Seconds of data in all segments, each stretch of time counted once."""
        spans = {grid.recorded.time: grid.time for grid in self.grids}
        return float(sum(axis.size * axis.spacing for axis in spans.values()))

    @property
    def recompute_factor(self) -> float:
        """Patch evaluations over the patches of the grid."""
        weights = [grid.rows.count * grid.columns.count for grid in self.grids]
        factors = [recompute_factor(grid) for grid in self.grids]
        return float(np.average(factors, weights=weights))

    @property
    def archive_bytes(self) -> int:
        """Bytes of the segments' samples."""
        samples = sum(grid.time.size * grid.distance.size for grid in self.grids)
        return samples * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes that reading all blocks costs, whole storage chunks counted."""
        return int(sum(samples_read(g, self.chunks) for g in self.grids)) * self.dtype.itemsize

    @property
    def read_amplification(self) -> float:
        """Bytes read over bytes in the archive."""
        return self.read_bytes / self.archive_bytes

    @property
    def peak_bytes(self) -> int:
        """Bytes that a worker process needs at the most."""
        return max(self.bytes_needed(grid) for grid in self.grids)

    def bytes_needed(self, grid: SegmentGrid) -> int:
        """Bytes that a worker process needs for the blocks of a segment.

        Every task thread holds a block; only one at a time has a batch in the model.
        """
        block = grid.block(min(len(grid) - 1, grid.blocks[1]))
        read = block.read.shape[0] * block.read.shape[1] * self.dtype.itemsize
        inputs = block.inputs.shape[0] * block.inputs.shape[1]
        channels = block.core.distance.size if grid.channelwise else grid.columns.out
        rows = 3 * grid.rows.out * channels * self.keys * 4
        held = self.held_outputs * block.core.shape[0] * block.core.shape[1] * self.keys * 4
        thread = read + self._prepared_bytes(grid, inputs) + rows + held
        return PROCESS_BYTES + self.batch_bytes + self.resources.threads * thread

    def _prepared_bytes(self, grid: SegmentGrid, inputs: int) -> int:
        """Bytes of the copies that preprocessing makes, each freed as the next but one is made."""
        copies = [0 if self.dtype == np.float32 else 4]
        copies += [8 if self.dtype.kind in "iu" else self.dtype.itemsize] * sum(
            not ratio.is_identity for ratio in grid.ratios
        )
        copies += [4] * (self.sections[grid.index] is not None)
        return inputs * sum(sorted(copies)[-2:])

    def __repr__(self) -> str:
        return "\n".join(f"{name:<18} {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>dasdist plan</caption>{cells}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        largest = max(self.grids, key=lambda g: g.shape[0] * g.shape[1])
        along_time, along_fibre = largest.core
        seconds = float(along_time * largest.out_time.spacing)
        limit = self.resources.memory
        return [
            ("model", self.model),
            ("segments", f"{len(self.grids)} ({len(self.skipped)} too short)"),
            ("data", f"{_bytes(self.archive_bytes)}, {self.data_seconds:,.1f} s"),
            ("patches", f"{sum(g.rows.count * g.columns.count for g in self.grids):,}"),
            ("blocks", f"{len(self):,} of up to {seconds:,.1f} s x {along_fibre:,} channels"),
            ("output samples", " + ".join(f"{a:,} x {b:,}" for a, b in self._shapes())),
            ("recompute factor", f"{self.recompute_factor:.3f}"),
            ("bytes read", f"{_bytes(self.read_bytes)}, {self.read_amplification:.3f} x archive"),
            (
                "peak per worker",
                f"{_bytes(self.peak_bytes)} of {_bytes(limit) if limit else 'unlimited'}",
            ),
        ]

    def _shapes(self) -> list[tuple[int, int]]:
        return [grid.shape for grid in self.grids[:3]]


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.1f} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.1f} PB"


def make_plan(
    recording: Recording,
    predictor: Predictor,
    arguments: Mapping[str, Any],
    *,
    needs: Needs,
    resources: Resources,
    block: Mapping[str, int] | None = None,
) -> Plan:
    """Plan a run.

    Parameters
    ----------
    recording : Recording
        The data.
    predictor : Predictor
        The model; one batch of zeros goes through it.
    arguments : mapping
        Arguments of ``annotate``, defaults of the model included.
    needs : Needs
        What the callback asks for.
    resources : Resources
        What the run may use.
    block : mapping, optional
        Core of a block: ``{"time": samples, "distance": channels}``.

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
        batching=_batching(spec, grids, arguments, needs, predictor.device),
        sections=tuple(sections),
        keys=len(spec.annotate_keys),
        held_outputs=needs.held_outputs,
        batch_bytes=0,
        resources=resources,
    )
    plan = replace(plan, batch_bytes=_try_model(predictor, plan, arguments))
    return _with_blocks(plan, block, needs, recording)


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
            overlap_channels=structure.in_channels - _aligned(structure.shift_channels, distance.up),
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
        f"{max(lengths[0], 0)} samples x {max(lengths[1], 0)} channels at the model's sampling are "
        f"less than a patch of {structure.in_samples} x {structure.in_channels}",
    )


def _report_short(skipped: list[Skipped], grids: list[SegmentGrid], recording: Recording) -> None:
    if not grids:
        raise InvalidInput(
            f"None of the {len(recording.segments)} segments of this recording "
            f"({recording.shape[0]} samples x {recording.shape[1]} channels) can be processed: "
            f"{skipped[0] if skipped else 'it is empty'}. Pass a longer stretch, or a model with "
            "smaller patches."
        )
    if skipped:
        few = "; ".join(str(s) for s in skipped[:3]) + ("; …" if len(skipped) > 3 else "")
        warnings.warn(
            f"{len(skipped)} of {len(recording.segments)} segments are too short for a patch and "
            f"are left out (the report lists all of them): {few}.",
            DataWarning,
            stacklevel=4,
        )


def _batching(
    spec: ModelSpec,
    grids: list[SegmentGrid],
    arguments: Mapping[str, Any],
    needs: Needs,
    device: torch.device,
) -> Batching:
    """Return the shape of the batches; it depends on the whole grid, never on blocks."""
    channelwise = spec.channelwise and not needs.whole_patches
    window = max(grid.rows.window for grid in grids)
    width = max(grid.columns.window for grid in grids)
    given = arguments.get("batch_size")
    if given is not None and (isinstance(given, bool) or given != int(given) or given < 1):
        raise InvalidInput(f"batch_size is {given!r}; use a whole number of patches from 1 up.")
    values = BATCH_VALUES.get(device.type, BATCH_VALUES["cuda"])
    if channelwise:
        available = max(grid.rows.count * grid.shape[1] for grid in grids)
        size = given * width if given else min(max(16, values // window), 4096)
    else:
        available = max(grid.rows.count * grid.columns.count for grid in grids)
        size = given or min(max(1, values // (window * width)), 256)
    return Batching(min(int(size), available), channelwise)


def _try_model(predictor: Predictor, plan: Plan, arguments: Mapping[str, Any]) -> int:
    """Send zeros through the model, check its outputs' shapes and return a batch's bytes."""
    grid = max(plan.grids, key=lambda g: g.columns.window)
    width = 1 if plan.batching.channelwise else grid.columns.window
    outputs, activations = _traced(predictor, grid, width, arguments)
    out_width = 1 if plan.batching.channelwise else grid.columns.out
    expected = (1, grid.rows.out, out_width)
    for key, values in outputs.items():
        if values.shape != expected:
            raise ModelMismatch(
                f"{plan.model} returned {key!r} with shape {values.shape} for an input of shape "
                f"{(1, grid.rows.window, width)}, but its patching structure promises {expected}; "
                "mend out_samples, out_channels or forward."
            )
    on_gpu = predictor.device.type != "cpu"
    batch = plan.batching.size * grid.rows.window * width * 4
    results = plan.batching.size * grid.rows.out * out_width * 4 * len(outputs)
    return 2 * batch + 2 * results + (0 if on_gpu else plan.batching.size * activations)


def _traced(
    predictor: Predictor, grid: SegmentGrid, width: int, arguments: Mapping[str, Any]
) -> tuple[dict[str, NDArray[np.float32]], int]:
    """Annotate one patch of zeros; return its outputs and the bytes of all layers' outputs."""
    sizes: list[int] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        sizes.extend(t.nbytes for t in _tensors(output))

    leaves = [m for m in predictor.model.modules() if not any(m.children())]
    hooks = [module.register_forward_hook(note) for module in leaves]
    try:
        zeros = torch.zeros((1, grid.rows.window, width))
        spacing = (float(grid.model_time.spacing), float(grid.model_distance.spacing))
        return predictor(zeros, arguments, spacing), sum(sizes)
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)


def _with_blocks(
    plan: Plan, block: Mapping[str, int] | None, needs: Needs, recording: Recording
) -> Plan:
    """Give every segment its core, number the blocks and check that they fit."""
    core = _given_core(block or {}, recording.channel_name)
    memory = plan.resources.memory
    slots = plan.resources.workers * plan.resources.threads
    grids: list[SegmentGrid] = []
    for grid in plan.grids:
        fixed = [
            min(size, given) if given else 0 for size, given in zip(grid.shape, core, strict=True)
        ]
        chosen = (0, 0)
        if not all(fixed):
            chosen = choose_core(
                replace(grid, core=(fixed[0] or grid.shape[0], fixed[1] or grid.shape[1])),
                chunks=plan.chunks,
                slots=slots,
                bytes_needed=plan.bytes_needed,
                budget=PLANNED_SHARE * memory if memory else float("inf"),
                fixed=(fixed[0], fixed[1]),
                whole_fibre=needs.whole_patches,
            )
        along_fibre = grid.shape[1] if needs.whole_patches else fixed[1] or chosen[1]
        sized = replace(grid, core=(fixed[0] or chosen[0], along_fibre))
        grids.append(replace(sized, first_block=sum(map(len, grids))))
    plan = replace(plan, grids=tuple(grids))
    if memory and plan.peak_bytes > LARGEST_SHARE * memory:
        raise BlockTooLarge(
            f"A block of {plan.grids[0].core[0]} x {plan.grids[0].core[1]} outputs needs "
            f"{_bytes(plan.peak_bytes)} on a worker of {_bytes(memory)} with "
            f"{plan.resources.threads} task threads, of which {LARGEST_SHARE:.0%} may be used; "
            "choose smaller blocks (block=), fewer threads or larger workers."
        )
    return plan


def _given_core(block: Mapping[str, int], channel_name: str) -> tuple[int, int]:
    """Read ``block={"time": ..., "distance": ...}``; 0 stands for a size to be chosen."""
    known = {"time", "distance", channel_name}
    for key, value in block.items():
        if key not in known:
            raise InvalidInput(f"block has the key {key!r}; its keys are {sorted(known)}.")
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise InvalidInput(
                f"block[{key!r}] is {value!r}; use a whole number of outputs from 1 up."
            )
    return int(block.get("time", 0)), int(block.get("distance", block.get(channel_name, 0)))
