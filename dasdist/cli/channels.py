"""Some channels of a recording, ``--channels 100:900``: without dead ones at its ends, say.

They are a recording of their own, whose channels are counted from the first of them; distances stay
what they are.
"""

import os
from typing import TYPE_CHECKING, Any

from dasdist.errors import InvalidInput

if TYPE_CHECKING:
    from dasdist.cli.asked import Asked
    from dasdist.sources import Mask

__all__ = ["among", "mask_of", "parse_channels"]


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


def among(data: Any, text: str | None, tolerance: float = 0.25) -> Any:
    """Return some channels of a recording, lazily.

    Parameters
    ----------
    data : path of an index, or whatever open_recording takes
        What `open_input` returns.
    text : str, optional
        Which, as on the command line.
    tolerance : float
        With which the data will be opened.

    Returns
    -------
    ChannelRange
        Which :func:`~dasdist.sources.open_recording` cuts; `data` itself without such channels.

    Raises
    ------
    InvalidInput
        If it has no such channels.
    """
    channels = parse_channels(text)
    if channels is None:
        return data
    if isinstance(data, str | os.PathLike):
        from dasdist.cli.period import arrays_of_index

        data = arrays_of_index(data)
    from dasdist.sources import ChannelRange, open_recording

    found = ChannelRange(data, channels.start, channels.stop)
    open_recording(found, tolerance=tolerance)  # what is wrong is said before a cluster starts
    return found


def mask_of(asked: "Asked") -> "Mask | None":
    """Read which channels to leave out, counted as the run counts them."""
    if asked.mask is None:
        return None
    from dasdist.geometry import Span
    from dasdist.sources import read_mask

    found, chosen = read_mask(asked.mask), parse_channels(asked.period.channels)
    if chosen is None:
        return found
    return found.within(Span(chosen.start or 0, 2**62 if chosen.stop is None else chosen.stop))
