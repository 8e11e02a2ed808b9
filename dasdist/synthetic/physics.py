"""Earthquakes as a fibre records them: straight rays, Brune sources, scattered coda.

The Earth is a half-space, so an arrival time is the hypocentral distance over the
wave speed. A phase leaves the source with an omega-square spectrum (Brune 1970,
https://doi.org/10.1029/JB075i026p04997), loses high frequencies to a constant
quality factor and a site term (Anderson & Hough 1984), meets the fibre at an angle
that sets the sensitivity (cos^2 for P, the double-couple of direction and
polarisation for S; e.g. Martin et al. 2021, https://doi.org/10.1093/gji/ggab098),
and drags a coda of exponentially decaying scattered noise (Aki & Chouet 1975).

Everything is computed in the frequency domain in one product::

    trace = IFFT( source x path x sensitivity x exp(-2 pi i f t_arrival) x FFT(pulse + coda) )
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

PHASES = ("P", "S")
DENSITY = 2700.0  # kg/m3
RADIATION = {"P": 0.52, "S": 0.63}  # mean over the focal sphere
QUALITY = {"P": 250.0, "S": 180.0}
CODA_SECONDS = {"P": 0.8, "S": 2.5}
CODA_ENERGY = {"P": 1.5, "S": 2.5}  # of the coda, in units of the direct wave's
TAIL_SECONDS = 20.0  # of coda that is computed after the last S arrival

Float = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Fibre:
    """A cable at the surface, straight or bending at a constant rate.

    Parameters
    ----------
    channels : int
        Number of channels.
    dx : float
        Channel spacing in metres.
    turn : float
        Angle in radians by which the cable turns from its first to its last channel.

    Examples
    --------
    >>> Fibre(channels=3, dx=10.0).positions()[:, 0]
    array([ 0., 10., 20.])
    """

    channels: int
    dx: float = 10.0
    turn: float = 0.0

    def headings(self) -> Float:
        """Angle of the cable to the first axis at every channel, radians, (channels,)."""
        return np.linspace(0.0, self.turn, self.channels)

    def positions(self) -> Float:
        """Horizontal position of every channel in metres, (channels, 2)."""
        angle = self.headings()
        steps = self.dx * np.column_stack([np.cos(angle), np.sin(angle)])
        return np.vstack([np.zeros((1, 2)), np.cumsum(steps[:-1], axis=0)])


@dataclass(frozen=True)
class Event:
    """An earthquake below a half-space's surface.

    Parameters
    ----------
    time : float
        Origin time in seconds after the scene's first sample.
    along, offset : float
        Epicentre in metres, along the cable's first direction and away from it.
    depth : float
        Depth in metres.
    magnitude : float
        Moment magnitude.
    vp, vs : float
        Wave speeds in m/s.
    stress_drop : float
        Stress drop in Pa; with the moment it sets the corner frequency.
    kappa : float
        Site attenuation in seconds: amplitudes fall by ``exp(-pi f kappa)``.
    polarisation : float
        Angle of the S motion in radians, 0 in the vertical plane.
    sharpness : float
        Amplitude of the direct pulse; 1 begins with a kick, 0 emerges from the coda.
    seed : int
        Seed of the scattered coda.
    """

    time: float
    along: float
    offset: float
    depth: float
    magnitude: float
    vp: float = 5800.0
    vs: float = 5800.0 / 1.73
    stress_drop: float = 3e6
    kappa: float = 0.03
    polarisation: float = 0.8
    sharpness: float = 1.0
    seed: int = 0

    def speed(self, phase: str) -> float:
        """Speed of a phase ("P" or "S") in m/s."""
        return self.vp if phase == "P" else self.vs

    @property
    def moment(self) -> float:
        """Seismic moment in N m (Hanks & Kanamori 1979)."""
        return float(10.0 ** (1.5 * self.magnitude + 9.1))

    def corner(self, phase: str) -> float:
        """Brune's corner frequency in Hz; that of P is 1.4 times that of S."""
        of_s = 0.49 * self.vs * (self.stress_drop / self.moment) ** (1 / 3)
        return float(of_s * (1.4 if phase == "P" else 1.0))


def rays(event: Event, fibre: Fibre) -> Float:
    """Vectors from the hypocentre to every channel in metres, (channels, 3), up positive."""
    flat = fibre.positions() - np.array([event.along, event.offset])
    return np.column_stack([flat, np.full(fibre.channels, event.depth)])


def arrival_times(event: Event, fibre: Fibre) -> dict[str, Float]:
    """Arrival time of P and S at every channel.

    Returns
    -------
    dict of str to ndarray
        Per phase, seconds after the scene's first sample, (channels,).

    Examples
    --------
    >>> event = Event(time=1.0, along=0.0, offset=3000.0, depth=4000.0, magnitude=1.0, vp=5000.0)
    >>> arrival_times(event, Fibre(channels=1))["P"]
    array([2.])
    """
    reach = np.linalg.norm(rays(event, fibre), axis=1)
    return {phase: event.time + reach / event.speed(phase) for phase in PHASES}


def sensitivity(event: Event, fibre: Fibre, phase: str) -> Float:
    """Axial strain per unit of particle velocity over wave speed, (channels,).

    A plane wave strains the fibre by the product of two cosines, one for the direction
    of travel and one for the direction of motion. A tenth is added in place of the
    waves that scatter near the surface and fill the zeros of that pattern.
    """
    ray = rays(event, fibre)
    travel = ray / np.linalg.norm(ray, axis=1, keepdims=True)
    angle = fibre.headings()
    axis = np.column_stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)])
    along = np.sum(travel * axis, axis=1)
    if phase == "P":
        motion = travel
    else:
        up = np.array([0.0, 0.0, 1.0])
        sideways = np.cross(travel, up)
        sideways /= np.linalg.norm(sideways, axis=1, keepdims=True) + 1e-9
        upright = np.cross(sideways, travel)
        motion = np.cos(event.polarisation) * upright + np.sin(event.polarisation) * sideways
    pattern = along * np.sum(motion * axis, axis=1)
    return np.asarray(pattern + 0.1 * np.where(pattern < 0, -1.0, 1.0))


def causal_log(log_amplitude: Float) -> npt.NDArray[np.complex128]:
    """Complex log spectrum of the minimum-phase pulse with this log amplitude.

    The folded cepstrum (Oppenheim & Schafer): the pulse starts at zero with no
    forerunner, so that an onset is where the arrival time says. The map is linear.

    Parameters
    ----------
    log_amplitude : ndarray
        Natural log of the amplitude at the ``n // 2 + 1`` frequencies of an even n.
    """
    cepstrum = np.fft.irfft(log_amplitude)
    half = cepstrum.size // 2
    fold = np.zeros(cepstrum.size)
    fold[[0, half]] = 1.0
    fold[1:half] = 2.0
    return np.fft.rfft(cepstrum * fold)


def wavelet_spectra(
    event: Event, phase: str, reach: Float, rate: float, n: int
) -> npt.NDArray[np.complex128]:
    """Spectra of the direct wave's strain rate, before the fibre's sensitivity.

    Parameters
    ----------
    reach : ndarray
        Hypocentral distance of every channel in metres, (channels,).
    rate : float
        Sampling rate in Hz.
    n : int
        Samples of the trace, even.

    Returns
    -------
    ndarray
        Spectra in nanostrain/s, (n // 2 + 1, channels).
    """
    speed = event.speed(phase)
    f = np.fft.rfftfreq(n, 1 / rate)
    source = (2 * np.pi * f) ** 2 / (1 + (f / event.corner(phase)) ** 2)
    recorder = 1 / np.sqrt(1 + (f / (0.4 * rate)) ** 16)  # the anti-alias filter
    level = np.maximum(source, 1.0) * np.maximum(recorder, 1e-3)
    # The log of the path is proportional to its attenuation time, and causal_log is
    # linear: two transforms serve all channels.
    log_source = causal_log(np.log(level))
    log_path = causal_log(-np.pi * f)
    attenuation = event.kappa + reach / (speed * QUALITY[phase])
    strength = 2 * RADIATION[phase] * event.moment / (4 * np.pi * DENSITY * speed**3 * reach)
    scale = 1e9 * rate * strength / speed
    spectra = np.exp(log_source[:, None] + log_path[:, None] * attenuation) * scale
    return np.asarray(spectra)


def scattered(
    rng: np.random.Generator, n: int, channels: int, width: float, decay: float, energy: float
) -> Float:
    """Decaying noise coherent over `width` channels, (n, channels).

    `decay` is in samples; the sum of squares of a channel is `energy` on average.
    """
    white = rng.standard_normal((n, channels))
    together = gaussian_filter1d(white, width, axis=1, mode="wrap")
    together *= np.sqrt(2 * energy / decay) / (np.std(together) + 1e-12)
    return np.asarray(together * np.exp(-np.arange(n) / decay)[:, None])


def coda(rng: np.random.Generator, phase: str, n: int, channels: int, rate: float) -> Float:
    """What follows a direct wave of one unit sample, (n, channels).

    First the layers below the fibre ring for tenths of a second, alike on neighbouring
    channels; then the crust scatters for seconds, alike on a few.
    """
    ringing = scattered(
        rng, n, channels, rng.uniform(4.0, 12.0), rate * rng.uniform(0.05, 0.3), rng.uniform(0.5, 2)
    )
    decay = rate * CODA_SECONDS[phase] * rng.uniform(0.5, 1.5)
    energy = CODA_ENERGY[phase] * rng.uniform(0.3, 1.5)
    return ringing + scattered(rng, n, channels, rng.uniform(1.5, 4.0), decay, energy)


def event_span(event: Event, fibre: Fibre, rate: float) -> tuple[int, int]:
    """First sample of an event's traces, a second before its P, and their even number."""
    times = arrival_times(event, fibre)
    first = int(np.floor((times["P"].min() - 1.0) * rate))
    n = int((times["S"].max() - times["P"].min() + 1.0 + TAIL_SECONDS) * rate)
    return first, n + n % 2


@lru_cache(maxsize=4)
def event_traces(event: Event, fibre: Fibre, rate: float) -> npt.NDArray[np.float32]:
    """Strain rate of one event on the whole fibre.

    Returns
    -------
    ndarray
        nanostrain/s, (samples, channels) from the first sample that `event_span` names;
        read-only, as it is cached.
    """
    times = arrival_times(event, fibre)
    first, n = event_span(event, fibre, rate)
    reach = np.linalg.norm(rays(event, fibre), axis=1)
    f = np.fft.rfftfreq(n, 1 / rate)
    rng = np.random.default_rng([event.seed, 11])
    total = np.zeros((f.size, fibre.channels), dtype=np.complex128)
    for phase in PHASES:
        tail = np.fft.rfft(coda(rng, phase, n, fibre.channels, rate), axis=0)
        delay = np.exp(-2j * np.pi * f[:, None] * (times[phase] - first / rate))
        waves = wavelet_spectra(event, phase, reach, rate, n) * (event.sharpness + tail) * delay
        total += waves * sensitivity(event, fibre, phase)
    traces = np.fft.irfft(total, n=n, axis=0).astype(np.float32)
    fade = np.minimum(1.0, np.arange(n)[::-1] / rate)  # a wrapped coda must not reappear
    traces *= fade.astype(np.float32)[:, None]
    traces.setflags(write=False)
    return np.asarray(traces)
