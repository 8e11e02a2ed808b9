"""Pick the patches of a block, on a worker.

A pick lies at an exact, rational position of the recording; everything else follows from it::

    patch           start . . r0 . . . . . . . r1         samples at the model's sampling
    outputs                   0   1   2   3   4           one of them is a peak
    position        start + r0 + peak * (r1 - r0) / out   -> time, sample of the recording
    output sample   of the segment                        -> the block that owns the pick

Peaks of overlapping patches compete where they are closer than the minimum separation; the block
that owns a pick sees all its competitors, because the pick halo reaches that far.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Samples
from dasdist.callbacks.peaks import find_peaks, half_widths, survivors
from dasdist.callbacks.pick_columns import measured, nothing_measured
from dasdist.callbacks.picks import CANDIDATE, PickTable, join, placed, positions
from dasdist.geometry.blocks import Block
from dasdist.geometry.patches import Patch

__all__ = ["PickMapper"]


@dataclass(frozen=True, slots=True)
class PickMapper:
    """Picks the patches of a block; the part is a table of the picks in the core.

    Parameters
    ----------
    thresholds : tuple of (str, float)
        Annotation keys and the least confidence of their picks.
    min_time_separation : float
        Seconds, as for the callback.
    blinding : tuple of int
        Outputs, as for the callback.
    columns : tuple of str
        More columns, as for the callback.
    """

    thresholds: tuple[tuple[str, float], ...]
    min_time_separation: float
    blinding: tuple[int, int]
    columns: tuple[str, ...] = ()

    def __call__(self, block: Block) -> "_BlockPicks":
        """Begin picking one block."""
        return _BlockPicks(self, block)


class _BlockPicks:
    """The candidates of one block."""

    def __init__(self, options: PickMapper, block: Block):
        grid = block.grid
        self._options, self._grid, self._core = options, grid, block.core
        separation = Fraction(repr(options.min_time_separation))  # 0.1 s means 1/10 s
        unit = grid.model_time.spacing / grid.rows.stride.denominator
        self._distance = int(separation / grid.out_time.spacing)
        self._separation = int(separation / unit)
        self._found: dict[str, list[NDArray[np.void]]] = {key: [] for key, _ in options.thresholds}
        self._picked: PickTable | None = None

    def add(self, patch: Patch) -> None:
        """Find the peaks of one patch on the channels of the core."""
        rows, columns = self._grid.rows, self._grid.columns
        blind_start, blind_stop = self._options.blinding
        first, last = 0, rows.out
        if rows.padded:  # what lies beyond the recording is not searched, nor does it compete
            first, last = -patch.sample, rows.out_size - patch.sample
        recorded = slice(max(0, first), max(0, first, min(last, rows.out)))
        start = recorded.start + blind_start
        searched = slice(start, max(start, recorded.stop - blind_stop))
        here = slice(
            max(0, self._core.distance.start - patch.channel),
            max(0, self._core.distance.stop - patch.channel),
        )
        for key, threshold in self._options.thresholds:
            curves = patch.annotations[key][searched, here]
            peaks, channels, heights = find_peaks(curves, threshold, self._distance)
            found = np.empty(peaks.size, dtype=CANDIDATE)
            found["confidence"] = heights
            peaks += start
            if "peak_width" in self._options.columns:
                curves = patch.annotations[key][recorded, here]
                widths = half_widths(curves, peaks - recorded.start, channels, heights)
                found["width"] = widths * float(self._grid.out_time.spacing)
            channels += here.start
            found["sample"] = patch.sample + peaks
            found["channel"] = patch.channel + channels
            found["position"] = positions(rows, patch.row, peaks)
            found["place"] = positions(columns, patch.column, patch.inset + channels)
            self._found[key].append(found)

    def measure(self, samples: Samples) -> None:
        """Pick now, and measure the samples around the picks."""
        self._picked = self._pick(samples)

    def part(self) -> PickTable:
        """Return the picks of the core that no better pick is close to."""
        return self._pick(None) if self._picked is None else self._picked

    def _pick(self, samples: Samples | None) -> PickTable:
        core, more = self._core.time, self._options.columns
        tables = []
        for key, found in self._found.items():
            peaks = np.concatenate([np.empty(0, dtype=CANDIDATE), *found], dtype=CANDIDATE)
            kept = survivors(
                peaks["position"], peaks["channel"], peaks["confidence"], self._separation
            )
            kept &= (core.start <= peaks["sample"]) & (peaks["sample"] < core.stop)
            peaks = peaks[kept]
            table = {**placed(key, peaks, self._grid), **nothing_measured(more, peaks.size)}
            table["peak_width"] = peaks["width"]
            if samples is not None:
                table |= measured(samples, peaks, self._grid)
            tables.append(table)
        return join(tables, more)
