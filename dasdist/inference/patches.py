"""From preprocessed samples to annotated patches, in batches of one constant shape.

Models differ in what may share a batch::

    patchwise                          channelwise
    a batch holds whole patches        a batch holds windows of single channels,
    (batch, samples, channels)         whatever their patch: (1, samples, windows)

The last batch of a block is filled up by repeating zeros, because the arithmetic of a batch of
another shape could differ in its last digits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice, product
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from dasdist.amplitude import AS_RECORDED, Amplitude
from dasdist.geometry import Block, Patch
from dasdist.inference.device_curves import DeviceCurves
from dasdist.inference.predictor import Predictor
from dasdist.inference.prefetch import computed_ahead
from dasdist.inference.preprocess import Prepared
from dasdist.inference.variant import PLAIN, Variant

__all__ = ["Batching", "annotate_patches"]

Annotations = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Batching:
    """How patches become batches.

    Parameters
    ----------
    size, on_gpu : int
        Patches per batch, or windows per batch if ``channelwise``; on a CPU and on a GPU, for who
        plans a run need not have what its workers have.
    channelwise : bool
        Whether batches hold windows of single channels.
    variant : Variant
        How the model computes them.
    cores : int
        Cores that compute batches of a block at once, each its own.
    """

    size: int
    on_gpu: int
    channelwise: bool
    variant: Variant = PLAIN
    cores: int = 1

    def size_on(self, device: torch.device) -> int:
        """Return the patches or windows of a batch on a device."""
        return self.size if device.type == "cpu" else self.on_gpu

    @property
    def in_flight(self) -> int:
        """Batches of a block that are in memory at once."""
        return self.cores + 1 if self.cores > 1 else 1


def annotate_patches(
    data: Prepared,
    block: Block,
    predictor: Predictor,
    batching: Batching,
    arguments: Mapping[str, Any],
    *,
    fetched: bool = True,
    exact_above: Mapping[str, float] = MappingProxyType({}),
    amplitude: Amplitude = AS_RECORDED,
) -> Iterator[Patch]:
    """Annotate the patches of a block, in grid order (time slowest).

    Parameters
    ----------
    data : Prepared
        Inputs of the block's patches.
    block : Block
        Where they lie.
    predictor : Predictor
        The model.
    batching : Batching
        Shape of the batches; the same for all blocks of a run.
    arguments : mapping
        Arguments of ``annotate``.
    fetched : bool
        Whether annotations are to be arrays; else they are `DeviceCurves` where the model is.
    exact_above : mapping of str to float
        By annotation key, the value near which lower precision does not do.
    amplitude : Amplitude
        What is done to the amplitude of windows.

    Yields
    ------
    Patch
        For a channelwise model, the part of each patch that lies in the block's core.
    """
    grid = block.grid
    spacing = (float(grid.model_time.spacing), float(grid.model_distance.spacing))

    def predict(batch: torch.Tensor) -> Annotations:
        outputs = predictor(batch, arguments, spacing, batching.variant, exact_above)
        return {key: values.cpu() for key, values in outputs.items()} if fetched else outputs

    size, fill = batching.size_on(predictor.device), amplitude.fill
    if batching.channelwise:
        # (windows, samples) seen as (1, samples, windows): no copy here nor in the model
        rows = _rows(data, block, size, batching.cores, lambda batch: predict(batch.T[None]), fill)
        patches = _channelwise(rows, block)
    else:
        patches = _patchwise(data, block, size, batching.cores, predict, fill)
    kept: Any = torch.Tensor.numpy if fetched else DeviceCurves
    for patch in patches:
        annotations = {key: kept(values) for key, values in patch.annotations.items()}
        yield replace(patch, annotations=annotations)


def _patchwise(
    data: Prepared, block: Block, size: int, cores: int, predict: Any, fill: Any
) -> Iterator[Patch]:
    grid = block.grid
    places = product(
        range(block.rows.start, block.rows.stop), range(block.columns.start, block.columns.stop)
    )
    groups = [*iter(lambda: list(islice(places, size)), [])]

    def batch_of(group: list[tuple[int, int]]) -> torch.Tensor:
        shape = (size, grid.rows.window, grid.columns.window)
        batch = _zeros(shape, data.values)
        for slot, (row, column) in enumerate(group):
            top, left = (
                grid.rows.start(row) - data.sample,
                grid.columns.start(column) - data.channel,
            )
            here = slice(left, left + grid.columns.window)
            fill(data.values[top : top + grid.rows.window, here], batch[slot])
        return batch

    results = computed_ahead(predict, map(batch_of, groups), cores)
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


def _channelwise(rows: Iterator[tuple[int, Annotations]], block: Block) -> Iterator[Patch]:
    grid = block.grid
    for row, annotations in rows:
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
    data: Prepared, block: Block, size: int, cores: int, predict: Any, fill: Any
) -> Iterator[tuple[int, Annotations]]:
    """Annotate one row of windows after the other: every channel of the core, in time order."""
    grid, channels = block.grid, block.core.distance.size
    total = block.rows.size * channels
    starts = range(0, total, size)

    def batch_of(start: int) -> torch.Tensor:
        batch = _zeros((size, grid.rows.window), data.values)
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            # windows of this row that fall into this batch
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            top = grid.rows.start(block.rows.start + number) - data.sample
            window = data.values[top : top + grid.rows.window]
            here = slice(first - number * channels, last - number * channels)
            fill(window[:, here], batch[first - start : last - start].T)
        return batch

    pending: Annotations = {}
    results = computed_ahead(predict, map(batch_of, starts), cores)
    for start, outputs in zip(starts, results, strict=True):
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            if first == number * channels:
                pending = {
                    key: torch.empty((channels, grid.rows.out), device=values.device)
                    for key, values in outputs.items()
                }
            here = slice(first - number * channels, last - number * channels)
            for key, values in outputs.items():
                _copy(values[0, :, first - start : last - start].T, pending[key][here])
            if last == (number + 1) * channels:
                yield block.rows.start + number, {k: v.T for k, v in pending.items()}


# Where torch would use its threads, numpy does this on a CPU: those threads go on spinning for a
# while afterwards, on the cores that compute batches.


def _zeros(shape: tuple[int, ...], beside: Any) -> torch.Tensor:
    """Return a tensor where an array, which is on the CPU, or a tensor is."""
    if isinstance(beside, np.ndarray) or beside.device.type == "cpu":
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, device=beside.device)


def _copy(source: Any, target: torch.Tensor) -> None:
    """Copy an array or a tensor to a tensor that is at the same place."""
    if target.device.type == "cpu":
        np.copyto(target.numpy(), np.asarray(source))
    else:
        target.copy_(source)
