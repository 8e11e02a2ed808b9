"""One block, from its samples to its part of the result.

::

    selection.read() -> prepare -> annotate_patches -> accumulator.add ... accumulator.part()

Nothing here knows of other blocks, of dask or of where the result goes.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.amplitude import AS_RECORDED, Amplitude
from dasdist.block_events import StageListener, silent
from dasdist.callbacks.base import Accumulator, Mapper
from dasdist.callbacks.needs import Needs
from dasdist.geometry import Block
from dasdist.inference.cuda import own_stream
from dasdist.inference.device import out_of_memory
from dasdist.inference.malloc import peak_bytes
from dasdist.inference.patches import Batching, annotate_patches
from dasdist.inference.predictor import Predictor
from dasdist.inference.preprocess import Prepared, prepare
from dasdist.inference.stopwatch import Stopwatch
from dasdist.report import BlockResult
from dasdist.sources import Selection

__all__ = ["Recipe", "process_block"]

_log = logging.getLogger("dasdist")


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every block of a segment has in common.

    Parameters
    ----------
    batching : Batching
        Shape of the batches.
    arguments : mapping
        Arguments for the model.
    sections : ndarray of float64, shape (n, 6), or None
        Second-order sections of the filter along time.
    mapper : Mapper
        The worker half of the callback.
    needs : Needs
        What the callback asks for.
    amplitude : Amplitude
        What is done to the amplitude of windows.
    """

    batching: Batching
    arguments: Mapping[str, Any]
    sections: NDArray[np.float64] | None
    mapper: Mapper
    needs: Needs = Needs()
    amplitude: Amplitude = AS_RECORDED


def process_block(
    selection: Selection,
    block: Block,
    recipe: Recipe,
    predictor: Predictor,
    listen: StageListener = silent,
) -> BlockResult:
    """Compute one block's part of the result.

    Parameters
    ----------
    selection : Selection
        The slice of the recording that the block reads.
    block : Block
        The block.
    recipe : Recipe
        What all blocks of its segment share.
    predictor : Predictor
        The model.
    listen : callable
        Is told the stage that begins, and the share of the patches that are computed.

    Returns
    -------
    BlockResult

    Raises
    ------
    UnreadableData
        If samples are missing.
    """
    stage = Stopwatch(listen, block.patches)
    device = predictor.device
    on_gpu = device.type == "cuda"
    notes: list[str] = []

    def note(text: str) -> None:
        _log.warning("%s: %s", predictor.spec.name, text)
        notes.append(text)

    with stage("read"):
        samples = selection.read()
    with own_stream(device):
        with stage("preprocess"):
            data = prepare(samples, block, recipe.sections, device, note, recipe.amplitude)
        del samples
        curves = on_gpu and recipe.needs.device_curves
        try:
            accumulator = _reduced(data, block, recipe, predictor, stage, fetched=not curves)
        except (MemoryError, RuntimeError) as error:
            if not on_gpu or not out_of_memory(error):
                raise
            accumulator = None
        if accumulator is None:  # the error is gone, and what it held
            note(
                f"{device} does not have the memory for a whole block; its samples and curves "
                "wait on the CPU."
            )
            data = data.fetched()
            accumulator = _reduced(data, block, recipe, predictor, stage, fetched=True)
    with stage("write"):
        part = accumulator.part()
    noted = (*predictor.notes(recipe.batching.variant), *notes)
    return BlockResult(block.index, part, stage.seconds, peak_bytes(), noted)


def _reduced(
    data: Prepared,
    block: Block,
    recipe: Recipe,
    predictor: Predictor,
    stage: Stopwatch,
    *,
    fetched: bool,
) -> Accumulator:
    """Return what the mapper makes of a block's patches."""
    accumulator = recipe.mapper(block)
    stage.begin_anew()
    patches = annotate_patches(
        data,
        block,
        predictor,
        recipe.batching,
        recipe.arguments,
        fetched=fetched,
        exact_above=recipe.needs.exact_above,
        amplitude=recipe.amplitude,
    )
    while True:
        with stage("model"):
            patch = next(patches, None)
        if patch is None:
            return accumulator
        stage.count_patch()
        with stage("reduce"):
            accumulator.add(patch)
