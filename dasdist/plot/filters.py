"""Filters for looking at a recording: a band of frequencies, or of apparent velocities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.sources.base import SegmentAxes

__all__ = ["Filters", "filters_for"]

_ORDER = 4
_FK_HALO = 512  # samples: beyond a few wavelengths of what one looks at


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """What is done to samples before they are drawn.

    Parameters
    ----------
    sections : ndarray of float64, shape (n, 6), or None
        Second-order sections, run forwards and backwards so that nothing is delayed.
    fk : FKFilter or None
        Keeps or rejects apparent velocities.
    halo : int
        How many more samples it reads at either end.
    """

    sections: NDArray[np.float64] | None = None
    fk: Any = None
    halo: int = 0

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Filter samples x channels, none of them missing."""
        if self.sections is not None:
            from dasdist.signal import causal_filter

            forwards = causal_filter(values, self.sections)
            values = causal_filter(forwards[::-1], self.sections)[::-1]
        if self.fk is not None:
            import torch

            with torch.inference_mode():
                values = self.fk(torch.from_numpy(values.copy())[None])[0].numpy()
        return values


def filters_for(
    segment: SegmentAxes,
    unit: str,
    band: tuple[float | None, float | None] | None,
    fk: Mapping[str, Any] | None,
) -> Filters:
    """Return the filters of a segment.

    Parameters
    ----------
    segment : SegmentAxes
        With its sampling.
    unit : str
        Of the channels' positions.
    band : tuple of float or None
        Corners in Hz; None for no corner.
    fk : mapping, optional
        Arguments of :class:`dasdist.signal.FKFilter`: `v_min`, `v_max`, `mode`.

    Raises
    ------
    InvalidArgument
        If corners or velocities make no filter, or channels have no distance in metres.
    """
    if band is None and fk is None:
        return Filters()
    from dasdist.signal import FKFilter, design, settling_samples

    sections, velocities, halo = None, None, 0
    try:
        if band is not None and (spec := _butterworth(band)):
            sections = design(spec, segment.time.sampling_rate)
            halo = 2 * settling_samples(sections, 1e-3)
        if fk is not None:
            if unit != "m":
                raise InvalidArgument(
                    f"fk needs distances in metres, but the channels have positions in {unit!r}: "
                    "give them their distance, or leave fk out."
                )
            spacing = abs(float(segment.distance.step))
            velocities = FKFilter(float(segment.time.spacing), spacing, **fk)
            halo += _FK_HALO
    except (TypeError, ValueError) as error:
        raise InvalidArgument(str(error)) from error
    return Filters(sections, velocities, halo)


def _butterworth(band: tuple[float | None, float | None]) -> tuple[str, dict[str, Any]] | None:
    low, high = band
    if low is not None and high is not None:
        if not low < high:
            raise InvalidArgument(f"band is {band} Hz; use a lower corner below the upper one.")
        return "butter", {"N": _ORDER, "Wn": [low, high], "btype": "bandpass"}
    if low is not None:
        return "butter", {"N": _ORDER, "Wn": low, "btype": "highpass"}
    if high is not None:
        return "butter", {"N": _ORDER, "Wn": high, "btype": "lowpass"}
    return None
