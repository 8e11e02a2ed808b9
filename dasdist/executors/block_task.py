"""The work of one block, as every executor calls it, and what becomes of it."""

import traceback
from bisect import bisect_right
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from dasdist.callbacks.base import Mapper
from dasdist.errors import OutputUnwritable, RunSuperseded, UnreadableData
from dasdist.geometry import Block, SegmentGrid
from dasdist.inference import Recipe, process_block
from dasdist.inference.malloc import peak_bytes
from dasdist.inference.replica import predictor_of
from dasdist.report import Done, Failure
from dasdist.sources import Selection

__all__ = ["Shared", "Work", "compute_block", "failure", "run_block"]

_LONGEST = 8000
"""Characters of a traceback or a message that are kept: its end, where the error is."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done with the slice of the recording that a block reads.

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
        Whether an error of the block becomes a :class:`Failure` instead of being raised.
    """

    grid: SegmentGrid
    block: Block
    recipe: Recipe
    token: str
    mapper: Mapper
    skip_errors: bool


@dataclass(frozen=True, slots=True)
class Shared:
    """What all blocks of a run share: with it, the number of a block says what is to be done.

    Parameters
    ----------
    grids : tuple of SegmentGrid
        The segments, with their blocks.
    recipes : tuple of Recipe
        One for each segment.
    token, mapper, skip_errors
        See :class:`Work`.
    """

    grids: tuple[SegmentGrid, ...]
    recipes: tuple[Recipe, ...]
    token: str
    mapper: Mapper
    skip_errors: bool

    def work(self, index: int) -> Work:
        """Return the work of the block with this index within the plan."""
        segment = bisect_right(self.grids, index, key=lambda grid: grid.first_block) - 1
        grid = self.grids[segment]
        block = grid.block(index - grid.first_block)
        recipe = self.recipes[segment]
        return Work(grid, block, recipe, self.token, self.mapper, self.skip_errors)


def compute_block(
    part: Selection, work: Work, watch: AbstractContextManager[None] | None = None
) -> Done:
    """Process a block with this process's replica.

    Parameters
    ----------
    part : Selection
        What the block reads.
    work : Work
        What is to be done with it.
    watch : context manager, optional
        Entered when the replica is there: to build it is not the block's time.

    Raises
    ------
    UnreadableData
        If samples are missing.
    """
    predictor = predictor_of(work.token)
    with watch or nullcontext():
        done = process_block(part, work.grid, work.block, work.recipe, predictor, work.mapper)
    notes = (*predictor.notes(work.recipe.batching.variant), *done.notes)
    return Done(done.part, done.seconds, peak_bytes(), notes)


def run_block(
    part: Selection, work: Work, watch: AbstractContextManager[None] | None = None
) -> Done | Failure:
    """Process a block; what goes wrong with it alone is a failure if the run goes on after those.

    Its parameters are those of :func:`compute_block`.

    Raises
    ------
    OutputUnwritable, RunSuperseded
        These are about the run, whatever it does after failures.
    """
    try:
        return compute_block(part, work, watch)
    except (OutputUnwritable, RunSuperseded):
        raise
    except Exception as error:
        if not work.skip_errors:
            raise
        if isinstance(error, UnreadableData):
            return failure(work, str(error), "unreadable", traceback.format_exc())
        what = f"{type(error).__name__}: {error}"[-_LONGEST:]
        return failure(work, f"{what}{_of_files(part)}", "error", traceback.format_exc())


def failure(
    work: Work,
    error: str,
    kind: Literal["unreadable", "error", "deadline", "killed"],
    trace: str = "",
) -> Failure:
    """Describe a block that was left out."""
    block, time = work.block, work.grid.out_time
    return Failure(
        block=block.index,
        segment=block.segment,
        core=block.core,
        error=error[:_LONGEST],
        kind=kind,
        traceback=trace[-_LONGEST:],
        start=str(time.value(block.core.time.start)),
        stop=str(time.value(block.core.time.stop - 1)),
    )


def _of_files(part: Selection) -> str:
    """Say from which files a block came, as far as they are known."""
    paths = list(dict.fromkeys(path for _, path in part.source.files()))
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f" (data of {', '.join(paths[:3])}{more})" if paths else ""
