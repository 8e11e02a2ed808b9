"""Workers that die, blocks that hang, raise or kill: what a run makes of it, with real processes."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import dasdist

from .toys import Toy, recording


class Troubled(Toy):
    """Does as the first sample of its input says; notes every block that it begins."""

    def __init__(self, folder, seconds=0.0):
        super().__init__(window=(64, 4), out=(64, 4), overlap=(0, 0))
        self.folder, self.seconds = str(folder), seconds

    def forward(self, x, argdict=None):
        told = x[0, 0, 0].item()
        if told:  # not the trial of zeros
            Path(self.folder, f"{told:.0f}-{os.getpid()}-{time.monotonic_ns()}").touch()
            time.sleep(self.seconds)
        kind = round(told % 1, 1)
        if kind == 0.1:
            os._exit(7)
        if kind == 0.2:
            time.sleep(3600)
        if kind == 0.3:
            raise RuntimeError("no such luck")
        return super().forward(x)


def blocks(count, **kinds):
    """Blocks of 64 samples; the first sample of block i is i + 1, and says what happens."""
    values = np.full((64 * count, 4), 0.5, dtype=np.float32)
    values[::64] = (np.arange(count) + 1)[:, None]
    for name, where in kinds.items():
        values[64 * np.array(where)] += {"kill": 0.1, "hang": 0.2, "fail": 0.3}[name]
    return recording(values)


def annotated(model, data, client, **options):
    collected = dasdist.InMemoryCollectionCallback()
    report = dasdist.annotate(
        model,
        data,
        collected,
        client=client,
        block={"time": 64},
        batch_size=1,
        pbar=False,
        **options,
    )
    return collected.annotations["P"].values, report


def begun(folder):
    """How often each block began."""
    numbers = [int(name.split("-")[0]) - 1 for name in os.listdir(folder)]
    return {number: numbers.count(number) for number in set(numbers)}


def test_poison_hanging_and_failing_blocks_in_one_run(make_cluster, tmp_path):
    (tmp_path / "a").mkdir()
    data = blocks(40, kill=[7], hang=[15], fail=[23])
    with make_cluster(n_workers=2) as cluster, Client(cluster, set_as_default=False) as client:
        with pytest.warns(dasdist.DataWarning, match="3 blocks"):
            values, report = annotated(
                Troubled(tmp_path / "a", 0.02),
                data,
                client,
                max_failures=5,
                block_timeout=3,
            )
    kinds = {failure.block: failure.kind for failure in report.failures}
    assert kinds == {7: "killed", 15: "deadline", 23: "error"}
    by_block = {failure.block: failure for failure in report.failures}
    assert "no such luck" in by_block[23].error
    assert "forward" in by_block[23].traceback
    assert "time.sleep(3600)" in by_block[15].traceback
    assert by_block[7].start == "2024-01-01T00:00:04.480000000"
    times = begun(tmp_path / "a")
    assert times[7] <= 6
    assert times[15] == times[23] == 1
    missing = np.isnan(values).all(axis=1).reshape(40, 64)
    assert [int(i) for i in np.flatnonzero(missing.any(axis=1))] == [7, 15, 23]
