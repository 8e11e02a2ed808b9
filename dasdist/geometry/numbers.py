"""Numbers that blocks keep while an archive changes around them.

::

    plan of then     0  1  2  3  4                  numbers   0  1  2  3  4
    a file arrives   0  1  2  3' 4' 5  6            (two blocks more, in the middle)
    plan of now      0  1  2  3  4  5  6            numbers   0  1  2  5  6  3  4

What a block wrote has its number in its name, so that nothing is ever renamed.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Numbers"]


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of the blocks of a plan, in runs within which they follow one another.

    Parameters
    ----------
    starts : tuple of int
        The block with which each run begins; the first is 0.
    firsts : tuple of int
        Its number.

    Examples
    --------
    >>> numbers = Numbers.of(np.array([0, 1, 2, 5, 6, 3, 4]))
    >>> numbers
    Numbers(starts=(0, 3, 5), firsts=(0, 5, 3))
    >>> numbers[4], numbers.all(7).tolist()
    (6, [0, 1, 2, 5, 6, 3, 4])
    >>> numbers.blocks(7)[3]
    5
    """

    starts: tuple[int, ...] = (0,)
    firsts: tuple[int, ...] = (0,)

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> "Numbers":
        """Return the numbers of all blocks of a plan as runs."""
        starts = np.append(0, np.flatnonzero(np.diff(numbers) != 1) + 1)
        return cls(tuple(starts.tolist()), tuple(numbers[starts].tolist()))

    @property
    def plain(self) -> bool:
        """Whether every block has its place in the plan as its number."""
        return self.starts == self.firsts

    def __getitem__(self, block: int) -> int:
        """Return the number of a block."""
        run = bisect_right(self.starts, block) - 1
        return self.firsts[run] + block - self.starts[run]

    def all(self, blocks: int) -> NDArray[np.int64]:
        """Return the numbers of all blocks of a plan of so many."""
        ends = (*self.starts[1:], blocks)
        runs = zip(self.starts, ends, self.firsts, strict=True)
        return np.concatenate([np.arange(stop - start) + first for start, stop, first in runs])

    def blocks(self, blocks: int) -> dict[int, int]:
        """Return the block with each number, of a plan of so many."""
        return {number: block for block, number in enumerate(self.all(blocks).tolist())}
