"""Draw recordings of a fibre."""

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from dasdist.sources.lengths import metres

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["waterfall"]

COLOURS = {"P": "#ffb000", "S": "#1ac9e6"}
OTHER_COLOURS = ("#ff5fa2", "#7ee081", "#c792ff")
PIXELS = (1600, 700)  # largest picture drawn, along time and distance


def waterfall(
    data: Any,
    picks: pd.DataFrame | None = None,
    *,
    truth: pd.DataFrame | None = None,
    ax: "Axes | None" = None,
    clip: float = 98.0,
    balance: bool = True,
    title: str | None = None,
) -> "Axes":
    """Draw a recording with time to the right and distance downwards, and picks on it.

    Short recordings are drawn sample by sample. Longer ones, with several samples for each
    pixel, show the logarithm of the root mean square of these. Gaps stay empty.

    Parameters
    ----------
    data : xdas.DataArray or xarray.DataArray
        Two-dimensional, one dimension called ``time`` (datetime64), in any order; small
        enough to load.
    picks : DataFrame, optional
        With ``time``, ``distance`` (or what the channel dimension of the data is called) and
        ``phase``; those outside the data are left out.
    truth : DataFrame, optional
        Likewise; drawn as thin lines below the picks.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    clip : float
        Percentile of the amplitudes at which the colour scale of a short recording ends.
    balance : bool
        Divide each channel by the median of its amplitudes, since coupling differs.
    title : str, optional
        Above the picture.

    Returns
    -------
    matplotlib Axes

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import xarray
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(50) * np.timedelta64(10, "ms")
    >>> coords = {"time": time, "distance": np.arange(4.0)}
    >>> data = xarray.DataArray(np.random.randn(50, 4), coords, ["time", "distance"])
    >>> waterfall(data).get_ylabel()
    'distance (m)'
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib, which is not installed: python -m pip install "dasdist[plot]"'
        ) from error

    values, time, distance, name = _as_section(data)
    if ax is None:
        _, ax = plt.subplots(figsize=(11, 5), layout="constrained")
    seconds = (time - time[0]) / np.timedelta64(1, "s")
    step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1.0
    width = (distance[-1] - distance[0]) / max(1, len(distance) - 1) or 1.0
    if balance:
        level = np.median(np.abs(values), axis=0)
        values = values / np.where(level > 0, level, 1.0)
    breaks = np.flatnonzero(np.diff(seconds) > 1.5 * step) + 1
    edges = [0, *breaks.tolist(), len(seconds)]
    factors = [-(-size // most) for size, most in zip(values.shape, PIXELS, strict=True)]
    pictures = [_reduce(values[a:b], factors).T for a, b in pairwise(edges)]
    everything = np.concatenate([picture.ravel() for picture in pictures])
    if factors[0] == 1:
        high = float(np.percentile(np.abs(everything), clip)) or 1.0
        low, colours = -high, "gray"
    else:
        low, high = (float(np.percentile(everything, q)) for q in (10.0, 99.5))
        colours = "Greys"
    for picture, (a, b) in zip(pictures, pairwise(edges), strict=True):
        ax.imshow(
            picture,
            aspect="auto",
            cmap=colours,
            vmin=low,
            vmax=high,
            interpolation="nearest",
            extent=(
                seconds[a] - step / 2,
                seconds[b - 1] + step / 2,
                distance[-1] + width / 2,
                distance[0] - width / 2,
            ),
        )
    for a in breaks.tolist():
        ax.axvspan(seconds[a - 1], seconds[a], facecolor="#e8e8e8", edgecolor="#bbbbbb", hatch="//")
    if truth is not None:
        for colour, phase, t, d in _by_phase(truth, name, time, distance):
            ax.plot(t, d, ".", color=colour, markersize=1.0, alpha=0.5, label=f"true {phase}")
    if picks is not None:
        for colour, phase, t, d in _by_phase(picks, name, time, distance):
            ax.scatter(
                t, d, s=11, color=colour, edgecolors="black", linewidths=0.3, zorder=3, label=phase
            )
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right", framealpha=0.9, markerscale=2, ncols=2, handletextpad=0.1)
    ax.set_xlim(-step / 2, seconds[-1] + step / 2)
    ax.set_ylim(distance[-1] + width / 2, distance[0] - width / 2)
    ax.set_xlabel(f"seconds after {np.datetime_as_string(time[0], unit='ms').replace('T', ' ')}")
    ax.set_ylabel("distance (m)" if name == "distance" else name)
    if title:
        ax.set_title(title, loc="left")
    return ax


def _as_section(data: Any) -> tuple[Any, Any, Any, str]:
    """Return values (time, distance) as float32, times, distances and the latter's name."""
    first, second = data.dims
    if "time" not in (first, second):
        raise ValueError(
            f"The data has dimensions {first!r} and {second!r}, but one must be called 'time'. "
            "Rename it with data.rename."
        )
    name = second if first == "time" else first
    values = np.asarray(data.values, dtype=np.float32)
    if first != "time":
        values = values.T
    time = np.asarray(data.coords["time"].values).astype("datetime64[ns]")
    distance = np.asarray(data.coords[name].values, dtype=float)
    unit = str(getattr(data.coords[name], "attrs", {}).get("units", "m"))
    distance = distance * float(metres(unit) or 1)  # as picks have them
    return values, time, distance, str(name)


def _reduce(values: Any, factors: list[int]) -> Any:
    """Shrink (samples, channels) by whole factors: along time to the log of the root mean square.

    Without reduction in time a pixel takes the first of its channels: a mean would cancel.
    """
    samples, channels = factors
    if samples == 1:
        return values[:, ::channels]
    power = _means(_means(values**2, samples, axis=0), channels, axis=1)
    return np.log10(np.maximum(power, 1e-12)) / 2


def _means(values: Any, factor: int, axis: int) -> Any:
    """Return means of `factor` neighbours along an axis, the last of those that are left."""
    starts = np.arange(0, values.shape[axis], factor)
    counts = np.diff(np.append(starts, values.shape[axis]))
    sums = np.add.reduceat(values, starts, axis=axis)
    return sums / (counts[:, None] if axis == 0 else counts)


def _by_phase(
    table: pd.DataFrame, name: str, time: Any, distance: Any
) -> list[tuple[str, str, Any, Any]]:
    """Split a table by phase: colour, phase, seconds from the start, distance."""
    when = table["time"].to_numpy().astype("datetime64[ns]")
    where = table["distance" if "distance" in table else name].to_numpy(float)
    low, high = sorted((distance[0], distance[-1]))
    inside = (when >= time[0]) & (when <= time[-1]) & (where >= low) & (where <= high)
    phases = table["phase"].to_numpy(str)
    spare = iter(OTHER_COLOURS * (1 + len(set(phases))))
    found = []
    for phase in sorted(set(phases)):
        colour = COLOURS.get(phase) or next(spare)
        chosen = inside & (phases == phase)
        seconds = (when[chosen] - time[0]) / np.timedelta64(1, "s")
        found.append((colour, phase, seconds, where[chosen]))
    return found
