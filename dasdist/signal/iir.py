"""Causal filters that give the same values wherever they start, after a settling time.

A recursive filter remembers all of its past, but ever more faintly. A filter that starts
`settling_samples` early has forgotten where it started once it reaches the samples that count::

    full run     ...~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~...
    late start              |· · · · ·|~~~~~~~~~~~~~~~~~~~|
                             settling    agrees with the full run

so blocks need no filter state from one another.
"""

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which takes a second: most workers need none
from numpy.typing import NDArray

from dasdist.signal.sections import filter_sections
from dasdist.signal.spread import Spread

_SLAB_CHANNELS = 512
"""Channels filtered at once: the state of their sections stays in a core's first cache."""

# Half a day at 100 Hz: no block can afford a longer halo, nor this module its impulse response.
_MAX_SETTLING = 2**22


def design(spec: tuple[str, Mapping[str, Any]], sampling_rate: float) -> NDArray[np.float64]:
    """Design a digital filter from a function name of `scipy.signal` and its arguments.

    Parameters
    ----------
    spec : tuple of str and mapping
        Name of an IIR design function, such as ``"butter"`` or ``"iirfilter"``, and its keyword
        arguments with corner frequencies in Hz: what SeisBench calls ``filter_samples``.
        ``output`` and ``fs`` are set here.
    sampling_rate : float
        Rate of the samples to filter, after resampling, in Hz.

    Returns
    -------
    ndarray of float64, shape (sections, 6)
        Second-order sections. SeisBench rounds them to the type of the data; in float32 this moves
        the poles of low corners by more than the filter's own precision, so it is not done here.

    Raises
    ------
    ValueError
        If there is no such function, it does not design sections, a corner is not between zero and
        the Nyquist frequency, or scipy does not accept the arguments.

    Examples
    --------
    >>> design(("butter", {"N": 4, "Wn": [1, 45], "btype": "bandpass"}), 100.0).shape
    (4, 6)
    """
    name, kwargs = spec
    if not 0 < sampling_rate < math.inf:
        raise ValueError(
            f"The sampling rate is {sampling_rate:g} Hz, but must be positive and finite; check "
            "the time axis of the data."
        )
    function = getattr(scipy.signal, name, None)
    if not _designs_sections(function):
        raise ValueError(
            f"scipy.signal.{name} is not a function that designs second-order sections; use one of "
            f"{', '.join(_designers())}."
        )
    assert function is not None
    taken = sorted({"output", "fs"} & kwargs.keys())
    if taken:
        raise ValueError(
            f"The filter arguments contain {' and '.join(taken)}, which dasdist sets from the "
            "data; leave them out."
        )
    _check_corners(name, kwargs, sampling_rate)
    try:
        sos = function(**kwargs, output="sos", fs=sampling_rate)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"scipy.signal.{name} does not accept the filter arguments {dict(kwargs)} at "
            f"{sampling_rate:g} Hz: {error}."
        ) from error
    return np.asarray(sos, dtype=np.float64)


def settling_samples(sos: NDArray[np.float64], tolerance: float = 1e-6) -> int:
    """Return the number of samples after which a filter has settled.

    Parameters
    ----------
    sos : ndarray, shape (sections, 6)
        Second-order sections, from `design`.
    tolerance : float
        Largest error to allow, between 0 and 1, as a fraction of the peak-to-peak amplitude of
        the input.

    Returns
    -------
    int
        Halo of the filter, in samples: a `causal_filter` that starts so much early gives the full
        run's values to within the tolerance, whatever the signal. 0 for a plain gain.

    Raises
    ------
    ValueError
        If a pole lies on or outside the unit circle, so that the filter never forgets, or so close
        to it that settling takes millions of samples, or `tolerance` is not between 0 and 1.

    Notes
    -----
    Starting late is the same as replacing all earlier samples by the first one, ``x[0]``. So the
    error after ``n`` samples is the sum of ``h[n + j] * (x[-j] - x[0])`` over all ``j > 0``, with
    the impulse response ``h``. It is at most ``sum(abs(h[n + 1:]))`` times the peak-to-peak
    amplitude, and the worst signal attains this; the result is the smallest ``n`` for which it does
    not exceed the tolerance.

    The poles alone give the estimate ``log(tolerance) / log(max(abs(poles)))``, which says how far
    to compute ``h``. It is a few percent short for common designs of order 4 and above (579 and
    5746 samples in the examples, with a worst error of 1.6 and 1.7 times the tolerance), and
    further off where poles coincide.

    Examples
    --------
    >>> settling_samples(design(("butter", {"N": 4, "Wn": [1, 45], "btype": "bandpass"}), 100.0))
    595
    >>> settling_samples(design(("butter", {"N": 4, "Wn": 0.1, "btype": "highpass"}), 100.0))
    5898
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is {tolerance:g}; use a number between 0 and 1, such as 1e-6.")
    radius = max(
        (float(abs(pole)) for section in sos for pole in np.roots(section[3:])), default=0.0
    )
    if not radius < 1:
        raise ValueError(
            f"The filter never settles: it has a pole at {radius:.9g} from the origin, which must "
            "be below 1. Lower its order, or move its corners away from 0 Hz and the Nyquist "
            "frequency."
        )
    # Also without feedback, or with hardly any, a section remembers two samples.
    estimate = 2 * len(sos)
    if radius > 0:
        estimate += math.ceil(math.log(min(tolerance, 1e-3)) / math.log(radius))
    if estimate > _MAX_SETTLING:
        raise ValueError(
            f"The filter takes about {estimate} samples to settle, but at most {_MAX_SETTLING} can "
            "be read around each block. Move its corners away from 0 Hz and the Nyquist frequency."
        )
    # Beyond three times the estimate there is about the third power of the tolerance.
    impulse = np.zeros(3 * estimate + 1)
    impulse[0] = 1.0
    response = np.abs(scipy.signal.sosfilt(sos, impulse))
    remaining = np.cumsum(response[:0:-1])
    return int(np.count_nonzero(remaining > tolerance))


def causal_filter(
    x: NDArray[Any], sos: NDArray[np.float64], dtype: Any = None, spread: Spread = map
) -> NDArray[np.floating[Any]]:
    """Filter every channel forward in time.

    Parameters
    ----------
    x : ndarray, shape (samples, channels)
        Real samples of any type. A NaN spoils the rest of its channel, so gaps must be dealt with
        before.
    sos : ndarray, shape (sections, 6)
        Second-order sections, from `design`.
    dtype : dtype, optional
        Type of the result; by default float64 if `x` is, otherwise float32.
    spread : callable
        Applies a function to each of many pieces, as :class:`map` does, perhaps on several cores.

    Returns
    -------
    ndarray, shape (samples, channels)
        Filtered samples. All arithmetic is in float64, so that a large offset costs no precision.

    Raises
    ------
    ValueError
        If `x` is not two-dimensional, or not real.

    Notes
    -----
    `scipy.signal.sosfilt`, started as if every channel had always had its first value
    (`scipy.signal.sosfilt_zi` times this value; also the initial state of SeisBench's
    ``VirtualTransformedDataArray``), over channels that lie side by side. Nothing is copied, and
    slabs do not change the result.

    Examples
    --------
    >>> sos = design(("butter", {"N": 2, "Wn": 1.0, "btype": "highpass"}), 100.0)
    >>> y = causal_filter(np.full((500, 3), 7, dtype=np.int16), sos)
    >>> y.dtype, bool(abs(y).max() < 1e-6)
    (dtype('float32'), True)
    """
    if x.ndim != 2:
        raise ValueError(
            f"x has {x.ndim} dimensions, but must have 2 (samples, channels); use x[:, None] for a "
            "single channel."
        )
    if x.dtype.kind not in "fiub":
        raise ValueError(
            f"x has type {x.dtype}, but only real numbers can be filtered; convert it to float32."
        )
    channels = x.shape[1]
    usual = np.float64 if x.dtype == np.float64 else np.float32
    out = np.empty(x.shape, dtype=usual if dtype is None else dtype)
    if out.size == 0:
        return out
    at_rest = scipy.signal.sosfilt_zi(sos)[:, :, np.newaxis]
    sections = np.ascontiguousarray(sos, dtype=np.float64)

    def fill(own: slice) -> None:
        slab = x[:, own]
        filter_sections(slab, sections, at_rest * slab[0].astype(np.float64), out[:, own])

    for _ in spread(
        fill, (slice(c, c + _SLAB_CHANNELS) for c in range(0, channels, _SLAB_CHANNELS))
    ):
        pass
    return out


def _designs_sections(function: Any) -> bool:
    # What a function takes says what it can do, also for designs that scipy may add.
    try:
        return {"output", "fs"} <= inspect.signature(function).parameters.keys()
    except (TypeError, ValueError):
        return False


def _designers() -> list[str]:
    return [name for name in scipy.signal.__all__ if _designs_sections(getattr(scipy.signal, name))]


def _check_corners(name: str, kwargs: Mapping[str, Any], sampling_rate: float) -> None:
    nyquist = sampling_rate / 2
    for key in ("Wn", "wp", "ws"):
        for corner in np.ravel(kwargs.get(key, [])):
            if not 0 < corner < nyquist:
                raise ValueError(
                    f"The {name} corner {key} = {corner:g} Hz is not between 0 and the Nyquist "
                    f"frequency of {nyquist:g} Hz; move the corner, or use data with a higher "
                    "sampling rate."
                )
