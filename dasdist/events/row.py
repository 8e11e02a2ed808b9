"""What is told of an event: a row of the table."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dasdist.events.found import Found

__all__ = ["EVENT_COLUMNS", "EVENT_UNITS", "EventRow", "event_row"]

EVENT_COLUMNS: Mapping[str, str] = {
    "event": "int64",  # number, in the order of first picks
    "time": "datetime64[ns]",  # of origin
    "vp_vs": "float64",  # that the time comes from
    "first_distance": "float64",  # where P arrives first, within the channels that show the event
    "first_p": "datetime64[ns]",  # when it does
    "s_minus_p": "float64",  # there
    "slowness": "float64",  # apparent, of P along the fibre: median of its size
    "direction": "str",  # "forward" to greater distances, "backward", or "both" from first_distance
    "channels": "int64",  # that show P or S
    "share": "float64",  # of the fibre's channels
    "channels_p": "int64",
    "channels_s": "int64",
    "first_channel": "int64",
    "last_channel": "int64",
    "strength": "float64",  # sum of the confidences of its picks
    "scatter": "float64",  # of its picks about its curve: 1.48 median absolute residuals
}
EVENT_UNITS: Mapping[str, str] = {
    "time": "ns since 1970-01-01T00:00:00",
    "vp_vs": "1",
    "first_distance": "m",
    "first_p": "ns since 1970-01-01T00:00:00",
    "s_minus_p": "s",
    "slowness": "s/m",
    "channels": "channels of the recording",
    "share": "1",
    "channels_p": "channels of the recording",
    "channels_s": "channels of the recording",
    "strength": "1",
    "scatter": "s",
}

EventRow = dict[str, Any]
_STEPS = 201
_ONE_WAY = 0.9  # of the fibre that shows it


class Columns(Protocol):
    """The columns of picks that a row is made from."""

    @property
    def distance(self) -> NDArray[np.float64]: ...
    @property
    def channel(self) -> NDArray[np.int64]: ...
    @property
    def confidence(self) -> NDArray[np.float64]: ...


def event_row(number: int, event: Found, picks: Columns, start: int, fibre: int) -> EventRow:
    """Return the row of an event.

    Parameters
    ----------
    number : int
        Of the event.
    event : Found
        What was found.
    picks : Columns
        The picks that it counts in.
    start : int
        Nanoseconds since 1970 of its second 0.
    fibre : int
        Channels of the fibre.
    """
    channels = np.unique(picks.channel[event.rows])
    along = picks.distance[event.rows]
    distance = np.linspace(along.min(), along.max(), _STEPS)
    travel, slowness = event.curve.travel(distance), event.curve.slowness(distance)
    first = int(np.argmin(travel))
    forward = float(np.mean(slowness > 0))
    direction = "forward" if forward >= _ONE_WAY else "both"
    return {
        "event": number,
        "time": _time(start, event.origin),
        "vp_vs": event.ratio,
        "first_distance": float(distance[first]),
        "first_p": _time(start, event.origin + float(travel[first])),
        "s_minus_p": float((event.ratio - 1) * travel[first]),
        "slowness": float(np.median(np.abs(slowness))),
        "direction": "backward" if forward <= 1 - _ONE_WAY else direction,
        "channels": int(channels.size),
        "share": channels.size / fibre,
        "channels_p": int(np.unique(picks.channel[event.p]).size),
        "channels_s": int(np.unique(picks.channel[event.s]).size),
        "first_channel": int(channels[0]),
        "last_channel": int(channels[-1]),
        "strength": float(np.sum(picks.confidence[event.rows], dtype=np.float64)),
        "scatter": 1.4826 * float(np.median(np.abs(event.off))),
    }


def _time(start: int, seconds: float) -> np.datetime64:
    return np.datetime64(start + round(seconds * 1e9), "ns")
