"""Missing samples beside what else is odd: offsets, short records, overlaps, periods, channels."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
import xdas
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.geometry import Region, Span
from dasdist.signal import padded
from dasdist.sources import ChannelRange, TimeRange, open_recording

from .test_odd_missing import CHOICE, OPTIONS, STEP, Each, pointed
from .toys import START, noise, recording

VALUES = noise(3000, 12, seed=5)
HOLE = (slice(700, 730), slice(3, 5))
GONE = slice(2000, 2040)  # on all channels

pytestmark = pytest.mark.filterwarnings("ignore:.*left out.*:dasdist.DataWarning")


class Centred(Each):
    """Removes the mean of every window, and divides by its amplitude, itself."""

    def forward(self, x, argdict=None):
        x = x - x.mean(dim=1, keepdim=True)
        x = x / (x.std(dim=1, keepdim=True) + 1e-10)
        return {"P": torch.sigmoid(3 * x), "S": torch.sigmoid(-3 * x)}


def holed(values):
    """The same with missing samples; of the second hole each channel has another last value."""
    values = values.copy()
    values[HOLE] = values[GONE] = np.nan
    return values


def annotated(values, model=None, **kwargs):
    model = model or Centred()
    return dasdist.annotate(model, recording(values), **CHOICE, **kwargs)["P"].values


# ---------------------------------------------------------------- amplitudes


@pytest.mark.parametrize("offset", [1e8, -3e9])
@pytest.mark.parametrize("band", [None, [2, 15]])
def test_a_hole_in_floats_on_an_offset_costs_what_it_costs_without(offset, band):
    filtered = band and ("butter", {"N": 2, "Wn": band, "btype": "bandpass"})
    model = Centred(filter_samples=filtered)
    counts = np.round(100 * VALUES).astype("float64")
    expected = annotated(holed(counts), model)
    found = annotated(holed(counts + offset), model, block={"time": 333, "distance": 5})
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.isnan(found[GONE]).all()
    assert np.isfinite(found[:, 0]).mean() > 0.8
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_offset_that_jumps_in_a_hole_reaches_no_window_that_is_computed():
    """A recorder that starts anew counts from another start."""
    counts = np.round(100 * VALUES).astype("float64")
    moved = holed(counts)
    moved[GONE.stop :] += 1e8
    moved[: GONE.start] -= 2e7
    expected = annotated(holed(counts))
    np.testing.assert_allclose(annotated(moved, block={"time": 100}), expected, atol=1e-5)


def test_integers_on_an_offset_lack_what_their_file_declares_missing(tmp_path):
    counts = np.round(100 * VALUES).astype("int32")
    fill = np.int32(-(2**31))
    stored = counts + np.int32(10**8)
    stored[HOLE] = stored[GONE] = fill
    stored = xarray.DataArray(
        stored,
        {"time": START + np.arange(3000) * STEP, "distance": 10.0 * np.arange(12)},
        attrs={"_FillValue": fill},
    )
    expected = annotated(holed(counts.astype("float64")))
    found = dasdist.annotate(Centred(), stored, block={"time": 500}, **CHOICE)["P"].values
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e-9])
def test_the_scale_of_strain_is_that_of_what_is_not_missing(scale):
    tiny = VALUES * scale
    tiny[:5000, 0] = 9.969209968386869e36  # what counts is neither this nor that it is there
    tiny[: 64 * 20 : 64] = np.nan
    plan = dasdist.plan(Centred(), recording(tiny))
    clean = dasdist.plan(Centred(), recording(VALUES * scale))
    assert plan.amplitude.scale == clean.amplitude.scale > 1


def test_the_scale_is_found_beside_files_that_cannot_be_read(tmp_path):
    for number in range(3):
        part = VALUES[1000 * number : 1000 * (number + 1)] * 1e-12
        begin = START + 1000 * number * STEP
        recording(part, start=begin).to_netcdf(str(tmp_path / f"{number}.nc"))
    data = xdas.open_mfdataarray(str(tmp_path / "*.nc"), vtype="tiles")
    clean = dasdist.plan(Centred(), data).amplitude
    (tmp_path / "0.nc").write_bytes(b"no file of any kind")
    assert dasdist.plan(Centred(), data).amplitude == clean
    assert clean.scale > 2**20


# ---------------------------------------------------------------- short records


def test_padding_keeps_what_is_on_an_offset():
    values = np.random.default_rng(0).normal(0, 1000, (300, 3))
    for offset in (1e8, -1e12):
        found = padded(values + offset, 70, 90)
        tensor = padded(torch.from_numpy(values + offset), 70, 90).numpy()
        assert found.dtype == tensor.dtype == "float64"
        np.testing.assert_allclose(found - offset, padded(values, 70, 90), atol=0.01)
        np.testing.assert_allclose(tensor, found, rtol=1e-15)
    counts = np.array([[100_000_007], [100_000_012], [100_000_003]], dtype="int32")
    assert padded(counts, 0, 0).ravel().tolist() == [100_000_007.0, 100_000_012.0, 100_000_003.0]


def test_a_short_record_on_an_offset_is_what_it_is_without():
    model, counts = Centred(window=128, covers=(0, 128)), np.round(100 * VALUES[:90]).astype("f8")
    expected = dasdist.annotate(model, recording(counts), pad=True)["P"].values
    for dtype in ("int32", "float64"):
        data = recording((counts + 1e8).astype(dtype))
        found = dasdist.annotate(model, data, pad=True)["P"].values
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_short_record_with_a_hole_lacks_its_channel_only():
    model, values = Each(window=128, covers=(0, 128)), VALUES[:90].copy()
    expected = dasdist.annotate(model, recording(values), pad=True)["P"].values
    values[40, 7] = np.nan
    found = dasdist.classify(model, recording(values), pad=True, **CHOICE, **OPTIONS)
    (missing,) = found.report.missing
    assert (missing.channels, missing.start) == ((7, 8), str(START + 40 * STEP))
    assert 7 not in set(found.picks.channel_index)
    lazy = dasdist.annotate(model, recording(values), pad=True, **CHOICE)["P"].values
    assert np.isnan(lazy[:, 7]).all()
    others = np.delete(np.arange(12), 7)
    np.testing.assert_array_equal(lazy[:, others], expected[:, others])


class Broken(Each):
    """Makes NaN of what is above 90."""

    def forward(self, x, argdict=None):
        bad = (x > 90).any(dim=1, keepdim=True)
        found = super().forward(torch.where(x > 90, 0.0, x))
        return {key: torch.where(bad, torch.nan, values) for key, values in found.items()}


def test_what_a_model_makes_of_a_short_record_is_told_by_times_of_the_record():
    values = VALUES[:90].copy()
    values[50, 2] = 100
    model = Broken(window=128, covers=(0, 128))
    found = dasdist.classify(model, recording(values), pad=True, **CHOICE, **OPTIONS)
    (missing,) = found.report.missing
    assert (missing.kind, missing.channels) == ("model", (2, 3))
    assert (missing.start, missing.stop) == (str(START), str(START + 89 * STEP))


# ---------------------------------------------------------------- overlaps


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_files_that_overlap_tell_what_they_declare_missing(tmp_path, vtype):
    values = VALUES.copy()
    values[HOLE] = values[GONE] = np.nan
    for number, rows in enumerate((slice(0, 1600), slice(1500, 3000))):
        time = START + np.arange(rows.start, rows.stop) * STEP
        coords = {"time": time, "distance": 10.0 * np.arange(12)}
        part = xarray.Dataset({"strain": (("time", "distance"), values[rows])}, coords)
        part.assign_attrs(Conventions="CF-1.8").to_netcdf(
            tmp_path / f"{number}.nc", encoding={"strain": {"_FillValue": np.float32(-9999)}}
        )
    data = xdas.open_mfdataarray(str(tmp_path / "*.nc"), vtype=vtype)
    recorded = open_recording(data)
    assert recorded.shape == (3000, 12)
    reading = recorded.select(Region(Span(0, 3000), Span(0, 12))).reading()
    np.testing.assert_array_equal(reading.missing, np.isnan(values))
    there = ~np.isnan(values)
    np.testing.assert_array_equal(reading.values[there], values[there])


# ---------------------------------------------------------------- channels


def fibre_first(folder, samples=1000):
    """Files of channels x samples, one after the other."""
    for number in range(3000 // samples):
        rows = slice(number * samples, (number + 1) * samples)
        part = recording(VALUES[rows], start=START + rows.start * STEP, dims=("distance", "time"))
        part.to_netcdf(str(folder / f"{number}.nc"))
    return f"{folder}/*.nc"


def test_channels_and_times_are_chosen_together_of_files_whose_first_dimension_is_the_fibre(
    tmp_path,
):
    pattern = fibre_first(tmp_path)
    words = ["classify", pattern, "--model", f"{Each.__module__}:Each", "--channels", "2:9"]
    words += ["--from", "2024-01-01T00:00:05", "--to", "2024-01-01T00:00:25"]
    words += ["--threshold", "0.6", "--set", "blinding=[1, 1]", "--set", "min_time_separation=0.2"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "picks")])
    assert done.exit_code == 0, done.output
    found = pd.read_parquet(tmp_path / "picks")
    expected = dasdist.classify(
        Each(),
        recording(VALUES[500:2500, 2:9], start=START + 500 * STEP, first=20.0),
        **OPTIONS,
    ).picks
    assert len(expected) > 100
    pd.testing.assert_frame_equal(pointed(found), pointed(expected))
    assert sorted(set(found.distance)) == sorted(set(expected.distance))


@pytest.mark.parametrize("opener", ["xdas", "xarray", "dask", "lazy"])
def test_a_range_of_channels_is_what_the_array_has_there(tmp_path, opener):
    data = recording(VALUES)
    if opener == "lazy":
        data.to_netcdf(str(tmp_path / "file.nc"))
        data = xdas.open_dataarray(str(tmp_path / "file.nc"))
    elif opener != "xdas":
        data = data.to_xarray()
    if opener == "dask":
        data = data.chunk({"time": 500, "distance": 5})
    period = START + 100 * STEP, START + 400 * STEP
    found = open_recording(TimeRange(ChannelRange(data, 2, 9), *period))
    (segment,) = found.segments
    assert segment.distance.value(0) == 20.0
    assert (found.shape, segment.distance.size) == ((300, 7), 7)
    values = found.select(Region(Span(0, 300), Span(0, 7))).read()
    np.testing.assert_array_equal(values, VALUES[100:400, 2:9])
    other = open_recording(TimeRange(ChannelRange(data, 3, 10), *period))
    assert other.identity() != found.identity()
    rest = open_recording(ChannelRange(data, 10))
    assert rest.shape == (3000, 2)


@pytest.mark.parametrize(("start", "stop"), [(3, 40), (12, None), (-1, 5), (5, 5)])
def test_a_range_that_is_not_there_is_refused(start, stop):
    with pytest.raises(dasdist.InvalidInput, match="the data has 12 channels, 0:12"):
        open_recording(ChannelRange(recording(VALUES), start, stop))


def test_a_command_on_channels_of_a_bad_index_goes_on(tmp_path):
    for number in range(3):
        part = VALUES[1000 * number : 1000 * (number + 1)]
        begin = START + 1000 * number * STEP
        recording(part, start=begin).to_netcdf(str(tmp_path / f"{number}.nc"))
    index = tmp_path / "index.dat"
    dasdist.index_archive(tmp_path, index)
    (tmp_path / "1.nc").unlink()
    words = ["classify", str(index), "--model", f"{Each.__module__}:Each", "--channels", ":4"]
    words += ["--from", "2024-01-01T00:00:05", "--max-failures", "any", "--json"]
    words += ["--threshold", "0.6", "--set", "blinding=[1, 1]"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "picks")])
    assert done.exit_code == 2, done.output
    found = pd.read_parquet(tmp_path / "picks")
    assert found.channel_index.max() == 3
    assert found.time.min() < START + 995 * STEP
    assert found.time.max() > START + 2000 * STEP
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert "1.nc" in json.dumps(events)
