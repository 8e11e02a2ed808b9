"""One block, from its samples to its part of the result.

::

    part.read() -> prepare -> annotate_patches -> accumulator.add ... accumulator.part()

Nothing here knows of other blocks, of dask or of where the result goes.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Accumulator, Mapper, matters_from, takes_curves
from dasdist.geometry import Block, SegmentGrid
from dasdist.inference.cuda import own_stream
from dasdist.inference.device import out_of_memory
from dasdist.inference.patches import Batching, annotate_patches
from dasdist.inference.predictor import Predictor
from dasdist.inference.preprocess import Prepared, prepare
from dasdist.sources import Selection

__all__ = ["Processed", "Recipe", "process_block"]

_log = logging.getLogger("dasdist")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every block of a run has in common.

    Parameters
    ----------
    batching : Batching
        Shape of the batches.
    arguments : mapping
        Arguments for the model.
    sections : ndarray of float64, shape (n, 6), or None
        Second-order sections of the filter along time.
    """

    batching: Batching
    arguments: Mapping[str, Any]
    sections: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class Processed:
    """One block's part of the result, and the seconds that each stage took.

    Parameters
    ----------
    part : object
        What the mapper's accumulator made of the block's patches.
    seconds : mapping of str to float
        By stage: read, preprocess, model, reduce, write.
    notes : tuple of str
        What was done in another way than was asked for.
    """

    part: Any
    seconds: Mapping[str, float]
    notes: tuple[str, ...]


def process_block(
    part: Selection,
    grid: SegmentGrid,
    block: Block,
    recipe: Recipe,
    predictor: Predictor,
    mapper: Mapper,
) -> Processed:
    """Compute one block's part of the result.

    Parameters
    ----------
    part : Selection
        The slice of the recording that the block reads.
    grid : SegmentGrid
        The block's segment.
    block : Block
        The block.
    recipe : Recipe
        What all blocks share.
    predictor : Predictor
        The model.
    mapper : Mapper
        The worker half of the callback.

    Returns
    -------
    Processed

    Raises
    ------
    UnreadableData
        If samples are missing.
    """
    stage = _Stages()
    device = predictor.device
    notes: list[str] = []

    def note(text: str) -> None:
        _log.warning("%s: %s", predictor.spec.name, text)
        notes.append(text)

    def reduced(data: Prepared, *, fetched: bool) -> Accumulator:
        accumulator = mapper.begin(grid, block)
        patches = annotate_patches(
            data,
            grid,
            block,
            predictor,
            recipe.batching,
            recipe.arguments,
            fetched=fetched,
            matters_from=matters_from(mapper),
        )
        while True:
            with stage("model"):
                patch = next(patches, None)
            if patch is None:
                return accumulator
            with stage("reduce"):
                accumulator.add(patch)

    with stage("read"):
        samples = part.read()
    with own_stream(device):
        with stage("preprocess"):
            data = prepare(samples, grid, block, recipe.sections, device, note)
        del samples
        on_gpu = device.type == "cuda"
        try:
            accumulator = reduced(data, fetched=not (on_gpu and takes_curves(mapper)))
        except (MemoryError, RuntimeError) as error:
            if not on_gpu or not out_of_memory(error):
                raise
            accumulator = None
        if accumulator is None:  # the error is gone, and what it held
            note(
                f"no memory for a whole block on {device}; its samples and curves wait on the CPU."
            )
            data = data.fetched()
            accumulator = reduced(data, fetched=True)
    with stage("write"):
        result = accumulator.part()
    return Processed(result, stage.seconds, tuple(notes))


class _Stages:
    """A stopwatch with a hand for every stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("read", "preprocess", "model", "reduce", "write"), 0.0)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.seconds[name] += perf_counter() - started
