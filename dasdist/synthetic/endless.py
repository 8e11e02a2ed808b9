"""A synthetic recording without end, rendered faster than a disk can write it.

What `dasdist.synthetic.section` renders anew for every stretch is rendered once here and reused:
noise is one loop of grains that closes on itself, and earthquakes come from a few families, whose
members differ in time and size. Any stretch is cut from these two::

    noise    |loop|loop|loop|loop|loop|loop| ...
    events       [B]     [A]    [B]   [C]    ...     one in every slot of time

Nothing depends on how long the recording is, or on what was rendered before.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import butter, sosfilt

from dasdist.synthetic.noise import GRAIN, Cable, NoiseLevels, coloured, draw_cable, ground_grain
from dasdist.synthetic.physics import (
    PHASES,
    Event,
    Fibre,
    arrival_times,
    event_span,
    event_traces,
)
from dasdist.synthetic.scene import draw_event
from dasdist.synthetic.section import NO_ARRIVALS, SNR_HIGHPASS, phase_peaks

LOOP = 5  # grains of the noise: 10,240 samples, no whole number of minutes at common rates
FAMILIES = 8  # of earthquakes
COUNT = 0.05  # nanostrain/s of one count of integer samples
TOGETHER = 256  # channels that are rendered at a time: the memory beside what is kept


@dataclass(frozen=True)
class Family:
    """Earthquakes at one place: the traces of one of unit size.

    Parameters
    ----------
    start : int
        First sample of `traces`, counted from the origin time.
    traces : ndarray
        nanostrain/s with the coupling of every channel, float32 (samples, channels).
    arrivals : mapping of str to ndarray
        Per phase, seconds from the origin time, (channels,).
    snr : mapping of str to ndarray
        Per phase, the signal-to-noise ratio as in `dasdist.synthetic.section.make_section`,
        (channels,).
    """

    start: int
    traces: npt.NDArray[np.float32]
    arrivals: Mapping[str, npt.NDArray[np.floating]]
    snr: Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Shake:
    """One earthquake of the recording.

    Parameters
    ----------
    index : int
        Its number from the start of the recording, which is that of its slot of time.
    origin : int
        Sample of its origin time.
    family : int
        The family it belongs to.
    size : float
        Factor on the family's traces.
    """

    index: int
    origin: int
    family: int
    size: float


@dataclass(frozen=True)
class Endless:
    """A recording of local earthquakes on a fibre, from its sample 0 on.

    Parameters
    ----------
    channels : int
        Channels of the fibre.
    dx : float
        Their spacing in metres.
    rate : float
        Sampling rate in Hz.
    events_per_hour : float
        Earthquakes; one falls into each slot of 3600 over this many seconds.
    seed : int
        Determines everything, together with the numbers above.
    dtype : {"float32", "int16"}
        Samples are nanostrain/s, or counts of 0.05 nanostrain/s, clipped.

    Examples
    --------
    >>> recording = Endless(channels=4, rate=50.0)
    >>> recording.samples(1_000_000_000, 3000).shape
    (3000, 4)
    """

    channels: int = 128
    dx: float = 10.0
    rate: float = 100.0
    events_per_hour: float = 36.0
    seed: int = 0
    dtype: str = "float32"

    def samples(self, first: int, count: int) -> npt.NDArray[Any]:
        """Render samples `first` to `first + count`, (count, channels)."""
        data: npt.NDArray[Any] = np.take(
            self.loop, range(first, first + count), axis=0, mode="wrap"
        )
        for shake in self.shakes(first, count):
            family = self.family(shake.family)
            start = shake.origin + family.start
            a, b = max(first, start), min(first + count, start + len(family.traces))
            waves = shake.size * family.traces[a - start : b - start]
            data[a - first : b - first] = self.added(data[a - first : b - first], waves)
        return data

    def arrivals(self, first: int, count: int) -> pd.DataFrame:
        """List the arrivals in samples `first` to `first + count`.

        Returns
        -------
        DataFrame
            ``event``, ``phase``, ``channel``, ``seconds`` after the recording's first sample
            and ``snr``, as `dasdist.synthetic.section.make_section` gives them.
        """
        tables = []
        for shake in self.shakes(first, count):
            family = self.family(shake.family)
            for phase in PHASES:
                seconds = shake.origin / self.rate + family.arrivals[phase]
                samples = seconds * self.rate
                channel = np.flatnonzero((samples >= first) & (samples < first + count))
                if not channel.size:
                    continue
                table = {
                    "event": np.full(channel.size, shake.index, dtype=np.int64),
                    "phase": [phase] * channel.size,
                    "channel": channel.astype(np.int64),
                    "seconds": seconds[channel],
                    "snr": shake.size * family.snr[phase][channel],
                }
                tables.append(pd.DataFrame(table))
        return pd.concat(tables or [NO_ARRIVALS], ignore_index=True)

    def shakes(self, first: int, count: int) -> Iterator[Shake]:
        """Yield the earthquakes whose waves fall into a stretch."""
        if not self.events_per_hour:
            return
        slot = 3600 * self.rate / self.events_per_hour
        earliest = min(start for start, _ in self.spans)
        latest = max(start + length for start, length in self.spans)
        for index in range(
            max(0, int((first - latest) // slot)), int((first + count - earliest) // slot) + 1
        ):
            rng = np.random.default_rng([self.seed, 52, index])
            origin = round((index + rng.uniform(0.1, 0.9)) * slot)
            family = int(rng.integers(FAMILIES))
            start, length = self.spans[family]
            if origin + start < first + count and origin + start + length > first:
                yield Shake(index, origin, family, float(2 ** rng.uniform(-1, 1)))

    def added(self, data: npt.NDArray[Any], waves: npt.NDArray[np.floating]) -> npt.NDArray[Any]:
        """Add waves in nanostrain/s to samples of this recording's type."""
        if self.dtype == "float32":
            return np.asarray(data + waves)
        limits = np.iinfo(np.int16)
        sums = np.clip(data + np.rint(waves / COUNT), limits.min, limits.max)
        return np.asarray(sums.astype(np.int16))

    def family(self, index: int) -> Family:
        """Return a family of earthquakes, rendered once."""
        return rendered(self, index)

    @cached_property
    def fibre(self) -> Fibre:
        """The cable's geometry."""
        turn = np.random.default_rng([self.seed, 53]).uniform(-0.6, 0.6)
        return Fibre(self.channels, self.dx, turn)

    @cached_property
    def cable(self) -> Cable:
        """Coupling and noise of each channel."""
        return draw_cable(np.random.default_rng([self.seed, 54]), self.channels)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The families' events, with an origin time of zero."""
        rng = np.random.default_rng([self.seed, 55])
        return tuple(draw_event(rng, 0.0, self.fibre) for _ in range(FAMILIES))

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First sample after the origin time, and samples, of the families' traces."""
        return tuple(event_span(event, self.fibre, self.rate) for event in self.events)

    @cached_property
    def loop(self) -> npt.NDArray[Any]:
        """One turn of the noise, (10240, channels)."""
        out = np.empty((LOOP * GRAIN, self.channels), dtype=self.dtype)
        own = replace(NoiseLevels(), common=0.0)
        rng = np.random.default_rng([self.seed, 56])
        # noise made by a Fourier transform closes on itself
        laser = NoiseLevels().common * coloured(rng, (len(out), 1), 0.5 / self.rate, 1.0)
        for columns in sections(self.channels):
            near = Cable(self.cable.coupling[columns], self.cable.optical[columns])
            noise = np.repeat(laser, len(near.coupling), axis=1)
            for grain in range(LOOP):
                seed = self.seed + 1_000_003 * columns.start
                values = ground_grain(near, own, self.rate, seed, grain)
                after = (grain + 1) % LOOP
                noise[grain * GRAIN : (grain + 1) * GRAIN] += values[:GRAIN]
                noise[after * GRAIN : (after + 1) * GRAIN] += values[GRAIN:]
            out[:, columns] = noise if self.dtype == "float32" else np.rint(noise / COUNT)
        out.setflags(write=False)
        return out

    @cached_property
    def noise_level(self) -> npt.NDArray[np.floating]:
        """Standard deviation of each channel's noise above 2 Hz, nanostrain/s, (channels,)."""
        unit = 1.0 if self.dtype == "float32" else COUNT
        sos = highpass(self.rate)
        return np.concatenate(
            [
                unit * np.std(sosfilt(sos, self.loop[:, columns].astype(float), axis=0), axis=0)
                for columns in sections(self.channels)
            ]
        )


def sections(channels: int) -> Iterator[slice]:
    """Cut a fibre into stretches that are rendered one at a time."""
    return (slice(a, min(a + TOGETHER, channels)) for a in range(0, channels, TOGETHER))


def seen_from(event: Event, fibre: Fibre, columns: slice) -> tuple[Event, Fibre]:
    """Return a stretch of a fibre, and an event in coordinates that begin and head with it."""
    channels = columns.stop - columns.start
    x, y = np.array([event.along, event.offset]) - fibre.positions()[columns.start]
    heading = fibre.headings()[columns.start]
    along = np.cos(heading) * x + np.sin(heading) * y
    offset = np.cos(heading) * y - np.sin(heading) * x
    turn = fibre.headings()[columns.stop - 1] - heading
    seed = event.seed + columns.start
    moved = replace(event, along=float(along), offset=float(offset), seed=seed)
    return moved, Fibre(channels, fibre.dx, float(turn))


@lru_cache(maxsize=FAMILIES)
def rendered(recording: Endless, index: int) -> Family:
    """Render a family of a recording."""
    event, fibre, rate = recording.events[index], recording.fibre, recording.rate
    start, length = event_span(event, fibre, rate)
    traces = np.zeros((length, fibre.channels), dtype=np.float32)
    snr = {phase: np.zeros(fibre.channels) for phase in PHASES}
    coupling = np.array(recording.cable.coupling)
    for columns in sections(fibre.channels):
        near, stretch = seen_from(event, fibre, columns)
        begin, _ = event_span(near, stretch, rate)
        waves = event_traces.__wrapped__(near, stretch, rate) * coupling[columns].astype(np.float32)
        peaks = phase_peaks(near, stretch, rate, begin, sosfilt(highpass(rate), waves, axis=0))
        for phase in PHASES:
            snr[phase][columns] = peaks[phase] / recording.noise_level[columns]
        stop = min(length, begin - start + len(waves))
        traces[begin - start : stop, columns] = waves[: stop - begin + start]
    traces.setflags(write=False)
    return Family(start, traces, arrival_times(event, fibre), snr)


def highpass(rate: float) -> npt.NDArray[np.float64]:
    """Return the filter through which signal-to-noise ratios are taken."""
    return np.asarray(butter(2, SNR_HIGHPASS, "highpass", fs=rate, output="sos"))
