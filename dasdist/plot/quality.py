"""The picture of channel quality: which channels are dead, clipped or noisy, hour by hour."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.plot.axes import FibreAxis, as_label, drawn_axes
from dasdist.plot.images import class_patch, draw_classes, name_classes
from dasdist.plot.libraries import Backend, check_backend

__all__ = ["channels"]

_COLOURS = {
    "dead": "#000000",
    "clipped": "#D55E00",
    "duplicated": "#CC79A7",
    "noisy": "#E69F00",
}
"""Of known flags, the gravest first."""

_OTHERS = ("#56B4E9", "#009E73", "#F0E442", "#0072B2")
_GOOD = "#E8F1F7"


def channels(
    table: pd.DataFrame,
    *,
    title: str | None = None,
    ax: Any = None,
    backend: Backend = "matplotlib",
) -> Any:
    """Draw the quality of channels, hour by hour.

    Parameters
    ----------
    table : DataFrame
        A row for each channel and hour: ``channel`` (number), ``hour`` (datetime64, its start) and
        ``flags`` (str: what is wrong, separated by commas or spaces; empty if nothing is).  Of
        several flags the gravest is drawn: dead, clipped, duplicated, noisy, then any other.
        Hours without a row stay hatched.
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
        If a column is missing, or there is no row.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> hours = pd.date_range("2025-06-01", periods=3, freq="h")
    >>> rows = [(c, hour, "dead" if c == 2 else "") for c in range(4) for hour in hours]
    >>> ax = channels(pd.DataFrame(rows, columns=["channel", "hour", "flags"]))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['good', 'dead (1 channel)']
    """
    check_backend(backend)
    for column in ("channel", "hour", "flags"):
        if not isinstance(table, pd.DataFrame) or column not in table:
            raise InvalidArgument(
                f"The quality of channels needs a table with the column {column!r}: a row for each "
                "channel and hour, as `channel`, `hour`, `flags`."
            )
    if not len(table):
        raise InvalidArgument("The table of channel quality has no row.")
    values, ends, colours, counts = _matrix(table)
    fibre = FibreAxis("channel")
    if backend == "holoviews":
        from dasdist.plot import notebooks
        from dasdist.plot.libraries import holoviews

        hv = holoviews()
        image = notebooks.classes_image(hv, values, ends, fibre, colours)
        return notebooks.overlaid(hv, [image], title)
    ax = drawn_axes(ax)
    draw_classes(ax, np.ma.masked_invalid(values), ends, fibre, colours)
    own = [class_patch(as_label(_told(flag, counts)), colour) for flag, colour in colours.items()]
    name_classes(ax, own, title)
    return ax


def _told(flag: str, counts: dict[str, int]) -> str:
    if flag == "good":
        return flag
    return f"{flag} ({counts[flag]:,} channel{'s' * (counts[flag] != 1)})"


def _matrix(
    table: pd.DataFrame,
) -> tuple[NDArray[np.float64], tuple[Any, Any, float, float], dict[str, str], dict[str, int]]:
    """Return flags as numbers (channels, hours), where the picture ends, and their colours."""
    hours = table["hour"].to_numpy().astype("datetime64[h]")
    number = table["channel"].to_numpy(np.int64)
    words = [
        [word for word in str(flags or "").replace(",", " ").split() if word != "nan"]
        for flags in table["flags"]
    ]
    known = {word for some in words for word in some}
    others = sorted(known - _COLOURS.keys())
    grave = [*(flag for flag in _COLOURS if flag in known), *others]
    spare = {flag: _OTHERS[i % len(_OTHERS)] for i, flag in enumerate(others)}
    colours = {"good": _GOOD, **{flag: _COLOURS.get(flag) or spare[flag] for flag in grave}}
    rank = {flag: i for i, flag in enumerate(colours)}
    first, low = hours.min(), int(number.min())
    shape = (int(number.max()) - low + 1, int((hours.max() - first).astype(int)) + 1)
    values = np.full(shape, np.nan)
    worst = [min((rank[word] for word in some), default=0) for some in words]
    values[number - low, (hours - first).astype(int)] = worst
    stop = first + np.timedelta64(shape[1], "h")
    counts = {
        flag: len({n for n, w in zip(number, words, strict=True) if flag in w}) for flag in grave
    }
    ends = (first.astype("datetime64[ns]"), stop.astype("datetime64[ns]"))
    return values, (*ends, low - 0.5, low + shape[0] - 0.5), colours, counts
