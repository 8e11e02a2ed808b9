"""The picture of a recording: time to the right, distance downwards, picks and events upon it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.plot.axes import FibreAxis, as_label, drawn_axes, label_axes, time_of
from dasdist.plot.colours import MAPS
from dasdist.plot.images import draw_curves, draw_origins, draw_points, draw_raster, finish
from dasdist.plot.libraries import Backend, check_backend
from dasdist.plot.marks import (
    Curve,
    Points,
    Window,
    curves_of,
    origins_of,
    picks_table,
    points_of,
)
from dasdist.plot.quantities import label_of
from dasdist.plot.raster import MOST_BYTES, PIXELS, Raster, Value, rasterise
from dasdist.sources import open_recording
from dasdist.sources.base import Recording
from dasdist.sources.time_range import TimeRange

__all__ = ["waterfall", "window_of"]


def waterfall(
    data: Any,
    picks: Any = None,
    *,
    events: pd.DataFrame | None = None,
    curves: Any = None,
    truth: Any = None,
    start: Any = None,
    stop: Any = None,
    band: tuple[float | None, float | None] | None = None,
    fk: Mapping[str, Any] | None = None,
    value: Value = "samples",
    clip: float = 98.0,
    balance: bool = False,
    cmap: Any = None,
    title: str | None = None,
    ax: Any = None,
    channel_coord_name: str | None = None,
    pixels: tuple[int, int] = PIXELS,
    most_bytes: float = MOST_BYTES,
    backend: Backend = "matplotlib",
) -> Any:
    """Draw a recording of any length, time to the right and distance downwards.

    The recording is read a stretch at a time and reduced to the pixels of the picture; gaps in
    time and along the fibre, and what cannot be read, stay hatched.

    Parameters
    ----------
    data : xdas.DataArray, xarray.DataArray, dascore.Patch, a collection of these, or path
        What :func:`dasdist.classify` takes; dimensions in either order.
    picks : DataFrame, ClassifyOutput or path, optional
        Columns ``time``, ``phase``, and ``distance`` (or what the recording calls its channels).
        With a column ``event`` (-1: none), the arrivals of each event are joined by lines.
    events : DataFrame, optional
        Columns ``event`` and ``time``: origin times, marked at the top.
    curves : DataFrame, optional
        Arrivals of events along the fibre, instead of lines through their picks: columns
        ``event``, ``phase``, ``time`` and ``distance``.
    truth : DataFrame, optional
        True arrivals, like `picks`, drawn as lines.
    start, stop : time, optional
        Draw from here and before there, UTC: whatever numpy.datetime64 takes.
    band : tuple of float or None, optional
        Corners of a Butterworth filter in Hz; None for no corner: ``(1, 20)``, ``(2, None)``.  It
        runs forwards and backwards, so that arrivals stay where they are.
    fk : mapping, optional
        Keep or reject apparent velocities: `v_min`, `v_max` (m/s), `mode` ("pass" or "reject").
    value : {"samples", "rms"}
        What a pixel shows of several samples: the one that is largest either way, with its sign;
        or their root mean square, on a logarithmic scale.
    clip : float
        Percentile of the amplitudes at which the colours end.
    balance : bool
        Divide each channel by the median of its amplitudes, since coupling differs.
    cmap : colour map, optional
        Instead of the ones chosen, which people with any colour vision can read.
    title : str, optional
        Above the picture.
    ax : matplotlib Axes, optional
        Where to draw; by default a new figure.
    channel_coord_name : str, optional
        Dimension along the fibre; by default the one that is not time.
    pixels : tuple of int
        Most pixels along time and along the fibre.
    most_bytes : float
        Most bytes of samples to read; where there are more, only the first samples of each pixel
        are, and the colour bar says so.
    backend : {"matplotlib", "holoviews"}
        For print, or for a notebook.

    Returns
    -------
    matplotlib Axes, or holoviews Overlay

    Raises
    ------
    InvalidArgument, InvalidInput
        If an argument is out of range, a table lacks a column, or the data is no recording.
    ImportError
        If the library that draws is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import numpy as np, xarray
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(500) * np.timedelta64(10, "ms")
    >>> coords = {"time": time, "distance": 10.0 * np.arange(40)}
    >>> data = xarray.DataArray(np.random.randn(500, 40), coords, attrs={"units": "nm/m/s"})
    >>> ax = waterfall(data, band=(1, 20))
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time (UTC)', 'distance (m)')
    """
    check_backend(backend)
    if not 0 < clip <= 100:
        raise InvalidArgument(f"clip is {clip!r}; use a percentile above 0, up to 100.")
    recording = _opened(data, start, stop, channel_coord_name)
    raster = rasterise(
        [recording], value=value, band=band, fk=fk, pixels=pixels, most_bytes=most_bytes
    )
    raster = _balanced(raster) if balance else raster
    window = window_of(raster)
    table = None if picks is None else picks_table(picks)
    known = None if truth is None else picks_table(truth, "truth")
    view = _View(
        raster,
        FibreAxis.over(raster.name, raster.unit, raster.distance),
        label_of(data, raster, value, balanced=balance),
        _limits(raster.values, value, clip),
        value,
        cmap or MAPS[value],
        [] if table is None else points_of(table, window),
        _curves(table, curves, window),
        [] if known is None else curves_of(_numbered(known), window, exact=True),
        [] if events is None else list(origins_of(events, window)),
        None if title is None else as_label(title),
    )
    return _with_matplotlib(view, ax) if backend == "matplotlib" else _with_holoviews(view)


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """All that is drawn, whichever library draws it."""

    raster: Raster
    fibre: FibreAxis
    label: str
    limits: tuple[float, float]
    value: Value
    cmap: Any
    points: list[Points]
    curves: list[Curve]
    truth: list[Curve]
    origins: list[tuple[int, np.datetime64]]
    title: str | None


def window_of(raster: Raster) -> Window:
    """Return what a picture shows, for choosing picks."""
    time, place = raster.time, raster.distance
    start, stop = time_of(time.origin), time_of(time.end)
    return Window(start, stop, float(place.origin), float(place.end), raster.name)


def _opened(data: Any, start: Any, stop: Any, channel_coord_name: str | None) -> Recording:
    if start is not None or stop is not None:
        first, last = (None if t is None else np.datetime64(t, "ns") for t in (start, stop))
        data = TimeRange(data, first, last)
    return open_recording(data, channel_coord_name=channel_coord_name)


def _balanced(raster: Raster) -> Raster:
    """Divide each channel by the median of its amplitudes; a dead one stays zero."""
    amplitudes = np.ma.masked_invalid(np.abs(raster.values))
    level = np.ma.filled(np.ma.median(amplitudes, axis=1), 1.0)
    return replace(raster, values=raster.values / np.where(level > 0, level, 1.0)[:, None])


def _curves(table: pd.DataFrame | None, curves: Any, window: Window) -> list[Curve]:
    if curves is not None:
        return curves_of(picks_table(curves, "curves"), window, exact=True)
    return [] if table is None else curves_of(table, window)


def _numbered(truth: pd.DataFrame) -> pd.DataFrame:
    """Give arrivals that name no earthquake one and the same."""
    return truth if "event" in truth else truth.assign(event=0)


def _limits(values: NDArray[np.float64], value: Value, clip: float) -> tuple[float, float]:
    """Return where the colours begin and end."""
    held = np.abs(values[np.isfinite(values)])
    high = float(np.percentile(held, clip)) if held.size else 1.0
    if value == "samples":
        high = high or float(held.max(initial=0.0)) or 1.0
        return -high, high
    held = held[held > 0]
    low = float(np.percentile(held, 5.0)) if held.size else 0.1
    return low, high if high > low else 10 * low


def _with_matplotlib(view: _View, ax: Any) -> Any:
    ax = drawn_axes(ax)
    from matplotlib.colors import LogNorm, Normalize

    norm = (Normalize if view.value == "samples" else LogNorm)(*view.limits)
    image = draw_raster(ax, view.raster, view.fibre, cmap=view.cmap, norm=norm)
    label_axes(ax, view.fibre)
    draw_curves(ax, view.truth, view.fibre, prefix="true ", linestyle="--")
    draw_curves(ax, view.curves, view.fibre, prefix="event ")
    draw_points(ax, view.points, view.fibre)
    draw_origins(ax, view.origins)
    extend = "neither" if view.value == "samples" and _all_within(view) else "both"
    ax.figure.colorbar(image, ax=ax, label=view.label, extend=extend, pad=0.015, aspect=30)
    finish(ax, view.title)
    return ax


def _all_within(view: _View) -> bool:
    held = view.raster.values[np.isfinite(view.raster.values)]
    return bool(np.all(np.abs(held) <= view.limits[1]))


def _with_holoviews(view: _View) -> Any:
    from dasdist.plot import notebooks
    from dasdist.plot.libraries import holoviews

    hv = holoviews()
    style = {"cmap": view.cmap, "logz": view.value == "rms"}
    image = notebooks.image_of(hv, view.raster, view.fibre, view.label, view.limits, **style)
    elements = [
        image,
        *notebooks.curve_paths(hv, view.truth, view.fibre, "true "),
        *notebooks.curve_paths(hv, view.curves, view.fibre, "event "),
        *notebooks.pick_points(hv, view.points, view.fibre),
        *notebooks.origin_lines(hv, view.origins),
    ]
    return notebooks.overlaid(hv, elements, view.title)
