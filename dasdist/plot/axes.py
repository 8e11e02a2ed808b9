"""The axes that all pictures share: absolute time in UTC, and metres, kilometres or channels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.plot.cells import Cells
from dasdist.plot.colours import GAP, GAP_LINES
from dasdist.safe_text import one_line

__all__ = ["DAY", "FibreAxis", "as_label", "days", "drawn_axes", "label_axes", "time_of"]

DAY = 86_400 * 10**9
"""Nanoseconds of a day: matplotlib counts days since 1970."""

_LONG = 5000.0  # metres from which an axis is in kilometres


@dataclass(frozen=True, slots=True)
class FibreAxis:
    """How positions along the fibre are written.

    Parameters
    ----------
    label : str
        With the unit.
    factor : float
        By which positions are multiplied.
    """

    label: str
    factor: float = 1.0

    @classmethod
    def of(cls, name: str, unit: str, span: float) -> "FibreAxis":
        """Return it for positions that span so much.

        Examples
        --------
        >>> FibreAxis.of("distance", "m", 800.0), FibreAxis.of("locus", "1", 800.0).label
        (FibreAxis(label='distance (m)', factor=1.0), 'locus')
        >>> FibreAxis.of("distance", "m", 20_000.0)
        FibreAxis(label='distance (km)', factor=0.001)
        """
        if unit == "m" and abs(span) >= _LONG:
            return cls(f"{as_label(name)} (km)", 1e-3)
        return cls(as_label(name) if unit == "1" else f"{as_label(name)} ({as_label(unit)})")

    @classmethod
    def over(cls, name: str, unit: str, cells: Cells) -> "FibreAxis":
        """Return it for the pixels of a picture."""
        return cls.of(name, unit, float(cells.width * cells.count))


def as_label(text: object) -> str:
    r"""Return text from outside as a label, in which a dollar sign is but that.

    Examples
    --------
    >>> print(as_label("strain\n$\\alpha$"))
    strain\x0a\$\alpha\$
    """
    return one_line(text).replace("$", r"\$")


def days(times: Any) -> NDArray[np.float64]:
    """Return times, datetime64 of any unit, as matplotlib counts them."""
    counted = np.asarray(times).astype("datetime64[ns]").astype(np.int64)
    missing = counted == np.iinfo(np.int64).min
    whole, rest = np.divmod(counted, DAY)
    return np.where(missing, np.nan, whole + rest / DAY)


def time_of(nanoseconds: Any) -> np.datetime64:
    """Return nanoseconds since 1970, of any type of number, as a time."""
    return np.datetime64(round(nanoseconds), "ns")


def drawn_axes(ax: Any, size: tuple[float, float] = (11.0, 5.0)) -> Any:
    """Return axes to draw in: those that are given, or those of a new figure."""
    from dasdist.plot.libraries import pyplot

    plt = pyplot()
    if ax is not None:
        return ax
    return plt.subplots(figsize=size, layout="constrained")[1]


def label_axes(ax: Any, fibre: FibreAxis, *, time: bool = True) -> None:
    """Write times as dates, say what the axes are, and hatch what nothing is drawn on."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(tz="UTC", minticks=3, maxticks=8)
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz="UTC"))
    ax.set_xlabel("time (UTC)" if time else "")
    ax.set_ylabel(fibre.label)
    ax.patch.set(facecolor=GAP, edgecolor=GAP_LINES, hatch="////", linewidth=0.0)
    ax.set_axisbelow(False)
