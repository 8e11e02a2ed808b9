"""What HDF5 files state of their axes: the order of ProdML's, and units of positions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Positions", "positions_of_netcdf", "positions_of_prodml", "time_axis_of_prodml"]


@dataclass(frozen=True, slots=True)
class Positions:
    """Positions along the fibre as a file has them.

    Parameters
    ----------
    unit : str
        Their unit.
    some : ndarray of float64
        Some of them.
    step : float
        What all others differ from these by a whole number of; 0 if these are all.
    """

    unit: str
    some: NDArray[np.float64]
    step: float

    def hold(self, position: float) -> bool:
        """Return whether a position is one of the file, and not one that was converted since."""
        steps = (position - self.some) / self.step if self.step else position - self.some
        off = np.abs(steps - np.rint(steps)) if self.step else np.abs(steps)
        scale = max(1.0, float(np.abs(position / (self.step or 1.0))))
        return bool(off.min() < 1e-6 * scale)


def time_axis_of_prodml(acquisition: Any) -> int | None:
    """Return the axis of the samples that is time: as stated, else by the number of loci."""
    raw = acquisition["Raw[0]"]
    samples = raw["RawData"]
    words = _words(samples.attrs.get("Dimensions"))
    times = [axis for axis, word in enumerate(words) if word.startswith("time")]
    if len(words) == 2 and len(times) == 1:
        return times[0]
    loci = raw.attrs.get("NumberOfLoci", acquisition.attrs.get("NumberOfLoci"))
    fits = [axis for axis, size in enumerate(samples.shape) if loci is not None and size == loci]
    return 1 - fits[0] if samples.ndim == 2 and len(fits) == 1 else None


def positions_of_prodml(acquisition: Any) -> Positions | None:
    """Return multiples of the sampling interval, if it has a unit."""
    name = "SpatialSamplingInterval"
    step = float(np.ravel(acquisition.attrs[name])[0])
    for key in (f"{name}Unit", f"{name}.uom", f"{name}Units"):
        if text := _text(acquisition.attrs.get(key)):
            return Positions(text, np.zeros(1), abs(step))
    return None


def positions_of_netcdf(group: Any, dimension: str) -> Positions | None:
    """Return the coordinate of a dimension, written out or as tie points, if it has a unit."""
    for name in (dimension, f"{dimension}_values"):
        if name in group and (text := _text(group[name].attrs.get("units"))):
            values = np.atleast_1d(group[name][()]).astype(np.float64)
            ties = f"{dimension}_indices"
            if name == dimension or ties not in group or values.size < 2:
                return Positions(text, values, 0.0)
            rise, run = values[1] - values[0], np.diff(group[ties][:2])[0]
            return Positions(text, values, abs(float(rise / run)))
    return None


def _words(value: Any) -> list[str]:
    """Return names that an attribute holds, in one text or several."""
    texts = [_text(entry) for entry in np.ravel(value)] if value is not None else []
    return " ".join(text or "" for text in texts).replace(",", " ").casefold().split()


def _text(value: Any) -> str | None:
    if value is None or np.size(value) != 1:
        return None
    entry = np.ravel(value)[0]
    text = entry.decode(errors="replace") if isinstance(entry, bytes) else str(entry)
    return text.strip() or None
