"""Picks of hours on a fibre with their truth: earthquakes, false picks, cars and transients.

Arrival times are those of the physical model of `dasdist.synthetic`; whether a channel is picked,
and how exactly, depends on its signal-to-noise ratio.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dasdist.synthetic.noise import draw_cable
from dasdist.synthetic.physics import Event, Fibre, arrival_times, rays, sensitivity
from dasdist.synthetic.scene import draw_event

START = np.datetime64("2024-05-01T00:00:00", "ns")
DX = 10.0
FALSE, CAR, TRANSIENT, GLITCH = -1, -2, -3, -4


@dataclass(frozen=True)
class PickArchive:
    """Picks with what made them, and the earthquakes.

    Parameters
    ----------
    picks : pandas.DataFrame
        As `dasdist.callbacks.picks.PICK_COLUMNS` and `truth`: the earthquake's index, or one of
        FALSE, CAR, TRANSIENT, GLITCH.
    quakes : pandas.DataFrame
        ``time`` of origin, and ``shown``: the share of channels that show P and that show S at a
        signal-to-noise ratio of 3, the lesser of the two.  A channel does not show what arrives
        within a second of something stronger: there, a picker picks only that.
    """

    picks: pd.DataFrame
    quakes: pd.DataFrame


def pick_archive(hours: float, channels: int = 1000, seed: int = 0) -> PickArchive:
    """Draw hours of picks."""
    rng = np.random.default_rng([seed, 77])
    fibre = Fibre(channels, DX, turn=rng.uniform(-0.6, 0.6))
    cable = draw_cable(rng, channels)
    coupling = np.array(cable.coupling) / np.array(cable.optical)
    seconds = 3600.0 * hours
    origins = _origins(rng, hours)
    rows = [
        _random(rng, channels, seconds, np.array(cable.optical)),
        *(_car(rng, channels, seconds) for _ in range(round(60 * hours))),
        *(_transient(rng, channels, seconds) for _ in range(round(20 * hours))),
        *(_glitch(rng, channels, seconds) for _ in range(round(2 * hours))),
    ]
    waves = []
    for index, origin in enumerate(origins):
        event = draw_event(rng, origin, fibre)
        waves.append(_waves(rng, event, fibre, coupling))
        rows.append(_quake(rng, waves[-1], index))
    shown = [_shown(waves, index) for index in range(len(waves))]
    table = pd.concat(rows, ignore_index=True)
    table = table[(table["seconds"] >= 0) & (table["seconds"] < seconds)]
    return PickArchive(_picks(table), pd.DataFrame({"time": _times(origins), "shown": shown}))


def _origins(rng, hours):
    """Each hour four earthquakes by themselves, and two whose waves overlap.

    Nearer than these two, a picker that keeps one pick in a second makes one of their picks.
    """
    times = []
    for hour in range(max(1, round(hours))):
        slots = 3600 * hour + 700 * np.arange(5) + rng.uniform(60, 600, size=5)
        times += [*slots, slots[-1] + rng.uniform(2.0, 7.0)]
    return np.array([time for time in times if time < 3600 * hours - 30])


def _waves(rng, event: Event, fibre, coupling):
    """Arrival and signal-to-noise ratio of each phase on each channel."""
    reach = np.linalg.norm(rays(event, fibre), axis=1)
    arrivals = arrival_times(event, fibre)
    level = 2 * 10 ** rng.uniform(0.6, 1.8) * coupling * np.median(reach) / reach
    strength = {"P": 1.0, "S": 2.0}
    return {
        phase: (arrivals[phase], level * strength[phase] * np.abs(sensitivity(event, fibre, phase)))
        for phase in ("P", "S")
    }


def _quake(rng, waves, index):
    tables = []
    for phase, (arrivals, snr) in waves.items():
        seen = rng.uniform(size=snr.size) < 1 / (1 + (2 / np.maximum(snr, 1e-9)) ** 3)
        channel = np.flatnonzero(seen)
        spread = 0.02 + (0.15 if phase == "P" else 0.22) / np.maximum(snr[channel], 1)
        seconds = arrivals[channel] + spread * rng.standard_normal(channel.size)
        confidence = np.clip(0.25 + 0.2 * np.log(np.maximum(snr[channel], 1)), 0.2, 0.99)
        tables.append(_table(seconds, channel, phase, index, confidence))
    return pd.concat(tables)


def _shown(waves, index):
    shares = []
    for phase, (arrivals, snr) in waves[index].items():
        seen = snr >= 3
        for other, others in enumerate(waves):
            time, stronger = others[phase]
            if other != index:
                seen &= ~((np.abs(time - arrivals) < 1) & (stronger > snr))
        shares.append(np.mean(seen))
    return min(shares)


def _random(rng, channels, seconds, optical):
    rate = 12 / 3600 * np.minimum(20, np.maximum(1, optical))  # a second, both phases together
    counts = rng.poisson(rate * seconds)
    channel = np.repeat(np.arange(channels), counts)
    times = rng.uniform(0, seconds, channel.size)
    return _table(times, channel, rng.choice(["P", "S"], channel.size), FALSE, _low(rng, channel))


def _car(rng, channels, seconds):
    speed = rng.uniform(10, 35) * rng.choice([-1, 1])
    first, last = np.sort(rng.uniform(0, channels, 2)).astype(int)
    channel = np.arange(first, last)
    channel = channel[rng.uniform(size=channel.size) < 0.5]
    times = rng.uniform(0, seconds) + (channel - channels / 2) * DX / speed
    times = times + 0.3 * rng.standard_normal(channel.size)
    return _table(times, channel, rng.choice(["P", "S"], channel.size), CAR, _low(rng, channel))


def _transient(rng, channels, seconds):
    """A blow beside the fibre: its wave runs both ways."""
    centre, width = rng.integers(channels), rng.integers(10, 40)
    channel = np.arange(max(0, centre - width), min(channels, centre + width))
    channel = channel[rng.uniform(size=channel.size) < 0.8]
    times = rng.uniform(0, seconds) + np.abs(channel - centre) * DX / rng.uniform(300, 600)
    times = times + 0.05 * rng.standard_normal(channel.size)
    phase = rng.choice([["P", "S"], ["P", "P"], ["S", "S"]])
    return _table(times, channel, rng.choice(phase, channel.size), TRANSIENT, _low(rng, channel))


def _glitch(rng, channels, seconds):
    """A fault of the interrogator: all channels at once, every third time with another after it."""
    time, tables = rng.uniform(0, seconds), []
    for phase in ("P", "S")[: 2 if rng.uniform() < 0.3 else 1]:
        channel = np.flatnonzero(rng.uniform(size=channels) < 0.6)
        times = time + 0.005 * rng.standard_normal(channel.size)
        tables.append(_table(times, channel, phase, GLITCH, _low(rng, channel)))
        time += rng.uniform(1, 5)
    return pd.concat(tables)


def _low(rng, like):
    return rng.uniform(0.2, 0.6, np.shape(like))


def _table(seconds, channel, phase, truth, confidence):
    columns = {"seconds": seconds, "channel_index": channel, "phase": phase}
    return pd.DataFrame({**columns, "truth": truth, "confidence": confidence})


def _times(seconds):
    return START + np.rint(np.asarray(seconds) * 1e9).astype("timedelta64[ns]")


def _picks(table):
    samples = np.rint(table["seconds"].to_numpy() * 100).astype(np.int64)
    picks = pd.DataFrame(
        {
            "time": START + samples * np.timedelta64(10_000_000, "ns"),  # a picker's are on samples
            "distance": DX * table["channel_index"].to_numpy(),
            "channel_index": table["channel_index"].to_numpy().astype(np.int64),
            "phase": table["phase"].astype(str).to_numpy(),
            "confidence": table["confidence"].to_numpy().astype(np.float32),
            "sample_index": samples,
            "segment": np.zeros(len(table), dtype=np.int64),
            "truth": table["truth"].to_numpy().astype(np.int64),
        }
    )
    return _separate(picks).sort_values(["time", "channel_index", "phase"], ignore_index=True)


def _separate(picks):
    """Drop picks within a second of a more confident one of their channel and phase."""
    key = picks["channel_index"].to_numpy() * 2 + (picks["phase"] == "S").to_numpy()
    kept = np.lexsort((picks["time"], key))
    key, samples = key[kept], picks["sample_index"].to_numpy()[kept]
    height, alive = picks["confidence"].to_numpy()[kept], np.ones(kept.size, dtype=bool)
    for i in range(kept.size - 1):
        j = i + 1
        while j < kept.size and key[j] == key[i] and samples[j] - samples[i] < 100:
            if alive[i] and alive[j]:
                alive[j if height[j] <= height[i] else i] = False
            j += 1
    return picks.iloc[np.sort(kept[alive])]
