"""Annotations in Zarr: owned shards, in any order, exact coordinates, nothing lost by chance."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import given
from hypothesis import strategies as st

from dasdist import coordinates
from dasdist.annotations import open_annotations
from dasdist.callbacks import zarr_template as form
from dasdist.callbacks.base import Context
from dasdist.callbacks.stacking import Stacker
from dasdist.callbacks.zarr_layout import layout
from dasdist.callbacks.zarr_writer import WriterCallback
from dasdist.errors import DasdistError, InvalidInput, OutputExists
from dasdist.geometry import Axis, Patch, PatchGrid, Ratio, Region, SegmentGrid, Span

KEYS = ("P", "S")
START = Fraction(1_709_251_200 * 10**9 + 1)


def make_grid(index=0, size=(100, 23), core=(24, 10), step=Fraction(10**9, 3)):
    return SegmentGrid(
        index=index,
        first_block=100 * index,
        recorded=Region(Span(0, size[0]), Span(0, size[1])),
        time=Axis("time", START + index * 10**15, step, size[0], is_time=True),
        distance=Axis("distance", Fraction(5), Fraction(41, 10), size[1], is_time=False),
        ratios=(Ratio(1, 1), Ratio(1, 1)),
        rows=PatchGrid(size[0], window=20, shift=12, out=20, covers=(0, 20)),
        columns=PatchGrid(size[1], window=6, shift=5, out=6, covers=(0, 6)),
        channelwise=False,
        settling=0,
        pick_halo=0,
        core=core,
    )


def make_context(*grids, **attrs):
    return Context(KEYS, grids, ("time", "distance"), attrs)


def write(mapper, block):
    """Do what a worker does, with patches of noise; column 0 is never filled."""
    accumulator = mapper(block)
    add_patches(accumulator, block)
    return accumulator.part()


def add_patches(accumulator, block):
    grid = block.grid
    for row, column in itertools.product(
        range(block.rows.start, block.rows.stop), range(block.columns.start, block.columns.stop)
    ):
        if column == 0:
            continue
        rng = np.random.default_rng([grid.index, row, column])
        accumulator.add(
            Patch(
                row=row,
                column=column,
                sample=grid.rows.out_start(row),
                channel=grid.columns.out_start(column),
                inset=0,
                width=6,
                annotations={key: rng.random((20, 6), dtype=np.float32) for key in KEYS},
            )
        )


def stacked(grid, stacking="weighted"):
    """Stack the whole segment in memory."""
    whole = next(iter(make_grid(grid.index, grid.shape, grid.shape, grid.time.step)))
    stacker = Stacker.begin(stacking, whole, KEYS)
    add_patches(stacker, whole)
    return stacker.outputs()


def files_of(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def grid():
    return make_grid()


@pytest.fixture
def callback(tmp_path):
    return WriterCallback(tmp_path / "prob.zarr")


def run(callback, *grids, **attrs):
    callback.setup(make_context(*grids, **attrs))
    mapper = pickle.loads(pickle.dumps(callback.mapper()))
    parts = [write(mapper, block) for grid in grids for block in grid]
    callback.finalize(callback.combine([callback.combine(parts[:3]), *parts[3:]]))
    return parts


# ---------------------------------------------------------------- layout


@given(st.tuples(*[st.integers(1, 10**6)] * 2), st.tuples(*[st.integers(1, 10**9)] * 2))
def test_layout_owns_and_divides(core, shape):
    shard, chunk = layout(core, shape)
    for c, n, s, k in zip(core, shape, shard, chunk, strict=True):
        assert s % k == 0
        if c < n:
            assert c % s == 0  # so that each shard lies in one block
        else:
            assert s <= n * 17 / 16  # a single block owns all, with little beyond the end
    count = shard[0] * shard[1] // (chunk[0] * chunk[1])
    assert 1 <= count <= 10_001


@given(
    st.integers(1, 64).map(lambda n: n * 1501),
    st.sampled_from([64, 500, 1250, 2000, 4096, 9999]),
    st.booleans(),
)
def test_layout_is_good_where_sizes_are_usual(samples, channels, whole_fibre):
    fibre = channels if whole_fibre else 3 * channels
    shard, chunk = layout((samples, channels), (10**8, fibre))
    block = samples * channels * 4
    assert min(block / 8, 2**24) <= shard[0] * shard[1] * 4 <= 2**27
    assert min(block, 2**19) <= chunk[0] * chunk[1] * 4 <= 2**23


def test_layout_of_awkward_sizes():
    assert layout((50021, 4999), (10**8, 10**4)) == ((50021, 4999), (50021, 1))  # both are prime
    assert layout((1, 1), (1, 1)) == ((1, 1), (1, 1))
    assert layout((10**6, 10**4), (600, 70)) == ((608, 72), (608, 72))


# ---------------------------------------------------------------- round trip


@pytest.mark.parametrize("stacking", ["weighted", "avg", "max"])
def test_blocks_add_up_to_the_stack(tmp_path, grid, stacking):
    callback = WriterCallback(str(tmp_path / "prob.zarr"), stacking)
    parts = run(callback, grid)
    shards = [p for p in callback.path.glob("[PS]/c/*/*") if p.is_file()]
    size = sum(p.stat().st_size for p in shards)
    assert callback.written == {"blocks": len(grid), "shards": len(shards), "bytes": size}
    assert sum(part["bytes"] for part in parts) == size
    expected = stacked(grid, stacking)
    assert np.isnan(expected["P"]).any()
    assert np.isfinite(expected["P"]).any()
    for key, path in callback.get_results_dict().items():
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], expected[key])


def test_exact_coordinates_for_everyone(callback, grid):
    run(callback, grid, model="PhaseNet", arguments={"a": (1, 2)}, factor=np.float64(0.5))
    times = [round_half_up(START + i * Fraction(10**9, 3)) for i in range(100)]
    distances = [float(5 + i * Fraction(41, 10)) for i in range(23)]
    ours = open_annotations(callback.path)
    assert isinstance(ours, xr.Dataset)
    for ds in (ours, xr.open_zarr(callback.path), xr.open_dataset(callback.path, engine="zarr")):
        assert {*ds.data_vars} == {*KEYS}
        assert ds.P.dims == ("time", "distance")
        assert ds.P.dtype == np.float32
        assert ds.time.dtype == "datetime64[ns]"
        assert ds.time.values.astype(np.int64).tolist() == times
        assert ds.distance.values.tolist() == distances
        assert ds.attrs["model"] == "PhaseNet"
        assert json.loads(ds.attrs["arguments"]) == {"a": [1, 2]}
        assert ds.sel(time="2024-03-01T00:00:05", distance=9.1).P.shape == (3,)
    assert ours.attrs.keys() == {"model", "arguments", "factor"}
    assert list(ours.data_vars) == ["P", "S"]


def round_half_up(x):
    return (2 * x.numerator + x.denominator) // (2 * x.denominator)


def test_stored_as_promised(callback, grid):
    run(callback, grid)
    array = zarr.open_array(callback.path, path="P", mode="r")
    assert (array.shards, array.chunks) == layout(grid.core, grid.shape)
    assert array.metadata.zarr_format == 3
    assert array.metadata.dimension_names == ("time", "distance")
    assert np.isnan(array.fill_value)
    assert zarr.open_group(callback.path, mode="r").attrs["dasdist_format"] == 1


def test_chunks_are_shards_unless_told_otherwise(callback, grid, monkeypatch):
    run(callback, grid)
    shard, _ = layout(grid.core, grid.shape)
    assert open_annotations(callback.path).P.data.chunksize == shard
    told = {"time": 72, "distance": -1}
    assert open_annotations(callback.path, chunks=told).P.data.chunksize == (72, 23)
    assert open_annotations(callback.path, chunks=None).P.chunks is None
    monkeypatch.setattr("dasdist.annotations._MOST_CHUNKS", 5)
    assert open_annotations(callback.path).P.data.chunksize == (shard[0] * 3, shard[1])


def test_segments_are_a_tree(callback):
    grids = (make_grid(0), make_grid(2, size=(60, 23)), make_grid(7, step=Fraction(10**7)))
    run(callback, *grids, model="x")
    names = ["segment_0000", "segment_0002", "segment_0007"]
    assert callback.get_results_dict()["S"] == [callback.path / name / "S" for name in names]
    ours = open_annotations(callback.path)
    assert ours.attrs == {"model": "x"}
    for tree in (ours, xr.open_datatree(callback.path, engine="zarr")):
        assert list(tree.children) == names
        for name, grid in zip(names, grids, strict=True):
            np.testing.assert_array_equal(tree[name]["P"], stacked(grid)["P"])
            np.testing.assert_array_equal(tree[name]["time"], grid.out_time.values())


def test_dimensions_are_named_as_in_the_data(callback, grid):
    callback.setup(Context(KEYS, (grid,), ("t", "channel")))
    for ds in (open_annotations(callback.path), xr.open_zarr(callback.path)):
        assert ds.P.dims == ("t", "channel")
        assert ds.t.values.tolist() == grid.out_time.values().tolist()


def test_results_can_be_stored_anywhere(callback, grid, tmp_path):
    pytest.importorskip("h5netcdf")
    run(callback, grid, model="x", arguments={"a": 1})
    part = open_annotations(callback.path).isel(time=slice(3, 71))
    part.to_netcdf(tmp_path / "part.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "part.nc", engine="h5netcdf") as again:
        assert again.equals(part.compute())


def test_long_times_are_written_in_pieces(callback, grid, monkeypatch):
    monkeypatch.setattr(form, "_PIECE", 7)
    callback.setup(make_context(grid))
    assert zarr.open_array(callback.path, path="time", mode="r").chunks == (7,)
    times = grid.out_time.values().tolist()
    assert xr.open_zarr(callback.path).time.values.tolist() == times


def test_longer_times_are_computed(callback, monkeypatch):
    grid = make_grid(size=(31_536_000_000, 23), core=(2400, 10), step=Fraction(10**6))
    callback.setup(make_context(grid))
    blocks = (grid.block(0), grid.block(len(grid) - 1), grid.block(len(grid) // 2))
    for block in blocks:
        write(callback.mapper(), block)
    assert "time" not in zarr.open_group(callback.path, mode="r")
    assert "time" not in xr.open_zarr(callback.path, chunks=None).coords
    ds = open_annotations(callback.path, chunks=None)
    assert isinstance(ds.xindexes["time"], coordinates.AffineIndex)
    for block in blocks:
        part = ds.isel(time=block.core.time.slice, distance=block.core.distance.slice)
        assert part.time[0] == grid.out_time.value(block.core.time.start)
        again = ds.sel(time=part.time.values[-1]).P[block.core.distance.slice]
        np.testing.assert_array_equal(again, part.P[-1])
        assert part.S.notnull().any()
    assert sum(len(files_of(callback.path / key)) for key in KEYS) < 20


# ---------------------------------------------------------------- owned, idempotent, parallel


def test_every_block_leaves_its_own_files(callback, grid):
    callback.setup(make_context(grid))
    before, owned = files_of(callback.path), []
    for block in grid:
        write(callback.mapper(), block)
        owned.append(files_of(callback.path).keys() - before.keys() - {*itertools.chain(*owned)})
        assert {name.parts[0] for name in owned[-1]} == {*KEYS}  # also where all is NaN
    changed = {name for name, data in before.items() if files_of(callback.path)[name] != data}
    assert changed == set()


def test_threads_write_at_once(tmp_path, grid):
    run(WriterCallback(tmp_path / "a"), grid)
    second = WriterCallback(tmp_path / "b")
    second.setup(make_context(grid))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: write(second.mapper(), block), [*grid] * 2))
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def write_some(mapper, grid, start, barrier):
    barrier.wait()
    for block in itertools.islice(grid, start, None, 2):
        write(mapper, block)


def test_processes_write_at_once(tmp_path, grid):
    run(WriterCallback(tmp_path / "a"), grid)
    second = WriterCallback(tmp_path / "b")
    second.setup(make_context(grid))
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    workers = [
        spawn.Process(target=write_some, args=(second.mapper(), grid, start, barrier))
        for start in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
        worker.close()
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


@pytest.mark.parametrize("core", [(25, 10), (24, 5), (48, 9)])
def test_blocks_of_another_plan_are_refused(callback, grid, core):
    callback.setup(make_context(grid))
    other = make_grid(core=core)
    with pytest.raises(InvalidInput, match=r"not made of whole shards of \d+ on an axis of \d+"):
        write(callback.mapper(), other.block(1))


# ---------------------------------------------------------------- what is there already


def test_stores_of_zarr(grid):
    store = zarr.storage.MemoryStore()
    callback = WriterCallback(store)
    callback.setup(make_context(grid))
    for block in grid:
        write(callback.mapper(), block)
    np.testing.assert_array_equal(open_annotations(store).P, stacked(grid)["P"])
    with pytest.raises(OutputExists):
        WriterCallback(store).setup(make_context(grid))
    WriterCallback(store, overwrite=True).setup(make_context(grid))
    assert callback.get_results_dict()["P"].endswith("/P")


def test_urls(grid):
    url = "memory://dasdist-test/prob.zarr"
    run(WriterCallback(url), grid)
    np.testing.assert_array_equal(open_annotations(url).S, stacked(grid)["S"])
    with pytest.raises(OutputExists):
        WriterCallback(url).setup(make_context(grid))
    WriterCallback(url, overwrite=True).setup(make_context(grid))
    assert open_annotations(url).S.isnull().all()


def test_wrong_arguments(tmp_path, grid, callback):
    with pytest.raises(InvalidInput, match="did you mean 'weighted'"):
        WriterCallback(tmp_path / "out", "weigthed")
    with pytest.raises(InvalidInput, match="'P'"):
        callback.setup(Context(KEYS, (grid,), ("time", "P")))
    with pytest.raises(DasdistError, match="pass the callback to annotate first"):
        callback.get_results_dict()
    assert not callback.path.exists()


def test_opening_something_else(tmp_path, callback, grid):
    with pytest.raises(FileNotFoundError):
        open_annotations(tmp_path / "nothing")
    zarr.create_group(tmp_path / "other")
    with pytest.raises(InvalidInput, match="does not hold annotations"):
        open_annotations(tmp_path / "other")
    callback.setup(make_context(grid))
    group = zarr.open_group(callback.path, mode="r+")
    group.update_attributes({"mine": "a note"})
    assert open_annotations(callback.path).attrs["mine"] == "a note"
    del group.attrs["dasdist_crc32"]
    group.update_attributes({"dasdist_format": 2})
    with pytest.raises(InvalidInput, match="format 2"):
        open_annotations(callback.path)
