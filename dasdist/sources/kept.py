"""Some stretches of the samples of an array, as an array of its own.

::

    array   |----------------|xxx|--------------|        samples 0 .. n
    kept    |----------------|--------------|            numbered anew, without the rest
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.sources.absence import Reading, in_a_row
from dasdist.sources.coordinates import Ties
from dasdist.sources.labelled import Labelled
from dasdist.sources.origins import origins_of_source
from dasdist.sources.salvage import reading_of
from dasdist.sources.source import Source

__all__ = ["KeptSource", "kept", "kept_ties"]


def kept(array: Labelled, name: str, spans: Sequence[Span]) -> Labelled:
    """Return an array with some of its samples only.

    Parameters
    ----------
    array : Labelled
        The array.
    name : str
        Its time dimension.
    spans : sequence of Span
        Samples to keep, one stretch after the other in the order in which they shall come; at
        least one.
    """
    time = array.coordinates[name]
    axis = array.dims.index(name)
    shape = list(array.shape)
    shape[axis] = sum(span.size for span in spans)
    return replace(
        array,
        shape=tuple(shape),
        coordinates={
            **array.coordinates,
            name: replace(time, ties=partial(_ties, time.ties, spans)),
        },
        source=partial(_source, array.source, spans, array.shape[1 - axis]),
        graph=None if array.graph is None else _graph(array.graph, axis, spans),
    )


def _ties(ties: Any, spans: Sequence[Span]) -> Ties:
    return kept_ties(ties(), spans)


def _graph(graph: Any, axis: int, spans: Sequence[Span]) -> Any:
    parts = [graph[(slice(None),) * axis + (span.slice,)] for span in spans]
    return np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]


def kept_ties(ties: Ties, spans: Sequence[Span]) -> Ties:
    """Return the ties of some stretches of a coordinate, one after the other."""
    indices: list[NDArray[np.int64]] = []
    values: list[NDArray[Any]] = []
    start = 0
    for span in spans:
        ends = np.unique([span.start, span.stop - 1])
        first, last = np.searchsorted(ties.indices, [span.start + 1, span.stop - 1])
        inside = slice(int(first), max(int(first), int(last)))
        held = np.array([value_at(ties, int(end)) for end in ends], dtype=ties.values.dtype)
        indices.append(np.concatenate((ends[:1], ties.indices[inside], ends[1:])))
        indices[-1] += start - span.start
        values.append(np.concatenate((held[:1], ties.values[inside], held[1:])))
        start += span.size
    return replace(ties, indices=np.concatenate(indices), values=np.concatenate(values))


def value_at(ties: Ties, index: int) -> Any:
    """Return the value of a coordinate at an index; integers are rounded half up."""
    after = int(np.searchsorted(ties.indices, index))
    if ties.indices[after] == index:
        return ties.values[after].item()
    start, stop = ties.indices[after - 1 : after + 1].tolist()
    low, high = ties.values[after - 1 : after + 1].tolist()
    if isinstance(low, float):
        return low + (high - low) * (index - start) / (stop - start)
    rise = Fraction((high - low) * (index - start), stop - start)
    return low + (rise + Fraction(1, 2)) // 1


def _source(source: Any, spans: Sequence[Span], channels: int, time_axis: int) -> Source:
    whole: Source = source(time_axis)
    every = Span(0, channels)
    if len(spans) == 1:
        return whole.select(Region(spans[0], every))
    bounds = np.array([(span.start, span.stop) for span in spans], dtype=np.int64)
    return KeptSource(whole, bounds, every)


@dataclass(frozen=True, slots=True, eq=False)
class KeptSource:
    """Stretches of the samples of a source, one after the other.

    Parameters
    ----------
    source : Source
        Samples x channels.
    bounds : ndarray of int64, shape (n, 2)
        First sample of each stretch in the source, and the one after its last.
    channels : Span
        Channels of the source.
    """

    source: Source
    bounds: NDArray[np.int64]
    channels: Span

    @property
    def _ends(self) -> NDArray[np.int64]:
        """Samples up to the end of each stretch."""
        return np.cumsum(self.bounds[:, 1] - self.bounds[:, 0])

    def select(self, region: Region) -> Source:
        """Return a rectangle, of as little of the source as holds it."""
        ends = self._ends
        time = region.time
        first, last = np.searchsorted(ends, [time.start, time.stop - 1], side="right").tolist()
        bounds = self.bounds[first : last + 1].copy()
        bounds[0, 0] = self.bounds[first, 1] - (ends[first] - time.start)
        bounds[-1, 1] = self.bounds[last, 1] - (ends[last] - time.stop)
        low, high = int(bounds[:, 0].min()), int(bounds[:, 1].max())
        hull = self.source.select(Region(Span(low, high), region.distance))
        if len(bounds) == 1:
            return hull
        return KeptSource(hull, bounds - low, Span(0, region.distance.size))

    def read(self) -> NDArray[Any]:
        """Read stretch by stretch."""
        return self.reading().values

    def reading(self) -> Reading:
        """Read stretch by stretch, and tell what is missing of each."""
        return in_a_row([reading_of(part) for part in self._parts()])

    def _parts(self) -> Iterator[Source]:
        for start, stop in self.bounds.tolist():
            yield self.source.select(Region(Span(start, stop), self.channels))

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files of what is kept."""
        found, starts = [], self._ends - (self.bounds[:, 1] - self.bounds[:, 0])
        for span, path in self.source.files():
            meets = (self.bounds[:, 0] < span.stop) & (self.bounds[:, 1] > span.start)
            for i in np.flatnonzero(meets).tolist():
                low, high = self.bounds[i].tolist()
                held = Span(max(low, span.start), min(high, span.stop))
                found.append((held.shift(int(starts[i]) - low), path))
        return sorted(found, key=lambda one: one[0].start)

    def chunks(self) -> tuple[int, int] | None:
        """Return the storage chunk of the source."""
        return self.source.chunks()

    def origins(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield the first sample, the file, its state and what is read of it, of what is kept."""
        end = int(self.bounds.max())
        whole = list(origins_of_source(self.source, end))
        starts = np.array([start for start, *_ in whole], dtype=np.int64)
        ends = np.append(starts[1:], max(end, int(starts[-1])))
        done = 0
        for low, high in self.bounds.tolist():
            first = int(np.searchsorted(starts, low, side="right")) - 1
            last = int(np.searchsorted(starts, high))
            for number in range(first, last):
                start, path, state, part = whole[number]
                here, stop = max(low, start), min(high, int(ends[number]))
                # a file of which all is kept is what it is without overlaps
                cut = (here, stop) != (start, ends[number])
                read = repr((here - start, stop - start)).encode() * cut
                yield done + here - low, path, state, part + read
            done += high - low

    def identity(self) -> Iterator[bytes]:
        """Yield what is kept, and what tells the source from others."""
        yield self.bounds.tobytes()
        yield from self.source.identity()
