"""The work of one block, as both executors call it."""

from dataclasses import dataclass

from dasdist.callbacks.base import Mapper
from dasdist.errors import UnreadableData
from dasdist.geometry import Block, SegmentGrid
from dasdist.inference import Recipe, process_block
from dasdist.run.memory import peak_bytes
from dasdist.run.replica import predictor_of
from dasdist.run.report import Done, Failure
from dasdist.sources import Part

__all__ = ["Work", "run_block"]


@dataclass(frozen=True, slots=True)
class Work:
    """What a task carries besides the slice of the recording: a few kilobytes.

    Parameters
    ----------
    grid, block
        Where the block lies.
    recipe : Recipe
        What all blocks of the segment share.
    token : str
        Names the model; every process has its replica.
    mapper : Mapper
        The worker half of the callback.
    skip_errors : bool
        Whether unreadable data becomes a :class:`Failure` instead of an error.
    """

    grid: SegmentGrid
    block: Block
    recipe: Recipe
    token: str
    mapper: Mapper
    skip_errors: bool


def run_block(part: Part, work: Work) -> Done | Failure:
    """Process a block with this process's replica.

    Returns
    -------
    Done or Failure
    """
    try:
        done = process_block(
            part, work.grid, work.block, work.recipe, predictor_of(work.token), work.mapper
        )
        return Done(done.part, done.seconds, peak_bytes())
    except UnreadableData as error:
        if not work.skip_errors:
            raise
        return Failure(work.block.index, work.block.segment, work.block.core, str(error))
