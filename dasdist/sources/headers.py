"""What headers of recorders say of the sampling interval, where xdas rounds it or leaves it out."""

from fractions import Fraction
from typing import Any

import h5py
import numpy as np

from dasdist.geometry.straight_lines import simplest_fraction

__all__ = ["STATED", "stated_step"]

STATED = {"febus", "prodml"}
"""Engines of xdas for files whose header states more than xdas tells."""


_ROUND = 8
"""Largest denominator of a round rate in hertz."""


def stated_step(path: str) -> Fraction | None:
    """Return the sampling interval that the header of a Febus or ProdML file states.

    Parameters
    ----------
    path : str
        The file.

    Returns
    -------
    Fraction or None
        Nanoseconds; None if it states none or cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            rate = _rate_of_prodml(file) if "Acquisition" in file else _rate_of_febus(file)
    except (OSError, KeyError, ValueError, IndexError, TypeError):
        return None
    if not np.isfinite(rate) or rate <= 0:
        return None
    # headers hold what single precision has left of a rate
    round_rate = simplest_fraction(Fraction(rate), 2e-7 * rate)
    return 10**9 / (round_rate if round_rate.denominator <= _ROUND else Fraction(rate))


def _rate_of_prodml(file: Any) -> float:
    """Return hertz: as stated, unless the times of the samples, in microseconds, contradict."""
    raw = file["Acquisition"]["Raw[0]"]
    stated = float(raw.attrs.get("OutputDataRate", np.nan))
    times = raw.get("RawDataTime")
    if times is None or len(times) < 2 or times[-1] <= times[0]:
        return stated
    steps = len(times) - 1
    measured = 1e6 * steps / (int(times[-1]) - int(times[0]))
    return stated if abs(stated / measured - 1) * steps < 0.25 else measured


def _rate_of_febus(file: Any) -> float:
    """Return hertz; the header states milliseconds."""
    (device,) = file
    return 1000 / float(file[device]["Source1"]["Zone1"].attrs["Spacing"][1])
