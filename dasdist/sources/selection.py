"""A selection of a recording: read its samples, or say which are missing.

Silence is never data.  Files that are missing or broken, NaN, infinite samples, what files declare
missing and storage that was never written are told, or raise
:class:`~dasdist.errors.UnreadableData`; nothing turns into zeros.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import UnreadableData
from dasdist.geometry import Axis, Region, Span
from dasdist.sources.absence import Absence, Reading, not_numbers, rows_absent
from dasdist.sources.coordinates import Run
from dasdist.sources.mask import NO_MASK, Mask
from dasdist.sources.salvage import reading_of, salvaged
from dasdist.sources.source import Source
from dasdist.units import count_of, readable_time

__all__ = ["ArraySource", "Selection", "Source", "array_selection", "file_identity"]

_NAMED = 3  # of files or channels in a message; the rest is counted
_AT_ONCE = 2**24  # bytes of samples to hash at once
_REMEDY = (
    "Repair the archive, or leave out what touches them and have it listed: "
    'max_failures="any" (--max-failures any).'
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Some samples and channels of a recording, which any process can read.

    Parameters
    ----------
    region : Region
        Its samples and channels in the recording.
    dtype : numpy.dtype
        Type of the samples.
    source : Source
        Where they are.
    times : tuple of Run
        Time axes of the recording that cover the region, to say when samples are missing.
    mask : Mask
        Channels of the recording that are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from dasdist.geometry import Region, Span
    >>> selection = array_selection(np.zeros((3, 2)), Region(Span(10, 13), Span(0, 2)))
    >>> selection.read().shape
    (3, 2)
    """

    region: Region
    dtype: np.dtype[Any]
    source: Source
    times: tuple[Run, ...]
    mask: Mask = NO_MASK

    def read(self) -> NDArray[Any]:
        """Read the samples, all of them.

        Returns
        -------
        ndarray, shape ``region.shape``
            In the type of the recording.  It may be a transposed array or a view of the user's
            own: do not write into it.

        Raises
        ------
        UnreadableData
            If any sample is missing; see :meth:`reading`.  The attributes `path` (str or None),
            `start` and `stop` (numpy.datetime64 or None) are the first file concerned and the times
            of the first and last sample.
        """
        reading = self._reading(finely=False)
        missing = [absence for absence in reading.absences if not absence.masked]
        if missing:
            raise self.refusal(missing)
        return reading.values

    def rows(self, samples: Span) -> "Selection":
        """Return some of its samples, counted from its first, on all of its channels."""
        channels = Span(0, self.region.distance.size)
        region = Region(samples.shift(self.region.time.start), self.region.distance)
        return replace(self, region=region, source=self.source.select(Region(samples, channels)))

    def reading(self) -> Reading:
        """Read the samples, and tell which are missing.

        Returns
        -------
        Reading
            Missing are samples of files that do not exist or cannot be read (as few as storage
            chunks and files allow), NaN and infinite ones, what a file declares missing, and
            storage that was never written.  What was clipped to the lowest integer is data.
            Channels of the mask are absent, too.
        """
        return self._reading(finely=True)

    def _reading(self, *, finely: bool) -> Reading:
        whole = Region(self._whole, Span(0, self.region.distance.size))
        try:
            reading = self._checked(self.source, whole)
        except MemoryError:
            raise  # says nothing about the data
        except Exception as error:  # noqa: BLE001 - the error is in what it returns
            reading = salvaged(self.source, whole.shape, self.dtype, error, finely=finely)
        found = not_numbers(reading)
        reading = replace(reading, absences=(*reading.absences, *found)) if found else reading
        return self.mask.applied(reading, self.region.distance) if self.mask else reading

    def _checked(self, source: Source, region: Region) -> Reading:
        reading = reading_of(source)
        values = reading.values
        if values.shape != region.shape:
            what = f"came back as {values.shape} samples x channels instead of {region.shape}"
            lost = (rows_absent(region.time, region.distance.size, what, None, OSError(what)),)
            return Reading(np.zeros(region.shape, self.dtype), lost, own=True)
        return replace(reading, values=values.astype(self.dtype, copy=False))

    @property
    def held_bytes(self) -> int:
        """Bytes of samples that it carries itself; 0 where it reads them from storage."""
        inner = self.source
        while not isinstance(inner, ArraySource) and hasattr(inner, "source"):
            inner = inner.source
        return inner.values.nbytes if isinstance(inner, ArraySource) else 0

    @property
    def _whole(self) -> Span:
        return Span(0, self.region.time.size)

    def refusal(self, absences: Sequence[Absence]) -> UnreadableData:
        """Return the error that says what is missing: of several reasons, the first."""
        first = absences[0]
        alike = [a for a in absences if (a.error is None) == (first.error is None)]
        if first.error is None:
            alike = [a for a in alike if a.what == first.what]
            return self._is_missing(alike)
        span = Span(min(a.region.time.start for a in alike), max(a.region.time.stop for a in alike))
        paths = [path for a in alike for path in self.paths_of(a)]
        error = self._unreadable(f"{self._times(span)} {first.what}", span, paths)
        error.__cause__ = first.error
        return error

    def paths_of(self, absence: Absence) -> list[str]:
        """Return the files that missing samples belong to, as far as this is known."""
        if absence.path is not None:
            return [absence.path]
        rows = absence.region.time
        if absence.mask is None:
            held = np.arange(rows.start, rows.stop)
        else:
            held = np.flatnonzero(absence.mask.any(axis=1)) + rows.start
        return [
            path
            for span, path in self.source.files()
            if np.any((held >= span.start) & (held < span.stop))
        ]

    def _is_missing(self, absences: Sequence[Absence]) -> UnreadableData:
        mask = np.zeros(self.region.shape, dtype=np.bool_)
        for absence in absences:
            absence.put(mask)
        samples = np.flatnonzero(mask.any(axis=1))
        span = Span(int(samples[0]), int(samples[-1]) + 1)
        dead = np.flatnonzero(mask.all(axis=0))
        what = (
            f"{samples.size} of {count_of(self.region.time.size, 'sample')} on "
            f"{int(mask.any(axis=0).sum())} of "
            f"{count_of(self.region.distance.size, 'channel')} {absences[0].what}: "
            f"{self._times(span)}"
        )
        if 0 < dead.size < mask.shape[1]:  # else it is the file
            named = _some((dead + self.region.distance.start).tolist())
            what += f"; channels {named} have nothing else: leave dead channels out of the data"
        paths = [path for absence in absences for path in self.paths_of(absence)]
        return self._unreadable(what, span, paths)

    def _unreadable(self, what: str, span: Span, paths: Sequence[str]) -> UnreadableData:
        named = list(dict.fromkeys(paths))
        told = not named or (len(named) == 1 and named[0] in what)
        where = "" if told else f" File{'s' if len(named) > 1 else ''}: {_some(named)}."
        error = UnreadableData(f"{what[0].upper()}{what[1:]}.{where} {_REMEDY}")
        # in its dictionary, they outlive the way back from a worker
        vars(error).update(
            path=named[0] if named else None,
            start=self.time(span.start),
            stop=self.time(span.stop - 1),
        )
        return error

    def _times(self, span: Span) -> str:
        samples = span.shift(self.region.time.start)
        text = f"samples {samples.start} to {samples.stop - 1} of the recording"
        first, last = self.time(span.start), self.time(span.stop - 1)
        if first is None:
            return text
        return f"{text} ({readable_time(first)} to {readable_time(last)})"

    def time(self, sample: int) -> np.datetime64 | None:
        """Return the time of a sample, counted from the first of the selection, if known."""
        sample += self.region.time.start
        for run in self.times:
            if run.span.start <= sample < run.span.stop:
                time: np.datetime64 = run.axis.value(sample - run.span.start)
                return time
        return None


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Values in memory, shape (samples, channels); a pickle holds those selected."""

    values: NDArray[Any]

    def select(self, region: Region) -> "ArraySource":
        """Return a view."""
        return ArraySource(self.values[region.time.slice, region.distance.slice])

    def read(self) -> NDArray[Any]:
        """Return the view itself."""
        return self.values

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return none."""
        return ()

    def chunks(self) -> None:
        """Return none."""

    def identity(self) -> Iterator[bytes]:
        """Yield the bytes, some rows at a time."""
        rows = max(1, _AT_ONCE // max(1, self.values[:1].nbytes))
        for first in range(0, len(self.values), rows):
            yield np.ascontiguousarray(self.values[first : first + rows]).tobytes()


def file_identity(path: str) -> bytes:
    """Return base name, size and time of modification of a file.

    For a folder or an address it is only the name, for a missing file that it is missing.
    """
    name = os.path.basename(path)
    try:
        found = os.stat(path)
    except OSError:
        return repr((name, "://" in path or "missing")).encode()
    if stat.S_ISDIR(found.st_mode):
        return repr((name, "folder")).encode()
    return repr((name, found.st_size, found.st_mtime_ns)).encode()


def array_selection(values: NDArray[Any], region: Region, time: Axis | None = None) -> Selection:
    """Return samples that are in memory as a selection, such as a chunk handed to a task.

    Parameters
    ----------
    values : ndarray, shape ``region.shape``
        The samples.
    region : Region
        Which samples and channels of the recording they are.
    time : Axis, optional
        Time axis whose element 0 is the first of these samples, of any size; without it errors
        state samples but no times.

    Returns
    -------
    Selection
        It makes the same checks as one that is read from storage.
    """
    runs = () if time is None else (Run(region.time, time),)
    return Selection(region, values.dtype.newbyteorder("="), ArraySource(values), runs)


def _some(things: Sequence[Any]) -> str:
    text = ", ".join(str(thing) for thing in things[:_NAMED])
    return text if len(things) <= _NAMED else f"{text} and {len(things) - _NAMED} more"
