"""Channels that are dead, clipped, noisy or duplicated, and runs that leave channels out."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import xarray
import xdas
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.channel_quality import minutes, quality
from dasdist.cli import app

RATE = 2  # Hz
START = np.datetime64("2025-06-01T10:30:30", "ns")


def fibre(values, start=START, rate=RATE):
    """A recording; `values` are samples x channels."""
    time = start + np.arange(len(values)) * np.timedelta64(10**9 // rate, "ns")
    coords = {"time": time, "distance": 10.0 * np.arange(values.shape[1])}
    return xarray.DataArray(values, coords, ["time", "distance"])


def noise(hours, channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 100, (int(hours * 3600 * RATE), channels)) * rng.uniform(0.5, 2, channels)


def flags(found, channel):
    table = found.table
    return table.loc[table["channel"] == channel, "flags"].tolist()


def here(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.exit_code, {event["event"]: event for event in told}, done.stdout + done.stderr


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_each_fault_is_flagged_and_no_other(dtype):
    values = noise(2.5, 14) / 10
    values[:, 2] = 0
    values[:, 3] = 17
    values[:, 5] *= 20
    values[:, 7] *= 1 if dtype == "float32" else 4000
    values[:, 9] = values[:, 8]
    values[:1800, 11] = 0  # 15 minutes, and alive from then on
    values[3600 : 3600 + 600, :] *= 5  # an earthquake of five minutes on all channels
    top = 15 if dtype == "float32" else 32767
    values[:, 7] = np.clip(values[:, 7], -top - 1, top)
    found = dasdist.quality(fibre(values.astype(dtype)), client=False)
    wrong = {2: "dead", 3: "dead", 5: "noisy", 9: "duplicated"}
    wrong[7] = "clipped" if dtype == "float32" else "clipped noisy"
    assert found.table["hour"].nunique() == 4  # 10:30 to 13:00:30
    for channel in range(14):
        if channel == 11:
            assert flags(found, 11) == ["dead", "", "", ""]
        else:
            assert set(flags(found, channel)) == {wrong.get(channel, "")}, channel


def test_a_quiet_digitiser_of_few_counts_is_not_clipped():
    values = np.random.default_rng(1).normal(0, 1, (7200, 4)).round().astype("int16")
    assert set(dasdist.quality(fibre(values), client=False).table["flags"]) == {""}


def test_missing_samples_are_counted_and_do_not_hide_the_rest():
    values = noise(1, 4).astype("float32")
    values[: len(values) // 4, 1] = np.nan
    values[:, 2] = np.nan
    found = dasdist.quality(fibre(values, np.datetime64("2025-06-01T10", "ns")), client=False)
    table = found.table.set_index("channel")
    assert table["missing"].tolist() == [0, 0.25, 1, 0]
    assert table["flags"].tolist() == ["", "", "missing", ""]
    assert np.isnan(table.loc[2, "level"])
    whole = dasdist.quality(fibre(values[:, 1:2], np.datetime64("2025-06-01T10", "ns")))
    assert whole.table["level"].item() == table.loc[1, "level"]


def test_the_level_is_the_median_over_minutes_of_the_median_absolute_deviation():
    data = fibre(noise(1.3, 3).astype("float32"))
    found = dasdist.quality(data, client=False).table
    frame = pd.DataFrame(data.values.astype(float), index=data["time"].values)
    each = frame.groupby(frame.index.floor("min")).agg(
        lambda column: 1.4826 * (column - column.median()).abs().median()
    )
    expected = each.groupby(each.index.floor("h")).median().to_numpy().ravel()
    np.testing.assert_allclose(found["level"], expected, rtol=1e-6)
    np.testing.assert_array_equal(found["distance"], [0, 10, 20] * 2)


# ---------------------------------------------------------------- however it is split


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_the_table_does_not_depend_on_how_the_work_is_split(at_once, slab):
    values = noise(0.6, 5, seed=3).astype("float32")
    values[:, 3] = values[:, 2]
    values[500:700, 1] = np.nan
    whole = fibre(values)
    one = dasdist.quality(whole, client=False).table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "_VALUES", at_once)
        patch.setattr(minutes, "_SLAB", slab)
        other = dasdist.quality(whole, client=False).table
    pd.testing.assert_frame_equal(one, other)


def test_a_gap_and_a_cluster_change_nothing(inproc_client):
    values = noise(2, 6, seed=4).astype("float32")
    values[:, 4] = values[:, 3]
    time = fibre(values)["time"].values.copy()
    time[7000:] += np.timedelta64(7, "m")
    data = fibre(values).assign_coords(time=time)
    alone = dasdist.quality(data, client=False)
    pd.testing.assert_frame_equal(alone.table, dasdist.quality(data, client=inproc_client).table)
    assert alone.table.groupby("hour")["samples"].first().sum() == len(values)
    assert set(flags(alone, 4)) == {"duplicated"}


# ---------------------------------------------------------------- the command


def test_the_command_writes_a_table_and_a_picture(tmp_path):
    values = noise(0.6, 5).astype("float32")
    values[:, 3] = 0
    fibre(values).to_netcdf(tmp_path / "fibre.nc")
    words = ("quality", tmp_path / "fibre.nc", "-o", tmp_path / "quality.parquet")
    code, told, said = here(*words, "--picture", tmp_path / "quality.png", "--json")
    assert code == 0, said
    assert [row["channel"] for row in told["quality"]["flagged"]] == [3]
    assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_parquet(tmp_path / "quality.parquet")
    assert table.loc[table["flags"] == "dead", "channel"].unique().tolist() == [3]
    code, _, said = here(*words)
    assert code == 1
    assert "quality.parquet exists" in said
    code, _, said = here(*words, "--overwrite")
    assert code == 0
    assert "1 dead" in said


@pytest.mark.parametrize(
    "name", ["lapalma_20211120_uniform.nc", "lapalma_20211120.nc", "xdas_netcdf.nc"]
)
def test_real_files_are_judged(das_file, name):
    found = dasdist.quality(xdas.open_dataarray(das_file(name)), client=False)
    assert len(found.table) > 0
    assert (found.table["level"] > 0).any()
