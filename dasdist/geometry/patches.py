"""The global patch grid: where a model's input windows lie, and where their outputs land.

Along one axis, patch *i* of a segment starts at ``min(i * shift, size - window)`` whatever the
blocks are; the last patch is moved back so that it ends with the data::

    samples    0 . . . . . . . . . . . . . . . . . . . size
    patch 0    [------window------]
    patch 1       shift->[------window------]
    patch 2                    [------window------]      <- moved back to the end

Inside a patch the outputs cover the range ``[r0, r1)`` of the window with ``out`` equal steps::

    window     0 . . r0 . . . . . . . . r1 . . window
    outputs          0   1   2  ...  out - 1
    output i sits at r0 + i * (r1 - r0) / out

Output *j* of the segment sits at input position ``r0 + j * (r1 - r0) / out``; patch *i* fills the
outputs from ``round(start(i) * out / (r1 - r0))`` on.

A segment shorter than a window may be padded: it lies in the middle of its only patch, which starts
before it, and only those outputs count that lie on its own samples::

    patch 0    [ . . . . window . . . . ]
    samples            0 . . size             start(0) is negative
    outputs            0 1 2 . .
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput

__all__ = ["Patch", "PatchCoordinate", "PatchGrid", "PatchingStructure"]


@dataclass(frozen=True, slots=True)
class PatchingStructure:
    """The shape of a model's input patches and of its outputs, as in SeisBench.

    Parameters
    ----------
    in_samples, in_channels : int
        Size of an input patch.
    out_samples, out_channels : int
        Size of the output for a patch.
    range_samples, range_channels : tuple of int
        Half-open range of the input patch that the output covers.
    overlap_samples, overlap_channels : int, optional
        Samples and channels that neighbouring patches share.  ``None`` leaves them to the keyword
        arguments ``overlap_samples`` and ``overlap_channels`` of ``annotate`` and ``classify``.

    Notes
    -----
    Fields and meanings are those of ``seisbench.models.das_base.PatchingStructure``; this one is
    immutable.
    """

    in_samples: int
    in_channels: int
    out_samples: int
    out_channels: int
    range_samples: tuple[int, int]
    range_channels: tuple[int, int]
    overlap_samples: int | None = None
    overlap_channels: int | None = None

    @property
    def shift_samples(self) -> int:
        """Samples from the start of one patch to the next."""
        return self.in_samples - (self.overlap_samples or 0)

    @property
    def shift_channels(self) -> int:
        """Channels from the start of one patch to the next."""
        return self.in_channels - (self.overlap_channels or 0)


@dataclass(frozen=True, slots=True)
class PatchCoordinate:
    """Upper left corner and size of a patch, as callbacks written for SeisBench expect them."""

    sample: float
    channel: float
    w_sample: int
    w_channel: int

    @property
    def sample_int(self) -> int:
        """The nearest whole sample."""
        return round(self.sample)

    @property
    def channel_int(self) -> int:
        """The nearest whole channel."""
        return round(self.channel)

    def __array__(
        self, dtype: np.dtype[np.float64] | None = None, copy: bool | None = None
    ) -> NDArray[np.float64]:
        return np.array([self.sample, self.channel, self.w_sample, self.w_channel], dtype=dtype)


@dataclass(frozen=True)  # without slots, for what planning asks for at every candidate is kept
class PatchGrid:
    """The patches of one segment along one axis.

    Parameters
    ----------
    size : int
        Samples (or channels) of the segment, at the model's sampling.
    window, shift : int
        Size of a patch and distance between patch starts.
    out : int
        Outputs per patch.
    covers : tuple of int
        Half-open range of the window that the outputs cover.
    padded : bool
        Whether the segment is shorter than a window, and extended to one.

    Examples
    --------
    >>> short = PatchGrid(size=4, window=10, shift=5, out=10, covers=(0, 10), padded=True)
    >>> short.start(0), short.out_start(0), short.out_size
    (-3, -3, 4)
    >>> grid = PatchGrid(size=11, window=4, shift=3, out=2, covers=(0, 4))
    >>> [grid.start(i) for i in range(grid.count)]
    [0, 3, 6, 7]
    >>> [grid.out_start(i) for i in range(grid.count)], grid.out_size
    ([0, 2, 3, 4], 6)
    >>> grid.touching(2, 3)
    (1, 2)
    >>> grid.input_span(1, 2)
    (3, 7)
    """

    size: int
    window: int
    shift: int
    out: int
    covers: tuple[int, int]
    padded: bool = False

    def __post_init__(self) -> None:
        if self.size < self.window and not self.padded:
            raise InvalidInput(
                f"A segment has {self.size} samples or channels, but a patch of the model has "
                f"{self.window}; use a longer segment, or a model with smaller patches."
            )
        if self.shift < 1:
            raise InvalidInput(
                f"An overlap of {self.window - self.shift} samples or channels leaves no step "
                f"between patches of {self.window}; use a smaller overlap_samples or "
                "overlap_channels."
            )

    @cached_property
    def count(self) -> int:
        """Number of patches."""
        return max(0, -(-(self.size - self.window) // self.shift)) + 1

    @property
    def stride(self) -> Fraction:
        """Input samples per output."""
        return Fraction(self.covers[1] - self.covers[0], self.out)

    @cached_property
    def out_size(self) -> int:
        """Number of outputs of the segment."""
        last = self.out_start(self.count - 1) + self.out
        if not self.padded:
            return last
        on_samples = -((self.covers[0] - self.size) * self.out // self._width) - self.first_output
        return max(0, min(last, on_samples))

    @cached_property
    def first_output(self) -> int:
        """First output of the segment, counted from the one at the start of what outputs cover.

        It is negative where a padded segment lies before that.
        """
        if not self.padded:
            return 0
        starts = self.start(0) * self.out // self._width
        return max(-(self.covers[0] * self.out // self._width), starts)

    @property
    def _width(self) -> int:
        return self.covers[1] - self.covers[0]

    def start(self, patch: int) -> int:
        """Return the first input sample of a patch."""
        if not self.padded:
            return min(patch * self.shift, self.size - self.window)
        whole = self.stride.numerator  # with which outputs lie where they would without padding
        return -((self.window - self.size) // 2 // whole * whole)

    def out_start(self, patch: int) -> int:
        """Return the output that a patch fills first: its exact position, rounded half up."""
        width = self._width
        start = (2 * self.start(patch) * self.out + width) // (2 * width)
        return start - self.first_output

    def touching(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open range of the patches that fill any output in ``[start, stop)``.

        Where none does, between patches that leave a hole, it is one patch beside the hole.
        """
        first = self._from(start - self.out + 1)
        return first, max(first + 1, self._from(stop))

    def starting_in(self, start: int, stop: int) -> tuple[int, int]:
        """Return the half-open range of the patches whose first output is in ``[start, stop)``."""
        return self._from(start), self._from(stop)

    def _from(self, output: int) -> int:
        """Return the first patch that starts at an output or after it; `count` if none does."""
        width = self.covers[1] - self.covers[0]
        last = self.count - 1
        # the inverse of `out_start`, exact for all patches but the last, which may start early
        patch = max(0, -(-(2 * output - 1) * width // (2 * self.shift * self.out)))
        return patch if patch < last else last + (self.out_start(last) < output)

    def input_span(self, first: int, last: int) -> tuple[int, int]:
        """Return the half-open range of input samples of the patches ``first`` to ``last``."""
        return self.start(first), self.start(last - 1) + self.window

    def hole(self, trim: int = 0) -> int:
        """Return the largest number of outputs between neighbouring patches that none fills.

        ``trim`` is the number of outputs of every patch that go unused, e.g. through blinding.
        """
        # starts repeat, but for a shift, every (covers[1] - covers[0]) patches
        pairs = {*range(min(self.count - 1, self.covers[1] - self.covers[0])), self.count - 2}
        gaps = [
            self.out_start(i + 1) - self.out_start(i) - (self.out - trim) for i in pairs if i >= 0
        ]
        return max(0, *gaps, 0)


@dataclass(frozen=True, slots=True)
class Patch:
    """Annotations of one patch, or of neighbouring channels of it.

    Parameters
    ----------
    row, column : int
        Index of the patch along time and along the fibre.
    sample, channel : int
        Output sample and channel of the segment that ``annotations[key][0, 0]`` fills.
    inset : int
        Channel of the patch's output that ``annotations[key][:, 0]`` is; 0 for a whole patch.
    width : int
        Output channels of a whole patch.
    annotations : mapping of str to ndarray, each of shape (out_samples, n <= width)
        One array per annotation key; curves on a GPU for callbacks that take them.
    computed : ndarray of bool, shape (n,), or None
        Of which channels there are annotations; those of others are NaN.  None is all.
    """

    row: int
    column: int
    sample: int
    channel: int
    inset: int
    width: int
    annotations: Mapping[str, Any]
    computed: NDArray[np.bool_] | None = None
