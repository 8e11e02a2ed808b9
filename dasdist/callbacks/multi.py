"""Feed several callbacks in one pass."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dasdist.callbacks.base import (
    Accumulator,
    Context,
    DASAnnotateCallback,
    Mapper,
    Output,
    matters_from,
    takes_curves,
)
from dasdist.callbacks.seisbench import adapt_callback
from dasdist.errors import InvalidInput
from dasdist.geometry.blocks import Block, SegmentGrid
from dasdist.geometry.patches import Patch

__all__ = ["MultiCallback", "MultiMapper"]


class MultiCallback(DASAnnotateCallback):
    """Run the model once and hand its outputs to several callbacks.

    Parameters
    ----------
    callbacks : iterable of DASAnnotateCallback
        Reductions, or callbacks written for SeisBench.

    Attributes
    ----------
    callbacks : tuple
        What was passed; each holds its own results after the run.

    Raises
    ------
    TypeError
        If one of them is no callback.

    Notes
    -----
    Takes the place of ``seisbench.models.das_base.MultiCallback``, and merges the results.

    Examples
    --------
    >>> from dasdist.callbacks import DASPickingCallback, InMemoryCollectionCallback
    >>> picking, stacked = DASPickingCallback(), InMemoryCollectionCallback()
    >>> model.annotate(data, MultiCallback([picking, stacked]))  # doctest: +SKIP
    >>> picking.picks, stacked.annotations  # doctest: +SKIP
    """

    def __init__(self, callbacks: Iterable[Any]):
        self.callbacks = tuple(callbacks)
        self._children = tuple(adapt_callback(callback) for callback in self.callbacks)

    @property
    def pick_halo(self) -> float:  # type: ignore[override]
        """Seconds of output around a core that any child needs."""
        return max((child.pick_halo for child in self._children), default=0.0)

    @property
    def held_outputs(self) -> int:  # type: ignore[override]
        """Arrays of the size of the core that all children hold together."""
        return sum(child.held_outputs for child in self._children)

    @property
    def in_order(self) -> bool:  # type: ignore[override]
        """Whether any child runs on the client."""
        return any(child.in_order for child in self._children)

    @property
    def whole_patches(self) -> bool:  # type: ignore[override]
        """Whether any child needs whole patches."""
        return any(child.whole_patches for child in self._children)

    @property
    def overwrite(self) -> bool:  # type: ignore[override]
        """Whether any child replaces what its output holds."""
        return any(child.overwrite for child in self._children)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of all children; none if the results of any of them are in memory."""
        each = [child.outputs for child in self._children]
        return tuple(output for outputs in each for output in outputs) if all(each) else ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of all children, by their position."""
        return {str(i): child.settings for i, child in enumerate(self._children)}

    def by_output(self, part: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what the children's parts hold for each of their outputs."""
        pairs = zip(self._children, part, strict=True)
        return tuple(held for child, p in pairs for held in child.by_output(p))

    def of_outputs(self, parts: Sequence[Any]) -> tuple[Any, ...]:
        """Return the children's parts."""
        left = iter(parts)
        return tuple(
            child.of_outputs(list(islice(left, len(child.outputs)))) for child in self._children
        )

    def lost(self, parts: Mapping[int, tuple[Any, ...]]) -> list[int]:
        """Return the blocks that any child lost."""
        each = (
            child.lost({block: part[i] for block, part in parts.items()})
            for i, child in enumerate(self._children)
        )
        return sorted({block for lost in each for block in lost})

    def setup(self, context: Context) -> None:
        """Set all children up."""
        for child in self._children:
            child.setup(context)

    def mapper(self) -> "MultiMapper":
        """Return the half that feeds the children's halves."""
        return MultiMapper(tuple(child.mapper() for child in self._children))

    def consume(self, part: tuple[Any, ...] | None, grid: SegmentGrid) -> tuple[Any, ...] | None:
        """Let the children that run on the client consume their parts; return the others'."""
        parts = (None,) * len(self._children) if part is None else part
        left = tuple(
            child.consume(p, grid) if child.in_order else p
            for child, p in zip(self._children, parts, strict=True)
        )
        return None if part is None else left

    def combine(self, parts: Sequence[tuple[Any, ...] | None]) -> tuple[Any, ...]:
        """Combine each child's parts; those of skipped blocks may be ``None``."""
        known = [part for part in parts if part is not None]
        return tuple(
            child.combine([part[i] for part in known]) for i, child in enumerate(self._children)
        )

    def finalize(self, part: tuple[Any, ...] | None) -> None:
        """Finalize all children."""
        for child, p in zip(self._children, part or self.combine([]), strict=True):
            child.finalize(p)

    def get_results_dict(self) -> dict[str, Any]:
        """Return the children's results in one dict.

        Raises
        ------
        InvalidInput
            If two children have a result of the same name.
        """
        merged: dict[str, Any] = {}
        for callback, child in zip(self.callbacks, self._children, strict=True):
            results = child.get_results_dict()
            if twice := sorted(merged.keys() & results.keys()):
                raise InvalidInput(
                    f"Several callbacks have a result named {', '.join(map(repr, twice))}, one of "
                    f"them {type(callback).__name__}; ask each callback for its own results."
                )
            merged |= results
        return merged


@dataclass(frozen=True, slots=True)
class MultiMapper:
    """Feeds the patches of a block to several mappers; the part is a tuple of theirs.

    Parameters
    ----------
    mappers : tuple of Mapper
        One per callback.
    """

    mappers: tuple[Mapper, ...]

    @property
    def takes_curves(self) -> bool:
        """Whether all of them may be given curves on a GPU."""
        return all(map(takes_curves, self.mappers))

    @property
    def matters_from(self) -> Mapping[str, float]:
        """The least of theirs, by annotation key."""
        least: dict[str, float] = {}
        for mapper in self.mappers:
            for key, value in matters_from(mapper).items():
                least[key] = min(value, least.get(key, value))
        return least

    def begin(self, grid: SegmentGrid, block: Block) -> "_Accumulators":
        """Begin the accumulators of one block."""
        return _Accumulators([mapper.begin(grid, block) for mapper in self.mappers])


@dataclass(frozen=True, slots=True)
class _Accumulators:
    accumulators: list[Accumulator]

    def add(self, patch: Patch) -> None:
        for accumulator in self.accumulators:
            accumulator.add(patch)

    def part(self) -> tuple[Any, ...]:
        return tuple(accumulator.part() for accumulator in self.accumulators)
