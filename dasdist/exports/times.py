"""Times as consumers hold them: rounded, never cut."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rounded", "seconds_of", "texts"]

_UNITS = {"ms": 1_000_000, "us": 1_000, "ns": 1}


def rounded(time: Any, unit: str) -> NDArray[np.datetime64]:
    """Return times in nanoseconds as whole milliseconds ("ms") or microseconds ("us").

    Examples
    --------
    >>> time = np.array(["2024-05-01T00:00:01.999600000"], "datetime64[ns]")
    >>> rounded(time, "ms").tolist()[0].isoformat()
    '2024-05-01T00:00:02'
    """
    step = _UNITS[unit]
    whole = np.asarray(time, "datetime64[ns]").astype(np.int64)
    return ((whole + step // 2) // step).astype(f"datetime64[{unit}]")


def texts(time: Any, unit: str, zone: str = "") -> NDArray[Any]:
    """Return times as text of ISO 8601.

    Examples
    --------
    >>> texts(np.array(["2024-05-01T00:00:01.25"], "datetime64[ns]"), "ms").tolist()
    ['2024-05-01T00:00:01.250']
    """
    found = np.datetime_as_string(rounded(time, unit)).astype(object)
    return found + zone if zone else found


def seconds_of(time: Any) -> NDArray[np.float64]:
    """Return seconds since 1970, UTC; a float64 holds them to a quarter of a microsecond."""
    whole = np.asarray(time, "datetime64[ns]").astype(np.int64)
    return whole // 10**9 + (whole % 10**9) / 1e9
