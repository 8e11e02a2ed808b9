"""What a callback is: a reduction in two halves.

::

    client   setup(context) ---> mapper() ------------------> combine(parts) -> finalize(part)
                                    |                             ^
    worker                          '--> begin(grid, block)       | part
                                         add(patch) ... part() ---'

The client half holds paths, options and results.  The worker half, the *mapper*, is a small
picklable value; for each block it begins an accumulator that sees the block's patches in grid order
and ends in a part.  Blocks may run anywhere, in any order and twice, so an accumulator writes only
what its block owns.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dasdist.geometry.blocks import Block, SegmentGrid
from dasdist.geometry.patches import Patch
from dasdist.spelling import unknown

__all__ = [
    "Accumulator",
    "Context",
    "DASAnnotateCallback",
    "Mapper",
    "Output",
    "matters_from",
    "takes_curves",
    "unknown",
]


@dataclass(frozen=True, slots=True)
class Output:
    """Where results last.

    Parameters
    ----------
    path : Path or str
        What the user named.
    journal : Path
        The folder in which the run keeps its ledger, its lock and files that are being written.
    """

    path: Path | str
    journal: Path


@dataclass(frozen=True, slots=True)
class Context:
    """What a callback learns before the first block.

    Parameters
    ----------
    annotate_keys : tuple of str
        Keys of the model's outputs.
    grids : tuple of SegmentGrid
        The segments that will be processed, each with its output shape and axes.
    dims : tuple of str
        Names of the time and of the channel dimension.
    attrs : mapping
        Provenance to keep beside results: version, model, arguments.
    phases : tuple of str, optional
        The annotation keys whose peaks are arrivals; None is all of them.
    run : str
        Names the run.  What lasts is first written to the folder ``staging-<run>`` of its journal,
        which a newer run moves away: then nothing late can get into the output.
    resume : bool
        Whether the output is there and belongs to this run: keep what it holds.  Its segments may
        have grown, and new ones may have come.
    overwrite : bool
        Whether to replace results of dasdist that the output holds.
    """

    annotate_keys: tuple[str, ...]
    grids: tuple[SegmentGrid, ...]
    dims: tuple[str, str]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    phases: tuple[str, ...] | None = None
    run: str = ""
    resume: bool = False
    overwrite: bool = False


class Accumulator(Protocol):
    """Takes the patches of one block, in grid order (time slowest), and ends in a part."""

    def add(self, patch: Patch) -> None:
        """Take one patch."""

    def part(self) -> Any:
        """Return what goes back to the client; picklable."""


class Mapper(Protocol):
    """The half of a callback that runs on workers; a small picklable value.

    With an attribute ``takes_curves`` that is true, annotations of patches may also be curves on
    the GPU where the model is (`dasdist.inference.device_curves`), so that what an accumulator
    finds in them is all that leaves it.

    With an attribute ``matters_from``, a mapping of annotation keys to values, a run in lower
    precision computes again, in float32, what is near these values or above them: see
    `dasdist.inference.refine`.
    """

    def begin(self, grid: SegmentGrid, block: Block) -> Accumulator:
        """Begin the accumulator of one block."""


def takes_curves(mapper: Mapper) -> bool:
    """Return whether annotations may be curves on a GPU."""
    return bool(getattr(mapper, "takes_curves", False))


def matters_from(mapper: Mapper) -> Mapping[str, float]:
    """Return the values from which on annotations are to be those of float32, by key."""
    return dict(getattr(mapper, "matters_from", ()))


class DASAnnotateCallback(ABC):
    """Base class of what consumes annotations.

    A subclass is either a reduction (it defines :meth:`mapper`, :meth:`combine` and
    :meth:`finalize`) and runs on the workers, or it is written as for SeisBench (it defines
    ``handle_patch(annotations, in_coords, out_coords)`` and perhaps
    ``setup(data, patching_structure, annotate_keys)`` and ``finalize()``) and runs on the client,
    patch after patch.

    Attributes
    ----------
    pick_halo : float
        Seconds of output around a block's core that its part depends on.
    held_outputs : int
        How many float32 arrays of the size of the core an accumulator holds per annotation key,
        for the plan's memory.
    in_order : bool
        Whether the client passes every part through :meth:`consume`, in the order of the plan.
    whole_patches : bool
        Whether patches that touch a block must be whole, also where the model treats every channel
        on its own.
    overwrite : bool
        Whether to replace results that last, instead of going on with them.
    """

    pick_halo: float = 0.0
    held_outputs: int = 0
    in_order: bool = False
    whole_patches: bool = False
    overwrite: bool = False

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Where the results last; empty if they are in memory.

        Where there is any, a part is a mapping of names to counts, and the run can be resumed.
        """
        return ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the results depend on besides model and data: plain values, by name."""
        return {}

    def by_output(self, part: Any) -> tuple[Any, ...]:
        """Return what a part holds for each of :attr:`outputs`."""
        return (part,)

    def of_outputs(self, parts: Sequence[Any]) -> Any:
        """Return the part that :meth:`by_output` took apart."""
        (part,) = parts
        return part

    def lost(self, parts: Mapping[int, Any]) -> list[int]:
        """Return the blocks whose results are no longer in the output; called after :meth:`setup`.

        Parameters
        ----------
        parts : mapping
            By index, the parts of blocks that were finished.
        """
        return []

    def setup(self, context: Context) -> None:  # noqa: B027 -- optional
        """Check options against the run and create outputs, on the client, before any block."""

    def mapper(self) -> Mapper:
        """Return the half that runs on the workers; called after :meth:`setup`."""
        raise NotImplementedError(
            f"{type(self).__name__} defines neither mapper() nor handle_patch(): a callback needs "
            "one of them."
        )

    def consume(self, part: Any, grid: SegmentGrid) -> Any:
        """Use the part of one block and return what :meth:`combine` still needs of it.

        Called on the client, only where :attr:`in_order` is set, block after block in the order of
        the plan; with ``None`` (or not at all) for a block that was skipped.
        """
        return part

    def combine(self, parts: Sequence[Any]) -> Any:
        """Merge parts, given in any order and grouping, into one part.

        Called on parts, and on what it returned for other parts.  As it stands, parts are lists
        and are joined.
        """
        return [item for part in parts for item in part]

    def finalize(self, part: Any) -> None:  # noqa: B027 -- optional
        """Turn the last part into results, on the client, after all blocks."""

    @abstractmethod
    def get_results_dict(self) -> dict[str, Any]:
        """Return the results by name; ``classify`` passes them on."""
