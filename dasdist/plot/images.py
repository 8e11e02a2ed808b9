"""Draw a reduced recording, picks and curves with matplotlib."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dasdist.plot.axes import DAY, FibreAxis, as_label, days, label_axes
from dasdist.plot.marks import Curve, Points
from dasdist.plot.raster import Raster

__all__ = [
    "class_patch",
    "draw_classes",
    "draw_curves",
    "draw_origins",
    "draw_points",
    "draw_raster",
    "finish",
    "name_classes",
]

_NAMED = 30  # earthquakes that are numbered


def draw_raster(ax: Any, raster: Raster, fibre: FibreAxis, **colours: Any) -> Any:
    """Draw a recording with time to the right and distance downwards; what is missing is clear.

    Returns
    -------
    matplotlib AxesImage
        Its array is masked where nothing was recorded.
    """
    time, place = raster.time, raster.distance
    left, right = float(time.origin / DAY), float(time.end / DAY)
    top, bottom = float(place.origin) * fibre.factor, float(place.end) * fibre.factor
    image = ax.imshow(
        np.ma.masked_invalid(raster.values),
        extent=(left, right, bottom, top),
        aspect="auto",
        origin="upper",
        interpolation=_interpolation(ax, raster.values.shape),
        interpolation_stage="data",
        **colours,
    )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    return image


def _interpolation(ax: Any, shape: tuple[int, ...]) -> str:
    """Return how pixels become those of the screen: means only where both axes have too many."""
    box = ax.get_window_extent()
    return "auto" if shape[1] > box.width and shape[0] > box.height else "nearest"


def draw_classes(
    ax: Any,
    values: Any,
    ends: tuple[Any, Any, float, float],
    fibre: FibreAxis,
    classes: Mapping[str, str],
) -> None:
    """Draw cells of a few classes, which are numbered; what is masked is clear.

    Parameters
    ----------
    ax : matplotlib Axes
        Where.
    values, ends, fibre, classes
        As of `dasdist.plot.notebooks.classes_image`.
    """
    from matplotlib.colors import ListedColormap

    left, right = days(np.array(ends[:2]))
    ax.imshow(
        values,
        extent=(left, right, ends[3], ends[2]),
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap(list(classes.values())),
        vmin=-0.5,
        vmax=len(classes) - 0.5,
    )
    label_axes(ax, fibre)


def class_patch(label: str, facecolor: Any, **style: Any) -> Any:
    """Return what stands for a class in the legend."""
    from matplotlib.patches import Patch

    return Patch(label=label, facecolor=facecolor, **{"edgecolor": "#555555", **style})


def name_classes(ax: Any, patches: Sequence[Any], title: str | None) -> None:
    """Add the legend, above the picture, and the title."""
    ax.legend(
        handles=patches, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(patches),
        fontsize="small", frameon=False, borderaxespad=0.3,
    )  # fmt: skip
    if title:
        ax.set_title(as_label(title), loc="left")


def draw_points(
    ax: Any, points: Iterable[Points], fibre: FibreAxis, *, marker: str = "o", prefix: str = ""
) -> None:
    """Draw picks, in the colours of their phases."""
    for one in points:
        ax.scatter(
            days(one.time),
            one.place * fibre.factor,
            s=12 if marker == "o" else 26,
            marker=marker,
            color=one.colour,
            edgecolors="black" if marker == "o" else None,
            linewidths=0.35 if marker == "o" else 1.1,
            zorder=4,
            label=f"{prefix}{one.phase}",
        )


def draw_curves(
    ax: Any, curves: Sequence[Curve], fibre: FibreAxis, *, prefix: str, **style: Any
) -> None:
    """Draw arrivals of earthquakes as lines; each phase stands in the legend once."""
    from matplotlib.patheffects import Normal, Stroke

    named: set[str] = set()
    for curve in curves:
        ax.plot(
            days(curve.time),
            curve.place * fibre.factor,
            color=curve.colour,
            label=None if curve.phase in named else f"{prefix}{curve.phase}",
            path_effects=[Stroke(linewidth=2.6, foreground="white", alpha=0.8), Normal()],
            **{"linewidth": 1.3, "zorder": 3, **style},
        )
        named.add(curve.phase)


def draw_origins(ax: Any, origins: Iterable[tuple[int, np.datetime64]]) -> None:
    """Mark the origin times of earthquakes at the top."""
    for count, (event, time) in enumerate(origins):
        at = float(days(time))
        ax.axvline(at, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=2)
        if count < _NAMED:
            ax.annotate(
                f"{event}",
                (at, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(3, -3),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize="small",
            )


def finish(ax: Any, title: str | None) -> None:
    """Add the legend, if there is anything to tell apart, and the title."""
    handles, labels = ax.get_legend_handles_labels()
    if handles:
        ax.legend(
            handles, labels, loc="upper right", framealpha=0.92, markerscale=1.4,
            ncols=min(4, len(labels)), handletextpad=0.4, fontsize="small", borderpad=0.4,
        ).set_zorder(6)  # fmt: skip
    if title:
        ax.set_title(title, loc="left")
