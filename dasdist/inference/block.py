"""One block, from its samples to its part of the result.

::

    part.read() -> prepare -> annotate_patches -> accumulator.add ... accumulator.part()

Nothing here knows of other blocks, of dask or of where the result goes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Mapper
from dasdist.geometry import Block, SegmentGrid
from dasdist.inference.patches import Batching, annotate_patches
from dasdist.inference.predictor import Predictor
from dasdist.inference.preprocess import prepare
from dasdist.sources import Part

__all__ = ["Recipe", "process_block"]


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


def process_block(
    part: Part,
    grid: SegmentGrid,
    block: Block,
    recipe: Recipe,
    predictor: Predictor,
    mapper: Mapper,
) -> Any:
    """Compute one block's part of the result.

    Parameters
    ----------
    part : Part
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
    object
        What the mapper's accumulator makes of the block's patches.

    Raises
    ------
    UnreadableData
        If samples are missing.
    """
    accumulator = mapper.begin(grid, block)
    data = prepare(part.read(), grid, block, recipe.sections)
    for patch in annotate_patches(data, grid, block, predictor, recipe.batching, recipe.arguments):
        accumulator.add(patch)
    return accumulator.part()
