"""Where in the bytes of a TDMS file its samples and its times stand.

::

    |lead-in|properties, one of them the start|samples|lead-in|header|samples|
     segment 1                                         segment 2, or none
"""

import struct
from typing import IO

from dasdist.archive.template import Hole, Outline, outline_of

__all__ = ["places_of_tdms"]

_LEAD_IN = 28
_TIME = struct.pack("<i", 0x44)  # the type of times
_START = b"GPSTimeStamp"
_UNREAD = (b"CPUTimeStamp",)


def places_of_tdms(file: IO[bytes], size: int) -> Outline | None:
    """Return the outline of a file of one or two segments.

    Parameters
    ----------
    file : binary file
        The file, open.
    size : int
        Its size in bytes.

    Raises
    ------
    ValueError
        If it does not state its start once, or has another segment.
    """
    next_segment, data = _lead_in(file, 0)
    file.seek(0)
    header = file.read(data)
    samples = [(data, min(next_segment, size))]
    if next_segment < size:
        end, data = _lead_in(file, next_segment)
        if end < size:
            raise ValueError(f"it has a third segment at {end}")
        samples.append((data, size))
    return outline_of(size, samples, _times(header))


def _lead_in(file: IO[bytes], at: int) -> tuple[int, int]:
    """Return where the next segment begins, and where the data of this one do."""
    file.seek(at)
    _, _, _, following, data = struct.unpack("<4siiQQ", file.read(_LEAD_IN))
    return at + _LEAD_IN + following, at + _LEAD_IN + data


def _times(header: bytes) -> list[Hole]:
    holes = []
    for name, hole in ((_START, "start"), *((name, "") for name in _UNREAD)):
        word = struct.pack("<i", len(name)) + name + _TIME
        if header.count(word) == 1:
            start = header.index(word) + len(word)
            holes.append(Hole(start, start + 16, hole))
        elif hole:
            raise ValueError(f"{name!r} stands {header.count(word)} times in its header")
    return holes
