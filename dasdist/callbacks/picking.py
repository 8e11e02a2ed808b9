"""Pick arrivals from probability curves, independently on every channel.

A pick lies at an exact, rational position of the recording; everything else follows from it::

    patch           start . . r0 . . . . . . . r1         samples at the model's sampling
    outputs                   0   1   2   3   4           one of them is a peak
    position        start + r0 + peak * (r1 - r0) / out   -> time, sample of the recording
    output sample   of the segment                        -> the block that owns the pick

Peaks of overlapping patches compete where they are closer than the minimum separation; the block
that owns a pick sees all its competitors, because the pick halo reaches that far.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.peaks import find_peaks, survivors
from dasdist.callbacks.picks import (
    CANDIDATE,
    PickList,
    PickTable,
    join,
    placed,
    positions,
    to_dataframe,
)
from dasdist.errors import DasdistError, DataWarning, InvalidInput
from dasdist.geometry.blocks import Block
from dasdist.geometry.patches import Patch, PatchGrid
from dasdist.spelling import nearest

__all__ = ["DASPickingCallback", "PickMapper", "check_probabilities", "thresholds_by_key"]


class DASPickingCallback(DASAnnotateCallback):
    """Pick peaks of the annotations, independently on every channel.

    Parameters
    ----------
    thresholds : float or dict of str to float
        Least confidence of a pick, from 0 to 1: one for all phases of the model, or one for each of
        them.  A dict may name further annotation keys, such as a detection, to pick their peaks as
        well.
    min_time_separation : float
        Seconds within which only the most confident pick of a phase and channel is kept; 0 keeps
        all.
    blinding : tuple of int
        Outputs at the start and at the end of every patch that are not searched.

    Attributes
    ----------
    picks : pandas.DataFrame
        One row per pick, sorted by time, then channel, then phase; available after the run::

            time           datetime64[ns]  arrival time
            distance       float64         along the fibre, in the unit of the coordinate
            channel_index  int64           nearest channel of the recording that was passed
            phase          str             annotation key
            confidence     float32         height of the peak
            sample_index   int64           nearest sample of the recording that was passed
            segment        int64           number of the segment

    Raises
    ------
    InvalidInput
        If a threshold, the separation or the blinding is out of range; in :meth:`setup`, if the
        keys of the thresholds are not those of the model.

    Warns
    -----
    DataWarning
        In :meth:`setup`, if patches overlap by less than the blinding, so that outputs between them
        are never picked, or if the blinding leaves nothing to pick.

    Notes
    -----
    The first and the last outputs of a segment, as many as are blinded, are never picked.  A peak
    needs both neighbours, so the outermost searched outputs of a patch are no peaks: patches should
    overlap by two outputs more than the blinding.

    Takes the place of ``seisbench.models.das_base.DASPickingCallback``, with these differences: of
    equal picks close to each other the last is kept, not all; the separation holds for outputs
    coarser or finer than the input, and may be 0; thresholds may be integers; picks compete where
    two patches overlap along the fibre; times are exact.

    Examples
    --------
    >>> callback = DASPickingCallback(thresholds={"P": 0.3, "S": 0.2}, min_time_separation=0.5)
    >>> model.annotate(data, callback)  # doctest: +SKIP
    >>> callback.picks  # doctest: +SKIP
    """

    def __init__(
        self,
        thresholds: float | Mapping[str, float] = 0.2,
        min_time_separation: float = 1.0,
        blinding: tuple[int, int] = (100, 100),
    ):
        _check_options(thresholds, min_time_separation, blinding)
        self.thresholds = thresholds
        self.min_time_separation = min_time_separation
        self.blinding = blinding
        self._by_key: tuple[tuple[str, float], ...] = ()
        self._picks: pd.DataFrame | None = None

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """A halo in which other picks compete; exact values from the thresholds on."""
        return Needs(
            pick_halo=float(self.min_time_separation),
            device_curves=True,
            exact_above=dict(self._by_key),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The options."""
        return {
            "thresholds": self.thresholds,
            "min_time_separation": self.min_time_separation,
            "blinding": self.blinding,
        }

    @property
    def picks(self) -> pd.DataFrame:
        """The picks of the last run."""
        if self._picks is None:
            raise DasdistError("There are no picks yet: pass the callback to annotate first.")
        return self._picks

    def setup(self, context: Context) -> None:
        """Check the options against the model and the patches, and forget earlier picks."""
        super().setup(context)
        self._picks = None
        self._by_key = thresholds_by_key(self.thresholds, context.annotate_keys, context.phases)
        any(_warn_of_holes(self.blinding, grid.rows) for grid in context.grids)  # once is enough

    def mapper(self) -> "PickMapper":
        """Return the half that picks a block."""
        first, last = self.blinding
        return PickMapper(self._by_key, float(self.min_time_separation), (int(first), int(last)))

    def combine(self, parts: Sequence[PickTable]) -> PickTable:
        """Append tables."""
        return join(parts)

    def finalize(self, part: PickTable) -> None:
        """Sort the picks."""
        self._picks = to_dataframe(part)

    def get_results_dataframe(self) -> pd.DataFrame:
        """Return `picks`."""
        return self.picks

    def get_results_dict(self) -> dict[str, Any]:
        """Return the table as ``"picks"`` and, per annotation key, its picks as objects."""
        picks = self.picks
        by_key = {key: PickList(picks[picks["phase"] == key]) for key, _ in self._by_key}
        return {**by_key, "picks": picks}


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
    """

    thresholds: tuple[tuple[str, float], ...]
    min_time_separation: float
    blinding: tuple[int, int]

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

    def add(self, patch: Patch) -> None:
        """Find the peaks of one patch on the channels of the core."""
        rows, columns = self._grid.rows, self._grid.columns
        blind_start, blind_stop = self._options.blinding
        searched = slice(blind_start, max(blind_start, rows.out - blind_stop))
        here = slice(
            max(0, self._core.distance.start - patch.channel),
            max(0, self._core.distance.stop - patch.channel),
        )
        for key, threshold in self._options.thresholds:
            curves = patch.annotations[key][searched, here]
            peaks, channels, heights = find_peaks(curves, threshold, self._distance)
            found = np.empty(peaks.size, dtype=CANDIDATE)
            found["confidence"] = heights
            peaks += blind_start
            channels += here.start
            found["sample"] = patch.sample + peaks
            found["channel"] = patch.channel + channels
            found["position"] = positions(rows, patch.row, peaks)
            found["place"] = positions(columns, patch.column, patch.inset + channels)
            self._found[key].append(found)

    def part(self) -> PickTable:
        """Return the picks of the core that no better pick is close to."""
        core = self._core.time
        tables = []
        for key, found in self._found.items():
            peaks = np.concatenate([np.empty(0, dtype=CANDIDATE), *found], dtype=CANDIDATE)
            kept = survivors(
                peaks["position"], peaks["channel"], peaks["confidence"], self._separation
            )
            kept &= (core.start <= peaks["sample"]) & (peaks["sample"] < core.stop)
            tables.append(placed(key, peaks[kept], self._grid))
        return join(tables)


# ---------------------------------------------------------------- options


def _check_options(thresholds: Any, min_time_separation: Any, blinding: Any) -> None:
    values = thresholds.values() if isinstance(thresholds, Mapping) else [thresholds]
    if not all(isinstance(value, Real) and 0 <= float(value) < inf for value in values):
        raise InvalidInput(_no_threshold(thresholds))
    if not (isinstance(min_time_separation, Real) and 0 <= float(min_time_separation) < inf):
        raise InvalidInput(
            f"min_time_separation={min_time_separation!r}: give seconds, at least 0."
        )
    if np.shape(blinding) != (2,) or not all(
        isinstance(b, Integral) and int(b) >= 0 for b in blinding
    ):
        raise InvalidInput(
            f"blinding={blinding!r}: give two whole numbers of outputs, each at least 0."
        )


def check_probabilities(thresholds: float | Mapping[str, float]) -> None:
    """Refuse thresholds that no probability reaches.

    The callbacks take them, for a model of one's own may annotate with something else.

    Raises
    ------
    InvalidInput
        If one is above 1.
    """
    values = thresholds.values() if isinstance(thresholds, Mapping) else [thresholds]
    if max(values, default=0) > 1:
        raise InvalidInput(_no_threshold(thresholds))


def _no_threshold(thresholds: Any) -> str:
    return (
        f"thresholds={thresholds!r}: the confidence of a pick is a probability, so give a number "
        "from 0 to 1, such as 0.3, or one for each phase, such as {'P': 0.3, 'S': 0.2}."
    )


def thresholds_by_key(
    thresholds: float | Mapping[str, float],
    keys: Sequence[str],
    phases: Sequence[str] | None = None,
) -> tuple[tuple[str, float], ...]:
    """Return each annotation key to pick, in the order of the model, with its threshold.

    Parameters
    ----------
    thresholds : float or mapping of str to float
        As for :class:`DASPickingCallback`.
    keys, phases : sequence of str
        Annotation keys of a model, and those of them whose peaks are arrivals; by default all.

    Raises
    ------
    InvalidInput
        If a threshold is of a phase that the model does not have, or one has no threshold.

    Examples
    --------
    >>> thresholds_by_key({"S": 0.2, "P": 0.3}, ["P", "S", "N"], ["P", "S"])
    (('P', 0.3), ('S', 0.2))
    """
    phases = keys if phases is None else phases
    if not isinstance(thresholds, Mapping):
        return tuple((key, float(thresholds)) for key in keys if key in phases)
    for key in thresholds:
        if key not in keys:
            raise InvalidInput(_unknown_phase(key, phases, keys))
    missing = [key for key in phases if key not in thresholds]
    if missing:
        raise InvalidInput(
            f"thresholds has no value for {', '.join(map(repr, missing))}; give one for each "
            "phase, or a single number for all."
        )
    return tuple((key, float(thresholds[key])) for key in keys if key in thresholds)


def _unknown_phase(name: str, phases: Sequence[str], keys: Sequence[str]) -> str:
    """Say which phases a model has, and what else it annotates."""
    near = nearest(name, keys)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    others = [key for key in keys if key not in phases]
    more = f", and it also annotates {', '.join(map(repr, others))}" if others else ""
    return (
        f"There is no phase {name!r} for a threshold: the model's phases are "
        f"{', '.join(map(repr, phases))}{more}.{hint}"
    )


def _warn_of_holes(blinding: tuple[int, int], rows: PatchGrid) -> bool:
    """Warn if outputs between patches, or all of them, are never picked; tell whether so."""
    trim = sum(blinding) + 2  # a peak has neighbours, so it is none of the outermost
    if rows.out <= trim:
        warnings.warn(
            f"blinding={blinding!r} leaves no place for a peak in the {rows.out} outputs of a "
            "patch: nothing will be picked. Use a smaller blinding.",
            DataWarning,
            stacklevel=3,
        )
    elif rows.hole(trim=sum(blinding)) > 0:
        enough = min(rows.window - 1, rows.window - int((rows.out - trim) * rows.stride))
        warnings.warn(
            f"overlap_samples={rows.window - rows.shift} is too small for blinding={blinding!r}: "
            f"between neighbouring patches up to {rows.hole(trim)} outputs are never picked. "
            f"Use overlap_samples={enough} or a smaller blinding.",
            DataWarning,
            stacklevel=3,
        )
    else:
        return False
    return True
