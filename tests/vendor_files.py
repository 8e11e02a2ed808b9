"""Writers of files in vendors' layouts, as libraries read them."""

from __future__ import annotations

import h5py
import numpy as np

START = np.datetime64("2024-05-01T00:00:00", "ns")


def febus(path, values, rate, start=START, spacing=10.0, name="StrainRate"):
    """Febus A1: blocks of one second without overlap, each with the time of its middle.

    ``values`` are samples x channels, whole seconds of them.
    """
    blocks = len(values) // rate
    begin = start.astype("datetime64[ns]").astype(np.int64) / 1e9
    with h5py.File(path, "w") as file:
        source = file.create_group("fa1-1/Source1")
        source["time"] = begin + (rate // 2) / rate + np.arange(blocks, dtype=np.float64)
        zone = source.create_group("Zone1")
        zone.attrs["BlockRate"] = [1000]
        zone.attrs["Spacing"] = [spacing, 1000 / rate, 1.0]
        zone.attrs["Extent"] = [0, values.shape[1] - 1, 0, rate - 1, 0, 0]
        zone.attrs["Origin"] = [0.0, 0.0, 0.0]
        zone[name] = values.reshape(blocks, rate, -1)
