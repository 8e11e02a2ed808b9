"""The picture of an earthquake: its waves along the fibre, its picks, and curves through them."""

from typing import Any

import numpy as np
import pandas as pd

from dasdist.errors import InvalidArgument
from dasdist.plot.marks import picks_table
from dasdist.plot.waterfalls import waterfall
from dasdist.units import readable_time

__all__ = ["event"]


def event(
    data: Any,
    picks: Any,
    event: int,
    *,
    events: pd.DataFrame | None = None,
    before: float = 1.5,
    after: float = 4.0,
    title: str | None = None,
    **options: Any,
) -> Any:
    """Draw the moveout of one earthquake.

    Parameters
    ----------
    data
        The recording, of which only the earthquake's part is read; as for
        :func:`dasdist.plot.waterfall`.
    picks : DataFrame, ClassifyOutput or path
        Columns ``time``, ``phase``, ``distance`` and ``event``.
    event : int
        Which of them.
    events : DataFrame, optional
        Columns ``event`` and ``time``: its origin time is marked.
    before, after : float
        Seconds that are drawn before the first of its picks (or its origin) and after the last.
    title : str, optional
        Above the picture; by default number, time and number of picks.
    **options
        Of :func:`dasdist.plot.waterfall`: `band`, `fk`, `curves`, `truth`, `balance`, `ax`,
        `backend`, ….

    Returns
    -------
    matplotlib Axes, or holoviews Overlay

    Raises
    ------
    InvalidArgument
        If the table has no column ``event``, or no pick is of that earthquake.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import xarray
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(900) * np.timedelta64(10, "ms")
    >>> place = 10.0 * np.arange(40)
    >>> data = xarray.DataArray(np.random.randn(900, 40), {"time": time, "distance": place})
    >>> table = pd.DataFrame({"time": time[300], "distance": place, "phase": "P", "event": 7})
    >>> event(data, table, 7).get_title("left")
    'event 7: 2025-06-01T00:00:03 UTC, 40 P'
    """
    table = picks_table(picks)
    if "event" not in table:
        raise InvalidArgument("The picks have no column 'event', so none is of an earthquake.")
    own = table[table["event"] == event]
    if not len(own):
        raise InvalidArgument(f"No pick is of event {event}.")
    times = own["time"].to_numpy().astype("datetime64[ns]")
    origin = None if events is None else events[events["event"] == event]
    known = times if origin is None else np.append(times, origin["time"].to_numpy())
    known = known.astype("datetime64[ns]")
    start, stop = known.min() - _seconds(before), times.max() + _seconds(after)
    counts = own["phase"].value_counts().sort_index()
    told = ", ".join(f"{count:,} {phase}" for phase, count in counts.items())
    title = title or f"event {event}: {readable_time(known.min())} UTC, {told}"
    return waterfall(data, own, events=origin, start=start, stop=stop, title=title, **options)


def _seconds(length: float) -> np.timedelta64:
    return np.timedelta64(round(length * 1e9), "ns")
