"""Render synthetic DAS sections and archives with their true arrivals.

`make_section` renders any stretch of a `Scene`, and two neighbouring stretches continue
each other exactly, so an archive of any length is written file by file in the memory of one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import butter, sosfilt

from dasdist.synthetic.files import archive_files, truth_rows
from dasdist.synthetic.noise import background, vehicle_waves
from dasdist.synthetic.physics import Event, Fibre, arrival_times, event_span, event_traces
from dasdist.synthetic.scene import Scene, draw_scene

SNR_HIGHPASS = 2.0  # Hz
SNR_SECONDS = 0.5
TRUTH_FILE = "truth.parquet"

NO_ARRIVALS = pd.DataFrame(
    {
        "event": np.empty(0, dtype=np.int64),
        "phase": np.empty(0, dtype=str),
        "channel": np.empty(0, dtype=np.int64),
        "seconds": np.empty(0),
        "snr": np.empty(0),
    }
)

Section = npt.NDArray[np.float32]


def make_section(scene: Scene, first: int, samples: int) -> tuple[Section, pd.DataFrame]:
    """Render a stretch of a scene.

    Parameters
    ----------
    scene : Scene
        What is recorded.
    first, samples : int
        The stretch: samples `first` to `first + samples` of the scene.

    Returns
    -------
    data : ndarray
        Strain rate in nanostrain/s, float32 (samples, channels).
    arrivals : DataFrame
        Those within the stretch: ``event`` (index), ``phase``, ``channel`` (index),
        ``seconds`` after the scene's first sample, and ``snr``: the peak of that
        event's signal in the half second from the arrival over the standard deviation
        of the noise, both above 2 Hz.

    Examples
    --------
    >>> data, arrivals = make_section(draw_scene(1, channels=8, seconds=60.0), 0, 3000)
    >>> data.shape
    (3000, 8)
    """
    fibre, rate = scene.fibre, scene.rate
    coupling = np.array(scene.cable.coupling)
    data = background(scene.cable, scene.levels, rate, scene.seed, first, samples)
    distance = fibre.dx * np.arange(fibre.channels)
    for vehicle in scene.vehicles:
        data += coupling * vehicle_waves(vehicle, distance, rate, first, samples)
    sos = butter(2, SNR_HIGHPASS, "highpass", fs=rate, output="sos")
    noise = np.std(sosfilt(sos, data, axis=0), axis=0)
    tables = []
    for index, event in enumerate(scene.events):
        start, length = event_span(event, fibre, rate)
        a, b = max(first, start), min(first + samples, start + length)
        if a >= b:
            continue
        traces = event_traces(event, fibre, rate)
        data[a - first : b - first] += coupling * traces[a - start : b - start]
        peaks = phase_peaks(event, fibre, rate, start, sosfilt(sos, traces, axis=0))
        for phase, seconds in arrival_times(event, fibre).items():
            inside = (seconds * rate >= first) & (seconds * rate < first + samples)
            channel = np.flatnonzero(inside)
            tables.append(
                pd.DataFrame(
                    {
                        "event": np.full(channel.size, index, dtype=np.int64),
                        "phase": [phase] * channel.size,
                        "channel": channel.astype(np.int64),
                        "seconds": seconds[inside],
                        "snr": (coupling * peaks[phase] / noise)[inside],
                    }
                )
            )
    arrivals = pd.concat([table for table in tables if len(table)] or [NO_ARRIVALS])
    return data.astype(np.float32), arrivals.reset_index(drop=True)


def phase_peaks(
    event: Event, fibre: Fibre, rate: float, start: int, traces: npt.NDArray[np.floating]
) -> dict[str, npt.NDArray[np.float64]]:
    """Largest amplitude of each phase in the half second from its arrival, (channels,)."""
    peaks = {}
    for phase, seconds in arrival_times(event, fibre).items():
        onset = np.round(seconds * rate).astype(int) - start
        rows = onset + np.arange(int(SNR_SECONDS * rate))[:, None]
        rows = np.minimum(rows, len(traces) - 1)
        peaks[phase] = np.abs(traces[rows, np.arange(fibre.channels)]).max(axis=0)
    return peaks


def write_archive(
    folder: str | Path,
    *,
    seed: int = 0,
    minutes: float = 10.0,
    channels: int = 128,
    dx: float = 10.0,
    sampling_rate: float = 100.0,
    file_seconds: float = 30.0,
    gap: tuple[float, float] | None = (0.45, 0.6),
    events: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Write an archive of many HDF5 files with a gap, and a table of its true arrivals.

    Open it lazily with ``xdas.open_mfdataarray(f"{folder}/*.nc", vtype="tiles")``.

    Parameters
    ----------
    folder : path
        Created if needed.  It gets one file per `file_seconds` (float32, nanostrain/s, named by
        its first sample's time) and ``truth.parquet``.
    seed : int
        The same seed and sizes give the same bytes of data.
    minutes : float
        From the first sample to the last, the gap included.
    channels, dx, sampling_rate
        Of the fibre; metres and Hz.
    file_seconds : float
        Length of a file.
    gap : tuple of float, optional
        From where to where nothing was recorded, as fractions of the time; rounded to
        whole files.
    events : int, optional
        Number of earthquakes, six in ten minutes by default.
    progress : callable
        Is told the files done and the files of all, after each.

    Returns
    -------
    DataFrame
        The arrivals in the files: ``event``, ``phase``, ``channel``, ``distance`` (m),
        ``time`` (datetime64[ns]) and ``snr`` as in `make_section`.
    """
    folder = Path(folder)
    samples = round(file_seconds * sampling_rate)
    files = max(1, round(minutes * 60 / file_seconds))
    missing = range(round(gap[0] * files), round(gap[1] * files)) if gap else range(0)
    quiet = (missing.start * file_seconds, missing.stop * file_seconds) if missing else None
    scene = draw_scene(
        seed,
        channels=channels,
        seconds=files * file_seconds,
        dx=dx,
        rate=sampling_rate,
        events=events,
        quiet=quiet,
    )
    tables = []
    kept = [index for index in range(files) if index not in missing]
    with archive_files(folder, (samples, channels), "float32", sampling_rate, dx) as archive:
        for done, index in enumerate(kept, 1):
            data, arrivals = make_section(scene, index * samples, samples)
            archive.write(index * samples, data)
            tables.append(arrivals)
            progress(done, len(kept))
    found = pd.concat([table for table in tables if len(table)] or [NO_ARRIVALS])
    truth = truth_rows(found, dx).to_pandas()
    truth = truth.sort_values(["event", "phase", "channel"], ignore_index=True)
    truth.to_parquet(folder / TRUTH_FILE)
    return truth
