"""Synthetic archives of any size: what is in them is what the truth says, and it costs little."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xdas
from scipy.signal import butter, sosfilt

import dasdist
from dasdist.demo.run import score
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import COUNT, Endless

RECORDING = Endless(channels=12, rate=100.0, events_per_hour=60.0, seed=3)


def opened(folder):
    return xdas.open_mfdataarray(f"{folder}/*.nc", vtype="tiles")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_minutes(tmp_path_factory.mktemp("synth") / "day", 0.1, RECORDING)


# ---------------------------------------------------------------- the files


def test_an_archive_is_one_uniform_recording_in_files_of_a_minute(made):
    files = sorted(made.folder.iterdir())
    assert [file.name for file in files[:2]] == ["20250601T000000.000.nc", "20250601T000100.000.nc"]
    assert len(files) == made.files == made.written == 6
    assert sum(file.stat().st_size for file in files) == made.bytes
    data = opened(made.folder)
    assert (data.shape, data.dtype) == ((36_000, 12), np.float32)
    steps = np.diff(data["time"].values)
    assert steps.min() == steps.max() == np.timedelta64(10, "ms")
    np.testing.assert_array_equal(data["distance"].values, 10.0 * np.arange(12))
    np.testing.assert_array_equal(data.values, RECORDING.samples(0, 36_000))


def test_each_file_is_one_that_xdas_wrote(made, tmp_path):
    for minute, file in enumerate(sorted(made.folder.iterdir())):
        ours = xdas.open_dataarray(file)
        ours.to_netcdf(tmp_path / "again.nc")
        again = xdas.open_dataarray(tmp_path / "again.nc")
        assert ours.equals(again)
        start = np.datetime64("2025-06-01", "ns") + np.timedelta64(minute, "m")
        assert ours["time"].values[0] == start
        assert ours["time"].values[-1] == start + np.timedelta64(59_990, "ms")


@pytest.mark.parametrize("rate", [20.0, 62.5, 300.0])
def test_times_are_exact_at_rates_whose_samples_last_no_whole_milliseconds(tmp_path, rate):
    made = write_minutes(tmp_path / "odd", 0.05, Endless(channels=2, rate=rate))
    for minute, file in enumerate(sorted(made.folder.iterdir())):
        time = xdas.open_dataarray(file)["time"].values
        ends = 60 * minute + np.array([0, 60 - 1 / rate])
        expected = np.datetime64("2025-06-01", "ns") + np.rint(1e9 * ends).astype("m8[ns]")
        np.testing.assert_array_equal(time[[0, -1]], expected)


def test_a_file_is_the_same_however_long_the_archive_and_whatever_was_written_before(
    made, tmp_path
):
    (tmp_path / "a").mkdir()
    long = write_minutes(tmp_path / "a" / "long", 0.2, RECORDING, gaps=[(1, 3)])
    for file in long.folder.iterdir():
        twin = made.folder / file.name
        if twin.exists():
            assert file.read_bytes() == twin.read_bytes()
    names = {file.name for file in long.folder.iterdir()}
    assert len(names & {file.name for file in made.folder.iterdir()}) == 4


def test_another_seed_is_another_archive():
    other = Endless(channels=12, events_per_hour=60.0, seed=4)
    assert not np.array_equal(other.samples(0, 100), RECORDING.samples(0, 100))
    assert [s.origin for s in other.shakes(0, 36_000)] != [
        s.origin for s in RECORDING.shakes(0, 36_000)
    ]


def test_integer_samples_are_counts_of_the_same_recording():
    whole = Endless(channels=12, events_per_hour=60.0, seed=3, dtype="int16")
    counts = whole.samples(0, 12_000)
    assert counts.dtype == np.int16
    limit = COUNT * np.iinfo(np.int16).max
    expected = np.clip(RECORDING.samples(0, 12_000), -limit, limit)
    assert np.abs(COUNT * counts - expected).max() <= 1.01 * COUNT  # two roundings
    pd.testing.assert_frame_equal(
        whole.arrivals(0, 12_000), RECORDING.arrivals(0, 12_000), rtol=0.05
    )


def test_an_archive_grows_and_keeps_the_files_it_has(tmp_path):
    first = write_minutes(tmp_path / "a", 0.05, RECORDING)
    before = {file.name: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    missing = sorted(first.folder.iterdir())[1]
    missing.unlink()
    more = write_minutes(tmp_path / "a", 0.1, RECORDING)
    assert (more.files, more.written) == (6, 4)
    after = {file.name: file.stat().st_mtime_ns for file in more.folder.iterdir()}
    kept = before.keys() - {missing.name}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    whole = write_minutes(tmp_path / "whole", 0.1, RECORDING)
    pd.testing.assert_frame_equal(pd.read_parquet(more.truth), pd.read_parquet(whole.truth))


def test_another_archive_is_neither_mixed_in_nor_removed_unasked(tmp_path):
    write_minutes(tmp_path / "a", 0.02, Endless(channels=4, rate=20.0))
    other = Endless(channels=5, rate=20.0)
    with pytest.raises(dasdist.OutputExists, match="channels 4 instead of 5"):
        write_minutes(tmp_path / "a", 0.02, other)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(dasdist.OutputExists, match="not a synthetic archive"):
            write_minutes(tmp_path / "mine", 0.02, other, overwrite=overwrite)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"
    write_minutes(tmp_path / "a", 0.02, other, overwrite=True)
    assert opened(tmp_path / "a").shape[1] == 5


@pytest.mark.parametrize(
    ("changes", "hours", "gaps", "fact"),
    [
        ({}, 0.0, [], "hours is 0.0"),
        ({}, 0.1, [(0, 6)], "cover all 6 minutes"),
        ({}, 0.1, [(3, 3)], "from minute 3 to minute 3"),
        ({"channels": 1}, 0.1, [], "has 1 channels"),
        ({"rate": 33.33}, 0.1, [], "1999.8 samples"),
        ({"dtype": "float64"}, 0.1, [], "dtype is 'float64'"),
        ({"events_per_hour": -1.0}, 0.1, [], "events_per_hour is -1.0"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, changes, hours, gaps, fact):
    with pytest.raises(dasdist.InvalidInput, match=fact):
        write_minutes(tmp_path / "a", hours, Endless(**changes), gaps=gaps)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the truth


def test_the_truth_lies_beside_the_folder_and_lists_what_the_files_hold(made, tmp_path):
    beside = {path.name for path in made.folder.parent.iterdir()}
    assert beside == {"day", "day.truth.parquet", "day.recipe.json"}
    truth = pd.read_parquet(made.truth)
    assert list(truth) == ["event", "phase", "channel", "distance", "time", "snr"]
    time = opened(made.folder)["time"].values
    assert truth["time"].between(time[0], time[-1]).all()
    assert (truth["distance"] == 10.0 * truth["channel"]).all()
    assert not truth.duplicated(["event", "phase", "channel"]).any()
    assert truth["event"].nunique() in (5, 6)  # one a minute, the last perhaps cut off
    gap = write_minutes(tmp_path / "gap", 0.1, RECORDING, gaps=[(2, 4)])
    heard = pd.read_parquet(gap.truth)
    lost = truth["time"].between(time[0] + np.timedelta64(2, "m"), time[0] + np.timedelta64(4, "m"))
    pd.testing.assert_frame_equal(heard, truth[~lost].reset_index(drop=True))


def test_waves_begin_at_the_true_arrivals(made):
    truth = pd.read_parquet(made.truth)
    values = opened(made.folder).values
    sos = butter(2, 2.0, "highpass", fs=100.0, output="sos")
    level = np.abs(sosfilt(sos, values, axis=0))
    clear = truth[(truth["phase"] == "P") & (truth["snr"] > 15)]
    assert len(clear) > 12
    seconds = (clear["time"] - pd.Timestamp("2025-06-01")).dt.total_seconds().to_numpy()
    for at, channel in zip(np.rint(100 * seconds).astype(int), clear["channel"], strict=True):
        before, after = level[at - 60 : at - 5, channel].max(), level[at : at + 50, channel].max()
        assert after > 2 * before


def test_stretches_of_a_long_fibre_meet_the_same_earthquake():
    # the fibre is rendered 256 channels at a time; arrivals come from its whole geometry
    recording = Endless(channels=600, rate=50.0, dx=20.0, seed=1)
    family = recording.family(2)
    for channel in (10, 300, 590):
        onset = round(family.arrivals["P"][channel] * 50) - family.start
        trace = np.abs(family.traces[:, channel])
        assert trace[: onset - 5].max() < 0.1 * trace[onset : onset + 25].max()


def test_the_demo_picker_finds_what_the_truth_lists(made):
    model = dasdist.from_pretrained("demo")
    picks = dasdist.classify(model, opened(made.folder), thresholds=0.3, pbar=False).picks
    found = score(picks, pd.read_parquet(made.truth))
    # Of this archive the shipped picker finds all, of eleven others 0.83 to 1, with 0 to 1 % false.
    assert found.recall("P") >= 0.9
    assert found.recall("S") >= 0.9
    assert len(found.false_picks) <= 0.1 * len(picks)


# ---------------------------------------------------------------- the cost

PEAK = """
import resource, sys
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless
write_minutes(sys.argv[1], float(sys.argv[2]), Endless(channels=200, events_per_hour=120.0))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.deep
def test_memory_does_not_grow_with_the_archive(tmp_path):
    def peak(hours):
        folder = tmp_path / f"{hours}"
        command = [sys.executable, "-c", PEAK, str(folder), str(hours)]
        return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)

    short, long = peak(0.1), peak(1.0)
    # 54 files of 4.8 MB more
    assert long - short < 30e6
