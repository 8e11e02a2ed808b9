"""Put the times of blocks and files right whose sampling interval was rounded on the way.

A recorder stamps each block, and what opens its files counts on from there with a rounded step.
2100 samples of 476 us end 0.4 ms before the second does::

    stamps     |block 0          |block 1          |          every second
    as opened  |---------------|  |---------------|           jumps of 1.8 samples
    true       |----------------| |----------------|          even, 10/21 ms apart

The stamps hold.  Where they lie as far apart as an exact rate has it, and the step is that of the
rate after rounding, the ends of the blocks follow from the rate.  Likewise where a file states the
start of the next one as its end, and its header states the rate: from such times alone it could be
files that share a sample.
"""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry.straight_lines import simplest_fraction
from dasdist.sources.coordinates import Ties

__all__ = ["restamped"]

_UNITS = (1, 10**3, 10**6)
"""Nanoseconds of the units that steps are rounded to."""

_SAME_RATE = 1e-5
"""Largest relative difference of a measured rate from the round one that it stands for."""

_ROUND = 8
"""Largest denominator of a round rate in hertz."""

_ROUNDED = 1000
"""Nanoseconds by which stamps are off that are rounded to microseconds, at both ends."""

_SMALL = 1e-3
"""Samples by which times may be off without need to touch them."""


def restamped(ties: Ties, stated: Callable[[], Fraction | None]) -> Ties:
    """Return ties whose blocks or files end where their exact rate says.

    Parameters
    ----------
    ties : Ties
        Of a time coordinate.
    stated : callable
        Returns the sampling interval in nanoseconds that the header of the files states, if any;
        asked only where the times do not tell.

    Returns
    -------
    Ties
        The same where nothing was rounded, or no exact rate can be told.
    """
    if not ties.is_time or ties.values.dtype.kind != "i":
        return ties
    pieces = _Pieces.of(ties)
    step = None if pieces is None else _rounded_from(pieces, _measured(pieces))
    declared = stated() if step is None else None
    if pieces is not None and declared is not None:
        step = _rounded_from(pieces, declared)
    if pieces is not None and step is not None:
        return pieces.with_step(ties, step, pieces.alike())
    if declared is None or declared == ties.step:
        return ties
    if pieces is not None and pieces.end_with_the_next(declared).any():
        return pieces.with_step(ties, declared, pieces.end_with_the_next(declared))
    return replace(ties, step=declared) if _agree(ties, declared) else ties


def _agree(ties: Ties, step: Fraction) -> bool:
    """Tell whether ties have a step, but for stamps that are rounded to microseconds."""
    run, rise = np.diff(ties.indices), np.diff(ties.values)
    off = (rise - run * float(step))[run > 1]
    return bool(off.size) and bool((np.abs(off) <= min(2 * _ROUNDED, 0.25 * step)).all())


class _Pieces:
    """Linear pieces of two ties each: blocks or files.

    Parameters
    ----------
    ties : ndarray of int64, shape (n,)
        The tie with which each begins.
    sizes, firsts, rises : ndarray of int64, shape (n,)
        Samples, first time, and time from the first to the last sample.
    """

    def __init__(self, ties: Ties, begins: NDArray[np.int64]) -> None:
        self.ties = begins
        self.sizes = np.diff(ties.indices)[begins] + 1
        self.firsts = ties.values[begins]
        self.rises = ties.values[begins + 1] - self.firsts

    @classmethod
    def of(cls, ties: Ties) -> "_Pieces | None":
        """Return the pieces of a coordinate; None where it has others than such."""
        spans = np.diff(ties.indices)
        if spans.size < 1:
            return None
        # a slice may leave one sample of the first block, and of the last
        first, last = int(spans[0] == 1), spans.size - int(spans[-1] == 1)
        inner = spans[first:last]
        if not inner.size % 2 or (inner[::2] < 2).any() or (inner[1::2] != 1).any():
            return None
        return cls(ties, np.arange(first, last, 2))

    @property
    def slope(self) -> Fraction:
        """The step of most pieces, which are as they were opened."""
        usual = np.argsort(self.rises / (self.sizes - 1), kind="stable")[self.sizes.size // 2]
        return Fraction(int(self.rises[usual]), int(self.sizes[usual]) - 1)

    def alike(self) -> NDArray[np.bool_]:
        """Tell which pieces have the usual step."""
        off = self.rises - np.rint((self.sizes - 1) * float(self.slope))
        return np.asarray(np.abs(off) <= 2)  # both ends are whole nanoseconds

    def end_with_the_next(self, step: Fraction) -> NDArray[np.bool_]:
        """Tell which pieces are as long as one more sample would make them."""
        beyond = (self.rises - self.sizes * float(step)) / float(step)
        return np.asarray(np.abs(beyond) < 0.25)

    def with_step(self, ties: Ties, step: Fraction, these: NDArray[np.bool_]) -> Ties:
        """Return the ties with the ends of some pieces where the step has them."""
        values = ties.values.copy()
        run = self.sizes[these] - 1
        whole = step.numerator // step.denominator
        rise = run * whole + np.rint(run * float(step - whole)).astype(np.int64)
        values[self.ties[these] + 1] = self.firsts[these] + rise
        cut = 1 if self.ties[0] else int(self.sizes[0])
        if these[0] and cut < self.sizes.max():
            late = int(self.sizes.max()) * abs(self.slope - step) + _ROUNDED
            _end_before(values, cut, step, late)
        off = (values - values[0]) - ties.indices * (step.numerator / step.denominator)
        # where all stamps lie on a line but for rounding, its two ends say as much
        ends = [0, -1] if np.abs(off).max() <= _ROUNDED else slice(None)
        return replace(ties, indices=ties.indices[ends], values=values[ends], step=step)


def _end_before(values: NDArray[np.int64], size: int, step: Fraction, late: Fraction) -> None:
    """Let a cut first piece lead up to the next one: it is as ``late`` as its block was long."""
    next_one = 1 if size == 1 else 2
    if next_one < values.size:
        by = int(values[next_one]) - round(size * step) - int(values[0])
        values[:next_one] += by if abs(by) <= late else 0


def _measured(pieces: _Pieces) -> Fraction | None:
    """Return the step of a round rate that most pieces follow one another at, if there is one."""
    if pieces.sizes.size < 2:
        return None
    follow = np.diff(pieces.firsts) / pieces.sizes[:-1]
    cut = int(follow.size > 1 and pieces.sizes[0] < pieces.sizes[1])  # by a slice, perhaps
    usual = float(np.median(follow[cut:]))
    if usual <= 0:
        return None
    rate = Fraction(10**9) / Fraction(usual)
    round_rate = simplest_fraction(rate, 2 * _SAME_RATE * float(rate))
    return 10**9 / round_rate if 0 < round_rate and round_rate.denominator <= _ROUND else None


def _rounded_from(pieces: _Pieces, step: Fraction | None) -> Fraction | None:
    """Return a step if the one that the pieces have is what rounding made of it."""
    if step is None or step <= 0:
        return None
    slope = pieces.slope
    off = (int(pieces.sizes.max()) - 1) * abs(slope - step)
    if slope <= 0 or off <= _SMALL * step or (10**9 / slope).denominator <= _ROUND:
        return None
    tick = Fraction(1, int(pieces.sizes.max()) - 1)  # the end of a piece is a whole nanosecond
    units = [unit for unit in _UNITS if abs(slope - round(step / unit) * unit) <= tick]
    return step if units else None
