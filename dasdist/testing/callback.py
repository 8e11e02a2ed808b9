"""What a callback promises: its results do not depend on where, when and how often blocks ran."""

import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasdist.callbacks import DASAnnotateCallback, adapt_callback
from dasdist.errors import InvalidInput
from dasdist.geometry import Block, SegmentGrid
from dasdist.testing.given import called_by, check_keys, made, maker
from dasdist.testing.sample import KEYS, accumulated, context_of, same, sample_grids

__all__ = ["check_callback"]


def check_callback(
    make: Callable[[], Any], *, keys: Sequence[str] = KEYS, segments: int = 2
) -> None:
    """Check that a callback gives the same results however its blocks are run.

    Parameters
    ----------
    make : callable
        Returns a new callback.
    keys : sequence of str
        Annotation keys of the model that it is for.
    segments : int
        Segments of the recording: 1 for callbacks that know no more, such as SeisBench's.

    Raises
    ------
    InvalidInput
        If `make` is not such a function, or `keys` are not names.
    AssertionError
        If a method raises an error, if the half for workers cannot be pickled, if results change
        with the order of blocks or with how parts are grouped, if a block gives another part the
        second time, or if it depends on parts that it does not own.

    Examples
    --------
    >>> import dasdist
    >>> check_callback(lambda: dasdist.DASPickingCallback(thresholds=0.5, blinding=(1, 1)))
    """
    maker(make, "check_callback", "callback")
    check_keys(keys)
    if segments not in (1, 2):
        raise InvalidInput(f"segments is {segments!r}; use 1 or 2.")
    _adapted(made(make, function="check_callback", what="callback"))
    grids = sample_grids()[:segments]
    blocks = [block for grid in grids for block in grid]
    sample = _Sample(grids, keys)
    expected = sample.reduce(make(), blocks, grouped=len(blocks))
    shuffled = [blocks[i] for i in np.random.default_rng(1).permutation(len(blocks))]
    in_order = adapt_callback(make()).needs.in_order
    for size in (1, 2, 5):
        found = sample.reduce(make(), blocks if in_order else shuffled, grouped=size)
        assert same(expected, found), (
            f"Results differ when blocks run in another order and parts are combined by {size}. "
            "combine() must give the same whatever the order and the grouping of the parts."
        )
    again = sample.reduce(make(), blocks, grouped=len(blocks))
    assert same(expected, again), "Results differ from one run to the next, on the same data."
    sample.check_repeats(adapt_callback(make()), blocks)
    sample.check_empty(adapt_callback(make()))


@dataclass(frozen=True, slots=True)
class _Sample:
    """Segments, and the annotation keys of what a model says of them."""

    grids: tuple[SegmentGrid, ...]
    keys: Sequence[str]

    def reduce(self, callback: Any, blocks: Iterable[Block], *, grouped: int) -> Any:
        """Do what a run does, with everything that travels pickled; return the results."""
        callback = adapt_callback(callback)
        with called_by("setup()", self._keys_hint):
            callback.setup(context_of(self.grids, self.keys))
        mapper = _travelled(callback.mapper(), "mapper() (or the callback itself, for map_block)")
        parts = []
        for block in blocks:
            with called_by("map_block() (or the mapper)", self._keys_hint):
                mapped = accumulated(mapper(block), block, self.keys).part()
            part = _travelled(mapped, "a part")
            parts.append(callback.consume(part, block) if callback.needs.in_order else part)
        groups = [parts[i : i + grouped] for i in range(0, len(parts), grouped)]
        with called_by("combine()", "It is given a list of parts, and must return such a part."):
            combined = callback.combine([callback.combine(group) for group in groups])
        with called_by("finalize()", "It is given what combine() returned."):
            callback.finalize(combined)
        with called_by("get_results_dict()"):
            return callback.get_results_dict()

    @property
    def _keys_hint(self) -> str:
        return (
            f"The annotations have the keys {', '.join(map(repr, self.keys))}; with a model of "
            "others, pass keys=[...]."
        )

    def check_repeats(self, callback: DASAnnotateCallback, blocks: list[Block]) -> None:
        """Compute a block, another one, and the first again."""
        callback.setup(context_of(self.grids, self.keys))
        mapper = callback.mapper()
        once, _, twice = (
            accumulated(mapper(block), block, self.keys).part()
            for block in (blocks[0], blocks[1], blocks[0])
        )
        assert same(_plain(once), _plain(twice)), (
            "The part of a block differs when it is computed again after another block. A part "
            "must depend on its block alone: keep nothing between blocks."
        )

    def check_empty(self, callback: DASAnnotateCallback) -> None:
        """Finalize a run of which every block failed."""
        callback.setup(context_of(self.grids, self.keys))
        try:
            callback.finalize(callback.combine([]))
            callback.get_results_dict()
        except Exception as error:
            raise AssertionError(
                f"Without any part, {type(error).__name__}: {error}. When all blocks failed, "
                "combine([]) is called, and finalize() with what it returned."
            ) from error


def _adapted(callback: Any) -> DASAnnotateCallback:
    """Return what was made as a reduction, or say that it is not a callback."""
    try:
        return adapt_callback(callback)
    except TypeError as error:
        raise InvalidInput(f"check_callback was given no callback. {error}") from error


def _travelled(thing: Any, what: str) -> Any:
    import cloudpickle

    try:
        return pickle.loads(cloudpickle.dumps(thing))
    except Exception as error:
        raise AssertionError(
            f"{what} cannot be pickled ({type(error).__name__}: {error}), and it travels between "
            "client and workers. Keep files and connections out of it: open them in map_block."
        ) from error


def _plain(part: Any) -> Any:
    """Return a part as what can be compared: patches hold arrays."""
    if isinstance(part, list | tuple):
        return [_plain(item) for item in part]
    return dict(part.annotations) if hasattr(part, "annotations") else part
