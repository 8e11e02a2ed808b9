"""The plan of a run: which blocks there are, and what they will cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dasdist.amplitude import AS_RECORDED, Amplitude, is_wide
from dasdist.geometry import Block, SegmentGrid, block_at
from dasdist.geometry.choose import recompute_factor, samples_read
from dasdist.geometry.slices import slice_rows
from dasdist.planning.gpu import gpu_rows
from dasdist.planning.resources import Resources
from dasdist.planning.speed import Speed
from dasdist.report import Skipped, time_span
from dasdist.safe_text import as_html, one_line
from dasdist.units import count_of, readable_bytes

if TYPE_CHECKING:  # with torch, which whoever scans an archive does not need
    from dasdist.inference import Batching

__all__ = ["Plan", "padding_notes"]


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
        See :class:`~dasdist.callbacks.needs.Needs`.
    model_bytes : int
        Memory of the model and of the libraries that it brings, where they are not there yet.
    batch_bytes : int
        Memory of a batch and of what the model makes of it.
    resources : Resources
        What the run may use.
    gpu_batch_bytes : int
        The same as `batch_bytes`, of a GPU's memory.
    speed : Speed or None
        How fast a small block was; None where the blocks of an earlier run are kept.
    amplitude : Amplitude
        What is done to the amplitude of windows.
    notes : tuple of str
        What of the recording does not count, such as samples that overlap earlier ones, and what is
        wrong with the data or its fit to the model.
    told : mapping of str to str
        Options of the callback and where they come from.
    """

    model: str
    grids: tuple[SegmentGrid, ...]
    skipped: tuple[Skipped, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, int] | None
    batching: "Batching"
    sections: tuple[NDArray[np.float64] | None, ...]
    keys: int
    held_outputs: int
    model_bytes: int
    batch_bytes: int
    resources: Resources
    gpu_batch_bytes: int = 0
    speed: Speed | None = None
    amplitude: Amplitude = AS_RECORDED
    notes: tuple[str, ...] = ()
    told: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.grids))

    def __iter__(self) -> Iterator[Block]:
        return (block for grid in self.grids for block in grid)

    def block(self, index: int) -> Block:
        """Return the block with this number."""
        return block_at(self.grids, index)

    @property
    def padded(self) -> tuple[SegmentGrid, ...]:
        """Segments that are shorter than a patch and are extended to one, as ``pad`` asks."""
        return tuple(grid for grid in self.grids if grid.rows.padded)

    @property
    def data_seconds(self) -> float:
        """Seconds of data in all segments, each stretch of time counted once."""
        spans = {grid.recorded.time: grid.time for grid in self.grids}
        return float(sum(axis.size * axis.spacing for axis in spans.values()))

    @property
    def unreached_seconds(self) -> tuple[float, float]:
        """Most seconds at the start and at the end of a segment that no window's outputs cover."""
        ends = [(grid.unreached[0], grid.time.spacing) for grid in self.grids]
        return (
            float(max(before * step for (before, _), step in ends)),
            float(max(after * step for (_, after), step in ends)),
        )

    @property
    def unreached(self) -> str:
        """What of every segment no window of the model covers, in words; empty for nothing."""
        start, end = self.unreached_seconds
        words = [
            f"{seconds:,.3g} s at the {where}"
            for seconds, where in ((start, "start"), (end, "end"))
            if seconds
        ]
        channels = int(max(sum(grid.unreached[1]) for grid in self.grids))
        words += [count_of(channels, "channel")] * (channels > 0)
        return " and ".join(words) + " of each segment" if words else ""

    @property
    def recompute_factor(self) -> float:
        """Windows that are computed, over those there are: blocks share some at their borders."""
        weights = [grid.rows.count * grid.columns.count for grid in self.grids]
        factors = [recompute_factor(grid) for grid in self.grids]
        return float(np.average(factors, weights=weights))

    @property
    def facts(self) -> dict[str, str]:
        """What the model sees and what its results are read with, in words, by name."""
        rates = dict.fromkeys(_rate(grid) for grid in self.grids)
        more = f"; and {len(rates) - 3} more" if len(rates) > 3 else ""
        found = {"rate": "; ".join([*rates][:3]) + more}
        if self.amplitude.scale != 1:
            found["amplitude"] = f"samples times 2^{round(log2(self.amplitude.scale))}"
        return {**found, **self.told}

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
    def block_seconds(self) -> float | None:
        """About how many seconds the largest block takes on its worker; None if not tried."""
        if self.speed is None:
            return None
        return max(self.seconds_of(grid, self.speed) for grid in self.grids)

    def seconds_of(self, grid: SegmentGrid, speed: Speed) -> float:
        """Return about how many seconds the largest block of a segment takes on its worker."""
        return speed.seconds(grid, self.dtype.itemsize, self.keys, in_rows=self.chunks is None)

    def slice_rows(self, block: Block) -> int:
        """Return how many samples in time blocks like this one read at once; 0 for all of it.

        A GPU resamples whole blocks.
        """
        if self.resources.gpu:
            return 0
        return slice_rows(block, self.dtype.itemsize, self.chunks)

    @property
    def process_bytes(self) -> int:
        """Bytes that a worker process holds before its first batch, its model included."""
        return self.resources.process + self.model_bytes

    @property
    def peak_bytes(self) -> int:
        """Bytes that a worker process needs at the most."""
        return max(self.bytes_needed(grid) for grid in self.grids)

    def bytes_needed(self, grid: SegmentGrid) -> int:
        """Bytes that a worker process needs for the blocks of a segment.

        Every task thread holds a block; how many have a batch in the model, `batch_bytes` knows.
        """
        block = grid.largest_block()
        held = self.held_outputs * block.core.shape[0] * block.core.shape[1] * self.keys * 4
        blocks = self.resources.threads * (self.samples_bytes(block) + held)
        return self.process_bytes + self.batch_bytes + blocks

    def samples_bytes(self, block: Block) -> int:
        """Bytes of a block's samples and of the curves that are under way, besides its batches."""
        grid, rows = block.grid, block.read.time.size
        if sliced := self.slice_rows(block):  # one slice stands there, and its copy without holes
            rows = min(rows, 2 * sliced)
        read = rows * block.read.distance.size * self.dtype.itemsize
        length = max(block.inputs.time.size, grid.rows.window)  # a padded one is longer than read
        inputs = length * block.inputs.distance.size
        channels = block.core.distance.size if grid.channelwise else grid.columns.out
        curves = 3 * grid.rows.out * channels * self.keys * 4
        return read + self._prepared_bytes(grid, inputs) + curves

    def _prepared_bytes(self, grid: SegmentGrid, inputs: int) -> int:
        """Bytes of the copies that preprocessing makes, each freed as the next but one is made."""
        wide = is_wide(self.dtype)
        kept = wide and self.amplitude.centred
        resampled = [8 if wide else 4] * sum(not ratio.is_identity for ratio in grid.ratios)
        single = self.dtype == np.float32 or bool(resampled and not wide)
        copies = [*resampled, 0 if single or kept else 4]
        copies += [8 if kept else 4] * (self.sections[grid.index] is not None)
        copies += [8 if kept else 4] * grid.rows.padded
        return inputs * sum(sorted(copies)[-2:])

    def __repr__(self) -> str:
        return "\n".join(f"{name:<18} {one_line(value)}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{as_html(name)}</th>"
            f"<td style='text-align:left'>{as_html(value)}</td></tr>"
            for name, value in self._rows()
        )
        return f"<table><caption>dasdist plan</caption>{cells}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        largest = max(self.grids, key=lambda g: g.shape[0] * g.shape[1])
        along_time, along_fibre = largest.core
        seconds = float(along_time * largest.out_time.spacing)
        limit = self.resources.memory
        available = readable_bytes(limit) if limit else "unlimited"
        return [
            ("model", self.model),
            ("segments", f"{len(self.grids):,}{self._padded_or_left_out()}"),
            *self.facts.items(),
            ("data", f"{readable_bytes(self.archive_bytes)}, {self.data_seconds:,.1f} s"),
            *([("not covered", f"{self.unreached}: no window reaches it")] * bool(self.unreached)),
            ("model windows", f"{sum(g.rows.count * g.columns.count for g in self.grids):,}"),
            ("computed twice", f"{self.recompute_factor - 1:.1%} of the windows"),
            (
                "blocks",
                f"{len(self):,} of up to {seconds:,.1f} s x {count_of(along_fibre, 'channel')}"
                + self._about_seconds(),
            ),
            ("output", " + ".join(f"{a:,} x {b:,}" for a, b in self._shapes())),
            (
                "read",
                f"{readable_bytes(self.read_bytes)}, {self.read_amplification:.2f} times the data",
            ),
            ("memory of a worker", f"at most {readable_bytes(self.peak_bytes)} of {available}"),
            *gpu_rows(self),
            *(("note", note) for note in self.notes),
        ]

    def _padded_or_left_out(self) -> str:
        """Say how many segments are shorter, or narrower, than a window."""
        padded = f" ({len(self.padded):,} padded to a window)" if self.padded else ""
        if not self.skipped:
            return padded
        return (
            padded
            + f", and {len(self.skipped):,} more left out: smaller than a window of the model"
        )

    def _about_seconds(self) -> str:
        seconds = self.block_seconds
        if seconds is None:
            return ""
        return f", about {seconds:,.0f} s each" if seconds > 1 else ", less than a second each"

    def _shapes(self) -> list[tuple[int, int]]:
        return [grid.shape for grid in self.grids[:3]]


def _rate(grid: SegmentGrid) -> str:
    """Say at which rate the model sees a segment."""
    ratio, seen = grid.ratios[0], f"{grid.model_time.sampling_rate:g} Hz"
    if ratio.is_identity:
        return f"{seen}, as recorded"
    return f"{seen}, of {grid.time.sampling_rate:g} Hz by {ratio.up}/{ratio.down}"


def padding_notes(grids: Sequence[SegmentGrid]) -> tuple[str, ...]:
    """Return a note on the segments that are extended to a window, if there are any."""
    padded = [grid for grid in grids if grid.rows.padded]
    if not padded:
        return ()
    few = ", ".join(time_span(grid.time) for grid in padded[:3])
    more = f" and {len(padded) - 3:,} more" if len(padded) > 3 else ""
    window = float(padded[0].rows.window * padded[0].model_time.spacing)
    be = "is" if len(padded) == 1 else "are"
    return (
        f"{len(padded):,} of {count_of(len(grids), 'segment')} {be} shorter than the model's "
        f"window of {window:g} s and padded to it ({few}{more}); results are of what was recorded, "
        "and less sure than in whole windows",
    )
