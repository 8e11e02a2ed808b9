"""Find the recorded samples that a resampled stretch depends on.

With ``up`` / ``down`` = 2 / 3, resampled sample *i* sits at recorded position ``3 i / 2``::

    recorded    0     1     2     3     4     5     6
    upsampled   0  1  2  3  4  5  6  7  8  9 10 11 12
    resampled   0        1        2        3        4

The FIR filter of :func:`scipy.signal.resample_poly` reaches ``10 * max(up, down)`` steps of the
upsampled grid to either side.  scipy pads it with zeros to fit its polyphase layout; their reach
counts too, because zero times NaN is NaN, and not even NaN should depend on how a signal was cut.
"""

from dataclasses import dataclass
from math import gcd

__all__ = ["Ratio"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """A resampling ratio: ``up`` / ``down`` resampled samples for each recorded one.

    Examples
    --------
    >>> Ratio(2, 3).size(7)
    5
    >>> Ratio(1, 1).needs(100, 200, 1000)
    (100, 200)
    >>> Ratio(1, 2).needs(100, 200, 1000)
    (180, 421)
    """

    up: int
    down: int

    def __post_init__(self) -> None:
        if self.up < 1 or self.down < 1 or gcd(self.up, self.down) != 1:
            raise ValueError(
                f"{self.up}/{self.down} is not a resampling ratio; use coprime factors from 1 up."
            )

    @property
    def is_identity(self) -> bool:
        """Whether resampling by it changes nothing."""
        return self.up == self.down

    def size(self, n: int) -> int:
        """Return the length of ``n`` samples after resampling."""
        return -(-n * self.up // self.down)

    def first_needed(self, start: int) -> int:
        """Return the last multiple of ``down`` that is not after any input of sample ``start``."""
        return max(0, self.reached(start, start + 1)[0])

    def needs(self, start: int, stop: int, n: int) -> tuple[int, int]:
        """Return the half-open range of recorded samples behind resampled ``[start, stop)``.

        The range is cut to ``[0, n)``; its start is a multiple of ``down``, where a recorded and a
        resampled sample coincide, so that the resampled grid of the range is that of the whole.
        """
        low, high = self.reached(start, stop)
        return max(0, low), min(n, high)

    def reached(self, start: int, stop: int) -> tuple[int, int]:
        """Return the range that :meth:`needs` cuts to what there is; it may start below 0."""
        if self.is_identity:
            return start, stop
        oldest = -((self._reach + self.up - 1 - start * self.down) // self.up)
        padding = self.down - self._reach % self.down
        last = ((stop - 1) * self.down + self._reach + padding) // self.up
        return oldest // self.down * self.down, last + 1

    def finished(self, n: int) -> int:
        """Return how many resampled samples need none but the first ``n`` recorded ones.

        Those at the end of a recording, which go on as its mirror image, are not among them.

        Examples
        --------
        >>> ratio = Ratio(1, 10)
        >>> ratio.finished(1000), ratio.reached(88, 89)[1], ratio.reached(89, 90)[1]
        (89, 991, 1001)
        """
        if self.is_identity:
            return n
        padding = self.down - self._reach % self.down
        return max(0, (n * self.up - 1 - self._reach - padding) // self.down + 1)

    @property
    def _reach(self) -> int:
        return 10 * max(self.up, self.down)
