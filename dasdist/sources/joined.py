"""Files that follow one another, as one array: windows then cross their borders."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
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

__all__ = ["JoinedFiles", "JoinedSource", "joined"]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedFiles:
    """Arrays of the same fibre, one after another in time; what `open_files` returns.

    Parameters
    ----------
    arrays : tuple
        What the function that opens a file returned, file by file.
    """

    arrays: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.arrays)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.arrays)


@dataclass(frozen=True, slots=True)
class JoinedSource:
    """Sources of samples x channels, one after another along the samples.

    Parameters
    ----------
    sources : tuple of Source
        All with the same channels.
    sizes : tuple of int
        Samples of each.
    """

    sources: tuple[Source, ...]
    sizes: tuple[int, ...]

    @property
    def _starts(self) -> list[int]:
        return [0, *accumulate(self.sizes)][:-1]

    def select(self, region: Region) -> "JoinedSource":
        """Return a rectangle, of those sources that it touches."""
        starts = self._starts
        first = bisect_right(starts, region.time.start) - 1
        sources, sizes = [], []
        for source, size, start in zip(
            self.sources[first:], self.sizes[first:], starts[first:], strict=True
        ):
            if start >= region.time.stop:
                break
            here = Span(max(0, region.time.start - start), min(size, region.time.stop - start))
            sources.append(source.select(Region(here, region.distance)))
            sizes.append(here.size)
        return JoinedSource(tuple(sources), tuple(sizes))

    def read(self) -> NDArray[Any]:
        """Read all of them."""
        return self.reading().values

    def reading(self) -> Reading:
        """Read all of them, and tell what is missing of each."""
        return in_a_row([reading_of(source) for source in self.sources])

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files of all of them."""
        return [
            (span.shift(start), path)
            for source, start in zip(self.sources, self._starts, strict=True)
            for span, path in source.files()
        ]

    def chunks(self) -> tuple[int, int] | None:
        """Return the storage chunk of the first."""
        return self.sources[0].chunks()

    def identity(self) -> Iterator[bytes]:
        """Yield what tells all of them from others."""
        for source in self.sources:
            yield from source.identity()

    def origins(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield the first sample, the file, its state and what is read of it, in turn."""
        for source, start, size in zip(self.sources, self._starts, self.sizes, strict=True):
            for first, path, state, part in origins_of_source(source, size):
                yield start + first, path, state, part


def joined(arrays: Sequence[Labelled]) -> list[Labelled]:
    """Join arrays that have the same dimensions, type and channels as the one before."""
    groups: list[list[Labelled]] = []
    for array in arrays:
        if groups and _alike(groups[-1][-1], array):
            groups[-1].append(array)
        else:
            groups.append([array])
    return [_one(group) if len(group) > 1 else group[0] for group in groups]


def _alike(one: Labelled, other: Labelled) -> bool:
    if (one.dims, one.dtype) != (other.dims, other.dtype) or one.graph is not None:
        return False
    _, channel = _axes(one)
    if channel < 0 or one.shape[channel] != other.shape[channel] or other.graph is not None:
        return False
    name = one.dims[channel]
    if name not in one.coordinates or name not in other.coordinates:
        return False
    if one.coordinates[name].unit != other.coordinates[name].unit:
        return False
    before, after = one.coordinates[name].ties(), other.coordinates[name].ties()
    return np.array_equal(before.indices, after.indices) and np.array_equal(
        before.values, after.values
    )


def _axes(array: Labelled) -> tuple[int, int]:
    """Return which axis is time and which the fibre, or -1 where that cannot be told."""
    times = [
        i
        for i, dim in enumerate(array.dims)
        if dim in array.coordinates and array.coordinates[dim].dtype.kind == "M"
    ]
    return (times[0], 1 - times[0]) if len(times) == 1 and len(array.dims) == 2 else (-1, -1)


def _one(group: Sequence[Labelled]) -> Labelled:
    first = group[0]
    time, _ = _axes(first)
    name, sizes = first.dims[time], tuple(array.shape[time] for array in group)
    shape = list(first.shape)
    shape[time] = sum(sizes)
    ties = partial(_ties, [array.coordinates[name].ties for array in group], sizes)
    return replace(
        first,
        shape=tuple(shape),
        coordinates={
            **first.coordinates,
            name: replace(first.coordinates[name], ties=ties),
        },
        source=partial(_source, [array.source for array in group], sizes),
        unit=first.unit if all(array.unit == first.unit for array in group) else "",
    )


def _ties(each: Sequence[Callable[[], Ties]], sizes: tuple[int, ...]) -> Ties:
    found = [ties() for ties in each]
    starts = [0, *accumulate(sizes)][:-1]
    return replace(
        found[0],
        indices=np.concatenate([t.indices + s for t, s in zip(found, starts, strict=True)]),
        values=np.concatenate([t.values for t in found]),
        rounding=max(t.rounding for t in found),
    )


def _source(
    each: Sequence[Callable[[int], Source]], sizes: tuple[int, ...], time_axis: int
) -> JoinedSource:
    return JoinedSource(tuple(source(time_axis) for source in each), sizes)
