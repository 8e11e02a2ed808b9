"""A selection of a recording: read its samples, or say which are missing.

Silence is never data.  Files that are missing or broken, NaN, infinite samples and the value that
stands for a missing file raise :class:`~dasdist.errors.UnreadableData`; nothing turns into zeros.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import UnreadableData
from dasdist.geometry import Axis, Region, Span
from dasdist.sources.coordinates import Run
from dasdist.units import count_of, readable_time

__all__ = ["ArraySource", "Selection", "Source", "array_selection", "file_identity"]

_NAMED = 3  # of files or channels in a message; the rest is counted
_AT_ONCE = 2**24  # bytes of samples to hash at once
_REMEDY = (
    "Repair the archive, or leave such blocks out and list them: "
    'max_failures="any" (--max-failures any).'
)


class Source(Protocol):
    """Where samples x channels are stored, and how to read them."""

    def select(self, region: Region) -> "Source":
        """Return a rectangle of this one, counted from its own first sample and channel."""

    def read(self) -> NDArray[Any]:
        """Return the values, shape (samples, channels); keep nothing in memory."""

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return which samples lie in which file, as far as this is known; never raise."""

    def chunks(self) -> tuple[int, int] | None:
        """Return samples and channels of a storage chunk, if known and not contiguous."""

    def identity(self) -> Iterator[bytes]:
        """Yield what identifies these samples, without reading any from storage."""


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

    def read(self) -> NDArray[Any]:
        """Read the samples.

        Returns
        -------
        ndarray, shape ``region.shape``
            In the type of the recording.  It may be a transposed array or a view of the user's
            own: do not write into it.

        Raises
        ------
        UnreadableData
            If a file does not exist or the samples cannot be read (the error of the reading library
            is its cause), if any sample is NaN or infinite, or if integers of *all* channels at one
            time, or signed ones of one channel at all times, are the lowest integer of their type,
            which is what xdas fills in for a missing file.  A single sample that is clipped to that
            integer is data.  The attributes `path` (str or None), `start` and `stop`
            (numpy.datetime64 or None) are the first file concerned and the times of the first and
            last sample.
        """
        if self.dtype.kind != "f":
            self._refuse_absent_files()
        try:
            values = np.asarray(self.source.read())
        except MemoryError:
            raise  # says nothing about the data
        except Exception as error:
            raise self._cannot_be_read(error) from error
        if values.shape != self.region.shape:
            raise self._unreadable(
                f"{self._times(self._whole)} came back as {values.shape} samples x channels "
                f"instead of {self.region.shape}",
                self._whole,
                [path for _, path in self.source.files()],
            )
        values = values.astype(self.dtype, copy=False)
        missing = _missing(values)
        if missing is not None:
            raise self._is_missing(missing)
        return values

    @property
    def held_bytes(self) -> int:
        """Bytes of samples that it carries itself; 0 where it reads them from storage."""
        return self.source.values.nbytes if isinstance(self.source, ArraySource) else 0

    @property
    def _whole(self) -> Span:
        return Span(0, self.region.time.size)

    def _refuse_absent_files(self) -> None:
        """Refuse missing files: their integers could look like data (their floats are NaN)."""
        gone = [
            (span, path)
            for span, path in self.source.files()
            if "://" not in path and not os.path.exists(path)
        ]
        if gone:
            span = Span(min(s.start for s, _ in gone), max(s.stop for s, _ in gone))
            what = f"{self._times(span)} cannot be read (FileNotFoundError: no such file)"
            error = self._unreadable(what, span, [path for _, path in gone])
            raise error from FileNotFoundError(gone[0][1])

    def _cannot_be_read(self, error: Exception) -> UnreadableData:
        files = self.source.files()
        if len(files) > 1:  # find out which
            files = [(span, path) for span, path in files if not self._can_read(span)] or files
        spans = [span for span, _ in files] or [self._whole]
        span = Span(min(s.start for s in spans), max(s.stop for s in spans))
        what = f"{self._times(span)} cannot be read ({type(error).__name__}: {error})"
        return self._unreadable(what, span, [path for _, path in files])

    def _can_read(self, span: Span) -> bool:
        try:
            self.source.select(Region(span, Span(0, self.region.distance.size))).read()
        except Exception:  # noqa: BLE001 - the error itself is being reported already
            return False
        return True

    def _is_missing(self, missing: "_Missing") -> UnreadableData:
        span = Span(int(missing.samples[0]), int(missing.samples[-1]) + 1)
        paths = [
            path
            for held, path in self.source.files()
            if np.any((missing.samples >= held.start) & (missing.samples < held.stop))
        ]
        what = (
            f"{missing.samples.size} of {count_of(self.region.time.size, 'sample')} on "
            f"{missing.channels} of "
            f"{count_of(self.region.distance.size, 'channel')} {missing.what}: {self._times(span)}"
        )
        if missing.dead.size:
            dead = _some((missing.dead + self.region.distance.start).tolist())
            what += f"; channels {dead} have nothing else: leave dead channels out of the data"
        return self._unreadable(what, span, paths)

    def _unreadable(self, what: str, span: Span, paths: Sequence[str]) -> UnreadableData:
        named = list(dict.fromkeys(paths))
        told = not named or (len(named) == 1 and named[0] in what)
        where = "" if told else f" File{'s' if len(named) > 1 else ''}: {_some(named)}."
        error = UnreadableData(f"{what[0].upper()}{what[1:]}.{where} {_REMEDY}")
        # in its dictionary, they outlive the way back from a worker
        vars(error).update(
            path=named[0] if named else None,
            start=self._time(span.start),
            stop=self._time(span.stop - 1),
        )
        return error

    def _times(self, span: Span) -> str:
        samples = span.shift(self.region.time.start)
        text = f"samples {samples.start} to {samples.stop - 1} of the recording"
        first, last = self._time(span.start), self._time(span.stop - 1)
        if first is None:
            return text
        return f"{text} ({readable_time(first)} to {readable_time(last)})"

    def _time(self, sample: int) -> np.datetime64 | None:
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


# ---------------------------------------------------------------- what is not data


@dataclass(frozen=True, slots=True)
class _Missing:
    samples: NDArray[np.int64]
    channels: int
    dead: NDArray[np.int64]
    what: str


def _missing(values: NDArray[Any]) -> _Missing | None:
    if values.dtype.kind == "f":
        return _not_finite(values)
    unsigned = values.dtype.kind == "u"  # their lowest is 0, on one channel as good as any sample
    if unsigned and values.shape[1] == 1:
        return None
    lowest = np.iinfo(values.dtype).min
    what = f"are {lowest}, the value that stands for a missing file"
    samples = np.flatnonzero(values[:, 0] == lowest)  # mostly none, and that is quick to see
    samples = samples[(values[samples] == lowest).all(axis=1)]
    if samples.size:
        return _Missing(samples, values.shape[1], np.empty(0, dtype=np.int64), what)
    if unsigned:
        return None
    dead = np.flatnonzero(values[0] == lowest)
    dead = dead[(values[:, dead] == lowest).all(axis=0)]
    return _Missing(np.arange(len(values)), dead.size, dead, what) if dead.size else None


def _not_finite(values: NDArray[Any]) -> _Missing | None:
    # one NaN or infinity makes the sum so: no array as large as the data is needed to see it
    with np.errstate(all="ignore"):
        if np.isfinite(values.sum()):
            return None
    bad = ~np.isfinite(values)
    samples = np.flatnonzero(bad.any(axis=1))
    if samples.size == 0:  # only the sum was too large
        return None
    dead = np.flatnonzero(bad.all(axis=0))
    if dead.size == values.shape[1]:  # then it is the file
        dead = dead[:0]
    return _Missing(samples, int(bad.any(axis=0).sum()), dead, "are NaN or infinite")
