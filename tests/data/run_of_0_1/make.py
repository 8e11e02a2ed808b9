"""Make the run of this folder anew, with the dasdist that is on the path: make.py FOLDER."""

import json
import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import xdas

import dasdist

START = np.datetime64("2024-03-01T12:00:00", "ns")
STEP = np.timedelta64(10, "ms")
MINUTE = np.timedelta64(60, "s")
BLOCK = {"time": 800, "distance": 2}
THRESHOLD = 0.3


def segment(samples, start, onset, *, hole=False):
    """Noise of whole numbers and one event on two channels: the same values on any machine."""
    state, values = 12345 + onset, np.zeros((samples, 2), dtype="float32")
    for i in range(samples):
        for channel in range(2):
            state = (1103515245 * state + 12345) % 2**31
            noise = state // 2**16 % 101 - 50
            since_p = i - onset - 4 * channel
            since_s = since_p - 300
            p = 600 * max(0, 150 - since_p) // 150 * (1 - since_p // 4 % 2 * 2)
            s = 1800 * max(0, 250 - since_s) // 250 * (1 - since_s // 9 % 2 * 2)
            values[i, channel] = noise + p * (since_p >= 0) + s * (since_s >= 0)
    if hole:
        values[samples // 2, 1] = np.nan
    ends = {"tie_indices": [0, samples - 1], "tie_values": [start, start + (samples - 1) * STEP]}
    distance = {"tie_indices": [0, 1], "tie_values": [0.0, 10.0]}
    return xdas.DataArray(values, {"time": ends, "distance": distance})


def recording():
    """Three segments of two, two and three blocks; the second has a hole that fails both."""
    return xdas.concatenate(
        [
            segment(2048, START, 500),
            segment(2048, START + MINUTE, 700, hole=True),
            segment(2848, START + 2 * MINUTE, 900),
        ],
        "time",
    )


def classify(folder, **options):
    """Pick the recording with the demo's picker, and keep the annotations too."""
    return dasdist.from_pretrained("demo").classify(
        recording(),
        out=folder / "picks.parquet",
        annotations=folder / "annotations.zarr",
        thresholds=THRESHOLD,
        pbar=False,
        **{"block": BLOCK, **options},
    )


def interrupted(folder, lines, **options):
    """Run until the ledger has so many lines and one block more, then press Ctrl-C."""
    ledger = folder / "picks.parquet.dasdist" / "ledger.jsonl"

    def press(*_):
        if ledger.exists() and ledger.read_bytes().count(b"\n") >= lines:
            signal.raise_signal(signal.SIGINT)

    hook = torch.nn.modules.module.register_module_forward_hook(press)
    try:
        classify(folder, **options)
    except dasdist.RunInterrupted:
        return
    finally:
        hook.remove()
    raise RuntimeError("The run was not interrupted.")


def main(folder):
    """Two runs, each interrupted; the second tries the failed blocks again."""
    warnings.simplefilter("ignore", dasdist.DataWarning)
    interrupted(folder, 4)
    interrupted(folder, 9, retry_failed=True)
    for output in ("picks.parquet", "annotations.zarr"):
        (folder / f"{output}.dasdist" / "lock").unlink()  # names the machine
    told = dasdist.status(folder / "picks.parquet").to_dict()
    del told["path"], told["report"]
    (folder / "status.json").write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    os.makedirs(sys.argv[1])
    main(Path(sys.argv[1]))
