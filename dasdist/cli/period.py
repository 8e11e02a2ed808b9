"""A stretch of time of a recording, ``--from`` and ``--to``: a month of an archive, for instance.

Its samples are a recording of their own: the first patch starts with the first of them and the last
patch ends with the last, filters settle anew, and no window sees what lies outside.  So within a
window of either end, picks and annotations may differ from those of the whole recording; elsewhere
patches start at other samples, and values differ by what that does to the model.  The same range of
the same data is the same recording, and a run of it resumes.
"""

import os
import re
from typing import TYPE_CHECKING, Any

import typer

from dasdist.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

__all__ = ["arrays_of_index", "bounds_of", "parse_time", "within"]

_FORM = re.compile(
    r"""(?P<year>\d{4})
    (-(?P<month>\d\d)(-(?P<day>\d\d))? | (?P<basic>\d{4}))?
    ([T ](?P<hour>\d\d)(:?(?P<minute>\d\d)(:?(?P<second>\d\d)([.,](?P<fraction>\d{1,9}))?)?)?
     \ ?(?P<zone>Z | [+-]\d\d(:?\d\d)?)?)?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
"""ISO 8601: a year, month or day, or a time of a day; extended or basic, with a zone or without."""

_EXAMPLES = "2024-03, 2024-03-01, 20240301, 2024-03-01T12:00, 2024-03-01T12:00:30.5+02:00"


def within(data: Any, since: str | None, until: str | None, tolerance: float = 0.25) -> Any:
    """Return the samples from one time on and before another, lazily.

    Parameters
    ----------
    data : path of an index, or whatever open_recording takes
        What `open_input` or `among` returns.
    since, until : str, optional
        ISO times, UTC or with a zone; the first is in, the second is not.
    tolerance : float
        With which the data will be opened.

    Returns
    -------
    TimeRange
        Which :func:`~dasdist.sources.open_recording` cuts; `data` itself without such times.

    Raises
    ------
    typer.BadParameter, InvalidInput
        If these are no times, the first is not before the second, or there are no such samples.
    """
    if since is None and until is None:
        return data
    start, stop = bounds_of(since, until)
    if isinstance(data, str | os.PathLike):
        data = arrays_of_index(data)
    from dasdist.sources import TimeRange, open_recording

    found = TimeRange(data, start, stop)
    open_recording(found, tolerance=tolerance)  # what is wrong is said before a cluster starts
    return found


def bounds_of(
    since: str | None, until: str | None
) -> "tuple[np.datetime64 | None, np.datetime64 | None]":
    """Read two times; `InvalidInput` if the first is not before the second."""
    start, stop = parse_time(since, "--from"), parse_time(until, "--to")
    if start is not None and stop is not None and start >= stop:
        raise InvalidInput(f"--from {since} is not before --to {until}.")
    return start, stop


def parse_time(text: str | None, option: str) -> "np.datetime64 | None":
    """Read a time.

    Parameters
    ----------
    text : str, optional
        A date or time as ISO 8601 has it; without a zone it is UTC.
    option : str
        What it was given for.

    Raises
    ------
    typer.BadParameter
        If it is no such time, or none that nanoseconds since 1970 can count.

    Examples
    --------
    >>> parse_time("2024-03", "--from"), parse_time("20240301T1200+0200", "--from")
    (np.datetime64('2024-03-01T00:00:00.000000000'), np.datetime64('2024-03-01T10:00:00.000000000'))
    """
    if text is None:
        return None
    import numpy as np

    found = _FORM.fullmatch(text.strip())
    if found is None:
        hint = " A number of seconds since 1970 is not understood." if _is_number(text) else ""
        raise _no_time(text, option, hint)
    part = found.groupdict(default="")
    month, day = part["month"] or part["basic"][:2], part["day"] or part["basic"][2:]
    clock = f"{part['hour'] or '00'}:{part['minute'] or '00'}:{part['second'] or '00'}"
    try:
        time = np.datetime64(f"{part['year']}-{month or '01'}-{day or '01'}T{clock}", "s")
    except ValueError as error:
        raise _no_time(text, option, f" {error}.") from error
    utc: np.datetime64 = time - _offset(part["zone"], text, option)
    if not _countable(utc):
        raise _no_time(text, option, " Times go from 1900 to 2262.")
    below = np.timedelta64(int(part["fraction"].ljust(9, "0")), "ns")
    exact: np.datetime64 = utc.astype("M8[ns]") + below
    return exact


def _offset(zone: str, text: str, option: str) -> "np.timedelta64":
    """Return by how much a zone is ahead of UTC."""
    import numpy as np

    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 23 or minutes > 59:
        raise _no_time(text, option, f" There is no zone {zone}.")
    ahead = np.timedelta64(60 * hours + minutes, "m")
    return -ahead if zone[:1] == "-" else ahead


def _countable(time: "np.datetime64") -> bool:
    from dasdist.geometry.axis import DAYS

    return bool(DAYS[0] <= time.astype("M8[D]") <= DAYS[1])


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[+-]?\d+(\.\d*)?\s*", text))


def _no_time(text: str, option: str, hint: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"{text!r} is not a time in UTC, or with its zone, such as {_EXAMPLES}.{hint}",
        param_hint=option,
    )


def arrays_of_index(path: "str | os.PathLike[str]", engine: str | None = None) -> Any:
    """Open the arrays of an index, and warn of what it lists."""
    from dasdist.sources.index import read_index, warn_of_left_out

    warn_of_left_out(path)
    return read_index(path, engine)
