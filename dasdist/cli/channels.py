"""Some channels of a recording, ``--channels 100:900``: without dead ones at its ends, say.

They are a recording of their own, whose channels are counted from the first of them; distances stay
what they are.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dasdist.errors import InvalidInput

__all__ = ["among", "parse_channels"]


def parse_channels(text: str | None) -> slice | None:
    """Read which channels: from the first number on and before the second.

    Examples
    --------
    >>> parse_channels("100:900"), parse_channels("100:"), parse_channels(None)
    (slice(100, 900, None), slice(100, None, None), None)
    """
    if text is None:
        return None
    start, colon, stop = text.partition(":")
    numbers = [int(word) if word.isdecimal() else None for word in (start, stop)]
    unread = [
        word for word, number in zip((start, stop), numbers, strict=True) if word and number is None
    ]
    if not colon or unread or numbers == [None, None]:
        raise InvalidInput(
            f"--channels {text} is not FIRST:END, such as 100:900 for channels 100 to 899; either "
            "number may be left out. Channels are counted from 0."
        )
    if None not in numbers and (numbers[0] or 0) >= (numbers[1] or 0):
        raise InvalidInput(f"--channels {text} has no channels: the end, {stop}, is not included.")
    return slice(*numbers)


def among(data: Any, text: str | None) -> Any:
    """Return some channels of a recording, lazily.

    Parameters
    ----------
    data : path of an index, xdas or xarray DataArray, collection, or files of a format of one's own
        What `open_input` returns.
    text : str, optional
        Which, as on the command line.

    Raises
    ------
    InvalidInput
        If it has no such channels.
    """
    channels = parse_channels(text)
    if channels is None:
        return data
    from dasdist.sources.joined import JoinedFiles

    if isinstance(data, str | os.PathLike):
        from dasdist.cli.period import arrays_of_index

        data = arrays_of_index(data)
    if isinstance(data, JoinedFiles):
        return replace(data, arrays=tuple(_cut(array, channels, text) for array in data))
    if isinstance(data, Sequence) and not isinstance(data, Mapping):
        return [_cut(array, channels, text) for array in data]
    return _cut(data, channels, text)


def _cut(array: Any, channels: slice, text: str | None) -> Any:
    from dasdist.sources import SourceArray

    if isinstance(array, SourceArray):
        from dasdist.geometry import Region, Span

        size = len(array.distance)
        _check(channels, size, text)
        start, stop, _ = channels.indices(size)
        region = Region(Span(0, len(array.time)), Span(start, stop))
        return replace(array, source=array.source.select(region), distance=array.distance[channels])
    from dasdist.cli.period import time_dimension

    (dim,) = (name for name in array.dims if name != time_dimension(array, "--channels"))
    _check(channels, array.sizes[dim], text)
    return array.isel({dim: channels})


def _check(channels: slice, size: int, text: str | None) -> None:
    if (channels.start or 0) >= size or (channels.stop or 0) > size:
        raise InvalidInput(
            f"--channels {text}: the data has {size} channels, 0:{size}. Give a range of these."
        )
