"""The picture of picks: time to the right, distance downwards; millions of them as densities."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.plot.axes import FibreAxis, as_label, days, drawn_axes, label_axes
from dasdist.plot.colours import MAPS, cycle, phase_colours
from dasdist.plot.libraries import Backend, check_backend, datashader
from dasdist.plot.marks import picks_table, places_of

__all__ = ["MANY", "picks"]

MANY = 100_000
"""Picks from which their density is drawn."""

By = Literal["phase", "event", "confidence"]

_SCREEN = (1000, 450)  # pixels of a density
_INCOHERENT = "#9A9A9A"


def picks(
    table: Any,
    *,
    by: By = "phase",
    title: str | None = None,
    ax: Any = None,
    backend: Backend = "matplotlib",
) -> Any:
    """Draw picks over time and distance.

    From 100,000 picks on, their density is drawn (Datashader), in the colours of their phases.

    Parameters
    ----------
    table : DataFrame, ClassifyOutput or path
        Columns ``time``, ``phase``, ``distance`` (or what the recording calls its channels), and
        ``confidence`` or ``event`` (-1: none), if they are coloured by it.
    by : {"phase", "event", "confidence"}
        What colours tell.  Picks of no event are grey.
    title : str, optional
        Above the picture.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    backend : {"matplotlib", "holoviews"}
        For print, or for a notebook.

    Returns
    -------
    matplotlib Axes, or holoviews Overlay

    Raises
    ------
    InvalidArgument
        If a column is missing, there is no pick, or many are to be coloured by confidence.
    ImportError
        If the library that draws is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(9) * np.timedelta64(10, "ms")
    >>> ax = picks(pd.DataFrame({"time": time, "distance": 10.0 * np.arange(9), "phase": "P"}))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['9 P']
    """
    check_backend(backend)
    found = _placed(picks_table(table), by)
    many = len(found.time) >= MANY
    if many and by == "confidence":
        raise InvalidArgument(
            f"{len(found.time):,} picks are drawn as their density, which has no confidence; draw "
            "fewer, or by='phase'."
        )
    if backend == "holoviews":
        return _with_holoviews(found, title, many=many)
    ax = drawn_axes(ax)
    (_densities if many else _scattered)(ax, found)
    label_axes(ax, found.fibre)
    ax.patch.set(facecolor="white", hatch=None)
    ax.set_xlim(*_padded(days(found.time)))
    ax.set_ylim(*_padded(found.place * found.fibre.factor)[::-1])
    if title:
        ax.set_title(as_label(title), loc="left")
    return ax


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Picks: when, where, and of which kind; or how sure."""

    time: NDArray[np.datetime64]
    place: NDArray[np.float64]
    fibre: FibreAxis
    kinds: NDArray[Any]
    colours: dict[Any, str]
    confidence: NDArray[np.float64] | None


def _placed(table: pd.DataFrame, by: str) -> _Placed:
    if by not in ("phase", "event", "confidence"):
        raise InvalidArgument(f"by is {by!r}; use 'phase', 'event' or 'confidence'.")
    if by not in table:
        raise InvalidArgument(f"The picks have no column {by!r}, by which they are to be coloured.")
    if not len(table):
        raise InvalidArgument("There is no pick to draw.")
    units = table.attrs.get("units") or {}
    known = next((name for name in ("channel", "channel_index") if name in table), "distance")
    name = "distance" if "distance" in table else next(iter(units), known)
    place = places_of(table, name)
    unit = units.get(name, "m" if name == "distance" else "1")
    kinds = table["phase"].to_numpy(str)
    colours: dict[Any, str] = dict(phase_colours(kinds))
    if by == "event":
        events = table["event"].to_numpy(np.int64)
        kinds, colours = events, {-1: _INCOHERENT, **cycle(events[events >= 0])}
    return _Placed(
        table["time"].to_numpy().astype("datetime64[ns]"),
        place,
        FibreAxis.of(name, unit, float(np.ptp(place))),
        kinds,
        colours,
        table["confidence"].to_numpy(np.float64) if by == "confidence" else None,
    )


def _scattered(ax: Any, found: _Placed) -> None:
    x, y = days(found.time), found.place * found.fibre.factor
    style = {"s": 9, "linewidths": 0, "alpha": 0.85}
    if found.confidence is not None:
        points = ax.scatter(x, y, c=found.confidence, cmap=MAPS["rms"], vmin=0, vmax=1, **style)
        ax.figure.colorbar(points, ax=ax, label="confidence", pad=0.015, aspect=30)
        return
    colours = np.array([found.colours[kind] for kind in found.kinds.tolist()])
    if found.kinds.dtype.kind == "i":
        none = found.kinds < 0
        ax.scatter(x[none], y[none], c=_INCOHERENT, label=f"{none.sum():,} of no event", **style)
        count = np.unique(found.kinds[~none]).size
        label = f"{(~none).sum():,} of {count:,} event" + "s" * (count != 1)
        ax.scatter(x[~none], y[~none], c=colours[~none], label=label, **style)
    else:
        for kind in found.colours:
            own = found.kinds == kind
            label = f"{own.sum():,} {as_label(kind)}"
            ax.scatter(x[own], y[own], c=found.colours[kind], label=label, **style)
    ax.legend(loc="upper right", fontsize="small", framealpha=0.92, markerscale=2)


def _densities(ax: Any, found: _Placed) -> None:
    """Draw how many picks there are in each pixel, in the colours of their kinds."""
    from matplotlib.patches import Patch

    ds = datashader(len(found.time))
    x, y = days(found.time), found.place * found.fibre.factor
    kinds, colours = _few(found)
    frame = pd.DataFrame({"x": x - x.min(), "y": y, "kind": pd.Categorical(kinds)})
    (left, right), (low, high) = _padded(x), _padded(y)
    canvas = ds.Canvas(*_SCREEN, x_range=(left - x.min(), right - x.min()), y_range=(low, high))
    counts = canvas.points(frame, "x", "y", ds.count_cat("kind"))
    shaded = ds.transfer_functions.shade(counts, color_key=colours, how="log", min_alpha=90)
    pixels = np.ascontiguousarray(shaded.data).view(np.uint8).reshape(*shaded.shape, 4)
    extent = (left, right, low, high)
    ax.imshow(pixels, extent=extent, origin="lower", aspect="auto", interpolation="nearest")
    own = [Patch(color=colours[k], label=f"{(kinds == k).sum():,} {as_label(k)}") for k in colours]
    ax.legend(handles=own, loc="upper right", fontsize="small", framealpha=0.92)


def _few(found: _Placed) -> tuple[NDArray[Any], dict[Any, str]]:
    """Return kinds of which there are few: phases, or whether picks belong to an event."""
    if found.kinds.dtype.kind != "i":
        return found.kinds, found.colours
    kinds = np.where(found.kinds < 0, "of no event", "of events")
    return kinds, {"of events": "#0072B2", "of no event": _INCOHERENT}


def _padded(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = 0.02 * (high - low) or 1e-4 * max(1.0, abs(high) * 1e-4)
    return low - margin, high + margin


def _with_holoviews(found: _Placed, title: str | None, *, many: bool) -> Any:
    from dasdist.plot import notebooks
    from dasdist.plot.libraries import holoviews

    hv = holoviews()
    if many:
        layers = [_hv_densities(hv, found)]
    elif found.confidence is not None:
        layers = [notebooks.sure_points(hv, found.time, found.place, found.confidence, found.fibre)]
    else:
        kinds, colours = _few(found)
        layers = [
            notebooks.points(hv, found.time[own], found.place[own], found.fibre, kind, colour)
            for kind, colour in colours.items()
            if (own := kinds == kind).any()
        ]
    return notebooks.overlaid(hv, layers, title).opts(invert_yaxis=True)


def _hv_densities(hv: Any, found: _Placed) -> Any:
    """Return picks that are drawn anew, as densities, wherever one looks."""
    from importlib import import_module

    from dasdist.plot import notebooks

    ds = datashader(len(found.time))
    shade = import_module("holoviews.operation.datashader").datashade
    kinds, colours = _few(found)
    points = notebooks.kinds_of_points(
        hv, found.time, found.place, pd.Categorical(kinds), found.fibre
    )
    width, height = _SCREEN
    return shade(
        points, aggregator=ds.count_cat("kind"), color_key=colours, width=width, height=height
    )
