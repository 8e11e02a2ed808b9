"""The picture of annotations: a panel for each key, on one scale from 0 to 1."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from dasdist.errors import InvalidArgument
from dasdist.plot.axes import FibreAxis, as_label, label_axes
from dasdist.plot.colours import phase_colours
from dasdist.plot.images import draw_points, draw_raster
from dasdist.plot.libraries import Backend, check_backend
from dasdist.plot.marks import Window, picks_table, points_of
from dasdist.plot.raster import MOST_BYTES, PIXELS, Raster, rasterise
from dasdist.sources import open_recording

__all__ = ["annotations"]


def annotations(
    data: Any,
    picks: Any = None,
    *,
    keys: Sequence[str] | None = None,
    start: Any = None,
    stop: Any = None,
    title: str | None = None,
    axes: Sequence[Any] | None = None,
    pixels: tuple[int, int] = PIXELS,
    most_bytes: float = MOST_BYTES,
    backend: Backend = "matplotlib",
) -> Any:
    """Draw the probabilities that a model gave, each key in a panel of its own.

    White is 0 and dark is 1 in all of them; of several values a pixel shows the largest, so that
    no peak is lost; what no window of the model covers stays hatched.

    Parameters
    ----------
    data : xarray.Dataset, xarray.DataTree or path
        What :func:`dasdist.annotate` and :func:`dasdist.open_annotations` return, or the store
        itself.  Lazy ones are computed for what is drawn.
    picks : DataFrame, ClassifyOutput or path, optional
        Drawn on the panel of their phase; as for :func:`dasdist.plot.waterfall`.
    keys : sequence of str, optional
        Which, in this order; by default all.
    start, stop : time, optional
        Draw from here to there, UTC.
    title : str, optional
        Above the picture.
    axes : sequence of matplotlib Axes, optional
        Where to draw, one for each key; by default a new figure.
    pixels, most_bytes, backend
        As for :func:`dasdist.plot.waterfall`.

    Returns
    -------
    list of matplotlib Axes, or holoviews Layout

    Raises
    ------
    InvalidArgument
        If there are no such annotations, none in that time, or not as many axes as keys.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import xarray
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(500) * np.timedelta64(10, "ms")
    >>> coords = {"time": time, "distance": 10.0 * np.arange(40)}
    >>> curve = xarray.DataArray(np.random.rand(500, 40), coords)
    >>> [ax.get_title("left") for ax in annotations(xarray.Dataset({"P": curve, "S": curve}))]
    ['P', 'S']
    """
    check_backend(backend)
    sets = _segments(data, start, stop)
    chosen = list(keys) if keys is not None else list(map(str, sets[0].data_vars))
    for key in chosen:
        if key not in sets[0]:
            held = ", ".join(map(str, sets[0].data_vars)) or "none"
            raise InvalidArgument(f"There are no annotations {key!r}; there are {held}.")
    rasters = {
        key: rasterise(
            [open_recording(one[key]) for one in sets], pixels=pixels, most_bytes=most_bytes
        )
        for key in chosen
    }
    table = None if picks is None else picks_table(picks)
    draw = _with_matplotlib if backend == "matplotlib" else _with_holoviews
    return draw(rasters, table, title, axes)


def _segments(data: Any, start: Any, stop: Any) -> list[Any]:
    """Return the datasets of all segments that have samples in a stretch of time."""
    import xarray

    if isinstance(data, str | os.PathLike):
        from dasdist.annotations import open_annotations

        data = open_annotations(data)
    if isinstance(data, xarray.DataArray):
        data = data.to_dataset(name=str(data.name or "probability"))
    if isinstance(data, xarray.DataTree):
        sets = [node.to_dataset() for node in data.leaves if node.data_vars]
    elif isinstance(data, xarray.Dataset):
        sets = [data] if data.data_vars else []
    else:
        raise InvalidArgument(
            f"The annotations are a {type(data).__name__}; pass what annotate or open_annotations "
            "returned, or the path of a store."
        )
    if start is not None or stop is not None:
        within = slice(*(None if t is None else np.datetime64(t, "ns") for t in (start, stop)))
        sets = [one.sel(time=within) for one in sets]
    sets = [one for one in sets if one.sizes["time"] > 1]
    if not sets:
        raise InvalidArgument("There are no annotations, or none from `start` to `stop`.")
    return sets


def _shades(key: str) -> Any:
    """Return colours from white over that of the phase to nearly black, ever darker."""
    from matplotlib.colors import LinearSegmentedColormap

    middle = phase_colours([key])[key]
    return LinearSegmentedColormap.from_list(f"white to {key}", ["white", middle, "#101010"])


def _window(raster: Raster) -> Window:
    from dasdist.plot.waterfalls import window_of

    return window_of(raster)


def _with_matplotlib(
    rasters: dict[str, Raster], table: Any, title: str | None, axes: Sequence[Any] | None
) -> list[Any]:
    from dasdist.plot.libraries import pyplot

    plt = pyplot()
    if axes is None:
        size = (11.0, 0.8 + 3.0 * len(rasters))
        options = {"sharex": True, "sharey": True, "layout": "constrained", "squeeze": False}
        figure, grid = plt.subplots(len(rasters), 1, figsize=size, **options)
        axes = list(grid[:, 0])
        if title:
            figure.suptitle(as_label(title), x=0.01, ha="left")
    if len(axes) != len(rasters):
        raise InvalidArgument(f"There are {len(axes)} axes for {len(rasters)} keys.")
    for ax, (key, raster) in zip(axes, rasters.items(), strict=True):
        fibre = FibreAxis.over(raster.name, raster.unit, raster.distance)
        image = draw_raster(ax, raster, fibre, cmap=_shades(key), vmin=0.0, vmax=1.0)
        label_axes(ax, fibre, time=ax is axes[-1])
        if table is not None:
            own = [one for one in points_of(table, _window(raster)) if one.phase == key]
            draw_points(ax, own, fibre)
        ax.set_title(as_label(key), loc="left")
        ax.figure.colorbar(image, ax=ax, label=_label(raster), pad=0.015, aspect=20)
    return list(axes)


def _label(raster: Raster) -> str:
    samples, channels = raster.per_pixel
    if samples * channels == 1:
        return "probability"
    of = f"{samples:,} samples" + f" x {channels:,} channels" * (channels > 1)
    read = f",\nof which {raster.share:.2g} were read" if raster.share < 1 else ""
    return f"probability\nlargest of {of} a pixel{read}"


def _with_holoviews(
    rasters: dict[str, Raster], table: Any, title: str | None, axes: Sequence[Any] | None
) -> Any:
    del axes  # of matplotlib
    from dasdist.plot import notebooks
    from dasdist.plot.libraries import holoviews

    hv = holoviews()
    panels = []
    for key, raster in rasters.items():
        fibre = FibreAxis.over(raster.name, raster.unit, raster.distance)
        shades = ["#ffffff", phase_colours([key])[key], "#101010"]
        image = notebooks.image_of(hv, raster, fibre, _label(raster), (0.0, 1.0), cmap=shades)
        own = [] if table is None else points_of(table, _window(raster))
        points = notebooks.pick_points(hv, [one for one in own if one.phase == key], fibre)
        panels.append(notebooks.overlaid(hv, [image, *points], key))
    layout = hv.Layout(panels).cols(1)
    return layout.opts(title=title) if title else layout
