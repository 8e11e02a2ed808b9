"""The same pictures with HoloViews: one moves and enlarges them in a notebook."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dasdist.plot.axes import FibreAxis, time_of
from dasdist.plot.colours import GAP
from dasdist.plot.marks import Curve, Points
from dasdist.plot.raster import Raster

__all__ = [
    "classes_image",
    "curve_paths",
    "image_of",
    "kinds_of_points",
    "origin_lines",
    "overlaid",
    "pick_points",
    "points",
    "sure_points",
]


def image_of(
    hv: Any, raster: Raster, fibre: FibreAxis, label: str, limits: tuple[float, float], **style: Any
) -> Any:
    """Return a recording as an image; NaN, where nothing was recorded, is clear."""
    time, place = raster.time, raster.distance
    start = time_of(time.origin)
    times = start + np.rint(time.centres()).astype("timedelta64[ns]")
    places = (float(place.origin) + place.centres()) * fibre.factor
    image = hv.QuadMesh if min(raster.values.shape) < 2 else hv.Image
    return image(
        (times, places, raster.values),
        kdims=[_time(hv), _place(hv, fibre)],
        vdims=[hv.Dimension("value", label=_plain(label), range=limits)],
    ).opts(colorbar=True, invert_yaxis=True, responsive=False, bgcolor=GAP, **style)


def classes_image(
    hv: Any, values: Any, ends: tuple[Any, Any, float, float], fibre: FibreAxis, classes: Any
) -> Any:
    """Return cells of a few classes, which are numbered; NaN is clear.

    Parameters
    ----------
    values : ndarray of float64, shape (along the fibre, along time)
        The number of each cell's class.
    ends : tuple
        First and last time, first and last position.
    classes : mapping of str to str
        Colours of the classes, by name.
    """
    rows, columns = values.shape
    start, stop, low, high = ends
    length = (stop - start) / columns
    times = start + np.rint((np.arange(columns) + 0.5) * length.astype(float)).astype(length.dtype)
    places = low + (np.arange(rows) + 0.5) * (high - low) / rows
    options: dict[str, Any] = {"cmap": list(classes.values()), "clim": (-0.5, len(classes) - 0.5)}
    if hv.Store.current_backend == "bokeh":
        ticks = {"major_label_overrides": dict(enumerate(classes))}
        options["colorbar_opts"] = {**ticks, "ticker": _ticker(len(classes))}
    return hv.QuadMesh(
        (times, places, values), kdims=[_time(hv), _place(hv, fibre)], vdims=["state"]
    ).opts(colorbar=True, invert_yaxis=True, bgcolor=GAP, **options)


def _ticker(count: int) -> Any:
    from bokeh.models import FixedTicker

    return FixedTicker(ticks=list(range(count)))


def points(hv: Any, time: Any, place: Any, fibre: FibreAxis, label: str, colour: str) -> Any:
    """Return picks in one colour."""
    found = hv.Points(
        (time, place * fibre.factor), kdims=[_time(hv), _place(hv, fibre)], label=str(label)
    )
    return found.opts(color=colour, **_marker(hv))


def sure_points(hv: Any, time: Any, place: Any, confidence: Any, fibre: FibreAxis) -> Any:
    """Return picks coloured by their confidence."""
    found = hv.Points(
        (time, place * fibre.factor, confidence),
        kdims=[_time(hv), _place(hv, fibre)],
        vdims=["confidence"],
    )
    return found.opts(color="confidence", cmap="cividis", clim=(0, 1), colorbar=True, **_marker(hv))


def kinds_of_points(hv: Any, time: Any, place: Any, kinds: Any, fibre: FibreAxis) -> Any:
    """Return picks with what they are, a pandas.Categorical, for counting."""
    import pandas as pd

    frame = pd.DataFrame({"time": time, "place": place * fibre.factor, "kind": kinds})
    return hv.Points(frame, kdims=[_time(hv), _place(hv, fibre)], vdims=["kind"])


def pick_points(hv: Any, picks: Iterable[Points], fibre: FibreAxis) -> list[Any]:
    """Return picks, in the colours of their phases."""
    return [points(hv, one.time, one.place, fibre, one.phase, one.colour) for one in picks]


def curve_paths(hv: Any, curves: Sequence[Curve], fibre: FibreAxis, prefix: str) -> list[Any]:
    """Return arrivals of earthquakes as lines."""
    return [
        hv.Path(
            [(curve.time, curve.place * fibre.factor)],
            kdims=[_time(hv), _place(hv, fibre)],
            label=f"{prefix}{curve.phase}",
        ).opts(color=curve.colour)
        for curve in curves
    ]


def origin_lines(hv: Any, origins: Iterable[tuple[int, np.datetime64]]) -> list[Any]:
    """Return the origin times of earthquakes as lines."""
    return [hv.VLine(time).opts(color="black", line_dash="dashed") for _, time in origins]


def overlaid(hv: Any, elements: Sequence[Any], title: str | None) -> Any:
    """Return elements one upon the other."""
    found = hv.Overlay(list(elements))
    return found.opts(title=title) if title else found


def _time(hv: Any) -> Any:
    return hv.Dimension("time", label="time (UTC)")


def _place(hv: Any, fibre: FibreAxis) -> Any:
    return hv.Dimension("place", label=_plain(fibre.label))


def _plain(label: str) -> str:
    return label.replace(r"\$", "$")  # which is only matplotlib's way of writing it


def _marker(hv: Any) -> dict[str, Any]:
    of_bokeh = {"size": 4, "line_color": "black", "line_width": 0.5}
    return of_bokeh if hv.Store.current_backend == "bokeh" else {}
