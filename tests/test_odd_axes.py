"""Axes of real files: swapped, in feet, repeated, or every n-th channel: the right picks."""

import pickle
import re
import warnings
from types import SimpleNamespace

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray
import xdas
from typer.testing import CliRunner

import dasdist
from dasdist.archive import build, make, reader, store
from dasdist.cli import app
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording
from dasdist.sources.lengths import is_number, metres

pytestmark = pytest.mark.slow

START = np.datetime64("2024-05-01T00:00:00", "ns")
RATE = 100
SPIKE = (1203, 7)  # sample and channel


class Echo(dasdist.DASModel):
    """The samples themselves are the curve of P."""

    def __init__(self, channels=4, dx_range=None, samples=500, **kwargs):
        structure = dasdist.PatchingStructure(
            samples, channels, samples, channels, (0, samples), (0, channels)
        )
        super().__init__(
            dx_range=dx_range, patching_structure=structure, annotate_keys=["P"], **kwargs
        )

    def forward(self, x, argdict=None):
        return {"P": x}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


def echo():
    """What ``--model tests.test_odd_axes:echo`` loads."""
    return Echo()


def spike(samples=2400, channels=24, at=SPIKE):
    values = np.zeros((samples, channels), "float32")
    values[at] = 0.9
    return values


def picked(data, model=None, **kwargs):
    arguments = {"thresholds": 0.5, "blinding": (0, 0), "pbar": False, **kwargs}
    return dasdist.classify(model or Echo(), data, **arguments).picks


def placed(picks):
    """Times after the start, in samples, channels and distances of picks."""
    seconds = (picks.time - START) / pd.Timedelta(1, "s")
    return [
        (round(RATE * t, 6), c, round(d, 9))
        for t, c, d in zip(seconds, picks.channel_index, picks.distance, strict=True)
    ]


# ---------------------------------------------------------------- ProdML


def write_prodml(path, values, start=START, *, order=("locus", "time"), unit=None, spacing=8.0):
    """A ProdML file whose samples lie in this order; ``values`` are samples x channels."""
    samples, channels = values.shape
    step = np.timedelta64(10**6 // RATE, "us")
    first = start.astype("M8[us]")
    ends = [np.bytes_(f"{time}+00:00") for time in (first, first + (samples - 1) * step)]
    channels_first = "".join(order).startswith("locus")
    with h5py.File(path, "w") as file:
        acquisition = file.create_group("Acquisition")
        acquisition.attrs["SpatialSamplingInterval"] = spacing
        acquisition.attrs["StartLocusIndex"] = 2
        acquisition.attrs["NumberOfLoci"] = channels
        if unit is not None:
            acquisition.attrs["SpatialSamplingIntervalUnit"] = np.bytes_(unit)
        raw = acquisition.create_group("Raw[0]")
        data = raw.create_dataset("RawData", data=values.T if channels_first else values)
        data.attrs["PartStartTime"], data.attrs["PartEndTime"] = ends
        data.attrs["Dimensions"] = np.bytes_(order)
    return str(path)


@pytest.fixture
def two_files(tmp_path):
    """One recording of 24 s in two files, channels first; the spike is in the second."""
    values = spike()
    return [
        write_prodml(tmp_path / "a.h5", values[:1200]),
        write_prodml(tmp_path / "b.h5", values[1200:], START + np.timedelta64(12, "s")),
    ]


RIGHT = [(1203.0, 7, 8.0 * (2 + 7))]


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_channels_first_as_xdas_opens_them(two_files, vtype):
    data = xdas.open_mfdataarray(two_files, engine="prodml", vtype=vtype)
    assert data.dims == ("time", "distance")
    assert data.shape == (48, 1200)  # which is what xdas makes of them
    assert placed(picked(data)) == RIGHT
    recording = open_recording(data)
    assert (recording.shape, len(recording.segments)) == ((2400, 24), 1)
    alone = xdas.open_dataarray(two_files[1], engine="prodml", vtype=vtype)
    assert placed(picked(alone)) == [(1203.0, 7, 72.0)]


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_channels_first_as_one_tells_xdas_to_open_them(two_files, vtype):
    how = {"engine": "prodml", "vtype": vtype, "swapped_dims": True, "dim": "time"}
    data = xdas.open_mfdataarray(two_files, **how)
    assert placed(picked(data)) == RIGHT
    assert placed(picked(data[5:])) == [(1203.0, 2, 72.0)]


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_files_that_xdas_puts_one_beside_the_other_are_one_segment(two_files, vtype):
    """Along the first dimension, the fibre, they do not follow one another; in time they do."""
    how = {"engine": "prodml", "vtype": vtype, "swapped_dims": True}
    data = xdas.open_mfdataarray(two_files, **how)
    assert [array.shape for array in data] == [(24, 1200), (24, 1200)]
    recording = open_recording(data)
    assert (recording.shape, len(recording.segments)) == ((2400, 24), 1)
    assert placed(picked(data, Echo(samples=2000))) == RIGHT


def test_channels_first_through_an_index(two_files, tmp_path):
    index = dasdist.index_archive(two_files, tmp_path / "index.nc", processes=1)
    assert (index.members, len(index.problems)) == (1, 0)
    assert placed(picked(str(index.path))) == RIGHT
    data = dasdist.open_archive(index.path)
    assert data.sizes == {"distance": 24, "time": 2400}
    assert placed(picked(data)) == RIGHT
    later = data.sel(time=slice(START + np.timedelta64(11, "s"), None))
    assert placed(picked(later)) == RIGHT


@pytest.mark.parametrize("through", ["index", "pattern", "file"])
def test_channels_first_through_the_command_line(two_files, tmp_path, through):
    out, folder = tmp_path / "picks.parquet", tmp_path
    data = {"index": folder / "index.nc", "pattern": folder / "?.h5", "file": folder / "b.h5"}
    if through == "index":
        indexed = CliRunner().invoke(app, ["index", *two_files, "-o", str(data["index"])])
        assert indexed.exit_code == 0, indexed.output
    words = ["classify", str(data[through]), "--model", "tests.test_odd_axes:echo", "-o", str(out)]
    words += ["--threshold", "0.5", "--set", "blinding=[0, 0]", "--from", "2024-05-01T00:00:12"]
    ran = CliRunner().invoke(app, words)
    assert ran.exit_code == 0, ran.output
    assert placed(pd.read_parquet(out)) == RIGHT


@pytest.mark.parametrize("order", ["locus, time", "Locus,Time", ("LOCUS", "TIME"), None])
def test_ways_of_stating_the_order(tmp_path, order):
    """Without a statement, the number of loci tells which axis is which."""
    path = tmp_path / "a.h5"
    write_prodml(path, spike())
    with h5py.File(path, "r+") as file:
        attrs = file["Acquisition/Raw[0]/RawData"].attrs
        del attrs["Dimensions"]
        if order is not None:
            attrs["Dimensions"] = order if isinstance(order, str) else np.bytes_(order)
    assert placed(picked(xdas.open_dataarray(str(path), engine="prodml"))) == RIGHT


def test_samples_first_stays_as_it_is_also_where_one_told_xdas_otherwise(tmp_path):
    path = write_prodml(tmp_path / "a.h5", spike(), order=("time", "locus"))
    assert placed(picked(xdas.open_dataarray(path, engine="prodml"))) == RIGHT
    told = xdas.open_dataarray(path, engine="prodml", swapped_dims=True)
    assert placed(picked(told)) == RIGHT


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_a_part_of_mistaken_axes_is_refused_with_what_to_do(two_files, vtype):
    data = xdas.open_mfdataarray(two_files, engine="prodml", vtype=vtype)
    with pytest.raises(dasdist.InvalidInput, match="channels x samples") as refused:
        dasdist.plan(Echo(), data[:, 100:700])
    advice = "swapped_dims=True, dim='time'"
    assert advice in str(refused.value)
    again = xdas.open_mfdataarray(
        two_files, engine="prodml", vtype=vtype, swapped_dims=True, dim="time"
    )
    assert placed(picked(again)) == RIGHT


def test_a_master_file_written_with_mistaken_axes_is_refused(two_files, tmp_path):
    data = xdas.open_dataarray(two_files[1], engine="prodml")
    data.to_netcdf(tmp_path / "master.nc", virtual=True)
    for vtype in ("hdf5", "tiles"):
        master = xdas.open_dataarray(tmp_path / "master.nc", vtype=vtype)
        with pytest.raises(dasdist.InvalidInput, match="channels x samples"):
            dasdist.plan(Echo(), master)


@pytest.mark.filterwarnings("ignore:Coordinate.is:FutureWarning")  # as in reader.py
def test_an_index_of_before_that_has_the_axes_swapped_is_made_again(
    two_files, tmp_path, monkeypatch
):
    path = tmp_path / "index.nc"
    with monkeypatch.context() as before:  # when no file was asked
        before.setattr(reader, "as_stored", lambda data: data)
        before.setattr(reader, "open_recording", _not_asked)
        before.setattr(build, "open_recording", _not_asked)
        before.setattr(store, "VERSION", 1)
        before.setattr(make, "_scan", lambda paths, *_: map(reader.read_header, paths))
        assert len(dasdist.index_archive(two_files[1:], path).problems) == 0
    with pytest.raises(dasdist.InvalidInput, match=r"older version.*Index the archive again"):
        dasdist.open_archive(path)
    again = dasdist.index_archive(two_files, path, processes=1)
    assert again.scanned == 2
    assert placed(picked(str(path))) == RIGHT


def _not_asked(data):
    return SimpleNamespace(chunks=None, time_name="time")


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(
    ("unit", "factor"),
    [
        ("m", 1.0),
        ("Meters", 1.0),
        ("ft", 0.3048),
        ("feet", 0.3048),
        ("US survey foot", 1200 / 3937),
        ("US_survey_foot", 1200 / 3937),
        ("km", 1000.0),
        ("kilometre", 1000.0),
        ("cm", 0.01),
        ("mm", 0.001),
        ("mi", 1609.344),
        ("yard", 0.9144),
        ("in", 0.0254),
        ("10 cm", 0.1),
    ],
)
def test_units_of_length_in_metres(unit, factor):
    assert float(metres(unit)) == pytest.approx(factor, rel=1e-15)


@pytest.mark.parametrize("unit", ["furlong", "s", "degrees_east", "m/s", "", "0 m", "1"])
def test_what_is_no_known_unit_of_length(unit):
    assert metres(unit) is None
    assert is_number(unit) == (unit == "1")


def labelled(values, positions, **attrs):
    time = START + np.arange(len(values)) * np.timedelta64(10, "ms")
    coords = {"time": time, "distance": ("distance", positions, attrs)}
    return xarray.DataArray(values, coords, ("time", "distance"))


@pytest.mark.parametrize(("unit", "metre"), [("ft", 0.3048), ("km", 1000.0), ("cm", 0.01)])
def test_a_coordinate_in_another_unit_is_read_in_metres(unit, metre):
    """Channels 8 m apart, for a model that takes 6 to 10 m: one arrival is one pick."""
    positions = 8.0 * np.arange(24) / metre
    model = Echo(dx_range=(6.0, 10.0))
    data = labelled(spike(), positions, units=unit)
    picks = picked(data, model)
    assert placed(picks) == [(1203.0, 7, 56.0)]
    lazy = dasdist.annotate(model, data)
    np.testing.assert_allclose(lazy["distance"], 8.0 * np.arange(24), rtol=1e-12)
    assert lazy["distance"].attrs == {"units": "m"}


def test_feet_of_prodml_however_it_is_opened(tmp_path):
    path = write_prodml(tmp_path / "a.h5", spike(), unit="ft", spacing=8 / 0.3048)
    data = [xdas.open_dataarray(path, engine="prodml", vtype=vtype) for vtype in ("hdf5", "tiles")]
    index = dasdist.index_archive([path], tmp_path / "index.nc", processes=1)
    for opened in (*data, str(index.path), index.open()):
        assert placed(picked(opened, Echo(dx_range=(6.0, 10.0)))) == RIGHT
    np.testing.assert_allclose(index.open().coords["distance"].values, 8.0 * np.arange(2, 26))
    assert index.table().channel_spacing.tolist() == pytest.approx([8.0])


def test_feet_that_one_has_converted_oneself_are_not_converted_again(tmp_path):
    path = write_prodml(tmp_path / "a.h5", spike(), unit="ft", spacing=8 / 0.3048)
    data = xdas.open_dataarray(path, engine="prodml", swapped_dims=True)
    metre = data.assign_coords(distance=0.3048 * data.coords["distance"].values)
    assert placed(picked(metre, Echo(dx_range=(6.0, 10.0)))) == RIGHT
    assert placed(picked(data[1::2], Echo(dx_range=(12.0, 20.0)))) == [(1203.0, 3, 72.0)]


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_feet_that_a_netcdf_file_states_and_xdas_drops(tmp_path, vtype):
    path = tmp_path / "a.nc"
    data = labelled(spike(), 8.0 * np.arange(24) / 0.3048, units="ft")
    data.to_dataset(name="rate").assign_attrs(Conventions="CF-1.8").to_netcdf(
        path, engine="h5netcdf"
    )
    opened = xdas.open_dataarray(str(path), engine="xdas", vtype=vtype)
    assert placed(picked(opened, Echo(dx_range=(6.0, 10.0)))) == [(1203.0, 7, 56.0)]
    index = dasdist.index_archive([path], tmp_path / "index.nc", processes=1)
    assert placed(picked(index.open(), Echo(dx_range=(6.0, 10.0)))) == [(1203.0, 7, 56.0)]


def test_an_unknown_unit_is_refused_only_where_a_model_needs_distances():
    data = labelled(spike(), 8.0 * np.arange(24), units="furlong")
    assert len(picked(data)) == 1
    needing = [
        Echo(dx_range=(6.0, 10.0)),
        Echo(fk_filter_args={"v_min": 100.0, "v_max": 5000.0, "mode": "pass"}),
    ]
    for model in needing:
        with pytest.raises(dasdist.InvalidInput, match=r"'furlong'.*needs distances in metres"):
            dasdist.plan(model, data)


def test_channel_numbers_are_no_metres():
    data = labelled(spike(), np.arange(24), units="1")
    with pytest.raises(dasdist.InvalidInput, match="counts channels") as refused:
        dasdist.plan(Echo(dx_range=(6.0, 10.0)), data)
    assert "assign_coords" in str(refused.value)


def test_a_collection_mixes_no_metres_with_numbers():
    metre, number = (labelled(spike(), np.arange(24.0), units=unit) for unit in ("m", "1"))
    with pytest.raises(dasdist.InvalidInput, match="channel numbers and one in metres"):
        dasdist.plan(Echo(), [metre, number])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        feet = labelled(spike(), np.arange(24.0) / 0.3048, units="ft")
        assert [segment.distance.spacing for segment in open_recording([metre, feet]).segments] == [
            1,
            1,
        ]


# ---------------------------------------------------------------- every n-th channel or sample


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The same 400 samples x 103 channels in memory, and in all kinds of files."""
    folder = tmp_path_factory.mktemp("stored")
    values = np.random.default_rng(0).standard_normal((400, 103)).astype("float32")
    whole = labelled(values, 5.0 * np.arange(103))
    whole.name = "rate"
    for i in range(4):
        packed = {"chunks": (50, 50), "compression": "gzip"} if i % 2 else None
        piece = whole[100 * i : 100 * (i + 1)]
        xdas.DataArray.from_xarray(piece).to_netcdf(folder / f"{i}.nc", encoding=packed)
    dataset = whole.to_dataset()
    dataset.to_netcdf(folder / "n.nc", engine="h5netcdf")
    dataset.to_zarr(folder / "z.zarr", encoding={"rate": {"chunks": (100, 50)}}, consolidated=False)
    index = dasdist.index_archive(f"{folder}/[0-3].nc", folder / "i.nc", processes=1)
    master = xdas.open_mfdataarray(f"{folder}/[0-3].nc")
    master.to_netcdf(folder / "master.nc", virtual=True)
    return values, {
        "numpy": whole,
        "xdas numpy": xdas.DataArray.from_xarray(whole),
        "dask": whole.chunk(time=100, distance=50),
        "stack": master,
        "master": xdas.open_dataarray(folder / "master.nc"),
        "tiles": xdas.open_mfdataarray(f"{folder}/[0-3].nc", vtype="tiles"),
        "index": index.open(),
        "lazy netcdf": xarray.open_dataset(folder / "n.nc", engine="h5netcdf")["rate"],
        "lazy zarr": xarray.open_zarr(folder / "z.zarr", chunks=None, consolidated=False)["rate"],
        "dask zarr": xarray.open_zarr(folder / "z.zarr", consolidated=False)["rate"],
    }


KINDS = [
    *("numpy", "xdas numpy", "dask", "stack", "master", "tiles", "index"),
    *("lazy netcdf", "lazy zarr", "dask zarr"),
]
NO_STEPS_BACK = {"xdas numpy", "stack", "master", "tiles", "index"}  # xdas refuses them
STEPS = {
    "channels": (slice(None), slice(1, None, 5)),
    "the last channel": (slice(None), slice(98, 103, 4)),
    "samples": (slice(3, None, 4), slice(None)),
    "both": (slice(3, 301, 7), slice(2, 90, 3)),
    "backwards": (slice(None), slice(None, None, -1)),
    "every third backwards": (slice(2, None, 3), slice(90, 5, -3)),
}


CASES = [
    (kind, steps)
    for kind in KINDS
    for steps, key in STEPS.items()
    if not (kind in NO_STEPS_BACK and (key[1].step or 1) < 0)
    and not (kind == "stack" and key[0].step)  # along which xdas takes no steps
]


@pytest.mark.parametrize(("kind", "steps"), CASES)
def test_every_nth_channel_or_sample_of_every_source(stored, kind, steps):
    values, sources = stored
    key = STEPS[steps]
    wanted = values[key]
    recording = open_recording(sources[kind][key])
    assert recording.shape == wanted.shape
    (segment,) = recording.segments
    places = 5.0 * np.arange(103)[key[1]]
    np.testing.assert_allclose(segment.distance.values(), places, rtol=0, atol=1e-9)
    milliseconds = 10 * np.arange(400)[key[0]]
    assert (segment.time.values() == START + milliseconds.astype("m8[ms]")).all()
    samples, channels = wanted.shape
    for time in (Span(0, samples), Span(samples // 3, samples - 5)):
        for distance in (Span(0, channels), Span(1, channels)):
            part = recording.select(Region(time, distance))
            there = wanted[time.slice, distance.slice]
            assert (part.read() == there).all()
            assert (pickle.loads(pickle.dumps(part)).read() == there).all()
    assert len(recording.identity()) == 40


def test_every_nth_channel_is_picked_where_it_is(stored, tmp_path):
    values = spike(at=(1203, 11))
    xdas.DataArray.from_xarray(labelled(values, 8.0 * np.arange(24))).to_netcdf(tmp_path / "a.nc")
    for vtype in ("hdf5", "tiles"):
        data = xdas.open_dataarray(tmp_path / "a.nc", vtype=vtype)[:, 1::5]
        assert placed(picked(data)) == [(1203.0, 2, 88.0)]
        assert open_recording(data).segments[0].distance.step == 40


def test_tiles_that_run_backwards(stored):
    values, sources = stored
    tiles = sources["tiles"]
    backwards = tiles.coords["distance"].values[::-3]
    data = xdas.DataArray(
        tiles.data[:, ::-3], {"time": tiles.coords["time"], "distance": backwards}
    )
    recording = open_recording(data)
    assert recording.segments[0].distance.step == -15
    part = recording.select(Region(Span(90, 210), Span(2, 30)))
    assert (part.read() == values[90:210, ::-3][:, 2:30]).all()


def test_a_file_behind_a_master_that_is_gone_is_named_also_where_samples_are_skipped(tmp_path):
    for i in range(2):
        piece = labelled(np.ones((100, 4), "int16"), 8.0 * np.arange(4))
        time = piece.time + np.timedelta64(i, "s")
        array = xdas.DataArray.from_xarray(piece.assign_coords(time=time))
        array.to_netcdf(tmp_path / f"{i}.nc")
    xdas.open_mfdataarray(f"{tmp_path}/[01].nc").to_netcdf(tmp_path / "master.nc", virtual=True)
    data = xdas.open_dataarray(tmp_path / "master.nc")[::3]
    (tmp_path / "1.nc").unlink()
    recording = open_recording(data)
    assert recording.select(Region(Span(0, 34), Span(0, 4))).read().sum() == 34 * 4
    with pytest.raises(dasdist.UnreadableData) as missing:
        recording.select(Region(Span(30, 67), Span(0, 4))).read()
    assert missing.value.path == str(tmp_path / "1.nc")
    assert missing.value.start == START + np.timedelta64(1020, "ms")


# ---------------------------------------------------------------- repeated positions


REPEATED = {
    "the end of the fibre at one value": np.r_[8.0 * np.arange(18), [136.0] * 6],
    "the start": np.r_[[0.0] * 6, 8.0 * np.arange(1, 19)],
    "twice the same": np.r_[8.0 * np.arange(12), 8.0 * np.arange(11, 23)],
    "a loop": np.r_[8.0 * np.arange(12), 8.0 * np.arange(11, -1, -1)],
    "pairs": np.repeat(8.0 * np.arange(12), 2),
    "all the same": np.zeros(24),
    "whole numbers": np.r_[np.arange(18), [17] * 6],
}


@pytest.mark.parametrize("positions", REPEATED.values(), ids=REPEATED)
def test_channels_that_share_a_position_are_picked(positions):
    data = labelled(spike(at=(1203, 21)), positions)
    model = Echo(channels=1)
    assert placed(picked(data, model)) == [(1203.0, 21, positions[21])]
    lazy = dasdist.annotate(model, data)
    nodes = lazy.children.values() if isinstance(lazy, xarray.DataTree) else [lazy]
    found = np.concatenate([node["distance"].values for node in nodes])
    np.testing.assert_array_equal(found, positions)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("the end of the fibre at one value", [slice(0, 18)]),
        ("the start", [slice(5, 24)]),
        ("a loop", [slice(0, 11), slice(13, 24)]),
        ("all the same", []),
    ],
)
def test_a_model_that_needs_spacing_says_what_to_leave_out(kind, kept):
    data, model = labelled(spike(at=(1203, 8)), REPEATED[kind]), Echo(dx_range=(6.0, 10.0))
    with pytest.raises(dasdist.InvalidInput, match="share the 'distance'") as refused:
        dasdist.plan(model, data)
    advice = re.search("pass `(.*)`", str(refused.value))
    if not kept:
        assert advice is None
        return
    left = eval(advice[1], {"data": data})  # as one would type it
    parts = left if isinstance(left, list) else [left]
    whole = REPEATED[kind]
    assert [part.distance.values.tolist() for part in parts] == [whole[k].tolist() for k in kept]
    assert len(picked(left, model)) == 1


# ---------------------------------------------------------------- advice that works


def warned(model, data, **arguments):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        dasdist.plan(model, data, client=False, **arguments)
    return [str(entry.message) for entry in caught if "empty" in str(entry.message)]


def inner(overlap=None, dx_range=None, width=8):
    """A model whose outputs cover less than its window along the fibre."""
    structure = dasdist.PatchingStructure(500, width, 500, 3, (0, 500), (2, 5), None, overlap)
    model = Echo(dx_range=dx_range)
    model.patching_structure = structure
    model.forward = lambda x, argdict=None: {"P": x[:, :, 2:5]}
    return model


def test_the_overlap_that_a_warning_names_leaves_no_hole():
    data = labelled(spike(channels=60), 8.0 * np.arange(60))
    (text,) = warned(inner(), data, overlap_channels=0)
    assert "up to 5 outputs" in text
    enough = int(re.search(r"pass overlap_channels=(\d+)", text)[1])
    assert enough == 5  # outputs of 3 channels in windows of 8
    assert warned(inner(), data, overlap_channels=enough) == []
    assert warned(inner(), data, overlap_channels=enough - 1) != []


def test_the_overlap_of_a_model_that_fixes_it_is_changed_in_its_structure():
    data = labelled(spike(channels=60), 8.0 * np.arange(60))
    (text,) = warned(inner(overlap=0), data, overlap_channels=5)
    assert "Echo fixes its overlap; make it overlap_channels=5 in its structure" in text
    assert warned(inner(overlap=5), data) == []


def test_no_overlap_is_advised_where_resampling_leaves_none():
    """Three channels in place of one: patches start 3 apart, and their outputs cover 1."""
    structure = dasdist.PatchingStructure(500, 8, 500, 1, (0, 500), (4, 5), None, None)
    model = Echo(dx_range=(2.6, 2.7))
    model.patching_structure = structure
    model.forward = lambda x, argdict=None: {"P": x[:, :, 4:5]}
    data = labelled(spike(channels=60), 8.0 * np.arange(60))
    (text,) = warned(model, data)
    assert "resampling by 3/1" in text
    assert "overlap_channels" not in text
    finer = labelled(spike(channels=60), 8.0 / 3 * np.arange(60))
    assert warned(model, finer, overlap_channels=7) == []
