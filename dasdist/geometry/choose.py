"""Choose the core of a block.

Small blocks spread well, fit in memory and are soon done; large blocks compute fewer patches twice
and read fewer samples twice::

    blocks            1        few                         many
    memory            much     <------------------->      little
    to wait for one   hours    <------------------->      no time
    patches twice     none     <------------------->      many
    busy workers      one      <------------------->      all

Some hundred sizes are tried.  Of those that are no nonsense, those that fit in memory count; of
these, those that recompute and read little; and of these that one is taken whose run should end
first, with blocks of several seconds and several for every worker.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import product
from math import inf, log2

from dasdist.geometry.blocks import SegmentGrid

__all__ = [
    "DEFAULT_LIMITS",
    "Cost",
    "Limits",
    "Work",
    "choose_core",
    "recompute_factor",
    "samples_read",
]

AMPLIFICATION_LIMIT = 1.1
"""What a plan may read over what the archive holds, if memory allows."""

WORST_RECOMPUTE, WORST_AMPLIFICATION, WORST_TOIL = 1.5, 2.0, 3.0
"""Patch evaluations over the patches of the grid, and, over the least that any size would cost,
samples read and seconds of all workers together.  Beyond any of these a size is nonsense: taken
only where no other is possible, whatever memory there is."""

SHORTEST, AIM, LONGEST = 5.0, 9.0, 20.0
"""Seconds of a block that one can wait for, and that one loses gladly when a run is stopped."""

MANY, LONGEST_OF_MANY = 10**5, 60.0
"""Blocks that a run should not have many more of, and the seconds that they may take for that."""

PER_SLOT, FEW_COST = 4, 0.05
"""Blocks for everything that runs at a time, so that all of it ends at about the same time, and the
cost of each that is missing."""

TASK_SECONDS = 0.02
"""Seconds of a block besides its samples: scheduling it (1 to 5 ms) and opening its files."""

PIECE_COST = 0.01
"""Cost of reading rows in twice as many pieces: files mostly hold one time after the other."""

BORDER_COST = 0.005
"""Cost of blocks that do not end where files do: next to nothing."""

_EXACT_BLOCKS = 4096
"""Blocks along one axis up to which predictions are sums over every block."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What blocks should stay within, if memory allows.

    Parameters
    ----------
    recompute : float
        Patch evaluations over the patches of the grid.
    work : float
        Window samples in a block, where that is what limits them and not the seconds they take.
    """

    recompute: float = 1.045
    work: float = inf


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do and by whom, besides the grid itself.

    Parameters
    ----------
    slots : int
        Blocks that run at a time.
    seconds : callable
        Seconds that the largest block of a grid takes.
    share : float
        Of the whole recording's work, what this segment is.
    file : int
        Samples of each of the files that the segment begins with; 0 if unknown.
    """

    slots: int
    seconds: Callable[[SegmentGrid], float]
    share: float = 1.0
    file: int = 0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Cost:
    """What decides between two sizes of a block; smaller is better.

    Parameters
    ----------
    nonsense : bool
        Whether it computes or reads far more than another size would.
    memory : int
        Bytes beyond what a worker has.
    excess : float
        Recomputing and reading beyond their limits.
    duration : float
        Seconds of the run, and what is to be said against the size besides.
    """

    nonsense: bool
    memory: int
    excess: float
    duration: float

    def __lt__(self, other: "Cost") -> bool:
        mine = (self.nonsense, self.memory, round(self.excess, 4), self.duration)
        return mine < (other.nonsense, other.memory, round(other.excess, 4), other.duration)


def choose_core(
    grid: SegmentGrid,
    work: Work,
    *,
    chunks: tuple[int, int] | None,
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
    work : Work
        How long its blocks take, and how many run at a time.
    chunks : tuple of int or None
        Storage chunk of the recording.
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
    border = _outputs_of_a_file(grid, work.file)
    lengths = [fixed[0]] if fixed[0] else _lengths(grid, border)
    widths = [grid.shape[1]] if whole_fibre else [fixed[1]] if fixed[1] else _widths(grid, chunks)

    @cache  # what blocks cost along one axis does not depend on their size along the other
    def along(axis: int, size: int) -> tuple[float, float]:
        core = (size, grid.core[1]) if axis == 0 else (grid.core[0], size)
        trial = replace(grid, core=core)
        return _recomputed(trial, axis), _read(trial, axis, chunks)

    @cache
    def toil(core: tuple[int, int]) -> float:
        share = core[0] * core[1] / (grid.shape[0] * grid.shape[1])
        return work.seconds(replace(grid, core=core)) / share

    sizes = list(product(lengths, widths))
    fewest = min(along(0, n)[1] for n in lengths) * min(along(1, n)[1] for n in widths)
    least = min(map(toil, sizes))

    def cost(core: tuple[int, int]) -> Cost:
        trial = replace(grid, core=core)
        (rows, samples), (columns, channels) = along(0, core[0]), along(1, core[1])
        recompute = rows * columns
        amplification = samples * channels / (grid.time.size * grid.distance.size)
        nonsense = (
            recompute > WORST_RECOMPUTE
            or toil(core) > WORST_TOIL * least
            or samples * channels > WORST_AMPLIFICATION * fewest
        )
        return Cost(
            nonsense=nonsense,
            memory=int(max(0.0, bytes_needed(trial) - budget)),  # the budget may be infinite
            excess=max(0.0, recompute - limits.recompute)
            + max(0.0, amplification - AMPLIFICATION_LIMIT),
            duration=_duration(trial, work)
            * (0.8 + 0.2 * amplification)
            * (1 + PIECE_COST * log2(trial.blocks[1]))
            * (1 + BORDER_COST * (not _ends_with_files(core[0], border)))
            * (1 + max(0.0, _window_samples(trial) / limits.work - 1)),
        )

    return min(sizes, key=cost)


def _duration(grid: SegmentGrid, work: Work) -> float:
    """Return the seconds of a run, weighted by how well one can wait for its blocks."""
    seconds = work.seconds(grid)
    blocks = len(grid) / work.share
    # all slots wait for the fullest rounds; a small last block fills none
    rounds = -(-blocks // work.slots)
    fewer = max(0.0, PER_SLOT - blocks / work.slots)
    unease = _unease(seconds, aim=min(LONGEST_OF_MANY, max(AIM, seconds * blocks / MANY)))
    return rounds * (seconds + TASK_SECONDS) * (1 + FEW_COST * fewer + unease)


def _unease(seconds: float, aim: float) -> float:
    """Return what speaks against blocks of some seconds: nothing near what is aimed at."""
    if seconds < aim:
        shortest = SHORTEST * aim / AIM
        return 0.05 * log2(shortest / max(seconds, 1e-3)) if seconds < shortest else 0.0
    return 0.15 * log2(seconds / aim) + log2(max(1.0, seconds / max(aim, LONGEST)))


def _window_samples(grid: SegmentGrid) -> int:
    block = grid.largest_block()
    return block.rows.size * grid.rows.window * block.inputs.distance.size


def _lengths(grid: SegmentGrid, border: Fraction) -> list[int]:
    """Return core lengths that split the segment evenly into ever more parts.

    They are of whole patches, and again of whole files, or of files in equal parts.
    """
    step = grid.rows.shift / grid.rows.stride
    patches = {-(-grid.rows.count // parts) for parts in _growing(grid.rows.count)}
    lengths = {max(1, int(n * step)) for n in patches}
    if border:
        lengths |= {_to_border(length, border) for length in lengths}
    return sorted({*(s for s in lengths if 0 < s < grid.shape[0]), grid.shape[0]})


def _outputs_of_a_file(grid: SegmentGrid, samples: int) -> Fraction:
    """Return the outputs, perhaps not a whole number of them, that lie in each file."""
    ratio = grid.ratios[0]
    return Fraction(samples * ratio.up, ratio.down) / grid.rows.stride


def _to_border(length: int, border: Fraction) -> int:
    """Return the nearest length of whole files, or the next smaller one that divides a file."""
    if length >= border:
        return int(round(length / border) * border)
    return int(border / -(-border // length))


def _ends_with_files(length: int, border: Fraction) -> bool:
    """Tell whether blocks of a length end where files end, or files where blocks do."""
    return not border or length == _to_border(length, border)


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
