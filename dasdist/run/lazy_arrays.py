"""Annotations as lazy arrays: nothing is computed before it is looked at.

Each block of the plan becomes one chunk, and one task, of a dask array.  What a task reads differs
with where the data is::

    archive, or array in memory          array that is itself a dask graph
    the task holds a Selection and            dask.array.overlap gives every chunk its halo,
    reads its own halo                   and the task gets the chunk

The model is one key of the graph, so that any Dask scheduler can run it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray

from dasdist.errors import ModelFault, UnreadableData
from dasdist.executors.gpus import take_turn_here
from dasdist.geometry import Block, Region, SegmentGrid, Span
from dasdist.inference import Recipe, process_block
from dasdist.inference.replica import Payload, predictor_of, remember
from dasdist.sources import Recording, Selection, array_selection

__all__ = ["lazy_annotations", "stacked"]


def lazy_annotations(
    recording: Recording,
    grid: SegmentGrid,
    recipe: Recipe,
    payload: Payload,
    keys: Sequence[str],
    *,
    skip_errors: bool,
) -> dict[str, da.Array]:
    """Return a segment's annotations as dask arrays.

    Parameters
    ----------
    recording : Recording
        The data.
    grid : SegmentGrid
        The segment; its blocks become chunks.
    recipe : Recipe
        What all blocks share; its mapper is that of `stacked`.
    payload : Payload
        The model.
    keys : sequence of str
        Annotation keys.
    skip_errors : bool
        Whether what cannot be computed becomes NaN instead of an error.

    Returns
    -------
    dict of str to dask.array.Array of float32, shape ``grid.shape``
    """
    if recording.graph is None:
        chunks, graph, below = _of_archive(recording, grid)
    else:
        chunks, graph, below = _of_graph(recording.graph, grid)
    # never a hash: two archives may have the same blocks, and hashing samples would read them
    name = f"dasdist-annotate-{uuid4().hex}"
    shared = f"dasdist-model-{payload.token}-{name}"
    tasks: dict[Any, Any] = {
        (name, 0, *place): (_annotate, shared, *rest) for place, rest in graph.items()
    }
    common = _Common(grid, recipe, payload, skip_errors)
    layers = HighLevelGraph.from_collections(name, {shared: common, **tasks}, below)
    stacked = da.Array(layers, name, chunks=((len(keys),), *chunks), dtype=np.float32)
    return {key: stacked[i] for i, key in enumerate(keys)}


Chunks = tuple[tuple[int, ...], tuple[int, ...]]
Graph = dict[tuple[int, int], tuple[Any, ...]]


def _of_archive(recording: Recording, grid: SegmentGrid) -> tuple[Chunks, Graph, list[Any]]:
    """Return one task a block, which reads for itself."""
    along_time, along_fibre = grid.blocks
    graph: Graph = {}
    for number, block in enumerate(grid):
        graph[divmod(number, along_fibre)] = (recording.select(block.read), [[number]])
    times = tuple(grid.along_time(i)[0].size for i in range(along_time))
    channels = tuple(grid.along_fibre(i)[0].size for i in range(along_fibre))
    return (times, channels), graph, []


def _of_graph(values: da.Array, grid: SegmentGrid) -> tuple[Chunks, Graph, list[Any]]:
    """Return one task for each chunk, which dask hands over with its halo."""
    times = _tiles([grid.along_time(i) for i in range(grid.blocks[0])], grid.time.size)
    channels = _tiles([grid.along_fibre(i) for i in range(grid.blocks[1])], grid.distance.size)
    origin = grid.recorded
    segment = values[origin.time.slice, origin.distance.slice]
    overlapped = da.overlap.overlap(
        segment.rechunk((times.sizes, channels.sizes)),
        depth={0: (times.before, times.after), 1: (channels.before, channels.after)},
        boundary="none",
    )
    graph: Graph = {}
    for i, (rows, top) in enumerate(times):
        for j, (columns, left) in enumerate(channels):
            numbers = [[r * grid.blocks[1] + c for c in columns] for r in rows]
            held = Region(top.shift(origin.time.start), left.shift(origin.distance.start))
            graph[i, j] = ((overlapped.name, i, j), numbers, held)
    return (times.outputs, channels.outputs), graph, [overlapped]


@dataclass(frozen=True, slots=True)
class _Tiles:
    """Blocks along one axis, grouped so that no group is shorter than the halo.

    Parameters
    ----------
    groups : tuple of range
        Numbers of the blocks in each group.
    held : tuple of Span
        Input samples of each group, halo included.
    sizes, outputs : tuple of int
        Input and output samples of each group, without halo.
    before, after : int
        The halo.
    """

    groups: tuple[range, ...]
    held: tuple[Span, ...]
    sizes: tuple[int, ...]
    outputs: tuple[int, ...]
    before: int
    after: int

    def __iter__(self) -> Iterator[tuple[range, Span]]:
        return zip(self.groups, self.held, strict=True)


def _tiles(blocks: list[tuple[Span, Span, Span, Span]], total: int) -> _Tiles:
    cores, reads = [b[0] for b in blocks], [b[3] for b in blocks]
    # between two blocks the input is cut in the middle of what both of them read
    middles = [(a.stop + b.start) // 2 for a, b in pairwise(reads)]
    cuts = [0, *(min(max(m, 0), total) for m in middles), total]
    before = max(max(0, cuts[i] - read.start) for i, read in enumerate(reads))
    after = max(max(0, read.stop - cuts[i + 1]) for i, read in enumerate(reads))
    starts = [0]
    for i in range(1, len(reads)):
        if min(cuts[i] - cuts[starts[-1]], total - cuts[i]) >= max(before, after, 1):
            starts.append(i)
    groups = tuple(range(a, b) for a, b in zip(starts, [*starts[1:], len(reads)], strict=True))
    edges = [(cuts[g.start], cuts[g.stop]) for g in groups]
    return _Tiles(
        groups=groups,
        held=tuple(Span(max(0, a - before), min(total, b + after)) for a, b in edges),
        sizes=tuple(b - a for a, b in edges),
        outputs=tuple(cores[g.stop - 1].stop - cores[g.start].start for g in groups),
        before=before,
        after=after,
    )


@dataclass(frozen=True, slots=True)
class _Common:
    """What all chunks of a segment share."""

    grid: SegmentGrid
    recipe: Recipe
    payload: Payload
    skip_errors: bool


def stacked(_block: Block, annotations: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the annotations of a block as one array, shape (keys, samples, channels)."""
    return np.stack(list(annotations.values()))


def _annotate(
    common: _Common,
    source: Any,
    numbers: list[list[int]],
    held: Region | None = None,
) -> NDArray[np.float32]:
    """Compute one chunk, shape (keys, samples, channels), of the blocks with these numbers.

    ``source`` is a Selection, or, where dask hands over the samples ``held``, their array.
    """
    remember(common.payload)
    take_turn_here()
    predictor = predictor_of(common.payload.token)

    def outputs(number: int) -> NDArray[np.float32]:
        block = common.grid.block(number)
        selection = source if held is None else _cut(source, held, block)
        try:
            values: NDArray[np.float32] = process_block(
                selection, block, common.recipe, predictor, partly=common.skip_errors
            ).part
        except (ModelFault, UnreadableData):
            if not common.skip_errors:
                raise
            keys = len(predictor.spec.annotate_keys)
            return np.full((keys, *block.core.shape), np.nan, dtype=np.float32)
        return values

    rows = [np.concatenate([outputs(number) for number in row], axis=2) for row in numbers]
    return np.concatenate(rows, axis=1)


def _cut(values: Any, held: Region, block: Block) -> Selection:
    """Return what a block reads of a chunk."""
    read = block.read
    times = read.time.shift(-held.time.start).slice
    channels = read.distance.shift(-held.distance.start).slice
    return array_selection(values[times, channels], read, block.read_time)
