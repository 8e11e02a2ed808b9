"""Feed several callbacks in one pass, whatever they were written for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from dasdist.callbacks.base import (
    Accumulator,
    Context,
    DASAnnotateCallback,
    Mapper,
    SampleReader,
    Samples,
)
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.seisbench import ClientSideCallback, own
from dasdist.callbacks.sink import Output, SinkCallback
from dasdist.errors import InvalidInput
from dasdist.geometry.blocks import Block
from dasdist.geometry.patches import Patch

__all__ = ["MultiCallback", "MultiMapper", "adapt_callback"]


def adapt_callback(callback: Any) -> DASAnnotateCallback:
    """Return a callback as a reduction.

    Parameters
    ----------
    callback : object
        A reduction, which is returned as it is; or an object with ``handle_patch`` as for
        SeisBench, which is wrapped.  SeisBench's ``MultiCallback`` becomes dasdist's.

    Returns
    -------
    DASAnnotateCallback

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(callback, type):
        raise TypeError(
            f"{callback.__name__} is a class; pass an instance of it: {callback.__name__}(...)."
        )
    if isinstance(callback, DASAnnotateCallback) and (
        own(callback, "map_block") or own(callback, "mapper")
    ):
        return callback
    kind = type(callback)
    if kind.__name__ == "MultiCallback" and kind.__module__.startswith("seisbench."):
        return MultiCallback(callback.callbacks)
    if callable(getattr(callback, "handle_patch", None)):
        return ClientSideCallback(callback)
    raise TypeError(
        f"{type(callback).__name__} is not a callback: it defines none of map_block(), mapper() "
        "and handle_patch(). Derive it from dasdist.DASAnnotateCallback."
    )


class MultiCallback(SinkCallback):
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
        If one of them is not a callback.

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
        if not self.callbacks:
            raise InvalidInput("MultiCallback was given no callbacks; pass at least one.")
        self._children = tuple(adapt_callback(callback) for callback in self.callbacks)
        self._sinks = [child for child in self._children if isinstance(child, SinkCallback)]

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """What serves all children in one pass."""
        return Needs.merged(*(child.needs for child in self._children))

    @property
    def overwrite(self) -> bool:  # type: ignore[override]
        """Whether any child replaces what its output holds."""
        return any(sink.overwrite for sink in self._sinks)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Those of all children; none if the results of any of them are in memory."""
        each = [sink.outputs for sink in self._sinks]
        lasts = len(each) == len(self._children) and all(each)
        return tuple(output for outputs in each for output in outputs) if lasts else ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of all children, by their position."""
        return {str(i): sink.settings for i, sink in enumerate(self._sinks)}

    def by_output(self, part: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what the children's parts hold for each of their outputs."""
        pairs = zip(self._sinks, part, strict=True)
        return tuple(held for sink, p in pairs for held in sink.by_output(p))

    def of_outputs(self, parts: Sequence[Any]) -> tuple[Any, ...]:
        """Return the children's parts."""
        left = iter(parts)
        return tuple(sink.of_outputs(list(islice(left, len(sink.outputs)))) for sink in self._sinks)

    def lost(self, parts: Mapping[int, tuple[Any, ...]]) -> list[int]:
        """Return the blocks that any child lost."""
        each = (
            sink.lost({block: part[i] for block, part in parts.items()})
            for i, sink in enumerate(self._sinks)
        )
        return sorted({block for lost in each for block in lost})

    @property
    def follows_changes(self) -> bool:
        """Whether all children follow a change of the archive."""
        return all(sink.follows_changes for sink in self._sinks)

    def retain(self, blocks: Sequence[int]) -> None:
        """Let all children remove the results of other blocks."""
        for sink in self._sinks:
            sink.retain(blocks)

    def setup(self, context: Context) -> None:
        """Set all children up."""
        super().setup(context)
        for child in self._children:
            child.setup(context)

    def mapper(self) -> "MultiMapper":
        """Return the half that feeds the children's halves."""
        return MultiMapper(tuple(child.mapper() for child in self._children))

    def consume(self, part: tuple[Any, ...], block: Block) -> tuple[Any, ...]:
        """Let the children that run on the client consume their parts; return the others'."""
        return tuple(
            child.consume(p, block) if child.needs.in_order else p
            for child, p in zip(self._children, part, strict=True)
        )

    def counted(self, part: tuple[Any, ...]) -> Mapping[str, int]:
        """Return what the children counted, together; of what several count, the last one's."""
        pairs = zip(self._children, part, strict=True)
        return {name: count for child, p in pairs for name, count in child.counted(p).items()}

    def combine(self, parts: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Combine each child's parts."""
        return tuple(
            child.combine([part[i] for part in parts]) for i, child in enumerate(self._children)
        )

    def finalize(self, part: tuple[Any, ...]) -> None:
        """Finalize all children."""
        for child, p in zip(self._children, part, strict=True):
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

    def __call__(self, block: Block) -> "_Accumulators":
        """Begin the accumulators of one block."""
        return _Accumulators([mapper(block) for mapper in self.mappers])


@dataclass(frozen=True, slots=True)
class _Accumulators:
    accumulators: list[Accumulator]

    def add(self, patch: Patch) -> None:
        for accumulator in self.accumulators:
            accumulator.add(patch)

    def measure(self, samples: Samples) -> None:
        for accumulator in self.accumulators:
            if isinstance(accumulator, SampleReader):
                accumulator.measure(samples)

    def part(self) -> tuple[Any, ...]:
        return tuple(accumulator.part() for accumulator in self.accumulators)
