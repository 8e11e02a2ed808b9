"""The task of one block, as every executor runs it, and what comes of it."""

import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from dasdist.block_events import StageListener, silent
from dasdist.callbacks.needs import Needs
from dasdist.errors import OutputUnwritable, RunSuperseded, UnreadableData
from dasdist.geometry import Block, SegmentGrid, block_at
from dasdist.inference import Recipe, process_block
from dasdist.inference.replica import Payload, predictor_of
from dasdist.report import BlockResult, Failure
from dasdist.sources import Selection

__all__ = ["BlockTask", "Outcome", "RunSpec", "failure", "run_block"]

_LONGEST = 8000
"""Characters of a traceback or a message that are kept: its end, where the error is."""

Outcome = BlockResult | Failure
"""What comes of a block."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What all blocks of a run share: with it, the number of a block says what is to be done.

    Parameters
    ----------
    grids : tuple of SegmentGrid
        The segments, with their blocks.
    recipes : tuple of Recipe
        One for each segment.
    payload : Payload
        The model.
    keep_going : bool
        Whether an error of a block becomes a :class:`Failure` instead of being raised, and windows
        that cannot be computed are left out.
    """

    grids: tuple[SegmentGrid, ...]
    recipes: tuple[Recipe, ...]
    payload: Payload
    keep_going: bool

    def block(self, index: int) -> Block:
        """Return the block with this number in the plan."""
        return block_at(self.grids, index)

    def recipe(self, block: Block) -> Recipe:
        """Return what the blocks of a block's segment share."""
        return self.recipes[block.segment]

    @property
    def needs(self) -> Needs:
        """What the callback asks for."""
        return self.recipes[0].needs


@dataclass(frozen=True, slots=True)
class BlockTask:
    """A block and what it reads.

    Parameters
    ----------
    block : Block
        The block.
    selection : Selection or Delayed
        The slice of the recording, or the dask graph that makes it.
    attempts : int
        How often an executor has submitted it.
    """

    block: Block
    selection: Any
    attempts: int = 0


def run_block(
    selection: Selection,
    block: Block,
    spec: RunSpec,
    listen: StageListener = silent,
    watch: AbstractContextManager[None] | None = None,
) -> Outcome:
    """Process a block with this process's replica.

    Parameters
    ----------
    selection : Selection
        What the block reads.
    block : Block
        The block.
    spec : RunSpec
        What all blocks share; it says whether an error of the block is raised or becomes a failure.
    listen : callable
        Is told the stage that begins, and the share of the patches that are computed.
    watch : context manager, optional
        Entered when the replica is there: building it does not count as time of the block.

    Raises
    ------
    OutputUnwritable, RunSuperseded
        In any case: these are about the run, not about the block.
    """
    try:
        predictor = predictor_of(spec.payload.token)
        with watch or nullcontext():
            return process_block(
                selection, block, spec.recipe(block), predictor, listen, partly=spec.keep_going
            )
    except (OutputUnwritable, RunSuperseded):
        raise
    except Exception as error:
        if not spec.keep_going:
            raise
        if isinstance(error, UnreadableData):
            return failure(block, str(error), "unreadable", traceback.format_exc())
        what = f"{type(error).__name__}: {error}"[-_LONGEST:]
        return failure(block, f"{what}{_of_files(selection)}", "error", traceback.format_exc())


def failure(
    block: Block,
    error: str,
    kind: Literal["unreadable", "error", "deadline", "killed"],
    trace: str = "",
) -> Failure:
    """Describe a block that was left out."""
    time = block.out_time
    return Failure(
        block=block.index,
        segment=block.segment,
        core=block.core,
        error=error[:_LONGEST],
        kind=kind,
        traceback=trace[-_LONGEST:],
        start=str(time.value(0)),
        stop=str(time.value(time.size - 1)),
    )


def _of_files(selection: Selection) -> str:
    """Say from which files a block came, as far as they are known."""
    paths = list(dict.fromkeys(path for _, path in selection.source.files()))
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return f" (data of {', '.join(paths[:3])}{more})" if paths else ""
