"""Stack overlapping patches to one array per annotation key.

Every output of a block's core is a fold over the patches that fill it, in grid order::

    avg         sum of values / number of patches
    weighted    sum of taper * value / sum of tapers
    max         largest value

Float32 sums depend on the order of their terms, and on nothing else: as every block meets the same
patches in the same order at a given output, results do not depend on how blocks are cut.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry.blocks import Block, Region
from dasdist.geometry.patches import Patch
from dasdist.spelling import unknown

__all__ = ["MapStacked", "Stacker", "Stacking", "check_stacking"]

Stacking = Literal["avg", "max", "weighted"]


def check_stacking(stacking: str) -> None:
    """Raise `InvalidInput` for a stacking that does not exist, naming the nearest that does."""
    if stacking not in get_args(Stacking):
        raise InvalidInput(unknown("stacking", stacking, get_args(Stacking)))


@dataclass(frozen=True, slots=True)
class Stacker:
    """The stack of one block's patches; made by :meth:`begin`.

    It holds one float32 array of the size of the core per annotation key, and one more.

    Parameters
    ----------
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.
    core : Region
        Outputs that are stacked; patches are cut to it.
    taper : ndarray of float32, shape (out_samples, out_channels)
        Weight of each output of a whole patch.
    totals : dict of str to ndarray of float32, each of the core's shape
        The fold so far: sums, or largest values.
    weights : ndarray of float32, of the core's shape
        Sum of the weights so far; 0 where no patch has filled the output.

    Notes
    -----
    "weighted" is the 2-D Hann taper of SeisBench's ``WriterBuffer``, clipped at 1e-5 so that edges
    that a single patch fills survive.
    """

    stacking: Stacking
    core: Region
    taper: NDArray[np.float32]
    totals: dict[str, NDArray[np.float32]]
    weights: NDArray[np.float32]

    @classmethod
    def begin(cls, stacking: Stacking, block: Block, keys: Iterable[str]) -> "Stacker":
        """Begin the stack of one block.

        Parameters
        ----------
        stacking : {"avg", "max", "weighted"}
            How overlapping patches are merged.
        block : Block
            Whose core is stacked.
        keys : iterable of str
            Annotation keys.

        Raises
        ------
        InvalidInput
            If there is no such stacking.
        """
        check_stacking(stacking)
        whole = (block.grid.rows.out, block.grid.columns.out)
        empty = -np.inf if stacking == "max" else 0.0
        return cls(
            stacking=stacking,
            core=block.core,
            taper=_hann(whole) if stacking == "weighted" else np.broadcast_to(np.float32(1), whole),
            totals={key: np.full(block.core.shape, empty, dtype=np.float32) for key in keys},
            weights=np.zeros(block.core.shape, dtype=np.float32),
        )

    def add(self, patch: Patch) -> None:
        """Add one patch; what lies outside the core, or was not computed, is left away."""
        size = next(iter(patch.annotations.values())).shape
        samples = _overlap(self.core.time.start, self.core.time.stop, patch.sample, size[0])
        channels = _overlap(
            self.core.distance.start, self.core.distance.stop, patch.channel, size[1]
        )
        here, there = (samples[0], channels[0]), (samples[1], channels[1])
        taper = self.taper[:, patch.inset : patch.inset + size[1]][there]
        if patch.computed is not None and not patch.computed.all():
            self._add_some(patch, here, there, taper)
            return
        self.weights[here] += taper
        for key, total in self.totals.items():
            values = patch.annotations[key][there]
            if self.stacking == "max":
                np.maximum(total[here], values, out=total[here])
            elif self.stacking == "avg":
                total[here] += values
            else:
                total[here] += values * taper

    def _add_some(
        self,
        patch: Patch,
        here: tuple[slice, slice],
        there: tuple[slice, slice],
        taper: NDArray[np.float32],
    ) -> None:
        """Add the channels of a patch that were computed."""
        assert patch.computed is not None
        chosen = np.flatnonzero(patch.computed[there[1]])
        columns = chosen + here[1].start
        weights = taper[:, chosen]
        self.weights[here[0], columns] += weights
        for key, total in self.totals.items():
            values = patch.annotations[key][there][:, chosen]
            if self.stacking == "max":
                total[here[0], columns] = np.maximum(total[here[0], columns], values)
            elif self.stacking == "avg":
                total[here[0], columns] += values
            else:
                total[here[0], columns] += values * weights

    def outputs(self) -> dict[str, NDArray[np.float32]]:
        """Return the stacked core per key, NaN where no patch fills it; call it once, last.

        A patch that was not computed fills nothing, and spoils nothing that overlaps it.
        """
        for total in self.totals.values():
            if self.stacking == "max":
                total[self.weights == 0] = np.nan
            else:
                with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of an unfilled output
                    np.divide(total, self.weights, out=total)
        return self.totals


@dataclass(frozen=True, slots=True)
class MapStacked:
    """A mapper that stacks the patches of a block and gives the stack to a function.

    Parameters
    ----------
    map_block : callable
        Takes the block and its stacked annotations, by key, and returns its part.
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.
    keys : tuple of str
        Annotation keys.
    """

    map_block: Callable[[Block, Mapping[str, NDArray[np.float32]]], Any]
    stacking: Stacking
    keys: tuple[str, ...]

    def __call__(self, block: Block) -> "_StackedBlock":
        """Begin the stack of one block."""
        return _StackedBlock(self.map_block, block, Stacker.begin(self.stacking, block, self.keys))


@dataclass(frozen=True, slots=True)
class _StackedBlock:
    map_block: Callable[[Block, Mapping[str, NDArray[np.float32]]], Any]
    block: Block
    stacker: Stacker

    def add(self, patch: Patch) -> None:
        self.stacker.add(patch)

    def part(self) -> Any:
        part = self.map_block(self.block, self.stacker.outputs())
        if part is None:
            name = getattr(self.map_block, "__qualname__", repr(self.map_block))
            raise InvalidInput(
                f"{name} returned None for block {self.block.index}: return the block's part, such "
                "as an empty list where there is nothing."
            )
        return part


def _overlap(start: int, stop: int, first: int, size: int) -> tuple[slice, slice]:
    """Return where a core and ``[first, first + size)`` overlap, as indices of either."""
    low = min(max(start, first), stop)
    high = max(low, min(stop, first + size))
    return slice(low - start, high - start), slice(max(0, low - first), max(0, high - first))


@lru_cache(maxsize=8)
def _hann(shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return the taper of a whole patch, shape (out_samples, out_channels); read-only."""
    product = np.hanning(shape[0])[:, None] * np.hanning(shape[1])
    taper = np.clip(product, 1e-5, None).astype(np.float32)
    taper.flags.writeable = False
    return taper
