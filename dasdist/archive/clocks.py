"""Tell from a few bytes of a file when it starts, and what else of its times may differ.

Files of a layout whose *pattern* is the same, too, are the same but for their start: all times of
one are those of the other, moved by one whole number of ticks.  Engines compute times from such
bytes in integers, or round each to a tick first; so here.  What a clock does not know for sure, it
refuses, and the file is read in full.
"""

import datetime
import re
import struct
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from dasdist.archive.template import Facts

__all__ = ["CLOCKS", "Moment", "moment_of"]

_EARLIEST = np.datetime64("1971-01-01", "ns").astype(np.int64).item()
_LATEST = np.datetime64("2200-01-01", "ns").astype(np.int64).item()
"""Between these, no library rounds nanoseconds, and none changes calendars."""

_UNITS = {
    "days": 86_400 * 10**9,
    "hours": 3_600 * 10**9,
    "minutes": 60 * 10**9,
    "seconds": 10**9,
    "milliseconds": 10**6,
    "microseconds": 10**3,
    "nanoseconds": 1,
}

_SHORT = 32
"""Bytes of a pattern that are kept as they are."""

_DIGITS = str.maketrans("123456789", "000000000")
_TIME = r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)"
_SINCE = re.compile(rf"([a-z]+) since {_TIME}")
_UTC = re.compile(rf"{_TIME}(\+00:00|Z)")


class Moment(NamedTuple):
    """When a file starts, in nanoseconds since 1970, and the pattern of its times."""

    start: int
    pattern: Hashable


def moment_of(engine: str, facts: Facts, constants: Mapping[str, Any]) -> Moment | None:
    """Return when a file starts.

    Parameters
    ----------
    engine : str
        What reads it.
    facts : dict of str to tuple of bytes
        What stands in the holes of its layout.
    constants : mapping
        What else the clock of this engine needs; the same for all files of a layout.

    Returns
    -------
    Moment or None
        None if the clock does not know such bytes.
    """
    try:
        moment = CLOCKS[engine](facts, constants)
    except (ValueError, OverflowError, LookupError, struct.error):
        return None
    return moment if _EARLIEST <= moment.start < _LATEST else None


def _netcdf(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """Integers that count units since a time, which the attribute ``units`` states."""
    del constants
    text = _only(facts["units"])
    since, unit = _origin(text)
    values = np.frombuffer(b"".join(facts["times"]), dtype="<i8")
    return Moment(since + unit * int(values[0]), (_shape(text), _digest(values - values[0])))


@lru_cache(maxsize=16)
def _origin(text: str) -> tuple[int, int]:
    """Return the time from which units are counted, and the nanoseconds of one."""
    matched = _SINCE.fullmatch(text)
    if not matched:
        raise ValueError(text)
    return _nanoseconds(matched[2], matched[3]), _UNITS[matched[1]]


def _prodml(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """Texts of the first and last time; a time of each sample, in microseconds, beside them."""
    texts = _only(facts["start"]), _only(facts["end"])
    matched = [_UTC.fullmatch(text) for text in texts]
    first, last = (_nanoseconds(m[1], m[2]) for m in matched if m)
    shape = tuple(map(_shape, texts))
    if "times" not in facts:
        return Moment(first, (shape, last - first))
    times = np.frombuffer(b"".join(facts["times"]), dtype=constants["times"])
    return Moment(first, (shape, last - first, int(times[-1]) - int(times[0])))


def _febus(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """A time of each block in seconds, from which xdas counts back to its first sample."""
    times = np.frombuffer(b"".join(facts["times"]), dtype="<f8") + constants["shift"]
    if not np.isfinite(times).all():
        raise ValueError(times)
    ticks = np.rint(1e6 * times).astype("M8[us]").astype(np.int64)
    return Moment(1000 * int(ticks[0]), _digest(ticks - ticks[0]))


def _terra15(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """A time of each sample in seconds, of which the first and the last count."""
    del constants
    times = np.frombuffer(b"".join(facts["times"]), dtype="<f8")
    first, last = (int(pd.Timestamp(t, unit="s").as_unit("ns").value) for t in times[[0, -1]])
    return Moment(first, last - first)


def _apsensing(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """A text of the first time."""
    del constants
    text = _only(facts["start"])
    matched = _UTC.fullmatch(text)
    if not matched:
        raise ValueError(text)
    return Moment(_nanoseconds(matched[1], matched[2]), _shape(text))


def _asn(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """The first time in seconds."""
    del constants
    (seconds,) = np.frombuffer(_same(facts["times"]), dtype="<f8")
    return Moment(round(seconds * 1e9), None)


def _silixa(facts: Facts, constants: Mapping[str, Any]) -> Moment:
    """The first time as LabVIEW counts: seconds since 1904, and fractions of one."""
    del constants
    fractions, seconds = struct.unpack("<Qq", _same(facts["start"]))
    since = datetime.timedelta(0, fractions * 2**-64 + seconds)
    time = np.datetime64(since + datetime.datetime(1904, 1, 1), "us")
    return Moment(1000 * int(time.astype(np.int64)), None)


CLOCKS: dict[str, Callable[[Facts, Mapping[str, Any]], Moment]] = {
    "xdas": _netcdf,
    "prodml": _prodml,
    "febus": _febus,
    "terra15": _terra15,
    "apsensing": _apsensing,
    "asn": _asn,
    "silixa": _silixa,
}
"""Clocks of the engines whose files are learned."""


def _same(values: tuple[bytes, ...]) -> bytes:
    """Return what stands in several places, if it is the same in all."""
    if len(set(values)) != 1:
        raise ValueError(values)
    return values[0]


def _only(values: tuple[bytes, ...]) -> str:
    return _same(values).decode("ascii")


def _nanoseconds(day: str, time: str) -> int:
    return int(np.datetime64(f"{day}T{time}", "ns").astype(np.int64))


def _shape(text: str) -> str:
    """Return a text without its digits: how many there are may choose a unit."""
    return text.translate(_DIGITS)


def _digest(values: Any) -> bytes:
    held: bytes = np.ascontiguousarray(values).tobytes()
    return held if len(held) <= _SHORT else blake2b(held, digest_size=_SHORT).digest()
