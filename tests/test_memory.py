"""An archive several times larger than the memory of the workers, for real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xdas
from distributed import Client

import dasdist
from dasdist.inference import malloc as memory
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless

LIMIT = 1_200_000_000  # bytes of a worker; half a gigabyte of it is Python and its libraries


class Loud(dasdist.DASModel):
    """Says how loud it is, as fast as memory is read: what takes long here is the data."""

    channelwise = True

    def __init__(self):
        super().__init__(
            patching_structure=dasdist.PatchingStructure(
                1024, 128, 64, 128, (0, 1024), (0, 128), 256, 0
            ),
            annotate_keys=["P"],
        )

    def forward(self, x, argdict=None):
        return {"P": (x.abs().unflatten(1, (64, 16)).amax(2) / 100).clamp(max=1)}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


@pytest.fixture
def large(tmp_path, hours):
    """An archive of 1.4 GB an hour that does not stay when the test is over."""
    yield write_minutes(tmp_path / "large", hours, Endless(channels=1000, seed=1))
    shutil.rmtree(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1.2, pytest.param(2.53, marks=pytest.mark.deep)])
def test_an_archive_larger_than_memory_is_annotated_and_classified_within_the_plan(
    large, hours, tmp_path, make_cluster
):
    assert large.bytes > 1.1 * hours * LIMIT
    data = xdas.open_mfdataarray(f"{large.folder}/*.nc", vtype="tiles")
    with (
        make_cluster(n_workers=1, memory_limit=LIMIT) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        before = client.run(os.getpid)
        result = dasdist.classify(
            Loud(),
            data,
            client=client,
            out=tmp_path / "picks",
            annotations=tmp_path / "prob.zarr",
            thresholds=0.5,
            blinding=(0, 0),
            pbar=False,
        )
        after = client.run(os.getpid)
    report = result.report
    assert report.complete
    assert after == before  # no nanny had to replace a worker that was too large
    assert report.planned <= LIMIT
    assert report.peak <= 1.25 * report.planned
    stored = dasdist.open_annotations(tmp_path / "prob.zarr")
    assert stored["P"].shape == (data.shape[0] // 16, 1000)
    # what is there is what the blocks make of the archive, at its end as at its start
    end = data.shape[0] // 16 * 16
    for samples in (slice(0, 8192), slice(end - 8192, end)):
        loud = np.abs(data[samples, 500:600].values).reshape(512, 16, 100).max(axis=1)
        rows = slice(samples.start // 16, samples.stop // 16)
        np.testing.assert_allclose(
            stored["P"][rows, 500:600].values, np.minimum(loud / 100, 1), rtol=1e-6
        )
    heard = pd.read_parquet(large.truth)["event"].nunique()
    assert heard > 30 * hours
    minutes = result.picks["time"].dt.floor("min").nunique()
    assert heard / 2 < minutes <= 2 * heard  # strong earthquakes are loud, noise is not


FREED_AND_NEEDED_AGAIN = """
import resource
import runpy
import threading
import numpy as np

keep_freed_memory = runpy.run_path({path!r})["keep_freed_memory"]  # alone, as it loads faster

def compute():
    for turn in range(30):
        if turn == 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        layers = [np.ones(2**20) for _ in range({layers})]  # 8 MiB each
        del layers
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

print({kept} and keep_freed_memory())
thread = threading.Thread(target=compute)
thread.start() if {threaded} else compute()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threaded", "layers"),
    [
        pytest.param(False, 6, id="the main thread, within what is kept"),
        pytest.param(True, 20, id="a task thread, more than a heap holds"),
    ],
)
def test_memory_that_a_layer_freed_is_not_cleared_anew_for_the_next(threaded, layers):
    def faults(kept):
        program = FREED_AND_NEEDED_AGAIN.format(
            path=memory.__file__, kept=kept, layers=layers, threaded=threaded
        )
        found = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"},  # as Dask sets it
            capture_output=True,
            text=True,
            check=True,
        )
        return found.stdout.split()

    done, kept = faults(kept=True)
    if done == "False":
        pytest.skip("the C library has no such option")
    _, given_back = faults(kept=False)
    assert int(kept) < 200  # one layer has 2048 pages
    assert int(given_back) > 20 * 2048
