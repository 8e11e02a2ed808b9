"""What a selection lacks: samples that were lost, never written, or that say they are none.

::

    Reading    values                      absences
               samples x channels          [rectangle or mask, why, file], ...
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.geometry.rectangles import bounds_of

__all__ = [
    "NEVER_WRITTEN",
    "Absence",
    "Reading",
    "filled",
    "in_a_row",
    "not_numbers",
    "rows_absent",
]

NEVER_WRITTEN = "were never written, so that a fill value stands there"

_NETCDF_FILL = 9.969209968386869e36
"""What netCDF puts where nothing was written, in float32 and float64 alike."""

_SUSPICIOUS = 1e30
"""Sums beyond that are looked into: no recording comes near, a single value of netCDF's does."""

_SLAB_VALUES = 2**20
"""Values that are filled in at once: 8 MB of positions."""


@dataclass(frozen=True, slots=True, eq=False)
class Absence:
    """Samples that are missing from a selection, for one reason.

    Parameters
    ----------
    region : Region
        Where, counted from the first sample and channel of the selection.
    what : str
        What they are or cannot, as the end of a sentence: "are NaN or infinite".
    path : str, optional
        File that they are missing from.
    mask : ndarray of bool, shape ``region.shape``, optional
        Which of the region; all of it by default.
    error : Exception, optional
        Why they cannot be read.
    masked : bool
        Whether they are there, but the run leaves their channels out.
    """

    region: Region
    what: str
    path: str | None = None
    mask: NDArray[np.bool_] | None = None
    error: Exception | None = None
    masked: bool = False

    def shift(self, samples: int, channels: int = 0) -> "Absence":
        """Return the same, counted from elsewhere."""
        region = self.region
        moved = Region(region.time.shift(samples), region.distance.shift(channels))
        return replace(self, region=moved)

    def put(self, mask: NDArray[np.bool_]) -> None:
        """Set what is missing in a mask of the whole selection."""
        place = mask[self.region.time.slice, self.region.distance.slice]
        place |= True if self.mask is None else self.mask

    @classmethod
    def of_mask(
        cls, mask: NDArray[np.bool_] | None, what: str, path: str | None = None
    ) -> "list[Absence]":
        """Return what a mask of the whole selection says; nothing if it is None or empty."""
        if mask is None or not mask.any():
            return []
        region = bounds_of(mask)
        inner = mask[region.time.slice, region.distance.slice].copy()
        return [cls(region, what, path, None if inner.all() else inner)]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What was read.

    Parameters
    ----------
    values : ndarray, shape (samples, channels)
        Anything where samples are missing.
    absences : sequence of Absence
        Which samples are missing.
    own : bool
        Whether the values belong to whoever reads, who may change them.
    """

    values: NDArray[Any]
    absences: Sequence[Absence] = ()
    own: bool = False

    def turned(self) -> "Reading":
        """Return the same with its axes exchanged."""
        absences = tuple(
            replace(
                absence,
                region=Region(absence.region.distance, absence.region.time),
                mask=None if absence.mask is None else absence.mask.T,
            )
            for absence in self.absences
        )
        return Reading(self.values.T, absences, self.own)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which samples are missing, for whatever reason; shape (samples, channels)."""
        mask = np.zeros(self.values.shape, dtype=np.bool_)
        for absence in self.absences:
            absence.put(mask)
        return mask


def in_a_row(readings: Sequence[Reading]) -> Reading:
    """Return what was read, one after the other along the samples, as one."""
    starts = accumulate((len(reading.values) for reading in readings), initial=0)
    absences = [
        absence.shift(start)
        for reading, start in zip(readings, starts, strict=False)
        for absence in reading.absences
    ]
    return Reading(np.concatenate([r.values for r in readings]), absences, own=True)


def not_numbers(reading: Reading) -> list[Absence]:
    """Return which floating-point samples are NaN, infinite, or netCDF's own value for nothing.

    Those that are known to be missing are not told again.
    """
    values = reading.values
    if values.dtype.kind != "f":
        return []
    # one NaN or infinity makes the sum so: no array as large as the data is needed to see it
    with np.errstate(all="ignore"):
        if abs(values.sum()) < _SUSPICIOUS:
            return []
    new = ~reading.missing
    found = Absence.of_mask(~np.isfinite(values) & new, "are NaN or infinite")
    if values.dtype.itemsize >= 4:
        what = f"are {_NETCDF_FILL:.6g}, which netCDF writes where there is no sample"
        found += Absence.of_mask((values == values.dtype.type(_NETCDF_FILL)) & new, what)
    return found


def filled(reading: Reading) -> NDArray[Any]:
    """Return values in which missing samples hold what came before them on their channel.

    Samples before the first that is there hold that one; channels without any hold zeros.  So a
    filter sees nothing larger than the data, and what it still remembers of it after its settling
    time is as little as where a block begins.

    Examples
    --------
    >>> mask = np.array([[True, True], [False, True], [True, True], [False, True]])
    >>> reading = Reading(
    ...     np.array([[9, 9], [1, 9], [9, 9], [2, 9]]), Absence.of_mask(mask, "are 9")
    ... )
    >>> filled(reading).tolist()
    [[1, 0], [1, 0], [1, 0], [2, 0]]
    """
    mask = reading.missing
    values = reading.values
    if not (reading.own and values.flags.writeable):
        values = values.copy()
    concerned = np.flatnonzero(mask.any(axis=0))
    width = max(1, _SLAB_VALUES // len(values))
    rows = np.arange(len(values))[:, np.newaxis]
    for low in range(0, concerned.size, width):
        channels = concerned[low : low + width]
        missing = mask[:, channels]
        last = np.maximum.accumulate(np.where(missing, -1, rows), axis=0)
        first = np.argmin(missing, axis=0)  # 0 on channels that have nothing
        slab = np.take_along_axis(values[:, channels], np.where(last < 0, first, last), axis=0)
        slab[:, missing.all(axis=0)] = 0
        values[:, channels] = slab
    return values


def rows_absent(
    rows: Span, channels: int, what: str, path: str | None, error: Exception | None
) -> Absence:
    """Return that some samples of all channels are missing."""
    return Absence(Region(rows, Span(0, channels)), what, path, None, error)
