"""--from and --to: what is in, what is out, and that runs of it resume."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from dasdist.cli import app
from dasdist.cli.period import within
from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording
from tests.toys import START, Toy, noise, recording


def as_xarray(data):
    return xr.DataArray(
        np.asarray(data.values),
        {name: np.asarray(data[name].values) for name in data.dims},
        dims=data.dims,
    )


def samples(found):
    """All samples of a recording of one array."""
    rows, columns = found.shape
    return found.select(Region(Span(0, rows), Span(0, columns))).read()


@pytest.mark.parametrize("kind", [lambda data: data, as_xarray], ids=["xdas", "xarray"])
@pytest.mark.parametrize("dims", [("time", "distance"), ("distance", "time")])
def test_the_first_time_is_in_and_the_second_is_not(kind, dims):
    data = kind(recording(noise(1000, 4), dims=dims))  # 100 Hz
    found = open_recording(within(data, "2024-01-01T00:00:01", "2024-01-01T00:00:03"))
    times = found.segments[0].time.values()
    assert times[0] == START + np.timedelta64(1, "s")
    assert times[-1] == START + np.timedelta64(2990, "ms")
    assert found.shape == (200, 4)
    np.testing.assert_array_equal(samples(found), noise(1000, 4)[100:300])


def test_ranges_that_touch_hold_every_sample_once():
    data = recording(noise(1000, 4))
    cuts = [None, "2024-01-01T00:00:01.005", "2024-01-01T00:00:07.77Z", None]
    parts = [open_recording(within(data, *cuts[i : i + 2])) for i in range(3)]
    joined = np.concatenate([samples(part) for part in parts])
    np.testing.assert_array_equal(joined, np.asarray(data.values))


def test_a_collection_keeps_the_arrays_that_have_such_samples():
    hours = [START + np.timedelta64(hour, "h") for hour in (0, 1, 2)]
    arrays = [recording(noise(1000, 4), start=hour) for hour in hours]
    found = open_recording(within(arrays, "2024-01-01T01:00:05", None))
    assert [member.place.time.size for member in found.members] == [500, 1000]
    assert open_recording(within(arrays, None, "2024-01-01T00:30")).shape == (1000, 4)


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        (
            "2025",
            None,
            "no samples from 2025-01-01T00:00:00 to the end: the data goes from 2024-01-01T00:00",
        ),
        ("2024-02", "2024-01", "--from 2024-02 is not before --to 2024-01"),
    ],
)
def test_ranges_without_samples_are_refused(since, until, message):
    with pytest.raises(InvalidInput, match=message):
        within(recording(noise(1000, 4)), since, until)


def test_nothing_is_cut_without_a_range():
    data = recording(noise(100, 4))
    assert within(data, None, None) is data


def test_a_run_of_a_range_resumes_and_another_range_is_refused(tmp_path):
    data = recording(noise(6000, 4))
    data.to_netcdf(tmp_path / "data.nc")

    def classify(*period):
        command = ["classify", str(tmp_path / "data.nc"), "--model", "tests.toys:Toy", "--json"]
        command += ["-o", str(tmp_path / "picks"), "--set", "blinding=[1,1]"]
        done = CliRunner().invoke(app, [*command, "--threshold", "0.5", *period])
        return done.exit_code, json.loads(done.stdout.splitlines()[-1]), done.output

    period = ["--from", "2024-01-01T00:00:10", "--to", "2024-01-01T00:00:40"]
    code, end, error = classify(*period)
    assert (code, end["done"]) == (0, end["blocks"]), error
    cut = data.isel(time=slice(1000, 4000))
    expected = dasdist.classify(Toy(), cut, thresholds=0.5, blinding=(1, 1), pbar=False)
    assert len(expected.picks) > 10
    pd.testing.assert_frame_equal(StoredPicks(tmp_path / "picks").read(), expected.picks)
    assert classify(*period)[0] == 0
    code, end, _ = classify("--from", "2024-01-01T00:00:11")
    assert (code, end["kind"]) == (1, "RunMismatch")
