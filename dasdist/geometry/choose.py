"""Choose the core of a block.

Small blocks spread well and fit in memory; large blocks compute fewer patches twice and read fewer
samples twice::

    blocks            1        few                         many
    memory            much     <------------------->      little
    patches twice     none     <------------------->      many
    busy workers      one      <------------------->      all

A few dozen sizes are tried and the one is taken whose run should end first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from dasdist.geometry.blocks import SegmentGrid

__all__ = ["DEFAULT_LIMITS", "Cost", "Limits", "choose_core", "recompute_factor", "samples_read"]

AMPLIFICATION_LIMIT = 1.1
"""What a plan may read over what the archive holds, if memory allows."""

_EXACT_BLOCKS = 4096
"""Blocks along one axis up to which predictions are sums over every block."""


PIECE_COST = 0.05
"""Cost of reading a file's rows in one more piece: files mostly hold one time after the other."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What blocks should stay within, if memory allows.

    Parameters
    ----------
    recompute : float
        Patch evaluations over the patches of the grid.
    work : int
        Window samples in a block; 1e8 are some tens of seconds on one core with a small network.
    """

    recompute: float = 1.045
    work: int = 10**8


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Cost:
    """What decides between two sizes of a block; smaller is better.

    Parameters
    ----------
    memory : int
        Bytes beyond what a worker has.
    excess : float
        Recomputing and reading beyond their limits.
    duration : float
        Relative length of the run.
    """

    memory: int
    excess: float
    duration: float

    def __lt__(self, other: "Cost") -> bool:
        mine = (self.memory, round(self.excess, 4), self.duration)
        return mine < (other.memory, round(other.excess, 4), other.duration)


def choose_core(
    grid: SegmentGrid,
    *,
    chunks: tuple[int, int] | None,
    slots: int,
    bytes_needed: Callable[[SegmentGrid], int],
    budget: float,
    fixed: tuple[int, int] = (0, 0),
    whole_fibre: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> tuple[int, int]:
    """Return the core (output samples, output channels) of a segment's blocks.

    Parameters
    ----------
    grid : SegmentGrid
        The segment, with any core.
    chunks : tuple of int or None
        Storage chunk of the recording.
    slots : int
        Blocks that run at a time.
    bytes_needed : callable
        Bytes that a worker needs for the blocks of a grid.
    budget : float
        Bytes that it has.
    fixed : tuple of int
        Core sizes that are given; 0 is to be chosen.
    whole_fibre : bool
        Whether blocks must span the fibre.
    limits : Limits
        What blocks should stay within.
    """

    @cache  # what blocks cost along one axis does not depend on their size along the other
    def along(axis: int, size: int) -> tuple[float, float]:
        core = (size, grid.core[1]) if axis == 0 else (grid.core[0], size)
        trial = replace(grid, core=core)
        return _recomputed(trial, axis), _read(trial, axis, chunks)

    def cost(core: tuple[int, int]) -> Cost:
        trial = replace(grid, core=core)
        blocks = len(trial)
        (rows, samples), (columns, channels) = along(0, core[0]), along(1, core[1])
        recompute = rows * columns
        amplification = samples * channels / (grid.time.size * grid.distance.size)
        rounds = -(-blocks // slots)
        largest = trial.largest_block()
        work = largest.rows.size * grid.rows.window * largest.inputs.distance.size
        # all slots wait for the fullest rounds; a small last block fills none
        idle = rounds * slots * core[0] * core[1] / (grid.shape[0] * grid.shape[1])
        return Cost(
            memory=int(max(0.0, bytes_needed(trial) - budget)),  # the budget may be infinite
            excess=max(0.0, recompute - limits.recompute)
            + max(0.0, amplification - AMPLIFICATION_LIMIT),
            duration=recompute
            * (0.8 + 0.2 * amplification)
            * max(1.0, idle)
            * (1 + PIECE_COST * (trial.blocks[1] - 1))
            * (1 + 0.002 * rounds + max(0.0, work / limits.work - 1)),
        )

    lengths = [fixed[0]] if fixed[0] else _lengths(grid)
    widths = [grid.shape[1]] if whole_fibre else [fixed[1]] if fixed[1] else _widths(grid, chunks)
    return min(product(lengths, widths), key=cost)


def _lengths(grid: SegmentGrid) -> list[int]:
    """Return core lengths that split the segment evenly into ever more parts of whole patches."""
    step = grid.rows.shift / grid.rows.stride
    patches = {-(-grid.rows.count // parts) for parts in _growing(grid.rows.count)}
    lengths = {max(1, int(n * step)) for n in patches}
    return sorted({*(s for s in lengths if s < grid.shape[0]), grid.shape[0]})


def _growing(largest: int) -> Iterator[int]:
    value = 1.0
    while value < largest:
        yield int(value)
        value = max(value + 1, value * 1.3)
    yield largest


def _widths(grid: SegmentGrid, chunks: tuple[int, int] | None) -> list[int]:
    """Return core widths that split the fibre into ever more parts, evenly or into whole chunks."""
    total = grid.shape[1]
    step = 1 if grid.channelwise else max(1, int(grid.columns.shift / grid.columns.stride))
    parts = (2**i for i in range(total.bit_length()))
    even = {min(total, -(-total // n // step) * step) for n in parts}
    chunk = chunks[1] if chunks and grid.channelwise and grid.ratios[1].is_identity else 1
    return sorted(even | {min(total, -(-width // chunk) * chunk) for width in even})


def recompute_factor(grid: SegmentGrid) -> float:
    """Return patches (or windows) that the blocks evaluate over those of the grid."""
    return _recomputed(grid, 0) * _recomputed(grid, 1)


def samples_read(grid: SegmentGrid, chunks: tuple[int, int] | None) -> float:
    """Return the samples that reading all blocks costs, whole storage chunks counted."""
    return _read(grid, 0, chunks) * _read(grid, 1, chunks)


def _recomputed(grid: SegmentGrid, axis: int) -> float:
    if axis == 0:
        return _total(grid.blocks[0], lambda i: grid.along_time(i)[1].size) / grid.rows.count
    if grid.channelwise:
        return 1.0
    return _total(grid.blocks[1], lambda i: grid.along_fibre(i)[1].size) / grid.columns.count


def _read(grid: SegmentGrid, axis: int, chunks: tuple[int, int] | None) -> float:
    chunk = (chunks or (1, 1))[axis]
    first = (grid.recorded.time, grid.recorded.distance)[axis].start
    blocks = (grid.along_time, grid.along_fibre)[axis]

    def read(i: int) -> int:
        span = blocks(i)[3].shift(first)
        return _whole_chunks(span.start, span.stop, chunk)

    return _total(grid.blocks[axis], read)


def _whole_chunks(start: int, stop: int, chunk: int) -> int:
    return (-(-stop // chunk) - start // chunk) * chunk


def _total(count: int, size: Callable[[int], int]) -> float:
    """Sum a size over blocks; of very many, over evenly spaced ones."""
    if count <= _EXACT_BLOCKS:
        return sum(map(size, range(count)))
    inner = range(1, count - 1, count // 64)
    average = sum(map(size, inner)) / len(inner)
    return size(0) + size(count - 1) + average * (count - 2)
