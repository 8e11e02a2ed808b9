"""Times with a time zone, as the times in UTC that recordings are counted in."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry.axis import DAYS

__all__ = ["holds_times", "in_utc"]


def holds_times(values: Any) -> bool:
    """Return whether values are objects that stand for times, such as with a zone each."""
    if getattr(values.dtype, "kind", "") != "O" or not values.size:
        return False
    first = np.asarray(values[:1], dtype=object)[0]
    return isinstance(first, datetime) or hasattr(first, "calendar")


def in_utc(values: Any, name: str) -> NDArray[Any]:
    """Return times as datetime64, UTC.

    Parameters
    ----------
    values : ndarray or pandas.DatetimeIndex, shape (n,)
        datetime64, a :class:`pandas.DatetimeIndex` of any zone, or objects with zones of their own.
    name : str
        Name of the coordinate.

    Returns
    -------
    ndarray of datetime64, shape (n,)
        Times that have no zone are in UTC already.

    Raises
    ------
    InvalidInput
        If some have a zone and some have none, or they are dates of another calendar.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values
    if values.dtype.kind == "O":
        aware = [getattr(stamp, "tzinfo", None) is not None for stamp in values]
        if any(aware) and not all(aware):
            raise InvalidInput(
                f"The {name!r} coordinate has times with a time zone and times without. Give all "
                "samples a datetime64 in UTC."
            )
    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(values, utc=True))
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"The {name!r} coordinate begins with {values[0]!r}, a time that has no place among "
            f"those of a datetime64 in nanoseconds; {DAYS[0]} to {DAYS[1]} is taken, in the usual "
            "calendar. Give the samples their right times in UTC."
        ) from error
    return np.asarray(stamps.tz_localize(None).to_numpy())
