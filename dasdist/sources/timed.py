"""The times of arrays: cut into runs, without what overlaps, within a stretch of time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dasdist.errors import InvalidInput
from dasdist.geometry import Span
from dasdist.sources.coordinates import Run, runs_of
from dasdist.sources.jitter import Jitter, jitter_of
from dasdist.sources.kept import kept
from dasdist.sources.labelled import Coordinate, Labelled
from dasdist.sources.overlaps import Overlap, without_overlaps
from dasdist.sources.restamp import restamped
from dasdist.sources.time_range import TimeRange, spans_between
from dasdist.units import count_of

__all__ = ["Timed", "with_times"]

_NAMED = 3  # of overlaps in a note


@dataclass(frozen=True, slots=True)
class Timed:
    """An array, and its times.

    Parameters
    ----------
    array : Labelled
        The array, less the samples that do not count.
    runs : tuple of Run
        Its times.
    notes : tuple of str
        What was left out.
    jitter : Jitter or None
        How its stamps jitter, if they do.
    """

    array: Labelled
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()
    jitter: Jitter | None = None


def with_times(
    arrays: Sequence[Labelled], name: str, tolerance: float, within: TimeRange
) -> list[Timed]:
    """Find the times of arrays, and leave out samples that do not count.

    Parameters
    ----------
    arrays : sequence of Labelled
        With times along `name`.
    name : str
        The time dimension.
    tolerance : float
        Largest deviation from uniform spacing, in samples.
    within : TimeRange
        What counts; arrays without such samples are left out.

    Raises
    ------
    InvalidInput
        If there are no such samples, times do not increase, or they jitter so that some repeat.
    """
    whole = [_timed(array, name, tolerance) for array in arrays]
    if within.start is None and within.stop is None:
        return whole
    found = [cut for one in whole for cut in _within(one, name, tolerance, within)]
    if not found:
        runs = [run for one in whole for run in one.runs]
        first = min(run.axis.value(0) for run in runs)
        last = max(run.axis.value(run.axis.size - 1) for run in runs)
        raise InvalidInput(
            f"There are no samples {within}: the data goes from {str(first)[:19]} to "
            f"{str(last)[:19]}."
        )
    return found


def _timed(array: Labelled, name: str, tolerance: float) -> Timed:
    array = _as_meant(array, name)
    ties = array.coordinates[name].ties()
    runs = runs_of(ties, name, tolerance)
    jitter = jitter_of(ties, runs, tolerance)
    if jitter is not None and jitter.repeats:
        raise InvalidInput(str(jitter))
    spans, overlaps = without_overlaps(runs, ties)
    if not overlaps:
        return Timed(array, runs, (), jitter)
    rest = kept(array, name, spans)
    runs = runs_of(rest.coordinates[name].ties(), name, tolerance)
    return Timed(rest, runs, (_note(overlaps, array, name),), jitter)


def _as_meant(array: Labelled, name: str) -> Labelled:
    """Return the array with times found once, those of rounded steps as their stamps have them."""
    time = array.coordinates[name]
    meant = restamped(time.ties(), _not_stated)
    coordinates = {**array.coordinates, name: Coordinate(time.dtype, lambda: meant)}
    return replace(array, coordinates=coordinates)


def _not_stated() -> None:
    """Return none: headers are asked where files are known."""


def _within(one: Timed, name: str, tolerance: float, within: TimeRange) -> Iterator[Timed]:
    """Yield the array cut to a stretch of time; nothing if it has none of it."""
    spans = spans_between(one.array.coordinates[name].ties(), within.start, within.stop)
    if spans:
        cut = kept(one.array, name, spans)
        runs = runs_of(cut.coordinates[name].ties(), name, tolerance)
        yield Timed(cut, runs, one.notes, one.jitter)


def _note(overlaps: Sequence[Overlap], array: Labelled, name: str) -> str:
    """Return what is left out of an array, and where."""
    axis = array.dims.index(name)
    files = array.source(axis).files() if len(overlaps) <= _NAMED else ()
    shown = [_shown(overlap, files) for overlap in overlaps[:_NAMED]]
    more = f"; and {len(overlaps) - _NAMED} more" if len(overlaps) > _NAMED else ""
    count = sum(overlap.samples.size for overlap in overlaps)
    return (
        f"{count_of(count, 'sample')} left out for which earlier files or blocks have the same "
        f"time, so that nothing counts twice: {'; '.join(shown)}{more}"
    )


def _shown(overlap: Overlap, files: Sequence[tuple[Span, str]]) -> str:
    held = overlap.samples
    paths = [path for span, path in files if span.start < held.stop and span.stop > held.start]
    of = f" of {paths[0]}" if len(paths) == 1 else f" of {len(paths)} files" if paths else ""
    return f"{held.size:,}{of} from {overlap.start} to {overlap.stop}"
