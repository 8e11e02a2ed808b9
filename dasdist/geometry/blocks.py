"""Blocks: the output samples one task owns, and the input it must read for them.

Along time (the same holds along the fibre)::

    recording    ......[============== read =================]......
    model rate            [ settling | patches . . . . . . ]
    patches                          [------]
                                        [------]
                                           [------]
    outputs                    <halo>[=== core ===]<halo>

*core* are the outputs that this block alone owns.  Patches that fill any output of the core, or of
the pick halo around it, are computed.  Their inputs, what the filter needs to settle before them
and what the resampling filter reaches beyond, are read.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry.axis import Axis
from dasdist.geometry.patches import PatchGrid
from dasdist.geometry.resampling import Ratio

__all__ = ["Block", "Region", "SegmentGrid", "Span", "block_at"]


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range of samples or channels."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """Number of samples or channels."""
        return self.stop - self.start

    @property
    def slice(self) -> slice:
        """The range as an index."""
        return slice(self.start, self.stop)

    def shift(self, by: int) -> "Span":
        """Return the range moved by ``by``."""
        return Span(self.start + by, self.stop + by)


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of samples and channels."""

    time: Span
    distance: Span

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        return self.time.size, self.distance.size


@dataclass(frozen=True, slots=True)
class Block:
    """The unit of work.

    Parameters
    ----------
    index : int
        Position in the plan.
    segment : int
        Index of the segment.
    core : Region
        Outputs of the segment that this block owns.
    rows, columns : Span
        Patches to compute along time and along the fibre.
    inputs : Region
        Samples and channels of the segment, at the model's sampling, that preprocessing prepares.
    read : Region
        Samples and channels of the recording that the user passed which must be read for them.
    grid : SegmentGrid
        The grid of patches and blocks of its segment.
    """

    index: int
    segment: int
    core: Region
    rows: Span
    columns: Span
    inputs: Region
    read: Region
    grid: "SegmentGrid" = field(repr=False)

    @property
    def out_time(self) -> Axis:
        """Time axis of the outputs that this block owns."""
        return self.grid.out_time.slice(self.core.time.start, self.core.time.stop)

    @property
    def out_distance(self) -> Axis:
        """Distance axis of the outputs that this block owns."""
        return self.grid.out_distance.slice(self.core.distance.start, self.core.distance.stop)

    @property
    def read_time(self) -> Axis:
        """Recorded time axis of the samples that this block reads."""
        span = self.read.time.shift(-self.grid.recorded.time.start)
        return self.grid.time.slice(span.start, span.stop)

    @property
    def patches(self) -> int:
        """Number of patches that are computed for it."""
        return self.rows.size * self.columns.size


@dataclass(frozen=True, slots=True)
class SegmentGrid:
    """Everything that places the blocks of one segment; shared by all of them.

    Parameters
    ----------
    index : int
        Number of the segment; picks carry it.
    first_block : int
        Index in the plan of its first block.
    recorded : Region
        Where the segment lies in the recording that the user passed.
    time, distance : Axis
        Its recorded coordinates.
    ratios : tuple of Ratio
        Resampling along time and along the fibre.
    rows, columns : PatchGrid
        Patches along time and along the fibre.
    channelwise : bool
        Whether the model treats every channel on its own, so that parts of a patch may be computed.
    settling : int
        Samples at the model's sampling that the filter needs before a block.
    pick_halo : int
        Outputs on either side of a core that picks of the core can depend on.
    core : tuple of int
        Output samples and channels of a block's core.
    around : tuple of int
        Samples at the model's sampling, before and after every output of a core, that its part
        depends on besides the patches.
    """

    index: int
    first_block: int
    recorded: Region
    time: Axis
    distance: Axis
    ratios: tuple[Ratio, Ratio]
    rows: PatchGrid
    columns: PatchGrid
    channelwise: bool
    settling: int
    pick_halo: int
    core: tuple[int, int]
    around: tuple[int, int] = (0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Output samples and channels."""
        return self.rows.out_size, self.columns.out_size

    @property
    def blocks(self) -> tuple[int, int]:
        """Number of blocks along time and along the fibre."""
        return -(-self.shape[0] // self.core[0]), -(-self.shape[1] // self.core[1])

    def __len__(self) -> int:
        return self.blocks[0] * self.blocks[1]

    def __iter__(self) -> Iterator[Block]:
        return (self.block(i) for i in range(len(self)))

    @property
    def model_time(self) -> Axis:
        """Time axis of the segment at the model's sampling."""
        stride = Fraction(self.ratios[0].down, self.ratios[0].up)
        return self.time.transform(offset=0, stride=stride, size=self.rows.size)

    @property
    def model_distance(self) -> Axis:
        """Distance axis of the segment at the model's sampling."""
        stride = Fraction(self.ratios[1].down, self.ratios[1].up)
        return self.distance.transform(offset=0, stride=stride, size=self.columns.size)

    @property
    def out_time(self) -> Axis:
        """Time axis of the outputs."""
        rows = self.rows
        return self.model_time.transform(
            offset=rows.covers[0] + rows.first_output * rows.stride,
            stride=rows.stride,
            size=rows.out_size,
        )

    @property
    def out_distance(self) -> Axis:
        """Distance axis of the outputs."""
        columns = self.columns
        return self.model_distance.transform(
            offset=columns.covers[0], stride=columns.stride, size=columns.out_size
        )

    def samples_behind(self, row: int) -> Span:
        """Return the samples of the segment, as recorded, that a row of patches depends on."""
        start, stop = self.rows.input_span(row, row + 1)  # beyond the segment, if it is padded
        start, stop = max(0, start - self.settling), min(stop, self.rows.size)
        return Span(*self.ratios[0].needs(start, stop, self.time.size))

    def channels_behind(self, start: int, stop: int) -> Span:
        """Return the channels of the segment, as recorded, behind some at the model's spacing."""
        return Span(*self.ratios[1].needs(start, stop, self.distance.size))

    @property
    def unreached(self) -> tuple[tuple[Fraction, Fraction], tuple[Fraction, Fraction]]:
        """Recorded samples at start and end, and channels, that outputs of no patch cover.

        Less than an output counts as none.
        """
        axes = (self.time, self.rows), (self.distance, self.columns)
        before_after = []
        for (recorded, patches), ratio in zip(axes, self.ratios, strict=True):
            # in samples and channels, not in their coordinates: channels may share a position
            sampling = Fraction(ratio.down, ratio.up)
            stride = patches.stride * sampling
            before = patches.covers[0] * sampling + patches.first_output * stride
            after = recorded.size - before - patches.out_size * stride
            before_after.append(
                (
                    before if before >= stride else Fraction(0),
                    after if after >= stride else Fraction(0),
                )
            )
        return before_after[0], before_after[1]

    @property
    def reached(self) -> float:
        """Share of the segment's recorded samples that outputs of some patch cover."""
        samples, channels = (
            1 - sum(ends) / axis.size
            for ends, axis in zip(self.unreached, (self.time, self.distance), strict=True)
        )
        return float(samples * channels)

    def areas(self) -> NDArray[np.int64]:
        """Return how many outputs each block owns, shape ``blocks``."""
        along_time, along_fibre = (
            np.diff(np.minimum(np.arange(count + 1) * core, total))
            for count, core, total in zip(self.blocks, self.core, self.shape, strict=True)
        )
        return np.outer(along_time, along_fibre)

    def largest_block(self) -> Block:
        """Return a block that reads as much as any: the first ones are whole."""
        first = (range(min(2, n)) for n in self.blocks)
        numbers = (i * self.blocks[1] + j for i, j in product(*first))
        blocks = (self.block(number) for number in numbers)
        return max(blocks, key=lambda block: block.inputs.shape[0] * block.inputs.shape[1])

    def block(self, number: int) -> Block:
        """Return the block with this number within the segment (time changes slowest)."""
        along_time, along_fibre = divmod(number, self.blocks[1])
        core_time, rows, in_time, read_time = self.along_time(along_time)
        core_distance, columns, in_distance, read_distance = self.along_fibre(along_fibre)
        return Block(
            index=self.first_block + number,
            segment=self.index,
            core=Region(core_time, core_distance),
            rows=rows,
            columns=columns,
            inputs=Region(in_time, in_distance),
            read=Region(
                read_time.shift(self.recorded.time.start),
                read_distance.shift(self.recorded.distance.start),
            ),
            grid=self,
        )

    def along_time(self, number: int) -> tuple[Span, Span, Span, Span]:
        """Return core, patches, prepared and read samples of the blocks in one row."""
        core = _core(number, self.core[0], self.shape[0])
        wanted = (
            max(0, core.start - self.pick_halo),
            min(self.shape[0], core.stop + self.pick_halo),
        )
        rows = Span(*self.rows.touching(*wanted))
        settled = self.settled(core, rows)
        inputs = Span(max(0, settled.start - self.settling), min(settled.stop, self.rows.size))
        return core, rows, inputs, Span(*self.ratios[0].needs(*_ends(inputs), self.time.size))

    def settled(self, core: Span, rows: Span) -> Span:
        """Return the samples that a block's patches, and what is around its core, consist of.

        They may lie beyond a padded segment, which is a single patch.
        """
        start, stop = self.rows.input_span(rows.start, rows.stop)
        if self.around == (0, 0) or self.rows.padded:
            return Span(start, stop)
        stride, (before, after) = self.rows.stride, self.around
        # a peak lies within half an output of the output that it counts as
        first = self.rows.covers[0] + (core.start - 1) * stride // 1 - before
        last = self.rows.covers[0] - (-core.stop * stride // 1) + after
        return Span(max(0, min(start, int(first))), min(self.rows.size, max(stop, int(last))))

    def along_fibre(self, number: int) -> tuple[Span, Span, Span, Span]:
        """Return core, patches, prepared and read channels of the blocks in one column."""
        core = _core(number, self.core[1], self.shape[1])
        columns = Span(*self.columns.touching(*_ends(core)))
        if self.channelwise:
            inputs = core.shift(self.columns.covers[0])
        else:
            inputs = Span(*self.columns.input_span(columns.start, columns.stop))
        return (
            core,
            columns,
            inputs,
            Span(*self.ratios[1].needs(*_ends(inputs), self.distance.size)),
        )


def block_at(grids: Sequence[SegmentGrid], index: int) -> Block:
    """Return the block with this number in a plan, whose segments these are."""
    segment = bisect_right(grids, index, key=lambda grid: grid.first_block) - 1
    return grids[segment].block(index - grids[segment].first_block)


def _core(number: int, size: int, total: int) -> Span:
    return Span(number * size, min((number + 1) * size, total))


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.stop
