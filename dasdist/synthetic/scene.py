"""Draw a scene from a seed: a fibre with its faults, earthquakes and traffic."""

from dataclasses import dataclass

import numpy as np

from dasdist.synthetic.noise import Cable, NoiseLevels, Vehicle, draw_cable
from dasdist.synthetic.physics import Event, Fibre


@dataclass(frozen=True)
class Scene:
    """A fibre, its noise and what happens around it: all that determines a recording without end.

    Parameters
    ----------
    fibre : Fibre
        The cable's geometry.
    cable : Cable
        Its coupling, channel by channel.
    levels : NoiseLevels
        The noise.
    events : tuple of Event
        Earthquakes, their times in seconds after the scene's first sample.
    vehicles : tuple of Vehicle
        Vehicles, likewise.
    rate : float
        Sampling rate in Hz.
    seed : int
        Seed of the noise.
    """

    fibre: Fibre
    cable: Cable
    levels: NoiseLevels
    events: tuple[Event, ...] = ()
    vehicles: tuple[Vehicle, ...] = ()
    rate: float = 100.0
    seed: int = 0


def draw_event(rng: np.random.Generator, time: float, fibre: Fibre) -> Event:
    """Draw a small local earthquake with its origin at `time` seconds."""
    length = fibre.dx * fibre.channels
    vp = rng.uniform(5000.0, 6200.0)
    away = rng.uniform(1e3, 18e3)
    depth = rng.uniform(2e3, 12e3)
    return Event(
        time=time,
        along=rng.uniform(-0.5, 1.5) * length + rng.uniform(-5e3, 5e3),
        offset=away * rng.choice([-1.0, 1.0]),
        depth=depth,
        # Felt alike near and far: the amplitude falls with distance and attenuation.
        magnitude=rng.uniform(1.1, 1.9) + 0.9 * np.log10(np.hypot(away, depth) / 1e4),
        vp=vp,
        vs=vp / rng.uniform(1.68, 1.78),
        stress_drop=10 ** rng.uniform(6.0, 7.0),
        kappa=rng.uniform(0.015, 0.045),
        sharpness=rng.uniform(0.2, 1.0),
        polarisation=rng.uniform(0, 2 * np.pi),
        seed=int(rng.integers(2**31)),
    )


def draw_vehicle(rng: np.random.Generator, time: float, length: float) -> Vehicle:
    """Draw a vehicle that is somewhere on the `length` metres of cable at `time` seconds."""
    speed = rng.uniform(8.0, 28.0) * rng.choice([-1.0, 1.0])
    start, stop = np.sort(rng.uniform(-0.2, 1.2, size=2)) * length
    return Vehicle(
        time=time - (start + stop) / 2 / speed,
        speed=speed,
        start=start,
        stop=stop,
        strength=float(np.exp(rng.uniform(np.log(1.0), np.log(8.0)))),
        wave_speed=rng.uniform(250.0, 600.0),
        reach=rng.uniform(30.0, 120.0),
        seed=int(rng.integers(2**31)),
    )


def draw_scene(
    seed: int,
    *,
    channels: int,
    seconds: float,
    dx: float = 10.0,
    rate: float = 100.0,
    events: int | None = None,
    quiet: tuple[float, float] | None = None,
) -> Scene:
    """Draw a scene with earthquakes evenly spread over some minutes, and a road.

    Parameters
    ----------
    seed : int
        Determines everything that is drawn.
    channels, dx, rate
        Of the fibre; metres and Hz.
    seconds : float
        Length of the time with earthquakes.
    events : int, optional
        How many; by default six in ten minutes, at least one.
    quiet : tuple of float, optional
        Seconds from, seconds to: no earthquake begins in that time (it is not recorded).
    """
    rng = np.random.default_rng([seed, 31])
    fibre = Fibre(channels, dx, turn=rng.uniform(-0.6, 0.6))
    count = max(1, round(seconds / 100.0)) if events is None else events
    gap = quiet or (seconds, seconds)
    margin = min(8.0, seconds / 6)
    heard = seconds - (gap[1] - gap[0]) - 5 * margin
    shaken = []
    for index in range(count):
        time = margin + heard * (index + rng.uniform(0.15, 0.85)) / count
        if time > gap[0] - 2 * margin:  # no room for its waves: move it behind the gap
            time += gap[1] - gap[0] + 2.5 * margin
        shaken.append(draw_event(rng, time, fibre))
    cars = [
        draw_vehicle(rng, rng.uniform(0, seconds), dx * channels)
        for _ in range(round(seconds / 60.0))
    ]
    return Scene(
        fibre, draw_cable(rng, channels), NoiseLevels(), tuple(shaken), tuple(cars), rate, seed
    )
