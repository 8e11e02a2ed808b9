"""What a plan promises before anything runs."""

import re
from dataclasses import replace
from time import process_time

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from distributed import Client

import dasdist
from dasdist.callbacks import Needs
from dasdist.executors.resources import resident_bytes, resources_of, resources_of_cluster
from dasdist.geometry.choose import Work, choose_core, samples_read
from dasdist.inference.replica import predictor_of
from dasdist.planning import trial
from dasdist.planning.fit import make_plan
from dasdist.planning.resources import Resources
from dasdist.planning.speed import Speed
from dasdist.run.options import RunOptions
from dasdist.run.request import Request
from dasdist.sources.selection import ArraySource

from .toys import Toy, noise, peak_bytes, recording

GIB = 2**30


class Channelwise(Toy):
    """Windows of 3001 samples at 100 Hz, as PhaseNet has them."""

    channelwise = True

    def __init__(self):
        super().__init__(
            overlap=(None, 0), window=(3001, 1), out=(3001, 1), covers=((0, 3001), (0, 1))
        )

    def get_patching_structure(self, data_shape, argdict):
        width = min(1024, data_shape[1])
        return dasdist.PatchingStructure(3001, width, 3001, width, (0, 3001), (0, width), 1500, 0)

    def forward(self, x, argdict=None):
        return {"P": torch.sigmoid(x), "S": torch.sigmoid(-x)}


class Counting(Toy):
    """Counts the patches of data that it evaluates; before a run it is tried on zeros."""

    evaluated = 0

    def forward(self, x, argdict=None):
        type(self).evaluated += int((x.abs().sum(dim=(1, 2)) > 0).sum())
        return super().forward(x)


def planned(model, data, needs, resources, **kwargs):
    request = Request.of(model, data, RunOptions(), {})
    predictor = predictor_of(request.payload.token)
    return make_plan(request.recording, predictor, {}, needs=needs, resources=resources, **kwargs)


def archive(tmp_path, minutes, channels):
    """Minute files without content: planning looks at their labels only."""
    import xdas
    from xdas.virtual import TileArray

    samples = 6000
    tiles = TileArray.from_tiles(
        [str(tmp_path / f"{i}.h5") for i in range(minutes)],
        (np.full(minutes, samples), channels),
        "int16",
        "prodml",
    )
    start = np.datetime64("2024-01-01", "ns")
    size = minutes * samples
    step = np.timedelta64(10, "ms")
    return xdas.DataArray(
        tiles,
        {
            "time": {
                "tie_indices": [0, size - 1],
                "tie_values": [start, start + (size - 1) * step],
            },
            "distance": {
                "tie_indices": [0, channels - 1],
                "tie_values": [0.0, 10.0 * (channels - 1)],
            },
        },
    )


def largest(plan):
    """What the plan would need if every block were as large as the largest: by brute force."""
    blocks = [plan.grids[0].block(i) for i in range(len(plan.grids[0]))]
    return max(block.read.shape[0] * block.read.shape[1] for block in blocks)


@pytest.mark.parametrize("time", [359_999, 358_500, 180_000, 100_000, 7000])
@pytest.mark.parametrize("distance", [1000, 999, 400])
def test_the_peak_is_that_of_the_largest_block(tmp_path, time, distance):
    data = archive(tmp_path, 60, 1000)
    block = {"time": time, "distance": distance}
    plan = planned(Channelwise(), data, Needs(1.0), Resources(), block=block)
    found = plan.grids[0].largest_block()
    assert found.read.shape[0] * found.read.shape[1] == largest(plan)
    resources = Resources(memory=int(plan.peak_bytes / 0.8) - 10)
    with pytest.raises(dasdist.BlockTooLarge):
        planned(Channelwise(), data, Needs(1.0), resources, block=block)


@pytest.mark.parametrize("slots", [1, 2, 3, 8])
def test_default_blocks_share_the_work_evenly(tmp_path, slots):
    data = archive(tmp_path, 60, 1000)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(workers=slots, memory=4 * GIB))
    grid = plan.grids[0]
    work = [block.core.shape[0] * block.core.shape[1] for block in grid]
    rounds = -(-len(work) // slots)
    # no slot has more than a fifth above its even share
    assert rounds * max(work) <= 1.2 * sum(work) / slots


def test_lazy_chunks_are_small(tmp_path):
    lazy = dasdist.annotate(Channelwise(), archive(tmp_path, 60, 1000))
    chunks = lazy["P"].data.chunksize
    assert chunks[0] * chunks[1] <= 2 * 10**7


@pytest.mark.parametrize("channels", [1000, 4000, 10000])
@pytest.mark.parametrize("memory", [2 * GIB, 4 * GIB, 32 * GIB])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_default_blocks_of_an_hour_waste_little(tmp_path, channels, memory, workers):
    data = archive(tmp_path, 60, channels)
    needs = Needs(pick_halo=1.0)
    resources = Resources(workers=workers, threads=1, memory=memory)
    plan = planned(Channelwise(), data, needs, resources)
    assert plan.recompute_factor <= 1.05
    assert plan.read_amplification <= 1.1
    assert plan.peak_bytes <= 0.8 * memory
    assert plan.archive_bytes == 60 * 6000 * channels * 2
    assert len(plan) >= 1


def test_a_year_is_planned_quickly_from_its_labels(tmp_path):
    data = archive(tmp_path, 525_600, 1000)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(workers=100, memory=8 * GIB))
    assert plan.data_seconds == pytest.approx(525_600 * 60)
    assert plan.recompute_factor <= 1.05
    assert len(plan) < 100_000


def test_plans_print_well():
    plan = dasdist.plan(Toy(), recording(noise(1000, 8)))
    text = str(plan)
    for word in ("blocks", "computed twice", "times the data", "memory of a worker"):
        assert word in text
        assert word in plan._repr_html_()
    assert plan._repr_html_().startswith("<table>")


@pytest.mark.slow
def test_predictions_count_what_really_happens(monkeypatch):
    read = []
    plain = ArraySource.read
    monkeypatch.setattr(
        ArraySource, "read", lambda self: read.append(self.values.nbytes) or plain(self)
    )
    data = recording(noise(1500, 20))
    options = {"block": {"time": 100, "distance": 7}, "batch_size": 1}
    plan = dasdist.plan(Counting(), data, **options)
    looked_at = sum(read)  # of the amplitude, by every plan
    assert 0 < looked_at < plan.archive_bytes * 1.1
    read.clear()
    Counting.evaluated = 0
    dasdist.classify(Counting(), data, pbar=False, blinding=(1, 1), **options)
    patches = plan.grids[0].rows.count * plan.grids[0].columns.count
    assert Counting.evaluated == round(plan.recompute_factor * patches)
    assert sum(read) - looked_at == plan.read_bytes


def test_storage_chunks_lengthen_blocks(tmp_path):
    values = np.zeros((60_000, 64), dtype=np.float32)
    time = np.datetime64("2024-01-01", "ns") + np.arange(60_000) * np.timedelta64(10, "ms")
    labelled = xr.DataArray(
        values, {"time": time, "distance": np.arange(64.0)}, ("time", "distance"), name="strain"
    )
    encoding = {"strain": {"chunks": (6000, 64)}}
    labelled.to_dataset().to_zarr(tmp_path / "data.zarr", encoding=encoding, consolidated=False)
    data = xr.open_zarr(tmp_path / "data.zarr", consolidated=False)["strain"]
    chunked = dasdist.plan(Toy(), data, block={"time": 1500})
    plain = dasdist.plan(Toy(), labelled, block={"time": 1500})
    assert chunked.read_amplification > 1.5 > plain.read_amplification
    chosen = dasdist.plan(Toy(), data)
    assert chosen.read_amplification <= 1.1


@pytest.mark.parametrize("slots", [1, 8, 512])
@pytest.mark.parametrize("width", [64, 96])
def test_blocks_that_split_the_fibre_hold_whole_storage_chunks(tmp_path, slots, width):
    plan = dasdist.plan(Channelwise(), archive(tmp_path, 600, 1000))
    (grid,) = plan.grids
    work = Work(slots, lambda trial: trial.core[0] * trial.core[1] / 1e6)
    options = {"bytes_needed": plan.bytes_needed, "budget": 2e9}
    core = choose_core(grid, work, chunks=(6000, width), **options)
    chosen = replace(grid, core=core)
    assert chosen.blocks[1] > 1  # it does split it: memory allows no other way
    assert core[1] % width == 0
    uneven = replace(grid, core=(core[0], 250))
    assert samples_read(chosen, (6000, width)) < samples_read(uneven, (6000, width))


@pytest.mark.parametrize(("given", "expected"), [({"time": 100}, 100), ({"distance": 3}, None)])
def test_given_blocks_are_respected(given, expected):
    plan = dasdist.plan(Toy(), recording(noise(1000, 8)), block=given)
    core = plan.grids[0].core
    assert core[1] == given.get("distance", core[1])
    assert expected is None or core[0] == expected


@pytest.mark.slow
def test_results_of_a_run_fit_the_planned_memory(make_cluster, tmp_path):
    """The peak of a real worker process stays within what the plan said."""
    values = noise(400_000, 8).repeat(12, axis=1)
    time = np.datetime64("2024-01-01", "ns") + np.arange(len(values)) * np.timedelta64(10, "ms")
    labelled = xr.DataArray(
        values, {"time": time, "distance": np.arange(96.0)}, ("time", "distance"), name="strain"
    )
    labelled.to_dataset().to_netcdf(tmp_path / "data.nc", engine="h5netcdf")
    data = xr.open_dataset(tmp_path / "data.nc", engine="h5netcdf")["strain"]
    with (
        make_cluster(n_workers=1, memory_limit="4GiB") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        block = {"time": 100_000}
        writer = dasdist.WriterCallback(tmp_path / "prob.zarr")
        dasdist.annotate(Channelwise(), data, writer, client=client, block=block, pbar=False)
        peak = client.submit(peak_bytes).result()
    request = Request.of(Channelwise(), data, RunOptions(), {})
    plan = make_plan(
        request.recording,
        predictor_of(request.payload.token),
        {},
        needs=writer.needs,
        resources=Resources(memory=4 * GIB),
        block=block,
    )
    assert peak <= 1.1 * plan.peak_bytes
    assert plan.peak_bytes <= 1.5 * peak


@pytest.mark.parametrize("memory", [0.9e9, 1.0e9, 1.1e9, 1.3e9])
def test_small_workers_do_not_get_tiny_blocks(tmp_path, memory):
    """Libraries and model may take half of a small worker: blocks then fill what is left."""
    data = archive(tmp_path, 18, 1000)
    plan = planned(Channelwise(), data, Needs(pick_halo=1.0), Resources(2, 1, int(memory)))
    assert len(plan) < 100
    assert plan.recompute_factor < 1.2
    assert plan.peak_bytes <= 0.8 * memory


def test_a_thousand_gaps_are_planned_as_one_stretch_is(tmp_path):
    data = archive(tmp_path, 3000, 100)
    time = data["time"].values[0] + np.arange(0, 3000) * np.timedelta64(60, "s")
    starts = 6000 * np.arange(3000)
    gaps = np.arange(3000) // 3 * np.timedelta64(1, "s")
    ties = np.stack([starts, starts + 5999], axis=1).ravel()
    last = np.timedelta64(59_990, "ms")
    values = np.stack([time + gaps, time + gaps + last], axis=1).ravel()
    data = data.assign_coords(time={"tie_indices": ties, "tie_values": values})
    plan = planned(Channelwise(), data, Needs(), Resources(2, 1, 4 * GIB))
    assert len(plan.grids) == 1000
    assert len({grid.core for grid in plan.grids}) == 1
    firsts = np.cumsum([0, *map(len, plan.grids)])[:-1]
    assert [grid.first_block for grid in plan.grids] == firsts.tolist()
    assert plan.recompute_factor < 1.05


@pytest.fixture
def timed(monkeypatch):
    """Speeds of trials, as they come."""
    speeds = []
    tried = trial._Trial.run

    def run(self):
        speeds.append(tried(self))
        return speeds[-1]

    monkeypatch.setattr(trial._Trial, "run", run)
    return speeds


def test_a_model_is_timed_once(timed):
    model, data = Toy(), recording(noise(4000, 12))
    plan = dasdist.plan(model, data)
    assert len(timed) == 1
    assert plan.block_seconds > 0
    again = dasdist.plan(model, data)
    dasdist.classify(model, data, pbar=False, blinding=(1, 1))
    assert len(timed) == 1
    assert again.block_seconds == plan.block_seconds
    dasdist.plan(Toy(gain=2.0), data)
    assert len(timed) == 2


def test_blocks_that_are_kept_need_no_trial(timed):
    plan = planned(
        Toy(), recording(noise(1000, 8)), Needs(), Resources(), held_core=lambda grid: (50, 8)
    )
    assert plan.grids[0].core == (50, 8)
    assert not timed
    assert plan.block_seconds is None
    assert "each" not in str(plan)


def test_what_fails_on_zeros_is_planned_all_the_same(timed):
    class Fails(Toy):
        def forward(self, x, argdict=None):
            if x.shape[0] > 2:  # more than the first pass
                raise RuntimeError("no such luck")
            return super().forward(x)

    plan = dasdist.plan(Fails(), recording(noise(4000, 12)))
    assert not timed
    assert plan.block_seconds > 0


def test_a_trial_leaves_no_trace():
    class Narrow(Toy):
        def forward(self, x, argdict=None):
            if x.shape[0] > 2:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
            return super().forward(x)

    job = Request.of(Narrow(), recording(noise(4000, 12)), RunOptions(), {})
    threads = torch.get_num_threads()
    plan = job.plan(Needs(), None)
    predictor = predictor_of(job.payload.token)
    assert predictor.notes(plan.batching.variant) == ()
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint16"])
def test_a_speed_is_a_power_of_two(timed, dtype):
    values = noise(4000, 12, scale=10.0) + 100
    speed = dasdist.plan(Toy(), recording(values.astype(dtype))).speed
    assert len(timed) == 1
    for seconds in (speed.patch, speed.sample):
        assert np.log2(seconds) == round(np.log2(seconds))


def with_speed(monkeypatch, patch):
    found = Speed(patch, 2.0**-30)
    monkeypatch.setattr("dasdist.planning.fit.speed_of", lambda *_: found)


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("patch", [2.0**-11, 2.0**-10, 2.0**-9])
def test_blocks_of_an_hour_are_worth_waiting_for(tmp_path, monkeypatch, patch, workers):
    with_speed(monkeypatch, patch)
    data = archive(tmp_path, 60, 500)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(workers, 1, 4 * GIB))
    whole = 239 * 500 * patch  # seconds of a worker
    assert len(plan) >= (3 if whole > 15 * workers else 1) * workers
    assert min(5, whole / workers / 5) <= plan.block_seconds <= 20
    assert len(plan) * plan.block_seconds <= 1.5 * whole
    assert f"about {plan.block_seconds:.0f} s each" in str(plan)
    length = plan.grids[0].core[0]
    assert length % 6000 == 0 or 6000 % length == 0  # a file has 6000 samples


def test_blocks_of_a_hundred_terabytes_are_not_too_many(tmp_path, monkeypatch):
    with_speed(monkeypatch, 2.0**-16)
    data = archive(tmp_path, 525_600 * 3 // 2, 10_000)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(100, 1, 8 * GIB))
    assert plan.archive_bytes > 9e13
    assert 5e4 < len(plan) < 2.5e5
    assert 10 < plan.block_seconds <= 60


def test_a_light_model_has_blocks_that_memory_holds(tmp_path, monkeypatch):
    with_speed(monkeypatch, 2.0**-15)  # a hundred million window samples a second
    data = archive(tmp_path, 600, 1000)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(2, 1, 2 * GIB))
    assert plan.peak_bytes <= 0.75 * 2 * GIB
    assert plan.grids[0].core[1] >= 500  # rows in a thousand pieces would take longer to read
    assert 8 <= len(plan) < 200


def test_what_a_block_takes_is_about_what_the_plan_says(make_cluster):
    """Within a factor of four, in seconds of a core: two cores may be threads of one."""
    model = dasdist.from_pretrained("demo")
    data = recording(noise(100_000, 16))
    options = {"block": {"time": 25_000}, "pbar": False}
    with (
        make_cluster(n_workers=1) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        dasdist.classify(model, data[:10_000], client=client, **options)  # imports, compiles
        (before,) = client.run(process_time).values()
        report = dasdist.classify(model, data, client=client, **options).report
        (after,) = client.run(process_time).values()
        plan = dasdist.plan(model, data, client=client, block=options["block"])
    each = (after - before) / report.finished
    assert each / 4 <= plan.block_seconds <= 4 * each


@pytest.mark.parametrize("pause", [0.8, 0.6])
@pytest.mark.parametrize("threads", [1, 4])
def test_too_little_memory_is_refused_with_what_would_do(tmp_path, pause, threads):
    data = archive(tmp_path, 60, 128)
    options = {"threads": threads, "pause": pause}
    with pytest.raises(dasdist.BlockTooLarge) as refusal:
        planned(Channelwise(), data, Needs(1.0), Resources(2, memory=7 * 10**8, **options))
    said = str(refusal.value)
    assert "A worker has 700.0 MB, and Dask pauses it at " in said
    assert ("fewer task threads" in said) == (threads > 1)
    (enough,) = re.findall(r"--memory ([0-9.]+)GB", said)
    memory = round(float(enough) * 1e9)
    plan = planned(Channelwise(), data, Needs(1.0), Resources(2, memory=memory, **options))
    assert plan.peak_bytes <= pause * memory
    assert plan.recompute_factor <= 1.5
    assert plan.read_amplification <= 2


def test_blocks_that_read_the_archive_many_times_are_refused(tmp_path, monkeypatch):
    """One channel of a narrow row costs as much reading as all of them."""
    with_speed(monkeypatch, 2.0**-30)
    data = archive(tmp_path, 60, 2000)
    for memory in (8.5e8, 9e8, 1e9, 1.2e9, 1.5e9, 2e9):
        try:
            plan = planned(Channelwise(), data, Needs(1.0), Resources(2, memory=int(memory)))
        except dasdist.BlockTooLarge:
            continue
        assert plan.grids[0].core[1] >= 100  # of 2000
        assert len(plan) < 500
        break
    else:
        pytest.fail("nothing fits")
    assert memory > 8.5e8


def test_a_process_counts_what_it_holds():
    ballast = np.ones(2**24)
    resources = resources_of(None, torch.device("cpu"))
    assert resources.process >= resident_bytes() - 2**24 > ballast.nbytes
    plan = planned(Toy(), recording(noise(1000, 8)), Needs(), resources)
    assert plan.peak_bytes >= resources.process
    assert plan.peak_bytes <= resources.process + 2**25


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({}, 0.8),
        ({"pause": 0.7}, 0.7),
        ({"pause": False, "terminate": 0.9}, 0.9),
        ({"pause": False, "terminate": False}, 1.0),
    ],
)
def test_the_line_is_where_dask_pauses_a_worker(configured, expected):
    settings = {f"distributed.worker.memory.{key}": value for key, value in configured.items()}
    with (
        Client(processes=False, n_workers=1, dashboard_address=None, set_as_default=False) as one,
        dask.config.set(settings),
    ):
        resources = resources_of_cluster(one)
    assert resources.pause == expected
    assert resources.process == pytest.approx(resident_bytes(), rel=0.2)  # it is this process
