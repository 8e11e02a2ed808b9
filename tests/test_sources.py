"""A recording reads like the array it was made from, and says what it cannot read."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import dask.array
import h5py
import numpy as np
import pytest
import xarray
import xdas
from hypothesis import given
from hypothesis import strategies as st

from dasdist.errors import InvalidInput, UnreadableData
from dasdist.geometry import Axis, Region, Span
from dasdist.sources import array_selection, open_recording

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import xdas
    from xdas.virtual import TileArray, VirtualLayout, VirtualSource, VirtualStack

START = np.datetime64("2024-01-01T00:00:00", "ns")
DT = np.timedelta64(10, "ms")
FILES, SAMPLES, CHANNELS = 4, 50, 7
TOTAL = FILES * SAMPLES
VALUES = np.random.default_rng(0).normal(0, 1000, (TOTAL, CHANNELS))
ORDERS = {"time first": ("time", "distance"), "distance first": ("distance", "time")}


def coordinates(first: int = 0, samples: int = TOTAL, kind: str = "xdas") -> dict[str, Any]:
    time_values = START + (first + np.arange(samples)) * DT
    if kind == "xarray":
        return {"time": time_values, "distance": 5.0 * np.arange(CHANNELS)}
    return {
        "time": {"tie_indices": [0, samples - 1], "tie_values": time_values[[0, -1]]},
        "distance": {"tie_indices": [0, CHANNELS - 1], "tie_values": [0.0, 5.0 * (CHANNELS - 1)]},
    }


def as_xdas(values: Any, dims: tuple[str, str], **kwargs: Any) -> xdas.DataArray:
    coords = coordinates(**kwargs)
    return xdas.DataArray(values, {dim: coords[dim] for dim in dims})


def as_xarray(values: Any, dims: tuple[str, str]) -> xarray.DataArray:
    return xarray.DataArray(values, coordinates(kind="xarray"), dims, name="strain")


def turned(pair: tuple[int, int], dims: tuple[str, str]) -> tuple[int, int]:
    return pair if dims[0] == "time" else pair[::-1]


def oriented(values: np.ndarray, dims: tuple[str, str]) -> np.ndarray:
    return values if dims[0] == "time" else np.ascontiguousarray(values.T)


@dataclass(frozen=True)
class Archive:
    """Four files of half a second, and a master file that links to them."""

    folder: Path
    dims: tuple[str, str]
    values: np.ndarray

    @property
    def paths(self) -> list[Path]:
        return sorted(self.folder.glob("part*.nc"))

    def open(self, kind: str) -> Any:
        axis = self.dims.index("time")
        if kind == "tiles":
            return xdas.open_mfdataarray(str(self.folder / "part*.nc"), dim="time", vtype="tiles")
        if kind == "stack":
            return xdas.open_mfdataarray(str(self.folder / "part*.nc"), dim="time", vtype="hdf5")
        if kind == "master":
            return xdas.open_dataarray(str(self.folder / "master.nc"), vtype="hdf5")
        if kind == "tiled master":
            return xdas.open_dataarray(str(self.folder / "master.nc"), vtype="tiles")
        layout = VirtualLayout(oriented(self.values, self.dims).shape, self.values.dtype)
        for i, path in enumerate(self.paths):
            span = slice(i * SAMPLES, (i + 1) * SAMPLES)
            with h5py.File(path) as file:
                key = (span, slice(None)) if axis == 0 else (slice(None), span)
                layout[key] = VirtualSource(file["__values__"])
        return as_xdas(layout, self.dims)


def make_archive(folder: Path, dims: tuple[str, str], dtype: str) -> Archive:
    folder.mkdir(exist_ok=True)
    values = VALUES.astype(dtype)
    for i in range(FILES):
        minute = values[i * SAMPLES : (i + 1) * SAMPLES]
        data = as_xdas(oriented(minute, dims), dims, first=i * SAMPLES, samples=SAMPLES)
        data.to_netcdf(str(folder / f"part{i}.nc"))
    archive = Archive(folder, dims, values)
    archive.open("stack").to_netcdf(str(folder / "master.nc"), virtual=True)
    return archive


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Archive]:
    return {
        (order, dtype): make_archive(tmp_path_factory.mktemp("archive"), dims, dtype)
        for (order, dims), dtype in product(ORDERS.items(), ["float32", "int16"])
    }


ARCHIVED = ["tiles", "stack", "master", "tiled master", "layout"]


@pytest.fixture(scope="module")
def recordings(
    archives: dict[tuple[str, str], Archive], tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Any]:
    """Every kind of array that holds the same samples, in both orders of its dimensions."""
    folder = tmp_path_factory.mktemp("stores")
    made: dict[tuple[str, str], Any] = {}
    for order, dims in ORDERS.items():
        archive = archives[order, "float32"]
        values = oriented(archive.values, dims)
        labelled = as_xarray(values, dims)
        stores = [folder / f"{dims[0]}{suffix}" for suffix in (".zarr", ".nc", ".classic.nc")]
        labelled.to_dataset().to_zarr(
            stores[0], encoding={"strain": {"chunks": turned((20, 5), dims)}}, consolidated=False
        )
        labelled.to_netcdf(
            stores[1], engine="h5netcdf", encoding={"strain": {"chunksizes": turned((9, 4), dims)}}
        )
        labelled.to_netcdf(stores[2], engine="scipy")
        zarr = {"engine": "zarr", "consolidated": False}
        chunked = dask.array.from_array(values, chunks=turned((30, 4), dims))
        made |= {(kind, order): archive.open(kind) for kind in ARCHIVED}
        made |= {
            ("xdas numpy", order): as_xdas(values, dims),
            ("xdas dask", order): as_xdas(chunked, dims),
            ("xarray numpy", order): labelled,
            ("xarray dask", order): labelled.copy(data=chunked),
            ("zarr", order): xarray.open_dataset(stores[0], **zarr)["strain"],
            ("zarr chunked", order): xarray.open_dataset(stores[0], chunks={}, **zarr)["strain"],
            ("netcdf", order): xarray.open_dataset(stores[1], engine="h5netcdf")["strain"],
            ("classic netcdf", order): xarray.open_dataset(stores[2], engine="scipy")["strain"],
        }
    return made


KINDS = [
    *ARCHIVED,
    *("xdas numpy", "xdas dask", "xarray numpy", "xarray dask"),
    *("zarr", "zarr chunked", "netcdf", "classic netcdf"),
]


def spans(size: int) -> st.SearchStrategy[Span]:
    # the edges of files matter most
    edges = st.one_of(st.sampled_from(range(0, size + 1, SAMPLES)), st.integers(0, size))
    pairs = st.tuples(edges, edges).filter(lambda ends: ends[0] != ends[1])
    return pairs.map(lambda ends: Span(min(ends), max(ends)))


regions = st.builds(Region, spans(TOTAL), spans(CHANNELS))


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_selections_are_slices(recordings, kind, order):
    recording = open_recording(recordings[kind, order])
    expected = VALUES.astype("float32")
    assert (recording.time_name, recording.channel_name) == ("time", "distance")
    assert (recording.shape, recording.dtype) == ((TOTAL, CHANNELS), np.dtype("float32"))
    (segment,) = recording.segments
    assert segment.recorded == Region(Span(0, TOTAL), Span(0, CHANNELS))
    assert segment.time == Axis("time", Fraction(START.astype(int)), Fraction(10**7), TOTAL, True)
    assert segment.distance == Axis("distance", Fraction(0), Fraction(5), CHANNELS, False)
    assert (recording.graph is not None) == (kind.endswith(("dask", "chunked")))

    @given(regions)
    def reads(region: Region) -> None:
        selection = recording.select(region)
        travelled = pickle.loads(pickle.dumps(selection))
        for each in (selection, travelled, travelled):
            values = each.read()
            assert values.dtype == recording.dtype
            assert values.dtype.isnative
            np.testing.assert_array_equal(
                values, expected[region.time.slice, region.distance.slice]
            )

    reads()


@pytest.mark.parametrize("order", ORDERS)
def test_a_graph_comes_as_samples_by_channels(recordings, order):
    recording = open_recording(recordings["xdas dask", order])
    np.testing.assert_array_equal(recording.graph.compute(), VALUES.astype("float32"))
    assert recording.chunks == recording.graph.chunksize


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_selection_is_small_and_stays_so(recordings, kind, order):
    selection = open_recording(recordings[kind, order]).select(Region(Span(60, 140), Span(1, 5)))
    size = len(pickle.dumps(selection))
    assert size < (13_000 if "dask" in kind else 4_000)  # from_array keeps all of the array
    selection.read()
    assert len(pickle.dumps(selection)) == size


def test_of_an_array_in_memory_only_the_slice_travels():
    data = as_xarray(np.zeros((TOTAL, CHANNELS)), ORDERS["time first"])
    selection = open_recording(data).select(Region(Span(0, 10), Span(0, 2)))
    assert np.shares_memory(selection.read(), data.values)
    assert len(pickle.dumps(selection)) < 10 * 2 * 8 + 1500


@pytest.mark.parametrize("kind", ["zarr", "netcdf"])
def test_lazy_xarray_stays_lazy(recordings, kind):
    data = recordings[kind, "time first"].copy(deep=False)
    selection = open_recording(data).select(Region(Span(0, 10), Span(0, 2)))
    selection.read()
    assert not data._in_memory
    assert not selection.source.variable._in_memory


def test_a_lazily_transposed_array_reads_right(recordings):
    recording = open_recording(recordings["zarr", "time first"].T)
    selection = pickle.loads(pickle.dumps(recording.select(Region(Span(5, 90), Span(2, 4)))))
    np.testing.assert_array_equal(selection.read(), VALUES.astype("float32")[5:90, 2:4])


def test_an_open_file_can_be_read_but_not_sent(tmp_path):
    as_xarray(VALUES, ORDERS["time first"]).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with (
        open(tmp_path / "a.nc", "rb") as file,
        xarray.open_dataset(file, engine="h5netcdf") as dataset,
    ):
        selection = open_recording(dataset["strain"]).select(Region(Span(0, 10), Span(0, 2)))
        np.testing.assert_array_equal(selection.read(), VALUES[:10, :2])
        with pytest.raises(InvalidInput, match="by its path"):
            pickle.dumps(selection)


def test_selections_keep_to_the_recording():
    recording = open_recording(as_xarray(VALUES, ORDERS["time first"]))
    for time_span in (Span(-1, 5), Span(5, 5), Span(100, TOTAL + 1)):
        with pytest.raises(InvalidInput, match="samples 0 to 200 and channels 0 to 7"):
            recording.select(Region(time_span, Span(0, 1)))


def test_a_sliced_stack_drops_the_empty_source_that_xdas_leaves(archives):
    stack = archives["time first", "float32"].open("stack")[:SAMPLES]
    assert [source.shape[0] for source in stack.data.sources] == [SAMPLES, 0]
    selection = open_recording(stack).select(Region(Span(0, SAMPLES), Span(0, CHANNELS)))
    assert len(selection.source.pieces) == 1
    np.testing.assert_array_equal(selection.read(), VALUES.astype("float32")[:SAMPLES])


def test_sliced_arrays_of_xdas_read_right(archives):
    archive = archives["time first", "float32"]
    for kind in ("tiles", "stack", "master"):
        data = archive.open(kind)[30:170, 2:6]
        selection = open_recording(data).select(Region(Span(15, 100), Span(1, 3)))
        np.testing.assert_array_equal(selection.read(), archive.values[45:130, 3:5])
    every_other = open_recording(archive.open("tiles")[::2])
    assert every_other.segments[0].time.step == 2 * 10**7
    selection = every_other.select(Region(Span(20, 40), Span(0, 7)))
    np.testing.assert_array_equal(selection.read(), archive.values[40:80:2])


def test_paths_hold_on_a_worker_with_another_directory(archives, monkeypatch, tmp_path):
    archive = archives["time first", "int16"]
    monkeypatch.chdir(archive.folder)
    stack = xdas.open_mfdataarray("part*.nc", dim="time", vtype="hdf5")
    selection = open_recording(stack).select(Region(Span(40, 60), Span(0, 7)))
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(selection.read(), archive.values[40:60])


# ---------------------------------------------------------------- storage chunks


@pytest.mark.parametrize("order", ORDERS)
def test_storage_chunks(recordings, order):
    def chunks(kind: str) -> Any:
        return open_recording(recordings[kind, order]).chunks

    assert chunks("zarr") == chunks("zarr chunked") == (20, 5)
    assert chunks("netcdf") == (9, 4)
    assert chunks("xdas dask") == chunks("xarray dask") == (30, 4)
    for kind in (*ARCHIVED, "xdas numpy", "xarray numpy", "classic netcdf"):
        assert chunks(kind) is None


@pytest.mark.parametrize("transposed", [False, True])
def test_chunks_are_those_of_the_first_file(tmp_path, transposed):
    path, master = tmp_path / "chunked.h5", tmp_path / "master.h5"
    shape, chunk = ((CHANNELS, TOTAL), (3, 64)) if transposed else ((TOTAL, CHANNELS), (64, 3))
    with h5py.File(path, "w") as file:
        file.create_dataset("trace/raw", data=np.ones(shape, "f4"), chunks=chunk)
        file.create_dataset("times", data=np.zeros(TOTAL))
    with h5py.File(master, "w") as file:
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource(path, "trace/raw", shape, "f4")
        file.create_virtual_dataset("raw", layout)
    dims = ORDERS["distance first" if transposed else "time first"]
    for source, name in ((path, "trace/raw"), (master, "raw")):
        tiles = TileArray.from_tiles(str(source), shape, "f4", {"name": "xdas", "dataset": name})
        with h5py.File(source) as file:
            virtual = VirtualSource(file[name])
        for values in (tiles, virtual):
            assert open_recording(as_xdas(values, dims)).chunks == (64, 3)
    sliced = open_recording(as_xdas(tiles, dims).isel(time=slice(100, None)))
    assert sliced.chunks == (64, 3)


# ---------------------------------------------------------------- what is not data


@contextmanager
def damaged(path: Path, how: str) -> Iterator[None]:
    held = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(held[: len(held) // 2])
    else:
        path.write_bytes(np.random.default_rng(0).bytes(len(held)))
    try:
        yield
    finally:
        path.write_bytes(held)


@pytest.mark.parametrize("how", ["missing", "empty", "truncated", "garbage"])
@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("order", ORDERS)
def test_a_file_that_cannot_be_read_is_named(archives, order, dtype, how):
    archive = archives[order, dtype]
    recordings = {kind: archive.open(kind) for kind in ARCHIVED}
    broken = archive.paths[1]
    with damaged(broken, how):
        for data in recordings.values():
            recording = open_recording(data)
            before = recording.select(Region(Span(10, 50), Span(2, 5)))
            np.testing.assert_array_equal(before.read(), archive.values[10:50, 2:5])
            selection = pickle.loads(
                pickle.dumps(recording.select(Region(Span(30, 160), Span(2, 5))))
            )
            with pytest.raises(UnreadableData) as caught:
                selection.read()
            check_error(caught.value, broken)
            assert isinstance(caught.value.__cause__, OSError)  # where HDF5 fills in, too


@pytest.mark.parametrize("kind", ["tiles", "stack"])
@pytest.mark.parametrize("left", [1, 7])
def test_a_file_that_has_become_shorter_is_unreadable(tmp_path, kind, left):
    """Also where a single sample is left of a selection, which would fill all of it."""
    archive = make_archive(tmp_path, ORDERS["time first"], "float32")
    recording = open_recording(archive.open(kind))
    first = sorted(tmp_path.glob("part*.nc"))[0]
    xdas.open_dataarray(str(first))[: 20 + left].load().to_netcdf(str(tmp_path / "short"))
    (tmp_path / "short").replace(first)
    assert recording.select(Region(Span(0, 20), Span(0, CHANNELS))).read().shape == (20, CHANNELS)
    with pytest.raises(UnreadableData):
        recording.select(Region(Span(20, 40), Span(0, CHANNELS))).read()


def check_error(error: UnreadableData, broken: Path) -> None:
    """It tells the file and the times, also when it comes back from a worker."""
    error = pickle.loads(pickle.dumps(error))
    message = str(error)
    assert str(broken) in message
    assert "part0" not in message
    assert "part2" not in message
    assert "amples 50 to 99 of the recording" in message
    assert "2024-01-01T00:00:00.5 to 2024-01-01T00:00:00.99" in message
    assert 'max_failures="any"' in message
    assert error.path == str(broken)
    assert (error.start, error.stop) == (START + 50 * DT, START + 99 * DT)


def test_every_file_counts_where_many_are_missing(tmp_path):
    archive = make_archive(tmp_path, ORDERS["time first"], "float32")
    selection = open_recording(archive.open("tiles")).select(Region(Span(0, TOTAL), Span(0, 7)))
    for path in archive.paths:
        path.unlink()
    with pytest.raises(UnreadableData, match=r"part0.nc.*part1.nc.*part2.nc and 1 more\."):
        selection.read()


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_what_no_file_holds_is_unreadable(archives, dtype):
    archive = archives["time first", dtype]
    layout = VirtualLayout((TOTAL, CHANNELS), dtype)
    with h5py.File(archive.paths[0]) as file:
        layout[:SAMPLES] = VirtualSource(file["__values__"])
    recording = open_recording(as_xdas(layout, ORDERS["time first"]))
    assert recording.select(Region(Span(0, SAMPLES), Span(0, 7))).read().shape == (SAMPLES, 7)
    with pytest.raises(UnreadableData, match="samples 50 to 59 of the recording"):
        recording.select(Region(Span(40, 60), Span(0, 7))).read()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_unreadable(bad):
    values = VALUES.astype("float32")
    values[[20, 21, 130], [1, 3, 3]] = bad
    recording = open_recording(as_xarray(values, ORDERS["time first"]))
    assert recording.select(Region(Span(22, 130), Span(0, 7))).read().shape == (108, 7)
    with pytest.raises(UnreadableData) as caught:
        recording.select(Region(Span(10, 140), Span(1, 5))).read()
    message = str(caught.value)
    assert message.startswith("3 of 130 samples on 2 of 4 channels are NaN or infinite")
    assert "00:00:00.2 to 2024-01-01T00:00:01.3" in message
    assert caught.value.path is None


def test_large_samples_are_no_infinities():
    values = np.full((10, 4), 3e38, dtype="float32")  # their sum overflows
    region = Region(Span(0, 10), Span(0, 4))
    assert array_selection(values, region).read() is values
    values = np.full((10, 4), 6e4, dtype="float16")
    assert array_selection(values, region).read() is values


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint16"])
def test_the_lowest_integer_is_data_where_no_file_can_be_missing(dtype):
    lowest = np.iinfo(dtype).min
    values = np.full((20, 4), lowest + 5, dtype=dtype)
    values[3, 0] = values[7, :3] = values[:, 2] = values[[11, 12]] = lowest
    region, axis = (
        Region(Span(100, 120), Span(0, 4)),
        Axis("time", Fraction(0), Fraction(10), 20, True),
    )
    assert array_selection(values, region, axis).read() is values


def test_a_selection_in_memory_needs_no_times():
    selection = array_selection(np.full((4, 2), np.nan), Region(Span(5, 9), Span(0, 2)))
    with pytest.raises(UnreadableData, match="samples 5 to 8 of the recording") as caught:
        selection.read()
    assert caught.value.start is None


def test_running_out_of_memory_is_not_missing_data(monkeypatch):
    selection = open_recording(as_xarray(VALUES, ORDERS["time first"])).select(
        Region(Span(0, 5), Span(0, 2))
    )

    def fail(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(type(selection.source), "read", fail)
    with pytest.raises(MemoryError) as caught:
        selection.read()
    assert not isinstance(caught.value, UnreadableData)


def test_values_of_another_shape_are_unreadable():
    selection = array_selection(np.zeros((4, 2)), Region(Span(0, 5), Span(0, 2)))
    with pytest.raises(UnreadableData, match=r"came back as \(4, 2\)"):
        selection.read()


def test_a_lost_zarr_store_is_unreadable(tmp_path):
    data = as_xarray(VALUES, ORDERS["time first"])
    data.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    lazy = xarray.open_dataset(tmp_path / "a.zarr", engine="zarr", consolidated=False)["strain"]
    selection = open_recording(lazy).select(Region(Span(0, 5), Span(0, 2)))
    for file in (tmp_path / "a.zarr" / "strain" / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"no blosc")
    with pytest.raises(UnreadableData, match=r"a\.zarr"):
        selection.read()


# ---------------------------------------------------------------- coordinates


def test_gaps_along_time_and_fibre_make_segments():
    times = START + np.arange(TOTAL) * DT
    times[120:] += np.timedelta64(1, "h")
    data = as_xarray(VALUES, ORDERS["time first"]).assign_coords(
        time=times, distance=[0.0, 5.0, 10.0, 25.0, 30.0, 35.0, 40.0]
    )
    recording = open_recording(data)
    assert [s.recorded for s in recording.segments] == [
        Region(t, d) for t in (Span(0, 120), Span(120, 200)) for d in (Span(0, 3), Span(3, 7))
    ]
    for s in recording.segments:
        np.testing.assert_array_equal(s.time.values(), times[s.recorded.time.slice])
        np.testing.assert_array_equal(
            s.distance.values(), data.distance.values[s.recorded.distance.slice]
        )


def test_times_of_a_selection_across_a_gap_are_told_right():
    times = START + np.arange(TOTAL) * DT
    times[120:] += np.timedelta64(1, "h")
    values = VALUES.copy()
    values[[118, 121]] = np.nan
    data = as_xarray(values, ORDERS["time first"]).assign_coords(time=times)
    with pytest.raises(UnreadableData) as caught:
        open_recording(data).select(Region(Span(90, 190), Span(0, 7))).read()
    assert (caught.value.start, caught.value.stop) == (times[118], times[121])


def sampled(step: Any, denominator: int = 1) -> dict[str, Any]:
    return {
        "tie_values": [START, START + 100 * DT, START + 500 * DT],
        "tie_lengths": [100, 99, 1],
        "sampling_numerator": step,
        "sampling_denominator": denominator,
    }


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_xdas_coordinates_of_every_kind(unit):
    values = np.zeros((TOTAL, CHANNELS))
    distance = coordinates()["distance"]

    def times_of(time_coordinate: Any) -> list[tuple[Span, Fraction, Fraction]]:
        data = xdas.DataArray(values, {"time": time_coordinate, "distance": distance})
        return [(s.recorded.time, s.time.start, s.time.step) for s in open_recording(data).segments]

    first, step = Fraction(int(START.astype(int))), Fraction(10**7)
    whole = [(Span(0, TOTAL), first, step)]
    dense = (START + np.arange(TOTAL) * DT).astype(f"M8[{unit}]")
    assert times_of(dense) == whole
    assert times_of({"tie_indices": [0, TOTAL - 1], "tie_values": dense[[0, -1]]}) == whole
    third = sampled(np.timedelta64(10**7, "ns"))
    assert times_of(third) == [
        (Span(0, 199), first, step),
        (Span(199, 200), first + 500 * step, step),
    ]


def test_declared_ratios_are_exact():
    ends = np.array([START, START + np.timedelta64(639877319, "ns")])
    time_coordinate = {
        "tie_indices": [0, 2059],
        "tie_values": ends,
        "sampling_numerator": np.timedelta64(639877319, "ns"),
        "sampling_denominator": 2059,
    }
    distance = {"tie_values": [3.0], "tie_lengths": [9], "sampling_interval": 0.4}
    data = xdas.DataArray(np.zeros((2060, 9)), {"time": time_coordinate, "distance": distance})
    (segment,) = open_recording(data).segments
    assert segment.time.step == Fraction(639877319, 2059)
    assert (segment.distance.start, segment.distance.step) == (3, Fraction(2, 5))
    long = {
        "tie_values": [START],
        "tie_lengths": [10**9],
        "sampling_numerator": np.timedelta64(10**9, "ns"),
        "sampling_denominator": 3,
    }
    tiles = TileArray.from_tiles(
        "/nowhere/a.h5", (10**9, 9), "f4", {"name": "xdas", "dataset": "x"}
    )
    recording = open_recording(xdas.DataArray(tiles, {"time": long, "distance": distance}))
    assert [s.time.step for s in recording.segments] == [Fraction(10**9, 3)]


def test_jitter_up_to_the_tolerance_is_no_gap():
    rng = np.random.default_rng(1)
    times = START + np.arange(TOTAL) * DT + rng.integers(-2_400_000, 2_400_000, TOTAL)
    data = as_xarray(VALUES, ORDERS["time first"]).assign_coords(time=times)
    assert len(open_recording(data).segments) == 1
    assert len(open_recording(data, tolerance=0.1).segments) > 1


def test_a_year_opens_at_once_and_its_selections_are_small():
    files, samples, channels = 525_600, 60_000, 2000
    paths = np.char.add("day/minute", np.arange(files).astype("U6")).astype("S")
    header = {
        "ntiles": [files, 1],
        "engine": {"name": "xdas", "dataset": "raw"},
        "dtype": "int16",
        "root": "/nowhere",
    }
    manifest = xarray.Dataset(
        {"sizes_0": ((), samples), "sizes_1": ((), channels), "paths": ("tile_0", paths)},
        attrs={"header": json.dumps(header)},
    )
    first = np.arange(files) * samples
    starts = START.astype(int) + first * 10**6 + np.random.default_rng(0).integers(0, 1000, files)
    ties = np.stack([first, first + samples - 1], axis=1).ravel()
    ends = np.stack([starts, starts + (samples - 1) * 10**6], axis=1).ravel()
    data = xdas.DataArray(
        TileArray(manifest),
        {
            "time": {"tie_indices": ties, "tie_values": ends.view("M8[ns]")},
            "distance": {"tie_indices": [0, channels - 1], "tie_values": [0.0, 5.0 * channels - 5]},
        },
    )
    recording = open_recording(data)
    selection = recording.select(Region(Span(10**10, 10**10 + 600_000), Span(0, channels)))
    assert len(recording.segments) == 1
    assert len(pickle.dumps(selection)) < 4000
    with pytest.raises(UnreadableData, match=r"/nowhere/day/minute166666, .* and 8 more"):
        selection.read()


def test_a_part_of_a_long_stack_holds_its_own_files_only():
    n = 2000
    sources = [VirtualSource(f"/no/{i}.h5", "x", (1000, 50), "i2") for i in range(n)]
    ends = {"tie_indices": [0, n * 1000 - 1], "tie_values": [START, START + (n * 1000 - 1) * DT]}
    data = xdas.DataArray(
        VirtualStack(sources),
        {"time": ends, "distance": {"tie_indices": [0, 49], "tie_values": [0.0, 49.0]}},
    )
    recording = open_recording(data)
    selections = [recording.select(Region(Span(i, i + 2000), Span(0, 50))) for i in range(500)]
    assert {len(selection.source.pieces) for selection in selections} == {2, 3}
    assert len(pickle.dumps(selections[-1])) < 2000


# ---------------------------------------------------------------- refusals


def relabelled(**coords: Any) -> xarray.DataArray:
    return as_xarray(VALUES, ORDERS["time first"]).assign_coords(coords)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "path": (lambda: "archive/*.h5", "xdas.open_mfdataarray"),
    "numpy": (lambda: VALUES, "Give the samples their time"),
    "dataset": (lambda: relabelled().to_dataset(), "Pass one of its variables: 'strain'"),
    "empty collection": (lambda: xdas.DataSequence([]), "collection is empty"),
    "collection of two kinds": (
        lambda: [relabelled(), relabelled().rename(time="when")],
        "rename them",
    ),
    "collection of graphs": (
        lambda: [relabelled().chunk(), relabelled().chunk()],
        "one at a time",
    ),
    "one dimension": (lambda: relabelled()[:, 0], "1 dimensions"),
    "three dimensions": (lambda: relabelled().expand_dims("component"), "3 dimensions"),
    "complex": (lambda: relabelled().astype(complex), "complex128.*magnitude"),
    "boolean": (lambda: relabelled() > 0, "bool"),
    "strings": (lambda: relabelled().astype("U5"), "<U5"),
    "objects": (lambda: relabelled().astype(object), "object"),
    "masked": (
        lambda: as_xdas(np.ma.masked_less(VALUES, 0), ORDERS["time first"]),
        r"values\.filled\(np\.nan\)",
    ),
    "no dates": (lambda: relabelled(time=np.arange(TOTAL) / 100), "'time': float64.*timedelta64"),
    "no times": (lambda: relabelled().drop_vars("time"), "'time': no coordinate"),
    "dates twice": (
        lambda: relabelled(distance=START + np.arange(7) * DT).rename(time="a", distance="b"),
        "Both dimensions",
    ),
    "no positions": (
        lambda: relabelled().drop_vars("distance"),
        r"data.assign_coords\(distance=spacing \* np.arange\(7\)\)",
    ),
    "xdas without positions": (
        lambda: xdas.DataArray(VALUES, {"time": coordinates()["time"]}, ("time", "distance")),
        "no coordinate, so channels",
    ),
    "names for positions": (lambda: relabelled(distance=list("abcdefg")), "not numbers"),
    "no time passes": (lambda: relabelled(time=np.full(TOTAL, START)), "stays the same"),
    "time goes back": (lambda: relabelled(time=START - np.arange(TOTAL) * DT), "decreases"),
    "nan places": (lambda: relabelled(distance=np.full(7, np.nan)), "NaN"),
    "no time at all": (
        lambda: relabelled(time=np.full(TOTAL, np.datetime64("NaT", "ns"))),
        "NaT",
    ),
    "empty": (lambda: relabelled()[:0], "is empty"),
    "empty xdas": (lambda: as_xdas(VALUES, ORDERS["time first"])[:0], "is empty"),
    "one sample": (lambda: relabelled()[:1], "one sample"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_state_the_remedy(case):
    make, expected = REFUSED[case]
    with pytest.raises(InvalidInput, match=expected):
        open_recording(make())


def test_the_channel_dimension_can_be_named():
    data = relabelled(fibre=("distance", np.arange(7.0)))
    assert open_recording(data, channel_coord_name="distance").channel_name == "distance"
    assert open_recording(data.swap_dims(distance="fibre")).channel_name == "fibre"
    with pytest.raises(InvalidInput, match=r"data\.swap_dims\(\{'distance': 'fibre'\}\)"):
        open_recording(data, channel_coord_name="fibre")
    for name in ("time", "offset"):
        with pytest.raises(InvalidInput, match="Pass 'distance', or leave it out"):
            open_recording(data, channel_coord_name=name)


@pytest.mark.parametrize("tolerance", [-0.1, 1.0, np.nan])
def test_the_tolerance_is_checked(tolerance):
    with pytest.raises(InvalidInput, match="less than 1"):
        open_recording(relabelled(), tolerance=tolerance)


def test_a_single_channel_is_a_recording():
    (segment,) = open_recording(relabelled()[:, :1]).segments
    assert segment.distance.size == 1


# ---------------------------------------------------------------- real files

ENGINES = {
    "lapalma_20211120_uniform.nc": ("xdas", (3360, 67), 100, 1, None),
    "lapalma_20211120.nc": ("xdas", (3360, 67), 100, 9, None),
    "prodml_2.0.h5": ("prodml", (2500, 512), 200, 1, (1024, 512)),
    "iDAS005_hdf5_example.626.h5": ("prodml", (1000, 1152), 1000, 1, (1000, 1152)),
    "iDAS005_tdms_example.626.tdms": ("silixa", (1000, 1152), 1000, 1, None),
    "ap_sensing_1.hdf5": ("apsensing", (150, 4082), 500, 1, None),
    "terra15_v5_test_file.hdf5": (
        "terra15",
        (2060, 43),
        Fraction(2059 * 10**9, 639877319),
        1,
        (515, 43),
    ),
    "xdas_netcdf.nc": ("xdas", (300, 401), 50, 1, None),
}


@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("vtype", ["tiles", "hdf5"])
@pytest.mark.parametrize("name", ENGINES)
def test_real_files(das_file, name, vtype):
    engine, shape, rate, segments, chunks = ENGINES[name]
    options = {} if engine == "silixa" else {"vtype": vtype}
    data = xdas.open_dataarray(str(das_file(name)), engine=engine, **options)
    recording = open_recording(data)
    assert recording.shape == shape
    assert 10**9 / recording.segments[0].time.step == rate
    assert len(recording.segments) == segments
    assert recording.chunks == chunks
    expected = np.asarray(data.data)
    for segment in recording.segments:
        region = segment.recorded
        selection = pickle.loads(pickle.dumps(recording.select(region)))
        np.testing.assert_array_equal(
            selection.read(), expected[region.time.slice, region.distance.slice]
        )
        off = (
            segment.distance.values()
            - data["distance" if "distance" in data.dims else "channel"].values[
                region.distance.slice
            ]
        )
        assert np.abs(off).max() < 1e-9 * 5000
        times = data["time"].values[region.time.slice].astype("M8[ns]")
        rounded = 381 if engine == "febus" else 0  # nanoseconds a sample, by xdas
        late = (np.arange(len(times)) * rounded).astype("m8[ns]")
        assert np.abs(segment.time.values() - late - times).max() <= np.timedelta64(50, "ns")


def test_a_plain_netcdf_file_through_xarray(das_file):
    with xarray.open_dataset(das_file("irpinia_shot.DAS.nc")) as dataset:
        with pytest.raises(InvalidInput, match="datetime64"):
            open_recording(dataset["StrainRate"])
        seconds = dataset["time"].values
        shot = START + np.rint(1e9 * seconds).astype("timedelta64[ns]")
        recording = open_recording(dataset["StrainRate"].assign_coords(time=shot))
        (segment,) = recording.segments
        assert (recording.channel_name, recording.shape) == ("offset", (1001, 123))
        assert (segment.time.step, segment.time.start) == (5 * 10**6, START.astype(int) - 10**9)
        selection = pickle.loads(pickle.dumps(recording.select(segment.recorded)))
        np.testing.assert_array_equal(selection.read(), dataset["StrainRate"].values)


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_integers_of_some_channels_whose_file_is_gone_are_unreadable(tmp_path, vtype):
    stop = START + np.timedelta64(490, "ms")
    for number in range(2):
        values = np.full((50, 4), 7, dtype="int16")
        coords = {
            "time": {
                "tie_indices": [0, 49],
                "tie_values": [START, stop],
            },
            "distance": {"tie_indices": [0, 3], "tie_values": [40.0 * number, 40.0 * number + 30]},
        }
        xdas.DataArray(values, coords).to_netcdf(tmp_path / f"{number}.nc")
    both = xdas.open_mfdataarray(str(tmp_path / "?.nc"), dim="distance")
    both.to_netcdf(tmp_path / "master.h5", virtual=True)
    (tmp_path / "1.nc").unlink()
    data = xdas.open_dataarray(str(tmp_path / "master.h5"), vtype=vtype)
    recording = open_recording(data)
    with pytest.raises(UnreadableData, match=r"1\.nc"):
        recording.select(Region(Span(0, 50), Span(0, 8))).read()
    assert recording.select(Region(Span(0, 50), Span(0, 4))).read().shape == (50, 4)
