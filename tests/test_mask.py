"""Runs that leave channels out: their neighbours stay, the rest is told, and it is one run."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.sources import read_mask
from tests.test_odd_missing import OPTIONS, Each, pointed
from tests.toys import Toy, noise, recording

VALUES = noise(1500, 9)
BAND = ("butter", {"N": 2, "Wn": [2, 15], "btype": "bandpass"})


def picks_of(model, data, **options):
    return pointed(dasdist.classify(model, data, client=False, **OPTIONS, **options).picks)


def without(picks, channels):
    return picks[~picks["channel_index"].isin(channels)].reset_index(drop=True)


def here(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.exit_code, {event["event"]: event for event in told}, done.stdout + done.stderr


# ---------------------------------------------------------------- neighbours, and what is left


@settings(max_examples=max(8, settings().max_examples // 3))
@given(
    st.sets(st.integers(0, 8), min_size=1, max_size=8),
    st.integers(60, 400),
    st.integers(1, 9),
)
def test_neighbours_have_the_picks_that_they_had(masked, time, distance):
    """Channel by channel; however blocks are cut, also where a block has only masked channels."""
    block = {"time": time, "distance": distance}
    data = recording(VALUES[:600])
    found = picks_of(Each(), data, block=block, mask=masked)
    expected = without(picks_of(Each(), data), masked)
    pd.testing.assert_frame_equal(found, expected)


def test_neighbours_are_equal_bit_for_bit_filtered_and_resampled():
    model = Each(dt_range=(0.0199, 0.0201), filter_samples=BAND)
    data = recording(noise(4000, 6, seed=2), rate=250.0)
    whole = dasdist.annotate(model, data)["P"].values
    found = dasdist.annotate(model, data, mask=[1, 4])["P"].values
    assert np.isnan(found[:, [1, 4]]).all()
    kept = [0, 2, 3, 5]
    np.testing.assert_array_equal(found[:, kept], whole[:, kept])


def test_nothing_that_a_masked_channel_holds_is_an_error_or_news():
    values = VALUES.copy()
    values[:, 3] = np.nan
    values[100:200, 4] = 1e30
    result = dasdist.classify(
        Each(), recording(values), mask={3: "dead", 4: "noisy"}, client=False, **OPTIONS
    )
    expected = without(picks_of(Each(), recording(VALUES)), [3, 4])
    pd.testing.assert_frame_equal(pointed(result.picks), expected)
    assert result.report.complete
    assert "2 channels are left out, as mask says: 1 dead, 1 noisy (3:5)" in str(result.report)
    # what else is missing is missed as ever
    values[:, 7] = np.inf
    with pytest.raises(dasdist.UnreadableData, match="channels 7 have nothing else"):
        dasdist.classify(Each(), recording(values), mask=[3, 4], client=False, **OPTIONS)


@pytest.mark.filterwarnings("ignore:.*left out.*:dasdist.DataWarning")
def test_what_is_missing_beside_the_mask_is_told_without_it():
    values = VALUES.copy()
    values[:, 3] = np.nan
    values[700:710, 7] = np.nan
    options = {"client": False, "max_failures": "any", **OPTIONS}
    report = dasdist.classify(Each(), recording(values), mask=[3], **options).report
    assert {missing.channels for missing in report.missing} == {(7, 8)}


@pytest.mark.filterwarnings("ignore:.*left out.*:dasdist.DataWarning")
@pytest.mark.parametrize("block", [None, {"time": 200, "distance": 4}])
def test_a_model_of_several_channels_leaves_out_the_windows_that_see_one(block):
    """As where samples are missing: no more and no less."""
    model, values = Toy(overlap=(32, 2)), VALUES.copy()
    found = dasdist.annotate(model, recording(values), mask=[8], block=block)["P"].values
    values[:, 8] = np.nan
    options = {"max_failures": "any", "block": block}
    expected = dasdist.annotate(model, recording(values), **options)["P"].values
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(found).any()
    assert not np.isnan(found).all()


def test_a_cluster_leaves_out_the_same(client, tmp_path):
    data = recording(VALUES)
    options = {"mask": [2, 3], "block": {"time": 300, "distance": 2}, "pbar": False}
    for name, where in (("here", False), ("there", client)):
        callback = dasdist.WriterCallback(tmp_path / name)
        report = dasdist.annotate(Each(), data, callback, client=where, **options)
        assert report.complete
    one, other = (dasdist.open_annotations(tmp_path / name)["P"] for name in ("here", "there"))
    np.testing.assert_array_equal(one.values, other.values)
    assert np.isnan(one.values[:, 2:4]).all()
    assert np.isfinite(one.values[:, [0, 1, 4, 5, 6, 7, 8]]).all()


# ---------------------------------------------------------------- one run


def test_a_run_goes_on_with_its_mask_and_with_no_other(tmp_path):
    data, out = recording(VALUES), tmp_path / "picks"
    options = {"out": out, "client": False, **OPTIONS}
    first = dasdist.classify(Each(), data, mask=[2, 3], **options)
    again = dasdist.classify(Each(), data, mask={3: "dead", 2: "dead"}, **options)
    assert again.report.before == again.report.blocks == first.report.blocks
    for mask, told in (([2], "other mask: 2:4 then, 2 now"), (None, "2:4 then, not given now")):
        with pytest.raises(dasdist.RunMismatch, match=re.escape(told)):
            dasdist.classify(Each(), data, mask=mask, **options)
    plain = tmp_path / "plain"
    dasdist.classify(Each(), data, **{**options, "out": plain})
    with pytest.raises(dasdist.RunMismatch, match="other mask: not given then, 2 now"):
        dasdist.classify(Each(), data, mask=[2], **{**options, "out": plain})


def test_quality_masks_a_run_on_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = VALUES.copy()
    values[:, 4] = 0
    values[:, 6] = values[:, 5]
    recording(values).to_netcdf("fibre.nc")
    assert here("quality", "fibre.nc", "-o", "quality.parquet")[0] == 0
    run = ["classify", "fibre.nc", "--model", "tests.test_odd_missing:Each", "--threshold", "0.6"]
    run += ["--mask", "quality.parquet", "--set", "blinding=[1,1]"]
    code, _, said = here(*run, "-o", "picks")
    assert code == 0, said
    told = "2 channels are left out, as quality.parquet says: 1 dead, 1 duplicated (4, 6)"
    assert told in " ".join(said.split())
    assert set(pd.read_parquet("picks")["channel_index"]) == {0, 1, 2, 3, 5, 7, 8}
    code, events, said = here(*run, "-o", "part", "--channels", "3:9", "--json")
    assert code == 0, said
    # the first of the chosen counts as 0
    assert events["masked"]["channels"] == {"1": "dead", "3": "duplicated"}
    assert set(pd.read_parquet("part")["channel_index"]) == {0, 2, 4, 5}
    code, _, said = here("plan", *run[1:-2])
    assert told in " ".join(said.split())


# ---------------------------------------------------------------- what a mask may be


def test_a_text_file_names_channels_and_says_why(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("# loops of spare fibre\n7 dead since May\n\n2:4\n")
    mask = read_mask(path)
    assert dict(mask.reasons) == {2: "", 3: "", 7: "dead since May"}
    assert mask.numbers == "2:4, 7"


def test_a_channel_is_left_out_that_has_flags_in_half_of_its_hours(tmp_path):
    flags = {0: ["", "noisy", "", ""], 1: ["dead", "dead noisy", "", ""], 2: [""] * 4}
    rows = [(channel, flag) for channel, hours in flags.items() for flag in hours]
    pd.DataFrame(rows, columns=["channel", "flags"]).to_parquet(tmp_path / "quality.parquet")
    assert dict(read_mask(tmp_path / "quality.parquet").reasons) == {1: "dead noisy"}


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ([9], "leaves out channel 9, and the recording has 9 channels, 0 to 8"),
        (range(9), "leaves out all 9 channels"),
        ([0.5], "give the path of a table"),
        ("none.txt", "There is no file none.txt"),
        ("odd.txt", "Line 2 of odd.txt is 'three'"),
        ("other.parquet", "cannot be read as a table of `dasdist quality`"),
        ("bytes", "neither a table"),
    ],
)
def test_what_is_no_mask_is_refused_before_anything_runs(mask, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.txt").write_text("1\nthree\n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00\x81")
    pd.DataFrame({"a": [1]}).to_parquet("other.parquet")
    with pytest.raises(dasdist.InvalidInput, match=re.escape(message)):
        dasdist.classify(Each(), recording(VALUES), mask=mask, **OPTIONS)
