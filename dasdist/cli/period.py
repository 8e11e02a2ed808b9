"""A stretch of time of a recording, ``--from`` and ``--to``: a month of an archive, for instance.

Its samples are a recording of their own: the first patch starts with the first of them and the last
patch ends with the last, filters settle anew, and no window sees what lies outside.  So within a
window of either end, picks and annotations may differ from those of the whole recording; elsewhere
patches start at other samples, and values differ by what that does to the model.  The same range of
the same data is the same recording, and a run of it resumes.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from dasdist.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

__all__ = ["bounds_of", "parse_time", "within"]


def within(data: Any, since: str | None, until: str | None) -> Any:
    """Return the samples from one time on and before another, lazily.

    Parameters
    ----------
    data : path of an index, xdas or xarray DataArray, or collection
        What `open_input` returns.
    since, until : str, optional
        ISO times, UTC; the first is in, the second is not.

    Returns
    -------
    Of the kind of `data`; of an index its arrays

    Raises
    ------
    InvalidInput
        If there are no such samples, or the times cannot be found.
    """
    if since is None and until is None:
        return data
    start, stop = bounds_of(since, until)
    if isinstance(data, str | os.PathLike):
        data = _arrays_of_index(data)
    last = None if stop is None else _before(stop)
    arrays = data if _is_collection(data) else [data]
    cut = [array.sel({_time(array): slice(start, last)}) for array in arrays]
    kept = [array for array in cut if 0 not in array.shape]
    if not kept:
        ends = [(str(a[_time(a)][0].values), str(a[_time(a)][-1].values)) for a in arrays]
        raise InvalidInput(
            f"There are no samples from {since or 'the start'} to {until or 'the end'}: the data "
            f"goes from {min(ends)[0][:19]} to {max(end for _, end in ends)[:19]}."
        )
    return kept if len(kept) > 1 else kept[0]


def _before(time: "np.datetime64") -> "np.datetime64":
    import numpy as np

    return time - np.timedelta64(1, "ns")


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

    Examples
    --------
    >>> parse_time("2024-03", "--from"), parse_time("2024-03-01T12:00Z", "--from")
    (np.datetime64('2024-03-01T00:00:00.000000000'), np.datetime64('2024-03-01T12:00:00.000000000'))
    """
    if text is None:
        return None
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # other time zones
            return np.datetime64(text.removesuffix("Z"), "ns")
    except (ValueError, UserWarning, DeprecationWarning) as error:
        raise typer.BadParameter(
            f"{text!r} is not a time in UTC such as 2024-03-01 or 2024-03-01T12:00.",
            param_hint=option,
        ) from error


def _arrays_of_index(path: "str | os.PathLike[str]") -> Any:
    from dasdist.sources.index import read_index, warn_of_left_out

    warn_of_left_out(path)
    return read_index(path)


def _is_collection(data: Any) -> bool:
    return isinstance(data, Sequence) and not isinstance(data, Mapping)


def _time(array: Any) -> str:
    dates = [str(dim) for dim in array.dims if array[dim].dtype.kind == "M"]
    if len(dates) > 1 and "time" in dates:
        return "time"
    if len(dates) != 1:
        raise InvalidInput(
            f"--from and --to need one dimension with times; of {array.dims} {len(dates)} have."
        )
    return dates[0]
