"""Archives and models that the benchmarks share."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
import xdas

import dasdist
from tests.conftest import _data_folder
from tests.figures import trained
from tests.toys import recording

WINDOW = 3001  # samples of PhaseNet
MINUTE = 60  # seconds of a file


PHASENET, EQTRANSFORMER = "phasenet_original", "eqtransformer_conservative"


def network(name: str = PHASENET) -> Any:
    """A picker with its trained weights; with random ones where there is no test data."""
    from seisbench.models import EQTransformer, PhaseNet

    if (_data_folder() / "weights" / f"{name}.pt").is_file():
        os.environ.setdefault("DASDIST_TEST_DATA", str(_data_folder()))
        return trained(name)
    print(f"no test data: {name} has random weights")
    torch.manual_seed(0)
    made = PhaseNet(phases="NPS", norm="std") if name == PHASENET else EQTransformer()
    return made.eval()


def light(channels: int, **changes: Any) -> Any:
    """An average and a sigmoid, with other attributes."""
    from tests.benchmarks.light import Light

    return _changed(Light(channels), changes)


def theirs(name: str = PHASENET, **changes: Any) -> Any:
    """A picker in SeisBench's wrapper, with other attributes."""
    from seisbench.models import DASWaveformModelWrapper

    return _changed(DASWaveformModelWrapper(network(name)), changes)


def ours(name: str = PHASENET, **changes: Any) -> Any:
    """A picker in the wrapper of dasdist, with other attributes."""
    return _changed(dasdist.DASWaveformModelWrapper(network(name)), changes)


def _changed(model: Any, changes: dict[str, Any]) -> Any:
    for name, value in changes.items():
        setattr(model, name, value)
    return model.eval()


def quiet(samples: int, channels: int, seed: int = 0) -> np.ndarray:
    """White noise, shape (samples, channels)."""
    return np.random.default_rng(seed).standard_normal((samples, channels), dtype=np.float32)


def strips(quick: bool, width: int = 32) -> tuple[np.ndarray, dict[str, int]]:
    """Data for PhaseNet, and the blocks it is cut into: 10 ms of work a channel.

    Narrow ones, so that two workers end at nearly the same time; a default plan's are wider.
    """
    rows, channels, width = (1, 8, 2) if quick else (8, 1024, width)
    values = quiet(WINDOW + 1500 * (rows - 1), channels)
    return values, {"time": len(values), "distance": width}


def events(samples: int, channels: int) -> np.ndarray:
    """Real earthquakes on every channel, one after the other; none where there is no test data."""
    path = _data_folder() / "waveforms" / "ncedc_labelled.npz"
    if not path.is_file():
        print("no test data: there are no earthquakes in the event-rich archive")
        return quiet(samples, channels)
    with np.load(path, allow_pickle=False) as file:
        records = file["data"].astype(np.float32)
    traces = records.transpose(0, 2, 1).reshape(-1, records.shape[1])
    traces /= traces.std(axis=1, keepdims=True) + 1e-9
    rng = np.random.default_rng(1)
    values = np.empty((samples, channels), dtype=np.float32)
    for channel in range(channels):
        order = rng.permutation(len(traces))[: -(-samples // traces.shape[1]) + 1]
        trace = np.concatenate([traces[i] for i in order])
        start = int(rng.integers(traces.shape[1]))
        values[:, channel] = trace[start : start + samples]
    return values


def spikes(samples: int, channels: int, every: int) -> np.ndarray:
    """Bumps, one after the other on every channel, on a little noise."""
    values = 0.01 * quiet(samples, channels)
    rng = np.random.default_rng(2)
    for channel in range(channels):
        at = np.arange(every // 2, samples - every // 2, every)
        at += rng.integers(-every // 8, every // 8, at.size)
        values[at[:, None] + np.arange(-2, 3), channel] += rng.uniform(0.6, 1.2, (at.size, 1))
    return values


@contextmanager
def archive(values: np.ndarray, rate: float = 100.0, seconds: int = MINUTE) -> Iterator[Any]:
    """Write samples as files and open them as xdas tiles."""
    with TemporaryDirectory(prefix="dasdist-benchmark-") as folder:
        write_files(values, Path(folder), rate, seconds)
        yield xdas.open_mfdataarray(f"{folder}/*.nc", vtype="tiles")


def write_files(values: np.ndarray, folder: Path, rate: float, seconds: int) -> list[Path]:
    """Write samples as files of a time span each, as instruments do."""
    data = recording(values, rate=rate)
    step = int(seconds * rate)
    paths = []
    for number, first in enumerate(range(0, len(values), step)):
        paths.append(folder / f"{number:06d}.nc")
        data[first : first + step].to_netcdf(str(paths[-1]))
    return paths


def dataset_of(path: Path) -> str:
    """Return the name of the dataset with the samples."""
    with h5py.File(path, "r") as file:
        names = [n for n, d in file.items() if isinstance(d, h5py.Dataset) and d.ndim == 2]
    return names[0]
