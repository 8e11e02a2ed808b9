"""What a pick is: a row of a table, which travels as plain columns and ends as a DataFrame."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import SegmentGrid, Span
from dasdist.geometry.patches import PatchGrid
from dasdist.geometry.resampling import Ratio
from dasdist.safe_text import shown
from dasdist.units import count_of

__all__ = [
    "METRES",
    "MORE_COLUMNS",
    "PICK_COLUMNS",
    "DASPick",
    "PickList",
    "PickTable",
    "Place",
    "join",
    "order",
    "place_of",
    "to_dataframe",
]

PickTable = dict[str, NDArray[Any]]
"""Picks as columns of equal length, named and typed as in `PICK_COLUMNS`."""

PICK_COLUMNS: Mapping[str, str] = {
    "time": "datetime64[ns]",  # arrival
    "distance": "float64",  # along the fibre in metres; another name if it is no distance: Place
    "channel_index": "int64",  # nearest channel of the recording that was passed
    "phase": "str",  # annotation key
    "confidence": "float32",  # height of the peak
    "sample_index": "int64",  # nearest sample of the recording that was passed
    "segment": "int64",  # number of the segment
}


MORE_COLUMNS: Mapping[str, str] = {
    "amplitude": "float32",  # of the preprocessed samples after the pick
    "snr": "float32",  # rms of the samples after the pick over that before it
    "peak_width": "float32",  # seconds at half of the peak's height
}
"""Columns that picks have as well where they are asked for: `dasdist.callbacks.pick_columns`."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the second column of finished picks is called, and its unit.

    Parameters
    ----------
    name : str
        "distance" of metres, else the name of the recording's channel dimension.
    unit : str
        "m"; "1" of channel numbers; else what the recording states.
    """

    name: str = "distance"
    unit: str = "m"


METRES = Place()


def place_of(dimension: str, unit: str) -> Place:
    """Return what to call the positions of a recording.

    Examples
    --------
    >>> place_of("offset", "m"), place_of("locus", "1"), place_of("distance", "1").name
    (Place(name='distance', unit='m'), Place(name='locus', unit='1'), 'channel')
    """
    if unit == "m":
        return METRES
    return Place("channel" if dimension in PICK_COLUMNS else dimension, unit)


CANDIDATE = np.dtype(
    {
        "names": ["sample", "channel", "position", "place", "confidence", "width"],
        "formats": ["i8", "i8", "i8", "i8", "f4", "f4"],
    }
)
"""A peak whose competitors are not known yet: output sample and channel of the segment; exact
position in time and place along the fibre, as `positions` counts them; height; seconds at half of
that, if it is asked for."""


def positions(grid: PatchGrid, patch: int, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where outputs of a patch lie, in samples divided by ``grid.stride.denominator``."""
    first = (grid.start(patch) + grid.covers[0]) * grid.stride.denominator
    return first + outputs * grid.stride.numerator


def placed(key: str, peaks: NDArray[np.void], grid: SegmentGrid) -> PickTable:
    """Give picks their times, distances and indices in the recording that was passed."""
    position, per_sample = peaks["position"], grid.rows.stride.denominator
    place, per_channel = peaks["place"], grid.columns.stride.denominator
    recorded = grid.recorded
    return {
        "time": _values_at(grid.model_time, position, per_sample),
        "distance": _values_at(grid.model_distance, place, per_channel),
        "channel_index": _nearest(place, per_channel, grid.ratios[1], recorded.distance),
        "phase": np.full(peaks.size, key),
        "confidence": peaks["confidence"],
        "sample_index": _nearest(position, per_sample, grid.ratios[0], recorded.time),
        "segment": np.full(peaks.size, grid.index, dtype=np.int64),
    }


def _values_at(axis: Axis, positions: NDArray[np.int64], denominator: int) -> NDArray[Any]:
    unique, inverse = np.unique(positions, return_inverse=True)
    return axis.values_at(unique, denominator)[inverse]


def _nearest(
    positions: NDArray[np.int64], denominator: int, ratio: Ratio, recorded: Span
) -> NDArray[np.int64]:
    """Return the indices in the recording nearest to positions at the model's sampling."""
    whole = denominator * ratio.up
    index = (2 * positions * ratio.down + whole) // (2 * whole)  # half up
    return recorded.start + np.minimum(index, recorded.size - 1)  # upsampling ends beyond the last


def join(tables: Iterable[PickTable], more: Sequence[str] = ()) -> PickTable:
    """Return the picks of all tables, in their order; an empty table if there are none.

    They have the columns of `PICK_COLUMNS`, and `more` of `MORE_COLUMNS`.

    Examples
    --------
    >>> {name: column.dtype.str for name, column in join([]).items()}["time"]
    '<M8[ns]'
    """
    tables = list(tables)
    kinds = {**PICK_COLUMNS, **{name: MORE_COLUMNS[name] for name in more}}
    empty = {name: np.empty(0, dtype=kind) for name, kind in kinds.items()}
    return {name: np.concatenate([empty[name], *(t[name] for t in tables)]) for name in empty}


def order(table: PickTable) -> NDArray[np.intp]:
    """Return the rows of picks by time, channel and phase, then by all else: there are no ties.

    Examples
    --------
    >>> order(join([])).tolist()
    []
    """
    first = ("time", "channel_index", "phase", "distance", "segment", "sample_index", "confidence")
    return np.lexsort([table[name] for name in reversed(first)])


def to_dataframe(
    table: PickTable, place: Place = METRES, units: Mapping[str, str] = MappingProxyType({})
) -> pd.DataFrame:
    """Sort picks by time, channel and phase.

    Parameters
    ----------
    table : dict of str to ndarray
        Picks in any order.
    place : Place
        What their positions are.
    units : mapping of str to str
        The optional columns that they have, with their units.

    Returns
    -------
    pandas.DataFrame
        Columns in the order of `PICK_COLUMNS`, then the optional ones; "distance" called as `place`
        says, whose unit is in ``attrs["units"]`` with those of the optional columns.  The row order
        does not depend on the input's: where time, channel and phase are equal, the other columns
        decide.
    """
    phases, codes = np.unique(table["phase"], return_inverse=True)
    rows = order({**table, "phase": codes})
    columns = {name: table[name][rows] for name in (*PICK_COLUMNS, *units)}
    columns["phase"] = phases.astype(object)[codes[rows]]  # one Python string per phase, not pick
    picks = pd.DataFrame(columns).astype({"phase": str})
    picks = picks.rename(columns={"distance": place.name})
    picks.attrs["units"] = {place.name: place.unit, **units}
    return picks


@dataclass(frozen=True, slots=True)
class DASPick:
    """One pick, with the fields of ``seisbench.util.DASPick``.

    Parameters
    ----------
    time : numpy.datetime64
        Arrival time, in nanoseconds.
    confidence : float
        Height of the peak.
    channel : float
        Position along the fibre.
    phase : str
        Annotation key.
    start_time, end_time : None
        Not used, as in SeisBench.
    coordinate, unit : str
        What `channel` holds: "distance" in "m", or for example "channel" in "1", its number.
    """

    time: np.datetime64
    confidence: float
    channel: float
    phase: str
    start_time: None = None
    end_time: None = None
    coordinate: str = "distance"
    unit: str = "m"


class PickList(Sequence[DASPick]):
    """The rows of a table of picks as `DASPick` objects, each made when it is asked for.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns as :func:`to_dataframe` returns them.
    place : Place
        What the positions are.

    Examples
    --------
    >>> picks = PickList(to_dataframe(join([])))
    >>> len(picks), list(picks)
    (0, [])
    """

    def __init__(self, table: pd.DataFrame, place: Place = METRES):
        self.table = table
        self.place = place

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> DASPick: ...
    @overload
    def __getitem__(self, index: slice) -> "PickList": ...
    def __getitem__(self, index: int | slice) -> "DASPick | PickList":
        if isinstance(index, slice):
            return PickList(self.table.iloc[index], self.place)
        return next(iter(PickList(self.table.iloc[[index]], self.place)))

    def __iter__(self) -> Iterator[DASPick]:
        name, unit = self.place.name, self.place.unit
        rest = (self.table[column].tolist() for column in ("confidence", name, "phase"))
        for time, height, position, phase in zip(self.table["time"].to_numpy(), *rest, strict=True):
            yield DASPick(time, height, position, phase, coordinate=name, unit=unit)

    def __repr__(self) -> str:
        return shown(f"PickList with {count_of(len(self), 'entry', 'entries')}:\n\n{self.table}")
