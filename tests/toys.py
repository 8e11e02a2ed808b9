"""Small models and recordings whose answers one can work out."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xdas

import dasdist

START = np.datetime64("2024-01-01T00:00:00", "ns")


class Toy(dasdist.DASModel):
    """Averages over steps of the input, then squashes: outputs on a coarser, offset grid."""

    def __init__(
        self,
        window=(64, 4),
        out=(16, 4),
        covers=((0, 64), (0, 4)),
        overlap=(None, None),
        gain=1.0,
        **kwargs,
    ):
        super().__init__(
            patching_structure=dasdist.PatchingStructure(
                window[0], window[1], out[0], out[1], covers[0], covers[1], *overlap
            ),
            annotate_keys=["P", "S"],
            **kwargs,
        )
        self.gain = torch.nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x, argdict=None):
        return toy_forward(self.patching_structure, self.gain, x)

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


def toy_forward(structure, gain, x):
    """Annotate patches; every output also sees the whole patch, so that patches matter."""
    (a, b), (c, d) = structure.range_samples, structure.range_channels
    inside = x[:, a:b, c:d].transpose(1, 2).reshape(-1, 1, b - a)
    size = (structure.out_samples, structure.out_channels)
    means = torch.nn.functional.adaptive_avg_pool2d(x[:, None, a:b, c:d], size)[:, 0]
    del inside
    mood = 0.1 * x.mean(dim=(1, 2), keepdim=True)
    return {"P": torch.sigmoid(gain * means + mood), "S": torch.sigmoid(-gain * means + mood)}


def recording(values, rate=100.0, dx=10.0, dims=("time", "distance"), start=START, first=0.0):
    """An xdas DataArray of ``values``, shape (samples, channels), in the order of ``dims``."""
    samples, channels = values.shape
    step = np.timedelta64(round(1e9 / rate), "ns")
    channel = next(name for name in dims if name != "time")
    coords = {"time": _ties(start, step, samples), channel: _ties(first, dx, channels)}
    if dims[0] != "time":
        return xdas.DataArray(values.T.copy(), {name: coords[name] for name in dims})
    return xdas.DataArray(values, {name: coords[name] for name in dims})


def _ties(start, step, size):
    last = [start + (size - 1) * step] if size > 1 else []
    return {"tie_indices": [0, size - 1][:size], "tie_values": [start, *last]}


def noise(samples, channels, seed=0, dtype="float32", scale=1.0):
    """Smooth noise, so that it has peaks of many samples."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((samples + 8, channels))
    smooth = sum(values[i : i + samples] for i in range(8)) * scale
    return smooth.astype(dtype)


def peak_bytes():
    """The most memory that this process ever had; unlike ru_maxrss, without its parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def agreeing(picks, exact):
    """Return the share of exact picks that are there within a sample."""
    near = pd.merge(exact, picks, on=["channel_index", "phase"], suffixes=("", "_other"))
    same = near[(near.sample_index - near.sample_index_other).abs() <= 1]
    return len(same[["channel_index", "phase", "sample_index"]].drop_duplicates()) / len(exact)
