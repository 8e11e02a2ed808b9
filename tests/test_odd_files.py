"""Files, folders, formats: what is looked into, by which engine, and what is said of the rest."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xdas
from typer.testing import CliRunner

import dasdist
from dasdist.archive.reader import read_header
from dasdist.cli import app
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording
from dasdist.sources.engines import engine_names, open_file
from dasdist.sources.trusted import CHECKED
from dasdist.sources.unopened import Refused

from . import vendor_files
from .toys import Toy

START = vendor_files.START
SECOND = np.timedelta64(1, "s")


def here(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def noise(samples=1000, channels=24, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(0, 100, (samples, channels)).astype(dtype)


def write_xdas(path, start=START, samples=600, channels=4, seed=0):
    """One minute at 10 Hz in xdas's own format."""
    times = {
        "tie_indices": [0, samples - 1],
        "tie_values": [start, start + (samples - 1) * np.timedelta64(100, "ms")],
    }
    coords = {"time": times, "distance": 10.0 * np.arange(channels)}
    xdas.DataArray(noise(samples, channels, seed=seed), coords).to_netcdf(path)
    return path


# ---------------------------------------------------------------- endings and first bytes


def test_hdf5_is_found_whatever_its_name_ends_in_and_the_rest_is_counted(tmp_path):
    folder = tmp_path / "rcn"
    folder.mkdir()
    names = ["a.das", "b.he5", "c.hdf", "d.H5", "e", "f.dat"]
    for i, name in enumerate(names):
        write_xdas(folder / name, START + i * 60 * SECOND)
    for name in ("notes.txt", "log.TXT", "README", "picture.png"):
        (folder / name).write_text("not a recording")
    os.mkfifo(folder / "pipe")  # opening it would wait for a writer

    index = dasdist.index_archive(folder, tmp_path / "index.nc")
    assert (index.files, index.members, len(index.problems)) == (6, 1, 0)
    assert dict(index.unlooked) == {".txt": 2, "": 2, ".png": 1}
    assert "not looked at: 2 without an ending, 2 .txt, 1 .png" in str(index)
    assert dict(dasdist.ArchiveIndex.read(index.path).unlooked) == dict(index.unlooked)
    assert dasdist.open_archive(index.path).shape == (3600, 4)


def test_a_userblock_before_the_signature_is_no_hdf5_by_its_first_bytes_but_by_its_ending(tmp_path):
    with h5py.File(write_xdas(tmp_path / "plain.nc")) as plain:
        assert plain.userblock_size == 0
    (tmp_path / "x.bin").write_bytes(b"\0" * 512 + (tmp_path / "plain.nc").read_bytes())
    shutil.move(tmp_path / "x.bin", tmp_path / "x.h5")
    assert h5py.is_hdf5(tmp_path / "x.h5")
    assert dasdist.index_archive(tmp_path / "x.h5", tmp_path / "out.nc").files == 1


def test_where_nothing_is_found_there_is_an_error_and_no_index(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.csv").write_text("1,2")
    done = here("index", folder, "-o", tmp_path / "index.nc")
    assert done.exit_code == 1
    assert "There is no recording in" in done.stderr
    assert "3 .csv" in done.stderr
    assert "--engine" in done.stderr
    assert not (tmp_path / "index.nc").exists()
    with pytest.raises(dasdist.InvalidInput, match=r"3 \.csv"):
        dasdist.index_archive(folder, tmp_path / "index.nc")


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    path = tmp_path / "a.h5"
    path.touch()
    done = here("plan", path, "--model", "demo")
    assert done.exit_code == 1
    assert "a.h5 could not be opened: it is empty (0 bytes)." in done.stderr.replace("\n", " ")


def test_an_index_of_nothing_readable_ends_with_1_and_keeps_the_reasons(tmp_path):
    (tmp_path / "a.h5").write_text("no HDF5")
    done = here("index", tmp_path, "-o", tmp_path / "index.nc", "--json")
    assert done.exit_code == 1
    (problem, end) = [json.loads(line) for line in done.stdout.splitlines()][-2:]
    assert "neither HDF5 nor TDMS" in problem["reason"]
    assert (end["exit_code"], end["files"], end["unlooked"]) == (1, 0, {})
    assert len(dasdist.ArchiveIndex.read(tmp_path / "index.nc").problems) == 1


# ---------------------------------------------------------------- options of engines


@pytest.mark.slow
def test_options_of_an_engine_reach_it_and_others_are_refused(tmp_path):
    # blocks of 1.2 s at 500 Hz every second: 100 samples of overlap, 30 before and 70 behind
    rate, blocks = 500, 6
    values = noise(rate * blocks + 100, 5)
    path = tmp_path / "febus.h5"
    vendor_files.febus(path, values[: rate * blocks], rate)
    stack = np.stack([values[i * rate : i * rate + 600] for i in range(blocks)])
    with h5py.File(path, "r+") as file:
        zone = file["fa1-1/Source1/Zone1"]
        del zone["StrainRate"]
        zone["StrainRate"] = stack
        # each block has the time of its sample 30
        file["fa1-1/Source1/time"][:] = START.astype(np.int64) / 1e9 + np.arange(blocks)

    words = ["--engine", "febus", "--engine-option", "overlaps=30,70", "--engine-option"]
    done = here("index", path, "-o", tmp_path / "a.nc", *words, "offset=30", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["problems"] == 0
    data = dasdist.open_archive(tmp_path / "a.nc")
    np.testing.assert_array_equal(data.values, values[30 : 30 + rate * blocks])
    off = data["time"].values.astype("M8[ns]") - (START + vendor_files.stamps(len(data), rate))
    assert np.abs(off).max() <= np.timedelta64(1, "us")

    # the same as an argument, for another index: all is scanned again when an option changes
    again = dasdist.index_archive(
        path, tmp_path / "a.nc", engine="febus", engine_options={"overlaps": (30, 70), "offset": 30}
    )
    assert again.scanned == 0
    other = dasdist.index_archive(
        path, tmp_path / "a.nc", engine="febus", engine_options={"overlaps": (0, 100), "offset": 0}
    )
    assert other.scanned == 1
    np.testing.assert_array_equal(
        dasdist.open_archive(tmp_path / "a.nc").values, values[: rate * blocks]
    )

    for engine, options, match in [
        (None, {"overlaps": (1, 1)}, "without an engine"),
        ("febus", {"overlap": (1, 1)}, "no option 'overlap'; it takes overlaps, offset"),
        ("febus", {"overlaps": "many"}, "does not take overlaps='many'"),
        ("aragon", {"tz": "CET"}, "it takes none"),
        ("dascore", {"format": "PICKLE"}, "Unknown format of DASCore 'PICKLE'"),
    ]:
        with pytest.raises(dasdist.InvalidInput, match=match):
            dasdist.index_archive(path, tmp_path / "b.nc", engine=engine, engine_options=options)
    assert not (tmp_path / "b.nc").exists()


@pytest.mark.slow
def test_options_of_an_engine_reach_a_run(tmp_path):
    path = tmp_path / "febus.h5"
    vendor_files.febus(path, noise(12000, 12), 200)
    words = ["--model", "demo", "--json", "--engine", "febus", "--engine-option"]
    whole = json.loads(here("plan", path, *words, "overlaps=0,0").stdout.splitlines()[-1])
    assert whole["data_seconds"] == pytest.approx(60.0, rel=0.01)
    assert whole["segments"] == 1
    cut = here("plan", path, *words, "overlaps=[10,10]")  # 0.9 s each, with gaps between
    assert cut.exit_code == 1
    assert "60 segments, 10,800 samples" in cut.stderr
    dasdist.index_archive(path, tmp_path / "index.nc")
    done = here("plan", tmp_path / "index.nc", *words, "offset=3")
    assert done.exit_code == 1
    assert "give --engine-option (offset) to `dasdist index`" in done.stderr
    done = here("plan", path, "--model", "demo", "--engine-option", "offset=3")
    assert done.exit_code == 1
    assert "without an engine" in done.stderr
    done = here("plan", path, *words, "offse=3")
    assert done.exit_code == 1
    assert "no option 'offse'" in done.stderr


def test_what_xdas_guesses_is_a_problem_of_the_index_and_a_warning_of_a_run(tmp_path):
    for i in range(3):
        vendor_files.febus(tmp_path / f"{i}.h5", noise(1000, 5), 500, START + 2 * i * SECOND)
    index = dasdist.index_archive(tmp_path, tmp_path / "index.nc")
    guesses = index.problems[index.problems["kind"] == "guess"]
    assert len(index.problems) == len(guesses) == 2
    assert all("3 files" in reason and "--engine-option" in reason for reason in guesses["reason"])
    assert {"overlaps=", "offset="} <= {
        name for reason in guesses["reason"] for name in ("overlaps=", "offset=") if name in reason
    }
    # also when nothing is scanned again
    again = dasdist.index_archive(tmp_path, tmp_path / "index.nc")
    assert (again.scanned, len(again.problems)) == (0, 2)
    assert (index.files, index.members) == (3, 1)

    done = here("plan", tmp_path / "0.h5", "--model", "demo")
    assert done.stderr.count("Warning: ") == 2
    assert "overlaps=BEFORE,AFTER" in done.stderr


def test_a_febus_recording_at_1050_hz_has_that_rate(tmp_path):
    rate = 1050
    values = noise(rate * 8, 6)
    path = tmp_path / "febus.h5"
    vendor_files.febus(path, values, rate)
    options = {"overlaps": (0, 0), "offset": rate // 2}
    recording = open_recording(open_file(str(path), "febus", options))
    (segment,) = recording.segments
    assert segment.time.sampling_rate == pytest.approx(rate, rel=1e-5)
    np.testing.assert_array_equal(recording.select(segment.recorded).read(), values)


# ---------------------------------------------------------------- formats through DASCore


def write_dasdae(path, values, rate, start=START):
    dascore = pytest.importorskip("dascore")
    coords = {
        "time": start + vendor_files.stamps(len(values), rate),
        "distance": 7.0 + 2.0 * np.arange(values.shape[1]),
    }
    dascore.Patch(values, coords=coords, dims=("time", "distance")).io.write(path, "dasdae")


WRITERS = {
    "GDR_DAS": (vendor_files.gdr, ".das"),
    "DASHDF5": (vendor_files.dashdf5, ".h5"),
    "NEUBREXDAS": (vendor_files.neubrex, ".hdf5"),
    "SILIXA_H5": (vendor_files.silixa_h5, ".h5"),
    "UPTECH_H5": (vendor_files.uptech, ".he5"),
    "SINTELA_BINARY": (vendor_files.sintela, ".raw"),
    "SEGY": (vendor_files.segy, ".sgy"),
    "SENTEK": (vendor_files.sentek, ".das"),
    "DASDAE": (write_dasdae, ".h5"),
}
BEGIN = START + 53 * SECOND  # DASCore reads no Sentek file of the first ten seconds


def written(folder, format, values, rate=250, start=BEGIN):
    """Write a file, and return its path and what DASCore reads of it."""
    dascore = pytest.importorskip("dascore")
    writer, ending = WRITERS[format]
    path = folder / f"{start.astype(int)}{ending}"
    if format == "SENTEK":
        path = writer(folder, values, rate, start)
    else:
        writer(path, values, rate, start)
    (patch,) = dascore.read(path, file_format=format)
    return path, patch.transpose("time", ...)


@pytest.mark.slow
@pytest.mark.parametrize("format", WRITERS)
def test_files_that_dascore_reads_come_back_as_it_reads_them(tmp_path, format):
    values = noise()
    folder = tmp_path / "in"
    folder.mkdir()
    path, patch = written(folder, format, values)
    index = dasdist.index_archive(folder, tmp_path / "index.nc")
    assert (index.files, len(index.problems)) == (1, 0), index.problems["reason"].tolist()

    data = dasdist.open_archive(index.path)
    recording = open_recording(data)
    assert recording.shape == (1000, 24)
    assert recording.dtype == patch.data.dtype
    (segment,) = recording.segments
    assert segment.time.sampling_rate == pytest.approx(250, rel=1e-9)
    # lazily: a block reads its own samples and channels, wherever it runs
    region = Region(Span(211, 404), Span(5, 17))
    block = pickle.dumps(recording.select(region))
    assert len(block) < 10_000
    np.testing.assert_array_equal(pickle.loads(block).read(), patch.data[211:404, 5:17])
    np.testing.assert_array_equal(recording.select(segment.recorded).read(), values)
    axis = data.dims.index("time")
    np.testing.assert_array_equal(data.values if axis == 0 else data.values.T, patch.data)
    (channel,) = (dim for dim in patch.dims if dim != "time")
    assert recording.channel_name == channel
    off = data["time"].values.astype("M8[ns]") - patch.get_array("time")
    assert np.abs(off).max() <= np.timedelta64(1, "us")
    np.testing.assert_allclose(data[channel].values, patch.get_array(channel), rtol=1e-9)
    # and a step of a slice, which xdas cuts lazily
    every = data[::7, ::3] if axis == 0 else data[::3, ::7].T
    np.testing.assert_array_equal(every.values, patch.data[::7, ::3])
    assert str(path) in [name for _, name in recording.select(region).source.files()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "format",
    [
        "SEGY",
        *(
            pytest.param(one, marks=pytest.mark.deep)
            for one in ("SINTELA_BINARY", "DASDAE", "GDR_DAS")
        ),
    ],
)
def test_files_through_dascore_are_classified_like_the_samples_in_memory(tmp_path, format):
    values = noise(4000, 12)
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        written(folder, format, values[i * 1000 : (i + 1) * 1000], start=BEGIN + 4 * i * SECOND)
    (_, ending) = WRITERS[format]
    outs = []
    dasdist.index_archive(folder, tmp_path / "index.nc")
    for data in (tmp_path / "index.nc", f"{folder}/*{ending}"):
        outs.append(tmp_path / f"{len(outs)}.parquet")
        words = ["--model", "tests.test_odd_files:toy", "--threshold", "0.6", "--set"]
        block = ["--block", "time=500"]
        done = here("classify", data, "-o", outs[-1], *words, "blinding=[1, 1]", *block)
        assert done.exit_code == 0, done.stderr
    (segment,) = open_recording(tmp_path / "index.nc").segments
    assert segment.recorded.shape == (4000, 12)  # windows cross the borders of files
    picks = [pd.read_parquet(out).sort_values(["time", "channel_index"]) for out in outs]
    assert len(picks[0]) > 20
    expected = (
        toy()
        .classify(
            xdas.DataArray(
                values,
                {
                    "time": {
                        "tie_indices": [0, 3999],
                        "tie_values": [BEGIN, BEGIN + 3999 * np.timedelta64(4, "ms")],
                    },
                    "distance": np.arange(12.0),
                },
            ),
            thresholds=0.6,
            blinding=(1, 1),
            pbar=False,
        )
        .picks.sort_values(["time", "channel_index"])
    )
    for found in picks:
        columns = ["time", "channel_index", "sample_index"]
        pd.testing.assert_frame_equal(
            found[columns].reset_index(drop=True),
            expected[columns].reset_index(drop=True),
            check_dtype=False,
        )


def toy():
    """A model that picks where noise is loud."""
    return Toy(gain=1e-2)


def test_channels_in_feet_are_metres(tmp_path):
    dascore = pytest.importorskip("dascore")
    values = noise(200, 5)
    write_dasdae(tmp_path / "m.h5", values, 100)
    (patch,) = dascore.read(tmp_path / "m.h5", file_format="DASDAE")
    feet = patch.set_units(distance="m").convert_units(distance="ft")
    np.testing.assert_allclose(feet.get_array("distance")[:2] * 0.3048, [7.0, 9.0])
    feet.io.write(tmp_path / "ft.h5", "dasdae")
    for data in (open_file(str(tmp_path / "ft.h5")), feet):
        (segment,) = open_recording(data).segments
        np.testing.assert_allclose(segment.distance.values(), 7.0 + 2.0 * np.arange(5), rtol=1e-9)


@pytest.mark.parametrize("format", [1, 3, 5])
def test_segy_in_each_type_of_samples(tmp_path, format):
    dascore = pytest.importorskip("dascore")
    values = noise(300, 7, "int16" if format == 3 else "float32")
    vendor_files.segy(tmp_path / "a.SEGY", values, 500, format=format)
    (patch,) = dascore.read(tmp_path / "a.SEGY", file_format="SEGY")
    data = open_file(str(tmp_path / "a.SEGY"))
    assert data.dtype == patch.data.dtype
    np.testing.assert_array_equal(data.values, patch.data)
    # a block reads whole traces, and the plan reckons with it
    assert open_recording(data).chunks == (300, 1)
    np.testing.assert_allclose(data.values, values, rtol=2e-6)


def test_segy_as_obspy_writes_it(tmp_path):
    pytest.importorskip("segyio")
    from obspy import Stream, Trace, UTCDateTime
    from obspy.io.segy.segy import SEGYTraceHeader

    values = noise(400, 6)
    start = UTCDateTime(2024, 5, 1, 0, 0, 7)
    traces = []
    for channel in range(6):
        trace = Trace(values[:, channel].copy(), {"delta": 0.005, "starttime": start})
        trace.stats.segy = {"trace_header": SEGYTraceHeader()}
        traces.append(trace)
    Stream(traces).write(str(tmp_path / "a.sgy"), format="SEGY", data_encoding=5)
    data = open_file(str(tmp_path / "a.sgy"))
    np.testing.assert_array_equal(data.values, values)
    assert data["time"][0].values == START + 7 * SECOND
    assert open_recording(data).segments[0].time.sampling_rate == 200.0


def test_an_hour_at_3000_hz_does_not_end_early(tmp_path):
    """DASCore rounds the step to 333333 ns: an hour of it ends 3.6 ms before the next begins."""
    pytest.importorskip("dascore")
    from dasdist.sources.lines import even_times

    hour = even_times(0, 333333, 3000 * 3600, "time")
    assert hour.tie_values[-1].astype(int) == 3600 * 10**9 - 333333
    odd = even_times(0, 1_234_000, 1000, "time")  # 810.37 Hz
    assert odd.tie_values[-1].astype(int) == 999 * 1_234_000


@pytest.mark.slow
def test_files_at_3000_hz_are_one_segment_at_that_rate(tmp_path):
    pytest.importorskip("dascore")
    values = noise(9000, 3)
    for i in range(3):
        path = tmp_path / f"{i}.raw"
        vendor_files.sintela(path, values[3000 * i : 3000 * (i + 1)], 3000, START + i * SECOND)
    dasdist.index_archive(tmp_path, tmp_path / "index.nc")
    (segment,) = open_recording(tmp_path / "index.nc").segments
    assert segment.recorded.shape == (9000, 3)
    assert segment.time.sampling_rate == 3000.0


def test_several_patches_of_a_file_are_one_recording_or_refused(tmp_path):
    dascore = pytest.importorskip("dascore")
    values = noise(600, 4)
    parts = []
    for i in range(3):
        coords = {
            "time": START + vendor_files.stamps(600, 100)[200 * i : 200 * (i + 1)],
            "distance": 5.0 * np.arange(4),
        }
        part = values[200 * i : 200 * (i + 1)]
        parts.append(dascore.Patch(part, coords=coords, dims=("time", "distance")))
    dascore.write(dascore.spool(parts[::-1]), tmp_path / "a.h5", "dasdae")
    recording = open_recording(open_file(str(tmp_path / "a.h5")))
    (segment,) = recording.segments
    np.testing.assert_array_equal(recording.select(segment.recorded).read(), values)
    np.testing.assert_array_equal(
        recording.select(Region(Span(150, 450), Span(1, 3))).read(), values[150:450, 1:3]
    )

    other = parts[1].update_coords(distance=5.0 * np.arange(4) + 1)
    dascore.write(dascore.spool([parts[0], other]), tmp_path / "b.h5", "dasdae")
    with pytest.raises(Refused, match=r"holds 2 patches that differ.*spool"):
        open_file(str(tmp_path / "b.h5"))


def test_dascore_is_asked_for_no_format_that_may_run_what_a_file_holds(tmp_path):
    """The list is explicit; neither detection nor an index may name another."""
    dascore = pytest.importorskip("dascore")
    marker = tmp_path / "ran"
    (tmp_path / "evil.h5").write_bytes(pickle.dumps(Opens(marker)))
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Opens(marker)))
    # and in an attribute of a DASDAE file, which PyTables would unpickle
    write_dasdae(tmp_path / "dasdae.h5", noise(100, 3), 100)
    with h5py.File(tmp_path / "dasdae.h5", "r+") as file:
        (group,) = file["waveforms"].values()
        group.attrs["_attrs_history"] = np.bytes_(pickle.dumps(Opens(marker), protocol=0))
        group.attrs["_attrs_coords"] = np.bytes_(pickle.dumps({"time": Opens(marker)}, protocol=0))
    for name in ("evil.h5", "evil.pkl"):
        with pytest.raises(Refused):
            open_file(str(tmp_path / name))
    found = read_header(str(tmp_path / "dasdae.h5"))
    assert getattr(found, "reason", "") != "" or found.samples == 100
    with pytest.raises(dasdist.InvalidInput, match="Unknown format"):
        open_file(str(tmp_path / "evil.pkl"), "dascore", {"format": "PICKLE"})
    from dasdist.sources.dascore_files import DascoreEngine

    box = (slice(0, 1), slice(0, 1))
    with pytest.raises(dasdist.InvalidInput, match="Unknown format"):
        DascoreEngine.load_tile(str(tmp_path / "evil.pkl"), box, format="PICKLE", version="1")
    assert not marker.exists()
    assert CHECKED not in engine_names()
    with pytest.raises(ValueError, match="history"):
        dascore.read(tmp_path / "dasdae.h5", file_format="DASDAE")
    assert marker.exists()  # so would DASCore have done


class Opens:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


# ---------------------------------------------------------------- patches and spools as data


def patch_of(values, rate=100, start=START, dims=("time", "distance")):
    dascore = pytest.importorskip("dascore")
    coords = {
        "time": start + vendor_files.stamps(len(values), rate),
        "distance": 10.0 * np.arange(values.shape[1]),
    }
    return dascore.Patch(values, coords=coords, dims=("time", "distance")).transpose(*dims)


def picks_of(data):
    found = toy().classify(data, thresholds=0.6, blinding=(1, 1), pbar=False).picks
    columns = ["time", "distance", "channel_index", "phase", "confidence"]
    return found[columns].sort_values(["time", "channel_index"]).reset_index(drop=True)


@pytest.mark.parametrize("dims", [("time", "distance"), ("distance", "time")])
def test_a_patch_is_data(dims):
    values = noise(3000, 12)
    coords = {
        "time": START + vendor_files.stamps(3000, 100),
        "distance": 10.0 * np.arange(12),
    }
    expected = picks_of(xdas.DataArray(values, coords))
    assert len(expected) > 20
    pd.testing.assert_frame_equal(picks_of(patch_of(values, dims=dims)), expected)
    assert len(dasdist.plan(toy(), patch_of(values, dims=dims))) == len(
        dasdist.plan(toy(), xdas.DataArray(values, coords))
    )


@pytest.mark.filterwarnings("ignore:.*track_times", "ignore:Querying with a nested 'where'")
def test_a_spool_of_memory_or_files_is_data_and_its_patches_follow_one_another(tmp_path):
    dascore = pytest.importorskip("dascore")
    values = noise(3000, 12)
    expected = picks_of(patch_of(values))
    parts = [
        patch_of(values[i : i + 1000], start=START + i * np.timedelta64(10, "ms"))
        for i in range(0, 3000, 1000)
    ]
    pd.testing.assert_frame_equal(picks_of(dascore.spool(parts[::-1])), expected)
    folder = tmp_path / "spool"
    folder.mkdir()
    for i, part in enumerate(parts):
        part.io.write(folder / f"{3 - i}.h5", "dasdae")
    spool = dascore.spool(folder).update(progress=None)
    for data in (spool, spool.chunk(time=None), spool.chunk(time=5)):
        recording = open_recording(data)
        (segment,) = recording.segments
        assert segment.recorded.shape == (3000, 12)
        block = pickle.dumps(recording.select(Region(Span(900, 1100), Span(2, 9))))
        assert len(block) < 30_000  # the recipe, not the samples of the spool
        np.testing.assert_array_equal(pickle.loads(block).read(), values[900:1100, 2:9])
    pd.testing.assert_frame_equal(picks_of(spool), expected)
    paths = {
        p for _, p in open_recording(spool).select(Region(Span(0, 9), Span(0, 9))).source.files()
    }
    assert paths == {str(folder / "3.h5")}
    with pytest.raises(dasdist.InvalidInput, match="spool is empty"):
        open_recording(dascore.spool([]))


def test_a_patch_whose_file_is_gone_is_missing_data(tmp_path):
    dascore = pytest.importorskip("dascore")
    patch_of(noise(2000, 12)).io.write(tmp_path / "a.h5", "dasdae")
    spool = dascore.spool(tmp_path / "a.h5")
    recording = open_recording(spool)
    (tmp_path / "a.h5").unlink()
    with pytest.raises(dasdist.UnreadableData, match=r"a\.h5"):
        recording.select(Region(Span(0, 9), Span(0, 9))).read()


def test_without_dascore_the_remedy_is_named(tmp_path, monkeypatch):
    """As where the extra is not installed: Python finds no such package."""
    vendor_files.gdr(tmp_path / "a.h5", noise(100, 4), 100)
    (tmp_path / "b.sgy").write_bytes(b"\0" * 4000)
    monkeypatch.setitem(__import__("sys").modules, "dascore", None)
    monkeypatch.setattr("dasdist.sources.engines.find_spec", lambda name: None)
    for name in ("a.h5", "b.sgy"):
        with pytest.raises(Refused, match=r'pip install "dasdist\[dascore\]"'):
            open_file(str(tmp_path / name))
    with pytest.raises(dasdist.InvalidInput, match=r'pip install "dasdist\[dascore\]"'):
        open_file(str(tmp_path / "b.sgy"), "dascore", {"format": "SEGY"})


# ---------------------------------------------------------------- one line instead of seven errors


@pytest.mark.slow
def test_one_line_says_what_the_engine_of_the_format_says_and_verbose_all(tmp_path):
    path = tmp_path / "broken.h5"
    with h5py.File(path, "w") as file:
        file.create_group("Acquisition/Raw[0]")
    reason = "prodml: KeyError: Unable to synchronously open attribute"
    for words in (["index", path, "-o", tmp_path / "i.nc"], ["plan", path, "--model", "demo"]):
        short, long = here(*words), here(*words, "--verbose")
        for done in (short, long):
            assert done.exit_code == 1
        assert "terra15" not in short.output
        for engine in ("xdas", "prodml", "terra15", "febus", "asn", "apsensing", "aragon"):
            assert f"  {engine}: " in long.output, (engine, long.output)
    found = read_header(str(path))
    assert found.reason.startswith(reason)
    assert len(found.reason.splitlines()) == 1
    assert len(found.details.splitlines()) == 7

    with h5py.File(tmp_path / "else.h5", "w") as file:
        file["temperature"] = np.arange(10)
    found = read_header(str(tmp_path / "else.h5"))
    assert "of no layout that xdas reads: at its top is temperature" in found.reason


# ---------------------------------------------------------------- an archive that moves


@pytest.mark.slow
def test_an_index_moved_with_its_archive_still_works(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new place"
    (old / "fibre/day1").mkdir(parents=True)
    for i in range(3):
        write_xdas(old / f"fibre/day1/{i}.nc", START + i * 60 * SECOND, seed=i)
    (old / "fibre/bad.nc").write_text("no HDF5")
    index = dasdist.index_archive(old / "fibre", old / "index.nc")
    before = open_recording(index.path)
    values = before.select(before.segments[0].recorded).read().copy()
    identity = before.identity()
    old.rename(new)

    after = open_recording(new / "index.nc")
    np.testing.assert_array_equal(after.select(after.segments[0].recorded).read(), values)
    assert after.identity() == identity  # so that a run goes on
    np.testing.assert_array_equal(dasdist.open_archive(new / "index.nc").values, values)
    moved = dasdist.ArchiveIndex.read(new / "index.nc")
    assert all(path.startswith(str(new)) for path in moved.table()["path"])
    assert moved.problems["path"].tolist() == [str(new / "fibre/bad.nc")]
    again = dasdist.index_archive(new / "fibre", new / "index.nc")
    assert (again.scanned, again.files) == (1, 3)  # the bad one only

    # the index alone, to somewhere else: the files are where they were
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(new / "index.nc", alone / "index.nc")
    found = open_recording(alone / "index.nc")
    np.testing.assert_array_equal(found.select(found.segments[0].recorded).read(), values)


def test_an_index_in_the_folder_of_its_files_moves_with_them_and_alone(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    write_xdas(old / "a.nc")
    dasdist.index_archive(old, old / "index.nc")
    values = dasdist.open_archive(old / "index.nc").values
    new.mkdir()
    shutil.copy(old / "index.nc", new / "index.nc")  # alone
    np.testing.assert_array_equal(dasdist.open_archive(new / "index.nc").values, values)
    shutil.rmtree(new)
    old.rename(new)
    np.testing.assert_array_equal(dasdist.open_archive(new / "index.nc").values, values)


@pytest.mark.slow
def test_an_index_of_before_is_read_and_extended(tmp_path):
    """As the version before this wrote it: without the folder, the notes and what was left out."""
    for i in range(2):
        write_xdas(tmp_path / f"{i}.nc", START + i * 60 * SECOND)
    out = tmp_path / "index" / "i.nc"
    out.parent.mkdir()
    dasdist.index_archive(tmp_path, out)
    with h5py.File(out, "r+") as file:
        for name in ("folder", "unlooked"):
            del file[CHECKED].attrs[name]
        assert "notes" not in file[CHECKED]
    assert dasdist.open_archive(out).shape == (1200, 4)
    write_xdas(tmp_path / "2.nc", START + 120 * SECOND)
    again = dasdist.index_archive(tmp_path, out)
    assert (again.scanned, again.files, again.members) == (1, 3, 1)


# ---------------------------------------------------------------- spectra


@pytest.mark.slow
def test_a_power_spectrum_is_no_recording(tmp_path, das_file):
    path = das_file("febus_2.h5")
    with h5py.File(path) as file:
        name = next(iter(file["fa1-24090193/Source1/Zone1"]))
        assert name.startswith("PSD [dB")
        assert file["fa1-24090193/Source1/Zone1"][name].shape == (1, 3001, 101)
    refuse_as_spectrum(path, tmp_path)


def test_a_made_power_spectrum_is_no_recording(tmp_path):
    path = tmp_path / "psd.h5"
    vendor_files.febus(path, noise(1000, 4), 500, name="PSD [dB re 1 nStrain|sqrt(Hz)]")
    refuse_as_spectrum(path, tmp_path)


def refuse_as_spectrum(path, tmp_path):
    index = dasdist.index_archive(path, tmp_path / "index.nc")
    assert index.files == 0
    (problem,) = index.problems.itertuples()
    assert problem.kind == "format"
    assert "power spectrum" in problem.reason
    for vtype in ("tiles", "hdf5"):
        data = xdas.open_dataarray(
            str(path), engine="febus", vtype=vtype, overlaps=(1, 1), offset=5
        )
        for one in (data, data[5:], data[5:].load()):
            with pytest.raises(dasdist.InvalidInput, match="power spectrum"):
                dasdist.plan(Toy(), one)
    for words in (["plan"], ["classify", "-o", tmp_path / "p"], ["annotate", "-o", tmp_path / "z"]):
        done = here(words[0], path, "--model", "demo", *words[1:])
        assert done.exit_code == 1
        assert "power spectrum" in done.stderr
    done = here(
        "plan", path, "--model", "demo", "--engine", "dascore", "--engine-option=format=FEBUS"
    )
    assert done.exit_code == 1
    assert "power spectrum" in done.stderr or "no file of DASCore's format" in done.stderr


def test_a_recording_with_a_plain_name_passes(tmp_path):
    data = xdas.DataArray(
        noise(1000, 12),
        {"time": START + vendor_files.stamps(1000, 100), "distance": np.arange(12.0)},
        name="strain_rate",
    )
    assert len(dasdist.plan(Toy(), data)) > 0
