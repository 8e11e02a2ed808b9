"""Serial, threads and processes agree; the model is built once per process."""

import asyncio
import os
import time

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from distributed import Client, SchedulerPlugin

import dasdist

from .toys import START, Toy, noise, recording

OPTIONS = {"thresholds": 0.7, "blinding": (1, 1), "min_time_separation": 0.2, "pbar": False}


@pytest.fixture(scope="module")
def values():
    return noise(4000, 12)


@pytest.fixture(scope="module")
def serial(values):
    return dasdist.classify(Toy(), recording(values), **OPTIONS).picks


@pytest.mark.parametrize("where", ["client", "inproc_client"])
def test_clusters_agree_with_the_serial_loop(request, where, values, serial, tmp_path):
    client = request.getfixturevalue(where)
    data = recording(values)
    blocks = {"time": 300, "distance": 5}
    assert len(serial) > 500
    picks = dasdist.classify(Toy(), data, client=client, block=blocks, **OPTIONS).picks
    pd.testing.assert_frame_equal(picks, serial)

    collected = dasdist.InMemoryCollectionCallback()
    written = dasdist.WriterCallback(tmp_path / "prob.zarr")
    both = dasdist.MultiCallback([collected, written])
    dasdist.annotate(Toy(), data, both, client=client, block=blocks, pbar=False)
    expected = dasdist.annotate(Toy(), data)
    for key in ("P", "S"):
        np.testing.assert_array_equal(collected.annotations[key].values, expected[key].values)
        opened = dasdist.open_annotations(tmp_path / "prob.zarr")
        np.testing.assert_array_equal(opened[key].values, expected[key].values)


def test_the_current_client_is_taken(client, values, serial):
    with client.as_current():
        found = dasdist.classify(Toy(), recording(values), **OPTIONS)
    pd.testing.assert_frame_equal(found.picks, serial)
    assert found.report.blocks > 0


class Counting(SchedulerPlugin):
    """Counts tasks of runs that ended."""

    name = "counting"
    tasks = 0

    def transition(self, key, start, finish, *args, **kwargs):
        self.tasks += finish == "memory" and str(key[0]).startswith("dasdist-")


@pytest.mark.parametrize("shared", [True, False])
def test_short_blocks_share_tasks(make_cluster, monkeypatch, shared):
    """And nothing comes of it but that there are fewer tasks."""
    # what counts as short is not left to the speed of the machine
    for limit in ("_TASK", "_SHORT"):
        monkeypatch.setattr(f"dasdist.executors.backpressure.{limit}", 1000.0 if shared else 0.0)
    data = recording(noise(1600, 4))
    blocks = {"time": 10}
    count = len(dasdist.plan(Toy(), data, block=blocks))
    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        client.register_plugin(Counting())
        found = dasdist.classify(Toy(), data, client=client, block=blocks, **OPTIONS)
        tasks = client.run_on_scheduler(
            lambda dask_scheduler: dask_scheduler.plugins["counting"].tasks
        )
    assert found.report.finished == found.report.blocks == count
    pd.testing.assert_frame_equal(found.picks, dasdist.classify(Toy(), data, **OPTIONS).picks)
    assert tasks < count / 2 if shared else tasks == count


class Noted(Toy):
    """Leaves a file behind whenever it is unpickled."""

    folder = None

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def __setstate__(self, state):
        self.__dict__.update(state)
        name = f"{os.getpid()}-{time.monotonic_ns()}"
        with open(os.path.join(self.folder, name), "w"):
            pass


def test_a_model_is_unpickled_once_per_process(client, values, tmp_path):
    model = Noted(tmp_path)
    for _ in range(2):
        dasdist.classify(model, recording(values), client=client, block={"time": 200}, **OPTIONS)
    unpickled = [int(name.split("-")[0]) for name in os.listdir(tmp_path)]
    workers = set(client.run(os.getpid).values())
    assert workers <= set(unpickled) <= {*workers, os.getpid()}
    assert len(unpickled) == len(set(unpickled))


def test_a_worker_that_joins_late_gets_the_model(make_cluster, values, serial):
    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        dasdist.classify(Toy(), recording(values), client=client, **OPTIONS)
        cluster.scale(2)
        client.wait_for_workers(2)
        late = dasdist.classify(
            Toy(), recording(values), client=client, block={"time": 100}, **OPTIONS
        )
    pd.testing.assert_frame_equal(late.picks, serial)


def dask_backed(values, chunks):
    coords = {
        "time": START + np.arange(values.shape[0]) * np.timedelta64(10, "ms"),
        "distance": np.arange(values.shape[1]) * 10.0,
    }
    return xr.DataArray(da.from_array(values, chunks), coords, ("time", "distance"))


@pytest.mark.parametrize("where", ["client", None])
def test_dask_graphs_agree(request, where, values, serial):
    client = request.getfixturevalue(where) if where else None
    data = dask_backed(values, (333, 7)) * 1.0
    picks = dasdist.classify(Toy(), data, client=client, block={"time": 500}, **OPTIONS).picks
    pd.testing.assert_frame_equal(picks, serial)


def test_callbacks_written_for_seisbench_run_on_the_client(client, values):
    class Seen(dasdist.DASAnnotateCallback):
        def setup(self, data, patching_structure, annotate_keys):
            self.shape, self.order, self.pid = data.shape, [], os.getpid()
            assert (data.dt, data.dx, data.channel_coord_name) == (0.01, 10.0, "distance")
            assert data.dtype == np.float32
            assert len(data.coords["time"]) == data.shape[0]
            assert patching_structure.shift_samples == 32
            assert annotate_keys == ["P", "S"]

        def handle_patch(self, annotations, in_coords, out_coords):
            assert annotations["P"].shape == (16, 4)
            assert out_coords.sample == in_coords.sample / 4
            self.order.append((in_coords.sample, in_coords.channel))

        def finalize(self):
            self.finished = True

        def get_results_dict(self):
            return {"order": self.order}

    seen = [Seen(), Seen()]
    dasdist.annotate(Toy(), recording(values), seen[0], pbar=False, block={"time": 100})
    dasdist.annotate(
        Toy(), recording(values), seen[1], client=client, pbar=False, block={"time": 50}
    )
    starts = [
        [min(i * shift, n - w) for i in range(-(-(n - w) // shift) + 1)]
        for n, w, shift in ((4000, 64, 32), (12, 4, 2))
    ]
    raster = [(t, c) for t in starts[0] for c in starts[1]]
    assert seen[0].order == seen[1].order == raster
    assert seen[0].finished
    assert seen[1].pid == os.getpid()


def test_lazy_annotations_compute_only_what_is_looked_at(values):
    class Counted(Toy):
        calls = 0

        def forward(self, x, argdict=None):
            type(self).calls += 1
            return super().forward(x)

    lazy = dasdist.annotate(
        Counted(), recording(values), block={"time": 100, "distance": 12}, batch_size=1
    )
    before = Counted.calls
    part = lazy.isel(time=slice(450, 460)).compute()
    rows, columns = 100 // 8 + 2, 5
    assert 0 < Counted.calls - before <= 2 * rows * columns
    np.testing.assert_array_equal(part.P.values, lazy.P.values[450:460])


def test_lazy_annotations_on_a_cluster(client, values):
    expected = dasdist.annotate(Toy(), recording(values))["P"].values
    for data in (recording(values), dask_backed(values, (700, 5)) * 1.0):
        lazy = dasdist.annotate(Toy(), data, block={"time": 150, "distance": 5})
        with client.as_current():
            np.testing.assert_array_equal(lazy["P"].values, expected)


def test_one_task_per_block_for_archives(values):
    lazy = dasdist.annotate(Toy(), recording(values), block={"time": 100})
    blocks = dasdist.plan(Toy(), recording(values), block={"time": 100})
    layers = lazy["P"].data.dask.layers
    annotate = [layer for name, layer in layers.items() if name.startswith("dasdist-annotate")]
    assert sum(len(layer) for layer in annotate) == len(blocks) + 1


@pytest.mark.parametrize("chunks", [(97, 5), (4000, 12), (30, 12)])
@pytest.mark.parametrize("block", [{"time": 13, "distance": 2}, {"time": 170, "distance": 7}, None])
def test_lazy_annotations_of_dask_graphs(values, chunks, block):
    model = Toy(dt_range=(0.019, 0.021), filter_samples=("butter", {"N": 1, "Wn": 5.0}))
    expected = dasdist.annotate(model, recording(values[:900]))["P"].values
    lazy = dasdist.annotate(model, dask_backed(values[:900], chunks), block=block)
    np.testing.assert_allclose(lazy["P"].values, expected, atol=1e-6)


TURNS = {"of the loop": 0, "at each batch": []}


class Watched(Toy):
    """Computes for a while, and notes at every batch how often the event loop has turned."""

    def forward(self, x, argdict=None):
        big = torch.ones(300, 300)
        for _ in range(8):
            big = torch.tanh(big @ big)
        TURNS["at each batch"].append(TURNS["of the loop"])
        return super().forward(x + 0 * big[0, 0])


@pytest.mark.slow
async def test_async_methods_leave_the_event_loop_free(values):
    async def turn():
        while True:
            TURNS["of the loop"] += 1
            await asyncio.sleep(0)

    TURNS["at each batch"].clear()
    turning = asyncio.create_task(turn())
    data = recording(values[:1500])
    writer = dasdist.InMemoryCollectionCallback()
    picks, report = await asyncio.gather(
        Watched().classify_async(data, batch_size=4, **OPTIONS),
        Watched().annotate_async(data, writer, batch_size=4, pbar=False),
    )
    turning.cancel()
    turns = TURNS["at each batch"].copy()
    assert len(turns) > 20
    assert len({*turns}) > len(turns) / 2  # in a blocked loop all of them would be the same
    expected = dasdist.classify(Watched(), data, batch_size=4, **OPTIONS)
    assert len({*TURNS["at each batch"][len(turns) :]}) == 1  # as here, where it is blocked
    pd.testing.assert_frame_equal(picks.picks, expected.picks)
    assert report.complete
    assert writer.annotations is not None


async def test_an_asynchronous_client_works(values, serial, cluster):
    async with Client(cluster.scheduler_address, asynchronous=True, set_as_default=False) as client:
        found = await Toy().classify_async(recording(values), client=client, **OPTIONS)
    pd.testing.assert_frame_equal(found.picks, serial)


@pytest.mark.parametrize("where", ["client", None])
def test_unreadable_data_fails_or_is_skipped_and_listed(request, where, values):
    client = request.getfixturevalue(where) if where else None
    holed = values.copy()
    holed[1000:1100, 3] = np.nan
    data = recording(holed)
    with pytest.raises(dasdist.UnreadableData, match="on 1 of 12 channels are NaN"):
        dasdist.classify(Toy(), data, client=client, block={"time": 2000}, **OPTIONS)
    holed[700:1700] = np.nan
    with pytest.warns(dasdist.DataWarning, match="left out"):
        found = dasdist.classify(
            Toy(), recording(holed), client=client, block={"time": 100}, on_error="skip", **OPTIONS
        )
    assert {f.segment for f in found.report.failures} == {0}
    missing = {(f.core.time.start, f.core.distance.start) for f in found.report.failures}
    assert (200, 0) in missing
    assert len(missing) < found.report.blocks


def test_many_models_side_by_side(values):
    data = recording(values[:600])
    models = [Toy(gain=gain) for gain in range(1, 9)]
    alone = [dasdist.classify(model, data, **OPTIONS).picks for model in models]

    async def together():
        runs = [model.classify_async(data, block={"time": 60}, **OPTIONS) for model in models]
        return await asyncio.gather(*runs)

    for found, expected in zip(asyncio.run(together()), alone, strict=True):
        pd.testing.assert_frame_equal(found.picks, expected)


def test_a_worker_keeps_what_many_models_need(make_cluster, values):
    data = recording(values[:600])
    models = [Toy(gain=gain) for gain in range(1, 8)]
    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        first, *_ = [dasdist.classify(m, data, client=client, **OPTIONS).picks for m in models]
        again = dasdist.classify(models[0], data, client=client, **OPTIONS).picks
    pd.testing.assert_frame_equal(again, first)


def test_a_plan_is_the_same_while_its_model_runs(values):
    from concurrent.futures import ThreadPoolExecutor

    data = recording(values)
    expected = dasdist.plan(Toy(), data).batch_bytes
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(dasdist.classify, Toy(), data, **OPTIONS)
        plans = {dasdist.plan(Toy(), data).batch_bytes for _ in range(20)}
        running.result()
    assert plans == {expected}


def test_parts_are_combined_as_they_come(values):
    class Counting(dasdist.InMemoryCollectionCallback):
        largest = 0

        def combine(self, parts):
            self.largest = max(self.largest, len(parts))
            return super().combine(parts)

    callback = Counting()
    dasdist.annotate(Toy(), recording(values), callback, block={"time": 10}, pbar=False)
    assert callback.largest <= 70
    expected = dasdist.annotate(Toy(), recording(values))["P"].values
    np.testing.assert_array_equal(callback.annotations["P"].values, expected)
