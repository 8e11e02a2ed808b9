"""The same pictures with HoloViews: one moves and enlarges them in a notebook."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dasdist.plot.axes import FibreAxis, time_of
from dasdist.plot.marks import Curve, Points
from dasdist.plot.raster import Raster

__all__ = ["curve_paths", "image_of", "origin_lines", "overlaid", "pick_points"]


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
    ).opts(colorbar=True, invert_yaxis=True, responsive=False, bgcolor="#ECECEC", **style)


def pick_points(hv: Any, points: Iterable[Points], fibre: FibreAxis, size: float = 4) -> list[Any]:
    """Return picks, in the colours of their phases."""
    return [
        hv.Points(
            (one.time, one.place * fibre.factor),
            kdims=[_time(hv), _place(hv, fibre)],
            label=one.phase,
        ).opts(color=one.colour, **_marker(hv, size))
        for one in points
    ]


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


def _marker(hv: Any, size: float) -> dict[str, Any]:
    of_bokeh = {"size": size, "line_color": "black", "line_width": 0.5}
    return of_bokeh if hv.Store.current_backend == "bokeh" else {}
