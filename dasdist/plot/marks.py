"""What is drawn upon a recording: picks, earthquakes as curves, true arrivals."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.plot.colours import phase_colours

__all__ = [
    "Curve",
    "Points",
    "Window",
    "curves_of",
    "origins_of",
    "picks_table",
    "places_of",
    "points_of",
]

_BINS = 60  # along a curve


@dataclass(frozen=True, slots=True)
class Window:
    """What is seen: picks beyond it are left out.

    Parameters
    ----------
    start, stop : numpy.datetime64
        Its first and last time.
    low, high : float
        Positions of its first and last channel, in the unit of picks.
    name : str
        What positions are called where they are no distance.
    """

    start: np.datetime64
    stop: np.datetime64
    low: float = -np.inf
    high: float = np.inf
    name: str = "distance"


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Picks of a phase.

    Parameters
    ----------
    phase, colour : str
        Which, and its colour.
    time : ndarray of datetime64[ns]
        Arrivals.
    place : ndarray of float64
        Where along the fibre.
    """

    phase: str
    colour: str
    time: NDArray[np.datetime64]
    place: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The arrivals of an earthquake's phase along the fibre; as `Points`, and which earthquake."""

    event: int
    phase: str
    colour: str
    time: NDArray[np.datetime64]
    place: NDArray[np.float64]


def picks_table(picks: Any, what: str = "picks") -> pd.DataFrame:
    """Return picks as a table.

    Parameters
    ----------
    picks : DataFrame, ClassifyOutput, path
        A table, what `classify` returns, or a dataset of Parquet files.
    what : str
        How to call it in an error.

    Raises
    ------
    InvalidArgument
        If it is none of these, or has no column ``time`` or ``phase``.
    """
    table = getattr(picks, "picks", picks)
    if isinstance(table, str | os.PathLike):
        table = pd.read_parquet(table)
    if not isinstance(table, pd.DataFrame):
        raise InvalidArgument(
            f"{what} is a {type(table).__name__}; pass a table, what classify returned, or the "
            "path of picks."
        )
    for column in ("time", "phase"):
        if column not in table:
            held = ", ".join(map(str, table.columns)) or "none"
            raise InvalidArgument(f"{what} has no column {column!r}; its columns are {held}.")
    return table


def places_of(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Return positions along the fibre: the distance, or what the recording counts instead."""
    for column in ("distance", name):
        if column in table:
            return np.asarray(table[column], dtype=np.float64)
    raise InvalidArgument(
        f"The table has neither a column 'distance' nor {name!r}, so its rows have no place along "
        f"the fibre; its columns are {', '.join(map(str, table.columns))}."
    )


def points_of(table: pd.DataFrame, window: Window) -> list[Points]:
    """Return the picks within a window, by phase."""
    time, place, inside = _placed(table, window)
    phases = table["phase"].to_numpy(str)
    return [
        Points(phase, colour, time[chosen], place[chosen])
        for phase, colour in phase_colours(phases).items()
        if (chosen := inside & (phases == phase)).any()
    ]


def curves_of(table: pd.DataFrame, window: Window, *, exact: bool = False) -> list[Curve]:
    """Return arrivals of earthquakes as curves, by earthquake and phase.

    Parameters
    ----------
    table : DataFrame
        Picks or true arrivals with a column ``event``; those of -1 belong to none.
    window : Window
        What is seen.
    exact : bool
        Whether rows are points of the curves themselves; else these go through medians of them.
    """
    if "event" not in table:
        return []
    time, place, inside = _placed(table, window)
    phases, events = table["phase"].to_numpy(str), table["event"].to_numpy(np.int64)
    colours = phase_colours(phases)
    found = []
    for event, phase in dict.fromkeys(zip(events[inside].tolist(), phases[inside], strict=True)):
        chosen = inside & (events == event) & (phases == phase)
        if event < 0 or chosen.sum() < 2:
            continue
        line = _sorted if exact else _medians
        found.append(Curve(event, str(phase), colours[phase], *line(time[chosen], place[chosen])))
    return found


def origins_of(events: pd.DataFrame, window: Window) -> Iterator[tuple[int, np.datetime64]]:
    """Yield number and origin time of earthquakes whose origin is within a window."""
    for column in ("event", "time"):
        if column not in events:
            held = ", ".join(map(str, events.columns)) or "none"
            raise InvalidArgument(f"events has no column {column!r}; its columns are {held}.")
    time = events["time"].to_numpy().astype("datetime64[ns]")
    inside = (time >= window.start) & (time <= window.stop)
    yield from zip(events["event"].to_numpy(np.int64)[inside].tolist(), time[inside], strict=True)


def _placed(
    table: pd.DataFrame, window: Window
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return times and places of all rows, and which are within a window."""
    time = table["time"].to_numpy().astype("datetime64[ns]")
    place = places_of(table, window.name)
    inside = (time >= window.start) & (time <= window.stop)
    inside &= (place >= window.low) & (place <= window.high)
    return time, place, inside


def _sorted(time: NDArray[Any], place: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    order = np.argsort(place, kind="stable")
    return time[order], place[order]


def _medians(time: NDArray[Any], place: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return medians of groups of neighbours along the fibre: outliers do not bend the curve."""
    time, place = _sorted(time, place)
    counted = time.astype(np.int64)
    groups = np.array_split(np.arange(time.size), min(_BINS, max(2, time.size // 5)))
    groups = [group for group in groups if group.size]
    start = counted.min()
    medians = [start + int(np.median(counted[group] - start)) for group in groups]
    middle = np.array([np.median(place[group]) for group in groups])
    return np.array(medians, dtype=np.int64).view("datetime64[ns]"), middle
