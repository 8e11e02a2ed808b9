"""Noise that a fibre records: of the instrument, the ground and the road.

Each function renders any stretch of an endless recording, so that a file can be
written without its neighbours and still continues them sample for sample:
random noise is made of overlapping grains, each with a seed of its own, and a
vehicle is a list of kicks at absolute times.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

GRAIN = 2048  # samples between the starts of two noise grains
KICKS_PER_SECOND = 5.0

Float = npt.NDArray[np.floating]


@dataclass(frozen=True)
class NoiseLevels:
    """Standard deviations of the noise, in nanostrain/s.

    Parameters
    ----------
    optical : float
        White noise of the interrogator, independent on every channel.
    ground : float
        Ambient vibration of the ground, coherent over some channels and weighted
        to low frequencies.
    drift : float
        1/f noise of every channel: temperature and the fading of the light.
    common : float
        Noise of the laser, the same on all channels.
    hum : float
        Amplitude of a mains-like tone.
    """

    optical: float = 0.35
    ground: float = 0.35
    drift: float = 0.3
    common: float = 0.15
    hum: float = 0.0


@dataclass(frozen=True)
class Cable:
    """How each channel is coupled to the ground, as plain tuples of one number a channel.

    Parameters
    ----------
    coupling : tuple of float
        Factor on the ground's motion; zero on a dead channel.
    optical : tuple of float
        Factor on the optical noise; large on a noisy channel.
    """

    coupling: tuple[float, ...]
    optical: tuple[float, ...]


def draw_cable(rng: np.random.Generator, channels: int, *, faulty: float = 0.03) -> Cable:
    """Draw a cable with coupling that varies along it and a share of faulty channels.

    Examples
    --------
    >>> len(draw_cable(np.random.default_rng(0), 16).coupling)
    16
    """
    steps = np.cumsum(rng.standard_normal(channels)) * 0.15
    steps -= np.linspace(0, steps[-1], channels)
    coupling = np.exp(steps - steps.mean() + 0.2 * rng.standard_normal(channels))
    optical = np.exp(0.25 * rng.standard_normal(channels))
    kind = rng.uniform(size=channels)
    coupling[kind < faulty / 2] = 0.0
    noisy = (kind >= faulty / 2) & (kind < faulty)
    optical[noisy] *= rng.uniform(8.0, 30.0, size=int(noisy.sum()))
    return Cable(tuple(coupling.tolist()), tuple(optical.tolist()))


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on a road beside the cable.

    Parameters
    ----------
    time : float
        Time in seconds of the scene at which it passes distance zero.
    speed : float
        Speed along the cable in m/s, negative towards smaller distance.
    start, stop : float
        Distances in metres between which it is heard.
    strength : float
        Strain rate of one kick beside the vehicle, nanostrain/s.
    wave_speed : float
        Speed of the surface waves it sends out, m/s.
    reach : float
        Distance in metres over which they fade.
    seed : int
        Seed of its kicks.
    """

    time: float
    speed: float
    start: float
    stop: float
    strength: float = 4.0
    wave_speed: float = 400.0
    reach: float = 80.0
    seed: int = 0


def coloured(
    rng: np.random.Generator, shape: tuple[int, int], corner: float, power: float
) -> Float:
    """Unit-variance noise whose spectral density falls as ``f**-power`` above `corner`.

    Parameters
    ----------
    shape : tuple of int
        (samples, columns).
    corner : float
        In cycles per sample; below it the spectrum is flat.
    """
    spectrum = np.fft.rfft(rng.standard_normal(shape), axis=0)
    f = np.fft.rfftfreq(shape[0])
    spectrum *= (1 + (f / corner) ** 2)[:, None] ** (-power / 4)
    noise = np.fft.irfft(spectrum, n=shape[0], axis=0)
    return np.asarray(noise / (np.std(noise) + 1e-12))


@lru_cache(maxsize=2)
def ground_grain(cable: Cable, levels: NoiseLevels, rate: float, seed: int, grain: int) -> Float:
    """One windowed grain of everything random, (2 GRAIN, channels), nanostrain/s, read-only."""
    rng = np.random.default_rng([seed, 21, grain + 1])
    samples = 2 * GRAIN
    channels = len(cable.coupling)
    shape = (samples, channels)
    white = rng.standard_normal(shape) * np.array(cable.optical)
    # Ground vibration has a wavelength: shared sources at every eighth channel.
    sources = coloured(rng, (samples, channels // 8 + 2), 2.0 / rate, 2.0)
    at = np.linspace(0, sources.shape[1] - 1.001, channels)
    left = at.astype(int)
    weight = at - left
    ambient = sources[:, left] * np.sqrt(1 - weight) + sources[:, left + 1] * np.sqrt(weight)
    slow = coloured(rng, shape, 0.1 / rate, 2.0)
    laser = coloured(rng, (samples, 1), 0.5 / rate, 1.0)
    total = levels.optical * white + levels.drift * slow + levels.common * laser
    total += levels.ground * ambient * np.array(cable.coupling)
    total *= np.sin(np.pi * (np.arange(samples) + 0.5) / samples)[:, None]
    total.setflags(write=False)
    return np.asarray(total)


def background(
    cable: Cable, levels: NoiseLevels, rate: float, seed: int, first: int, samples: int
) -> Float:
    r"""Samples `first` to `first + samples` of the noise, (samples, channels), nanostrain/s.

    Grains of two hops overlap by one under sine windows whose squares add up to one::

        grain 0  /------\
        grain 1      /------\
        grain 2          /------\
    """
    out = np.zeros((samples, len(cable.coupling)))
    for grain in range(first // GRAIN - 1, (first + samples - 1) // GRAIN + 1):
        start = grain * GRAIN
        a, b = max(first, start), min(first + samples, start + 2 * GRAIN)
        if a >= b:
            continue
        values = ground_grain(cable, levels, rate, seed, grain)
        out[a - first : b - first] += values[a - start : b - start]
    if levels.hum:
        t = (first + np.arange(samples)) / rate
        out += levels.hum * np.sin(2 * np.pi * 0.167 * rate * t)[:, None]
    return out


def vehicle_waves(
    vehicle: Vehicle, distance: Float, rate: float, first: int, samples: int
) -> Float:
    """Surface waves of one vehicle, (samples, channels) in nanostrain/s before coupling.

    The vehicle kicks the road a few times a second; each kick is a Ricker wavelet
    that travels along the cable both ways and fades.
    """
    out = np.zeros((samples, distance.size))
    span = abs(vehicle.stop - vehicle.start) / abs(vehicle.speed)
    rng = np.random.default_rng([vehicle.seed, 22])
    kicks = int(span * KICKS_PER_SECOND)
    where = np.sort(rng.uniform(vehicle.start, vehicle.stop, kicks))
    size = vehicle.strength * rng.standard_normal(kicks)
    tone = rng.uniform(4.0, 12.0, kicks)
    for x, amplitude, f in zip(where, size, tone, strict=True):
        away = np.abs(distance - x)
        near = np.flatnonzero(away < 4 * vehicle.reach)
        half = 1.5 / f
        passing = vehicle.time + x / vehicle.speed
        begin = max(first, int(np.floor((passing - half) * rate)))
        end = passing + half + 4 * vehicle.reach / vehicle.wave_speed
        stop = min(first + samples, int(np.ceil(end * rate)))
        if near.size == 0 or begin >= stop:
            continue
        t = np.arange(begin, stop)[:, None] / rate - passing - away[near] / vehicle.wave_speed
        u = (np.pi * f * t) ** 2
        ricker = (1 - 2 * u) * np.exp(-u)
        out[begin - first : stop - first, near] += (
            amplitude * np.exp(-away[near] / vehicle.reach) * ricker
        )
    return out
