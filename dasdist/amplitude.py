"""Bring windows of recorded samples into the single precision in which models compute.

Recorders count fringes from any start: a channel may be 1e8 with a signal of 1e3, and float32 holds
seven digits.  Strain in SI units is 1e-9 and less, where models that divide by the standard
deviation "plus 1e-10" no longer see what they were trained on.  Both are put right window by
window, while the samples still have the type in which they were recorded::

    window      100000007  100000012  100000003   int32
    centred             0          5         -4   exact: less the first sample of the window
    scaled              0          5         -4   times a power of two, exact in floating point

The windows are those of the global grid of patches, so that results do not depend on blocks.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # slow to import, and whoever looks at a run does not need it
    import torch

__all__ = ["AS_RECORDED", "Amplitude", "is_wide"]


@dataclass(frozen=True, slots=True)
class Amplitude:
    """What is done to the amplitude of every window; the same for a whole recording.

    Parameters
    ----------
    centred : bool
        Whether each channel of a window is counted from its first sample: for models that remove
        the mean themselves, where any constant gives the same result but for rounding.
    scale : float
        Factor of all samples, a power of two: for models that divide by the amplitude.

    Examples
    --------
    >>> import torch
    >>> window = np.array([[100_000_007], [100_000_012], [100_000_003]], dtype=np.int32)
    >>> target = torch.empty(3, 1)
    >>> Amplitude(centred=True).fill(window, target)
    >>> target[:, 0].tolist()
    [0.0, 5.0, -4.0]
    """

    centred: bool = False
    scale: float = 1.0

    def fill(self, window: Any, target: "torch.Tensor") -> None:
        """Write a window, an array or a tensor, into a tensor of float32 at the same place.

        Parameters
        ----------
        window : ndarray or Tensor, shape (samples, channels)
            Prepared samples.
        target : Tensor of float32, shape (samples, channels)
            What the model gets.
        """
        if target.device.type == "cpu":
            # where torch would use its threads, numpy does this: those threads go on spinning for
            # a while afterwards, on the cores that compute batches
            self._fill_array(np.asarray(window), target.numpy())
            return
        if self.centred:
            # in 64 bits no difference wraps
            window = window.double() if window.is_floating_point() else window.long()
            window = window - window[:1]
        target.copy_(window)
        if self.scale != 1:
            target *= self.scale

    def _fill_array(self, window: Any, target: Any) -> None:
        if self.centred:
            wide = window.dtype if window.dtype.kind == "f" else np.int64
            np.subtract(window, window[:1], out=target, dtype=wide, casting="unsafe")
        else:
            np.copyto(target, window)
        if self.scale != 1:
            target *= self.scale


AS_RECORDED = Amplitude()
"""Nothing is done."""


def is_wide(dtype: Any) -> bool:
    """Whether a type, of numpy or torch, has values that float32 cannot hold.

    Examples
    --------
    >>> [is_wide(np.dtype(name)) for name in ("int16", "float32", "int32", "float64")]
    [False, False, True, True]
    """
    kind = getattr(dtype, "kind", "")  # torch's types have none
    floating = kind == "f" if kind else dtype.is_floating_point
    return bool(dtype.itemsize > 4 or (dtype.itemsize == 4 and not floating))
