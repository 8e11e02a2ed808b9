"""What a callback is: it consumes annotations block by block, where they are computed.

::

    client   setup(context)                                combine(parts) -> finalize(part)
                                                               ^
    worker              map_block(block, annotations) -> part -'

Blocks may run anywhere, in any order and twice.  So a part depends on its block alone, parts are
combined in any order, and nothing that a worker sets on the callback comes back but the part.

A callback that wants single patches instead of the stacked core, such as one that picks, defines
:meth:`~DASAnnotateCallback.mapper` in place of ``map_block``.  Results that last, such as files,
are a contract of their own: :class:`dasdist.callbacks.sink.SinkCallback`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.needs import Needs
from dasdist.callbacks.stacking import MapStacked, Stacking
from dasdist.errors import DasdistError
from dasdist.geometry.blocks import Block, SegmentGrid
from dasdist.geometry.numbers import Numbers
from dasdist.geometry.patches import Patch

__all__ = [
    "Accumulator",
    "Context",
    "DASAnnotateCallback",
    "Mapper",
    "SampleReader",
    "Samples",
]


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
    channel_unit : str
        Unit of the positions along the fibre: "m", "1" where they only count channels, else what
        the data states.
    data_unit : str
        Unit of the samples, as the data states it; "" if it does not.
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
    numbers : mapping of Path to Numbers
        By the journal of an output, the numbers of its blocks: a block keeps the one in the names
        of its files, wherever in the plan it comes to lie as the archive changes.
    moved : bool
        Whether the output has blocks that counted samples, or segments, in another way than this
        plan does.
    weights : str
        The first digits of the SHA-256 of the model's tensors, where results last.
    standing : ndarray of bool, or None
        For each block, whether what it wrote earlier, if anything, is still right; None if so of
        all.
    """

    annotate_keys: tuple[str, ...]
    grids: tuple[SegmentGrid, ...]
    dims: tuple[str, str]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    phases: tuple[str, ...] | None = None
    run: str = ""
    resume: bool = False
    overwrite: bool = False
    channel_unit: str = "m"
    numbers: Mapping[Path, Numbers] = field(default_factory=dict)
    moved: bool = False
    weights: str = ""
    data_unit: str = ""
    standing: NDArray[np.bool_] | None = None

    def numbers_of(self, journal: Path) -> Numbers:
        """Return the numbers of the blocks of an output, by its journal."""
        return self.numbers.get(journal, Numbers())


class Accumulator(Protocol):
    """Takes the patches of one block, in grid order (time slowest), and ends in a part."""

    def add(self, patch: Patch) -> None:
        """Take one patch; NaN on channels that could not be computed (`patch.computed`)."""

    def part(self) -> Any:
        """Return what goes back to the client; picklable."""


class Samples(Protocol):
    """The preprocessed samples of a block: resampled and filtered, as the model's windows begin.

    What the model does to each window itself, such as dividing by its amplitude, is not done.
    """

    def windows(
        self, starts: NDArray[np.int64], channels: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
        """Return stretches of samples, and which of them lack none.

        Parameters
        ----------
        starts, channels : ndarray of int64, shape (n,)
            First sample and channel of each, counted in the segment at the model's sampling.  What
            lies beyond the segment is any number.
        size : int
            Samples of each.

        Returns
        -------
        values : ndarray of float, shape (n, size)
        whole : ndarray of bool, shape (n,)
            False where a sample within the segment is missing.
        """


@runtime_checkable
class SampleReader(Accumulator, Protocol):
    """An accumulator that is shown the preprocessed samples, as its callback's needs say."""

    def measure(self, samples: Samples) -> None:
        """Take what the part needs of the samples: after the last patch, before :meth:`part`."""


Mapper = Callable[[Block], Accumulator]
"""Begins the accumulator of a block, on a worker; a small picklable value."""


class DASAnnotateCallback(ABC):
    """Base class of what consumes annotations.

    A subclass defines :meth:`map_block`, :meth:`combine`, perhaps :meth:`finalize`, and
    :meth:`get_results_dict`.  One that is written as for SeisBench (``handle_patch(annotations,
    in_coords, out_coords)`` and perhaps ``setup(data, patching_structure, annotate_keys)`` and
    ``finalize()``) works as well: it runs on the client, patch after patch.

    Attributes
    ----------
    needs : Needs
        What the callback asks of the run; by default what :meth:`map_block` needs.
    stacking : {"weighted", "avg", "max"}
        How overlapping patches become the annotations that :meth:`map_block` gets.
    context : Context
        What :meth:`setup` was told.

    See Also
    --------
    dasdist.testing.check_callback : checks a callback of one's own.

    Examples
    --------
    A callback that finds the largest energy on every channel, a model, and a recording:

    >>> import numpy as np, torch, xarray
    >>> import dasdist
    >>> class Loudest(dasdist.DASAnnotateCallback):
    ...     def map_block(self, block, annotations):
    ...         channels = block.out_distance.values()
    ...         return dict(zip(channels, np.nanmax(annotations["energy"], axis=0)))
    ...
    ...     def combine(self, parts):
    ...         channels = {x for part in parts for x in part}
    ...         return {x: max(part[x] for part in parts if x in part) for x in channels}
    ...
    ...     def finalize(self, part):
    ...         self.largest = part
    ...
    ...     def get_results_dict(self):
    ...         return {"largest": self.largest}
    >>> class Energy(dasdist.DASModel):
    ...     def __init__(self):
    ...         structure = dasdist.PatchingStructure(100, 2, 100, 2, (0, 100), (0, 2))
    ...         super().__init__(patching_structure=structure, annotate_keys=["energy"])
    ...
    ...     def forward(self, x, argdict=None):
    ...         return {"energy": x**2}
    >>> time = np.datetime64("2024-01-01", "ns") + np.arange(1000) * np.timedelta64(10, "ms")
    >>> values = np.zeros((1000, 4), dtype="float32")
    >>> values[700, 3] = 2.0
    >>> data = xarray.DataArray(values, {"time": time, "distance": 10.0 * np.arange(4)})
    >>> callback = Loudest()
    >>> report = dasdist.annotate(Energy(), data, callback, pbar=False)
    >>> float(callback.largest[20.0]), float(callback.largest[30.0])
    (0.0, 4.0)
    """

    needs: Needs = Needs(held_outputs=3)  # the stack, its weights, and what map_block makes of it
    stacking: Stacking = "weighted"

    _context: Context | None = None

    @property
    def context(self) -> Context:
        """What the callback was told before the first block.

        Raises
        ------
        DasdistError
            Before that.
        """
        if self._context is None:
            raise DasdistError(
                f"{type(self).__name__} has not been set up: pass it to annotate first, and let a "
                "setup of its own call super().setup(context)."
            )
        return self._context

    def setup(self, context: Context) -> None:
        """Prepare for a run, on the client, before any block: check options, forget results."""
        self._context = context

    def map_block(self, block: Block, annotations: Mapping[str, NDArray[np.float32]]) -> Any:
        """Return the part of one block; called on a worker, on a copy of this callback.

        Parameters
        ----------
        block : Block
            The block: ``block.out_time.values()`` are the times (datetime64[ns]) and
            ``block.out_distance.values()`` the distances (metres) of the outputs that it owns,
            ``block.index`` its number in the plan and ``block.segment`` that of its segment.
        annotations : mapping of str to ndarray of float32, shape (samples, channels)
            What the model says of the outputs that the block owns, overlapping patches merged; NaN
            where no patch fills an output, and where none could be computed.

        Returns
        -------
        object
            Picklable.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines none of map_block(), mapper() and handle_patch(): a "
            "callback needs one of them."
        )

    def mapper(self) -> Mapper:
        """Return the half that runs on workers; called after :meth:`setup`."""
        return MapStacked(self.map_block, self.stacking, self.context.annotate_keys)

    def consume(self, part: Any, block: Block) -> Any:
        """Use the part of one block and return what :meth:`combine` still needs of it.

        Called on the client, only where :attr:`needs` says ``in_order``, block after block in the
        order of the plan; not for blocks that failed.
        """
        return part

    def counted(self, part: Any) -> Mapping[str, int]:
        """Return what the part of a block amounts to, by name, such as picks; may be nothing."""
        return {}

    def combine(self, parts: Sequence[Any]) -> Any:
        """Merge parts, given in any order and grouping, into one part.

        Called on parts, on what it returned for other parts, and on no parts at all.  By default
        parts are lists and are joined.
        """
        return [item for part in parts for item in part]

    def finalize(self, part: Any) -> None:  # noqa: B027 -- optional
        """Turn the last part into results, on the client, after all blocks."""

    @abstractmethod
    def get_results_dict(self) -> dict[str, Any]:
        """Return the results by name; ``classify`` passes them on."""
