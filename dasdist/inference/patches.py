"""From preprocessed samples to annotated patches, in batches of one constant shape.

Models differ in what may share a batch::

    patchwise                          channelwise
    a batch holds whole patches        a batch holds windows of single channels,
    (batch, samples, channels)         whatever their patch: (1, samples, windows)

The last batch of a block is filled up by repeating zeros, because the arithmetic of a batch of
another shape could differ in its last digits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.geometry import Block, Patch, SegmentGrid
from dasdist.inference.ahead import computed_ahead
from dasdist.inference.optimise import PLAIN, Form
from dasdist.inference.predictor import Predictor
from dasdist.inference.preprocess import Prepared

__all__ = ["Batching", "annotate_patches"]

Annotations = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Batching:
    """How patches become batches.

    Parameters
    ----------
    size : int
        Patches per batch, or windows per batch if ``channelwise``.
    channelwise : bool
        Whether batches hold windows of single channels.
    form : Form
        How the model computes them.
    cores : int
        Cores that compute batches of a block at once, each its own.
    """

    size: int
    channelwise: bool
    form: Form = PLAIN
    cores: int = 1

    @property
    def in_flight(self) -> int:
        """Batches of a block that are in memory at once."""
        return self.cores + 1 if self.cores > 1 else 1


def annotate_patches(
    data: Prepared,
    grid: SegmentGrid,
    block: Block,
    predictor: Predictor,
    batching: Batching,
    arguments: Mapping[str, Any],
) -> Iterator[Patch]:
    """Annotate the patches of a block, in grid order (time slowest).

    Parameters
    ----------
    data : Prepared
        Inputs of the block's patches.
    grid, block
        Where they lie.
    predictor : Predictor
        The model.
    batching : Batching
        Shape of the batches; the same for all blocks of a run.
    arguments : mapping
        Arguments of ``annotate``.

    Yields
    ------
    Patch
        For a channelwise model, the part of each patch that lies in the block's core.
    """
    spacing = (float(grid.model_time.spacing), float(grid.model_distance.spacing))

    def predict(batch: NDArray[np.float32]) -> Annotations:
        return predictor(torch.from_numpy(batch), arguments, spacing, batching.form)

    if batching.channelwise:

        def predict_windows(windows: NDArray[np.float32]) -> Annotations:
            # (windows, samples) seen as (1, samples, windows): no copy here nor in the model
            return predictor(torch.from_numpy(windows).T[None], arguments, spacing, batching.form)

        yield from _channelwise(data, grid, block, batching, predict_windows)
    else:
        yield from _patchwise(data, grid, block, batching, predict)


def _patchwise(
    data: Prepared, grid: SegmentGrid, block: Block, batching: Batching, predict: Any
) -> Iterator[Patch]:
    places = product(
        range(block.rows.start, block.rows.stop), range(block.columns.start, block.columns.stop)
    )
    groups = [*iter(lambda: list(islice(places, batching.size)), [])]

    def batch_of(group: list[tuple[int, int]]) -> NDArray[np.float32]:
        shape = (batching.size, grid.rows.window, grid.columns.window)
        batch = np.zeros(shape, dtype=np.float32)
        for slot, (row, column) in enumerate(group):
            top, left = (
                grid.rows.start(row) - data.sample,
                grid.columns.start(column) - data.channel,
            )
            batch[slot] = data.values[
                top : top + grid.rows.window, left : left + grid.columns.window
            ]
        return batch

    results = computed_ahead(predict, map(batch_of, groups), batching.cores)
    for group, outputs in zip(groups, results, strict=True):
        for slot, (row, column) in enumerate(group):
            yield Patch(
                row=row,
                column=column,
                sample=grid.rows.out_start(row),
                channel=grid.columns.out_start(column),
                inset=0,
                width=grid.columns.out,
                annotations={key: values[slot] for key, values in outputs.items()},
            )


def _channelwise(
    data: Prepared, grid: SegmentGrid, block: Block, batching: Batching, predict: Any
) -> Iterator[Patch]:
    for row, annotations in _rows(data, grid, block, batching, predict):
        for column in range(block.columns.start, block.columns.stop):
            left = grid.columns.out_start(column)
            first = max(left, block.core.distance.start)
            last = min(left + grid.columns.out, block.core.distance.stop)
            here = slice(first - block.core.distance.start, last - block.core.distance.start)
            yield Patch(
                row=row,
                column=column,
                sample=grid.rows.out_start(row),
                channel=first,
                inset=first - left,
                width=grid.columns.out,
                annotations={key: values[:, here] for key, values in annotations.items()},
            )


def _rows(
    data: Prepared, grid: SegmentGrid, block: Block, batching: Batching, predict: Any
) -> Iterator[tuple[int, Annotations]]:
    """Annotate one row of windows after the other: every channel of the core, in time order."""
    channels, size = block.core.distance.size, batching.size
    total = block.rows.size * channels
    starts = range(0, total, size)

    def batch_of(start: int) -> NDArray[np.float32]:
        batch = np.zeros((size, grid.rows.window), dtype=np.float32)
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            # windows of this row that fall into this batch
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            top = grid.rows.start(block.rows.start + number) - data.sample
            window = data.values[top : top + grid.rows.window]
            here = slice(first - number * channels, last - number * channels)
            batch[first - start : last - start] = window[:, here].T
        return batch

    pending: Annotations = {}
    results = computed_ahead(predict, map(batch_of, starts), batching.cores)
    for start, outputs in zip(starts, results, strict=True):
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            if first == number * channels:
                pending = {
                    key: np.empty((channels, grid.rows.out), dtype=np.float32) for key in outputs
                }
            here = slice(first - number * channels, last - number * channels)
            for key, values in outputs.items():
                pending[key][here] = values[0, :, first - start : last - start].T
            if last == (number + 1) * channels:
                yield block.rows.start + number, {k: v.T for k, v in pending.items()}
