"""How long the files of a recording are, so that blocks can end where files do."""

from dasdist.geometry import Region, Span
from dasdist.sources import Recording

__all__ = ["file_samples"]

_FIRST = 1000
"""Samples in which the end of the first file is looked for; then in ever more."""


def file_samples(recording: Recording, segment: Region) -> int:
    """Return the samples of each of the equal files that a segment begins with.

    Only the first few files are looked at, and none is opened.

    Parameters
    ----------
    recording : Recording
        The data.
    segment : Region
        Where the segment lies in it.

    Returns
    -------
    int
        0 where there are no such files, or the segment does not begin with the first sample of one.
    """
    size, start = _FIRST, segment.time.start
    while True:
        stop = min(start + size, segment.time.stop)
        one = Region(Span(start, stop), Span(segment.distance.start, segment.distance.start + 1))
        files = recording.select(one).source.files()
        if not files or len(files) > 2 or stop == segment.time.stop:
            break
        size *= 4
    files = sorted(files, key=lambda found: found[0].start)
    whole = [span.size for span, _ in files[:-1]]  # the last may be longer than what was looked at
    equal = len(set(whole)) == 1 and files[-1][0].size <= whole[0]
    return whole[0] if equal else 0
