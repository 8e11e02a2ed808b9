"""Resample and filter tensors on the device where they are, such as a GPU.

The same results as :func:`~dasdist.signal.resample_span` and :func:`~dasdist.signal.causal_filter`,
up to rounding, by operations that a GPU is made for::

    resample_poly    y[m] = sum of h[c + m down - k up] x[k]
                     with m = up q + p:  a convolution with stride `down` and `up` outputs, one for
                     each phase p, over x[q down + first], x[q down + first + 1], ...
    sosfilt          the impulse response up to where it has settled, by FFT; what comes after is
                     less than the halo of every block neglects anyway
"""

from functools import lru_cache
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which takes a second: most workers need none
import torch
from numpy.typing import NDArray

from dasdist.amplitude import is_wide
from dasdist.geometry import Ratio
from dasdist.signal.iir import settling_samples
from dasdist.signal.polyphase import phases_of
from dasdist.signal.precision import full_precision
from dasdist.signal.resample import mirrored

__all__ = ["filter_tensor", "resample_tensor"]

_SLAB_VALUES = 2**25
"""Values that are transformed at once: temporaries of 256 MB in float64, whatever the block."""


def resample_tensor(
    x: torch.Tensor, start: int, stop: int, first: int, ratio: Ratio, axis: int = 0
) -> torch.Tensor:
    """Resample a tensor of two dimensions, as :func:`~dasdist.signal.resample_span` does.

    Its parameters are those of that function.

    Returns
    -------
    Tensor of float32 or float64
        Resampled samples ``[start, stop)`` along `axis`; float64 where float32 cannot hold the
        samples of `x`.

    Notes
    -----
    The filter is `~dasdist.signal.polyphase.taps_of`, and the input is mirrored at its ends.

    Examples
    --------
    >>> x = torch.sin(torch.arange(1000.0) / 20)[:, None]
    >>> resample_tensor(x, 100, 200, 0, Ratio(2, 5)).shape
    torch.Size([100, 1])
    """
    if ratio.is_identity:
        return x.narrow(axis, start - first, stop - start)
    weights, before = phases_of(ratio)
    signals = x.movedim(axis, 1)
    exact = torch.float64 if is_wide(x.dtype) else torch.float32
    kernel = torch.from_numpy(weights).to(x.device, exact)[:, None]
    out = torch.empty((signals.shape[0], stop - start), dtype=exact, device=x.device)
    if out.numel() == 0:
        return out.movedim(1, axis)
    groups = range(start // ratio.up, -(-stop // ratio.up))
    low = groups.start * ratio.down + before - first
    high = (groups.stop - 1) * ratio.down + before + kernel.shape[2] - first
    inside = 0 <= low and high <= signals.shape[1]
    inner: Any = slice(low, high)
    if not inside:
        inner = torch.from_numpy(mirrored(low, high, signals.shape[1])).to(x.device)
    width = max(1, _SLAB_VALUES // max(1, high - low))
    for row in range(0, signals.shape[0], width):
        slab = signals[row : row + width, inner].to(exact)
        with full_precision(x.device):
            found = torch.nn.functional.conv1d(slab[:, None], kernel, stride=ratio.down)
        merged = found.transpose(1, 2).reshape(len(slab), -1)
        skip = start - groups.start * ratio.up
        out[row : row + width] = merged[:, skip : skip + stop - start]
    return out.movedim(1, axis)


def filter_tensor(
    x: torch.Tensor, sos: NDArray[np.float64], dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Filter every channel forward in time, as if it had always had its first value.

    Parameters
    ----------
    x : Tensor, shape (samples, channels)
        Samples.
    sos : ndarray, shape (sections, 6)
        Second-order sections, from :func:`~dasdist.signal.design`.
    dtype : torch.dtype
        Type of the result.

    Returns
    -------
    Tensor, shape (samples, channels)
        All arithmetic is in float64.

    Notes
    -----
    By linearity the filter of ``x`` is that of ``x - x[0]``, from rest, and the gain at frequency
    zero times ``x[0]``.

    Examples
    --------
    >>> from dasdist.signal import design
    >>> sos = design(("butter", {"N": 2, "Wn": 1.0, "btype": "highpass"}), 100.0)
    >>> bool(filter_tensor(torch.full((500, 3), 7.0), sos).abs().max() < 1e-6)
    True
    """
    samples, channels = x.shape
    out = torch.empty((samples, channels), dtype=dtype, device=x.device)
    if out.numel() == 0:
        return out
    response, gain = _response(sos.tobytes(), len(sos))
    size = scipy.fft.next_fast_len(samples + len(response) - 1, real=True)
    taps = torch.from_numpy(response.copy()).to(x.device)
    spectrum = torch.fft.rfft(taps, n=size)
    width = max(1, _SLAB_VALUES // size)
    for low in range(0, channels, width):
        slab = x[:, low : low + width].T.to(torch.float64)
        rest = slab[:, :1]
        filtered = torch.fft.irfft(torch.fft.rfft(slab - rest, n=size) * spectrum, n=size)
        out[:, low : low + width] = (filtered[:, :samples] + gain * rest).T
    return out


@lru_cache(maxsize=16)
def _response(sections: bytes, count: int) -> tuple[NDArray[np.float64], float]:
    """Return the impulse response until it has settled, and the gain at frequency zero."""
    sos: NDArray[Any] = np.frombuffer(sections).reshape(count, 6).copy()
    impulse = np.zeros(settling_samples(sos) + 1)
    impulse[0] = 1.0
    gain = np.prod(sos[:, :3].sum(axis=1) / sos[:, 3:].sum(axis=1))
    return scipy.signal.sosfilt(sos, impulse), float(gain)
