"""One block, from its samples to its part of the result.

::

    selection.read() -> prepare -> annotate_patches -> accumulator.add ... accumulator.part()

Nothing here knows of other blocks, of dask or of where the result goes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.amplitude import AS_RECORDED, Amplitude, is_wide
from dasdist.block_events import StageListener, silent
from dasdist.callbacks.base import Accumulator, Mapper, SampleReader
from dasdist.callbacks.needs import Needs
from dasdist.errors import ModelFault
from dasdist.geometry import Block, Patch
from dasdist.inference.cuda import own_stream
from dasdist.inference.device import out_of_memory
from dasdist.inference.left_out import LeftOut
from dasdist.inference.malloc import peak_bytes
from dasdist.inference.patches import Batching, annotate_patches
from dasdist.inference.predictor import Predictor
from dasdist.inference.prefetch import computed_ahead
from dasdist.inference.preprocess import Prepared, prepare, prepare_resampled
from dasdist.inference.samples import BlockSamples
from dasdist.inference.slices import read_resampled
from dasdist.inference.stopwatch import Stopwatch
from dasdist.inference.telling import model_faults, what_is_missing
from dasdist.report import BlockResult, Missing, Partial
from dasdist.safe_text import logger
from dasdist.sources import NO_MASK, Mask, Selection
from dasdist.sources.absence import Absence, Reading, filled

__all__ = ["Recipe", "process_block"]

_log = logger()


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
    slice_rows : int
        Samples in time that are read and resampled at once; 0 for all of a block.
    mask : Mask
        Channels of the recording that are left out.
    """

    batching: Batching
    arguments: Mapping[str, Any]
    sections: NDArray[np.float64] | None
    mapper: Mapper
    needs: Needs = Needs()
    amplitude: Amplitude = AS_RECORDED
    slice_rows: int = 0
    mask: Mask = NO_MASK


def process_block(
    selection: Selection,
    block: Block,
    recipe: Recipe,
    predictor: Predictor,
    listen: StageListener = silent,
    *,
    partly: bool = False,
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
    partly : bool
        Whether windows may be left out where samples are missing or the model returns NaN.

    Returns
    -------
    BlockResult

    Raises
    ------
    UnreadableData
        If samples are missing, or, with `partly`, so many that nothing of the core can be computed.
    ModelFault
        If the model returns NaN; with `partly`, for the whole core.
    """
    stage = Stopwatch(listen, block.patches)
    device = predictor.device
    on_gpu = device.type == "cuda"
    notes: list[str] = []

    def note(text: str) -> None:
        _log.warning("%s: %s", predictor.spec.name, text)
        notes.append(text)

    channelwise = predictor.spec.channelwise
    left_out = lost = LeftOut.none(block, channelwise)
    missing = tuple[Missing, ...]()
    selection = replace(selection, mask=recipe.mask)
    with own_stream(device):
        if recipe.slice_rows and not on_gpu:
            data, absences = _read_in_slices(selection, block, recipe, stage)
        else:
            data, absences = _read_whole(selection, block, recipe, device, stage, note, partly)
        if absences:
            left_out = LeftOut.of(absences, block, channelwise)
        absences = [absence for absence in absences if not absence.masked]
        if absences:
            lost = LeftOut.of(absences, block, channelwise)
            if not partly or (lost.any and left_out.whole):
                raise selection.refusal(absences)
        if lost.any:
            missing = tuple(what_is_missing(absences, selection, block.index))
        reduced = partial(_reduced, left_out, recipe, predictor, stage, absences, partly=partly)
        curves = on_gpu and recipe.needs.device_curves
        try:
            made = reduced(data, fetched=not curves)
        except (MemoryError, RuntimeError) as error:
            if not on_gpu or not out_of_memory(error):
                raise
            made = None
        if made is None:  # the error is gone, and what it held
            note(
                f"{device} does not have the memory for a whole block; its samples and curves "
                "wait on the CPU."
            )
            data = data.fetched()
            made = reduced(data, fetched=True)
        del data, reduced  # while the result is written, the memory is another block's
    accumulator, faults = made
    lacking = None
    if faults is not None:
        missing = (*missing, *model_faults(faults))
        lost = replace(lost, touched=lost.touched | faults.touched)
    if lost.any:  # what is masked is not missed
        lacking = Partial(missing, lost.uncovered())
    with stage("write"):
        part = accumulator.part()
    noted = (*predictor.notes(recipe.batching.variant), *notes)
    return BlockResult(block.index, part, stage.seconds, peak_bytes(), noted, partial=lacking)


def _read_whole(
    selection: Selection,
    block: Block,
    recipe: Recipe,
    device: torch.device,
    stage: Stopwatch,
    note: Callable[[str], None],
    partly: bool,
) -> tuple[Prepared, Sequence[Absence]]:
    """Return the model's inputs, and what is missing of the samples that were read."""
    with stage("read"):
        told = partly or bool(selection.mask)
        reading = selection.reading() if told else Reading(selection.read())
        samples, absences = reading.values, reading.absences
        if absences:
            samples = filled(reading)
        del reading
    with stage("preprocess"):
        cores = recipe.batching.cores
        data = prepare(samples, block, recipe.sections, device, note, recipe.amplitude, cores)
    return data, absences


def _read_in_slices(
    selection: Selection, block: Block, recipe: Recipe, stage: Stopwatch
) -> tuple[Prepared, Sequence[Absence]]:
    """Return the same, without ever holding all that was recorded."""
    spread = partial(computed_ahead, cores=recipe.batching.cores)
    values, absences = read_resampled(selection, block, recipe.slice_rows, spread, stage)
    with stage("preprocess"):
        wide = is_wide(selection.dtype)
        data = prepare_resampled(values, wide, block, recipe.sections, recipe.amplitude, spread)
    return data, absences


def _reduced(
    left_out: LeftOut,
    recipe: Recipe,
    predictor: Predictor,
    stage: Stopwatch,
    absences: Sequence[Absence],
    data: Prepared,
    *,
    fetched: bool,
    partly: bool,
) -> tuple[Accumulator, LeftOut | None]:
    """Return what the mapper makes of a block's patches, and of which the model made NaN."""
    block = left_out.block
    faults: LeftOut | None = None
    accumulator = recipe.mapper(block)
    stage.begin_anew()
    patches = annotate_patches(
        data,
        block,
        predictor,
        recipe.batching,
        recipe.arguments,
        left_out,
        fetched=fetched,
        exact_above=recipe.needs.exact_above,
        amplitude=recipe.amplitude,
    )
    while True:
        with stage("model"):
            patch = next(patches, None)
        if patch is None:
            break
        if patch.computed is not None:
            faults = _with_faults(faults, left_out, patch)
            if faults is not None and not partly:
                raise _fault(faults, predictor)
        stage.count_patch()
        with stage("reduce"):
            accumulator.add(patch)
    if any(recipe.needs.around) and isinstance(accumulator, SampleReader):
        with stage("reduce"):
            accumulator.measure(BlockSamples(data, left_out.block, absences))
    if faults is not None and replace(left_out, touched=left_out.touched | faults.touched).whole:
        raise _fault(faults, predictor)
    return accumulator, faults


def _with_faults(faults: LeftOut | None, left_out: LeftOut, patch: Patch) -> LeftOut | None:
    """Add what the model made NaN of in a patch that was to be computed."""
    assert patch.computed is not None
    here = left_out.computed(patch, patch.computed.size) & ~patch.computed
    if not here.any():
        return faults
    before = faults or LeftOut.none(left_out.block, left_out.channelwise)
    return before.without(patch, here)


def _fault(faults: LeftOut, predictor: Predictor) -> ModelFault:
    first = next(model_faults(faults))
    return ModelFault(
        f"{predictor.spec.name} returned NaN for samples that are numbers: {first.start} to "
        f"{first.stop}, channels {first.channels[0]} to {first.channels[1] - 1} of the recording. "
        "Look at the data there, such as for values that stand for something else; or leave such "
        'windows out and have them listed: max_failures="any" (--max-failures any).'
    )
