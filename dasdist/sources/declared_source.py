"""Arrays whose attributes declare values missing, though they were read as they are.

xarray turns what ``_FillValue`` and ``missing_value`` say into NaN, unless it is told not to, and
never looks at ``valid_range``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.sources.absence import Absence, Reading
from dasdist.sources.declared import Declared
from dasdist.sources.salvage import reading_of
from dasdist.sources.source import Source

__all__ = ["StatedSource", "masked", "masked_dtype", "stated"]


@dataclass(frozen=True, slots=True)
class StatedSource:
    """A source, and which of its values are missing.

    Parameters
    ----------
    source : Source
        The source.
    declared : Declared
        What is missing.
    """

    source: Source
    declared: Declared

    def select(self, region: Region) -> "StatedSource":
        """Return a rectangle."""
        return StatedSource(self.source.select(region), self.declared)

    def read(self) -> NDArray[Any]:
        """Read the values."""
        return self.source.read()

    def reading(self) -> Reading:
        """Read the values, and tell which are declared missing."""
        reading = reading_of(self.source)
        mask = self.declared.mask(reading.values)
        found = Absence.of_mask(mask, self.declared.what)
        return replace(reading, absences=(*reading.absences, *found)) if found else reading

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return those of the source."""
        return self.source.files()

    def chunks(self) -> tuple[int, int] | None:
        """Return that of the source."""
        return self.source.chunks()

    def identity(self) -> Iterator[bytes]:
        """Yield that of the source."""
        yield from self.source.identity()


def stated(
    attributes: Mapping[str, Any], encoding: Mapping[str, Any], dtype: np.dtype[Any], *, read: bool
) -> Declared:
    """Return what the attributes of an array say is missing among its values.

    Parameters
    ----------
    attributes, encoding : mapping
        Of the array; the encoding says how its values were unpacked.
    dtype : numpy.dtype
        Type of its values.
    read : bool
        Whether the values are as they were read.  Others may have been computed from these, and
        keep the attributes, so that the valid range of one says nothing of the other.
    """
    found = Declared.of(attributes, dtype)
    found = replace(found, scale=None, offset=None, unsigned=False)
    if not read:
        return replace(found, least=None, most=None)
    scale, offset = encoding.get("scale_factor"), encoding.get("add_offset")
    bounds = found.least, found.most
    if (scale is None and offset is None) or bounds == (None, None):
        return found
    counts = [attributes.get(name) for name in ("valid_range", "valid_min", "valid_max")]
    if any(np.asarray(c).dtype.kind == "f" for c in counts if c is not None):
        return found  # in the unit of the samples
    half = 0.5  # a count, against rounding
    ends = [
        None if bound is None else (bound + off) * (scale or 1) + (offset or 0)
        for bound, off in zip(bounds, (-half, half), strict=True)
    ]
    low, high = ends if (scale or 1) > 0 else ends[::-1]
    return replace(found, least=low, most=high)


def masked(values: NDArray[Any], declared: Declared) -> NDArray[Any]:
    """Return values as floating-point numbers, NaN where they are declared missing."""
    mask = declared.mask(values)
    found = values.astype(masked_dtype(values.dtype))
    if mask is not None:
        found[mask] = np.nan
    return found


def masked_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of what :func:`masked` returns."""
    return dtype if dtype.kind == "f" else np.dtype("f4" if dtype.itemsize <= 2 else "f8")
