"""From preprocessed samples to annotated patches, in batches of one constant shape.

Models differ in what may share a batch::

    patchwise                          channelwise
    a batch holds whole patches        a batch holds windows of single channels,
    (batch, samples, channels)         whatever their patch: (1, samples, windows)

The last batch of a block is filled up by repeating zeros, because the arithmetic of a batch of
another shape could differ in its last digits.

Windows that are left out, and those of which the model makes NaN, arrive as NaN and are marked as
not computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.amplitude import AS_RECORDED, Amplitude
from dasdist.geometry import Block, Patch
from dasdist.inference.cuda import to_host
from dasdist.inference.device_curves import DeviceCurves
from dasdist.inference.faults import faulty
from dasdist.inference.left_out import LeftOut
from dasdist.inference.predictor import Predictor
from dasdist.inference.prefetch import computed_ahead
from dasdist.inference.preprocess import Prepared
from dasdist.inference.variant import PLAIN, Variant

__all__ = ["Batching", "annotate_patches"]

Annotations = dict[str, torch.Tensor]

Faulty = NDArray[np.bool_] | None
"""Which channels of patches hold NaN; None is none of them."""


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
    left_out: LeftOut | None = None,
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
    left_out : LeftOut, optional
        Windows that are not to be computed; by default all are.
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
    left_out = left_out or LeftOut.none(block, predictor.spec.channelwise)
    spacing = (float(grid.model_time.spacing), float(grid.model_distance.spacing))

    def predict(batch: torch.Tensor) -> Annotations:
        outputs = predictor(batch, arguments, spacing, batching.variant, exact_above)
        return {key: to_host(values) for key, values in outputs.items()} if fetched else outputs

    size, fill = batching.size_on(predictor.device), amplitude.fill
    if batching.channelwise:
        # (windows, samples) seen as (1, samples, windows): no copy here nor in the model
        wanted = [r for r in range(block.rows.start, block.rows.stop) if not left_out.skips(r)]
        rows = _rows(data, block, wanted, size, batching.cores, lambda b: predict(b.T[None]), fill)
        patches = _channelwise(rows, wanted, block, predictor.spec.annotate_keys)
    else:
        patches = _patchwise(data, block, size, batching.cores, predict, fill, left_out)
        patches = _with_skipped(patches, block, left_out, predictor.spec.annotate_keys)
    kept: Any = torch.Tensor.numpy if fetched else DeviceCurves
    some_left_out = left_out.any
    for patch in patches:
        if some_left_out:
            computed = left_out.computed(patch, next(iter(patch.annotations.values())).shape[1])
            if patch.computed is not None:
                computed &= patch.computed
            patch = replace(patch, computed=computed)
        if patch.computed is not None:
            patch = replace(patch, annotations=_blanked(patch.annotations, ~patch.computed))
        annotations = {key: kept(values) for key, values in patch.annotations.items()}
        yield replace(patch, annotations=annotations)


def _blanked(annotations: Mapping[str, torch.Tensor], channels: NDArray[np.bool_]) -> Annotations:
    """Return annotations with NaN on some channels."""
    blanked = {key: values.clone() for key, values in annotations.items()}
    for values in blanked.values():
        values[:, torch.from_numpy(channels).to(values.device)] = torch.nan
    return blanked


def _nothing(block: Block, keys: Sequence[str], channels: int) -> Annotations:
    shape = (block.grid.rows.out, channels)
    return {key: torch.full(shape, torch.nan) for key in keys}


def _with_skipped(
    computed: Iterator[Patch], block: Block, left_out: LeftOut, keys: Sequence[str]
) -> Iterator[Patch]:
    """Yield all patches of a block; NaN in place of those that were skipped."""
    grid = block.grid
    for row, column in _places(block):
        if not left_out.skips(row, column):
            yield next(computed)
            continue
        yield Patch(
            row=row,
            column=column,
            sample=grid.rows.out_start(row),
            channel=grid.columns.out_start(column),
            inset=0,
            width=grid.columns.out,
            annotations=_nothing(block, keys, grid.columns.out),
        )


def _places(block: Block) -> Iterator[tuple[int, int]]:
    return product(
        range(block.rows.start, block.rows.stop), range(block.columns.start, block.columns.stop)
    )


def _patchwise(
    data: Prepared,
    block: Block,
    size: int,
    cores: int,
    predict: Any,
    fill: Any,
    left_out: LeftOut,
) -> Iterator[Patch]:
    grid = block.grid
    places = (place for place in _places(block) if not left_out.skips(*place))
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
        bad = faulty(outputs)
        for slot, (row, column) in enumerate(group):
            yield Patch(
                row=row,
                column=column,
                sample=grid.rows.out_start(row),
                channel=grid.columns.out_start(column),
                inset=0,
                width=grid.columns.out,
                annotations={key: values[slot] for key, values in outputs.items()},
                computed=None if bad is None else _whole(~bad[slot], left_out.channelwise),
            )


def _whole(computed: NDArray[np.bool_], channelwise: bool) -> NDArray[np.bool_]:
    """Return that no channel of a patch is computed if one is not, unless each is on its own."""
    return computed if channelwise else np.full_like(computed, computed.all())


def _channelwise(
    rows: Iterator[tuple[Annotations, Faulty]],
    wanted: Sequence[int],
    block: Block,
    keys: Sequence[str],
) -> Iterator[Patch]:
    grid, chosen = block.grid, frozenset(wanted)
    skipped = _nothing(block, keys, block.core.distance.size)
    for row in range(block.rows.start, block.rows.stop):
        annotations, bad = next(rows) if row in chosen else (skipped, None)
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
                computed=None if bad is None else ~bad[here],
            )


def _rows(
    data: Prepared,
    block: Block,
    wanted: Sequence[int],
    size: int,
    cores: int,
    predict: Any,
    fill: Any,
) -> Iterator[tuple[Annotations, Faulty]]:
    """Annotate one row of windows after the other: every channel of the core, in time order."""
    grid, channels = block.grid, block.core.distance.size
    total = len(wanted) * channels
    starts = range(0, total, size)

    def batch_of(start: int) -> torch.Tensor:
        batch = _zeros((size, grid.rows.window), data.values)
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            # windows of this row that fall into this batch
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            top = grid.rows.start(wanted[number]) - data.sample
            window = data.values[top : top + grid.rows.window]
            here = slice(first - number * channels, last - number * channels)
            fill(window[:, here], batch[first - start : last - start].T)
        return batch

    pending: Annotations = {}
    found: Faulty = None
    results = computed_ahead(predict, map(batch_of, starts), cores)
    for start, outputs in zip(starts, results, strict=True):
        bad = faulty(outputs)
        for number in range(start // channels, -(-min(start + size, total) // channels)):
            first, last = max(start, number * channels), min(start + size, (number + 1) * channels)
            if first == number * channels:
                pending = {
                    key: torch.empty((channels, grid.rows.out), device=values.device)
                    for key, values in outputs.items()
                }
                found = None
            here = slice(first - number * channels, last - number * channels)
            for key, values in outputs.items():
                _copy(values[0, :, first - start : last - start].T, pending[key][here])
            if bad is not None and bad[0, first - start : last - start].any():
                found = np.zeros(channels, dtype=np.bool_) if found is None else found
                found[here] = bad[0, first - start : last - start]
            if last == (number + 1) * channels:
                yield {k: v.T for k, v in pending.items()}, found


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
