"""The command line: what it prints, where, and with which code it ends."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray
import xdas
from rich.console import Console
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.cli.compute import computing
from dasdist.cli.groups import Failing, Where
from dasdist.cli.running import listed
from dasdist.cli.views import JsonView, LineView
from dasdist.cli.voice import Voice
from dasdist.geometry import Region, Span
from dasdist.report import Failure
from dasdist.run.progress import Progress
from dasdist.run.progress_bar import ProgressBar
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless

RUN = [sys.executable, "-c", "from dasdist.cli import app; app(prog_name='dasdist')"]
BLOCKS = ["--block", "time=6000"]
START = "2025-06-01T00:00:00"


def command(*words, folder, **options):
    """Run a command in a process of its own, as a shell would."""
    return subprocess.run(
        [*RUN, *map(str, words)], cwd=folder, capture_output=True, text=True, check=False, **options
    )


def here(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words])


def in_order(picks):
    columns = ["time", "channel_index", "phase"]
    return picks[columns].astype({"phase": str}).sort_values(columns, ignore_index=True)


def picks_of(path):
    return in_order(pd.read_parquet(path))


def events(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    write_minutes(folder / "fibre", 0.15, Endless(channels=12, events_per_hour=60.0, seed=3))
    return folder


@pytest.fixture(scope="module")
def data(archive):
    return f"{archive}/fibre/*.nc"


@pytest.fixture(scope="module")
def picked(archive, data):
    """A run, with all that it left."""
    out = archive / "picks.parquet"
    words = ["--threshold", "P=0.3", "--threshold", "S=0.6", "--json", *BLOCKS]
    done = here("classify", data, "--model", "demo", "-o", out, *words)
    assert done.exit_code == 0, done.stderr
    return out, done


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize(
    "words",
    [
        ["classify"],
        ["nonsense"],
        ["--nonsense"],
        ["synth", "out", "--hours", "many"],
        ["synth", "out", "--hours", "1", "--gap", "five"],
        ["classify", "data", "--model", "demo", "-o", "out", "--set", "novalue"],
        ["classify", "data", "--model", "demo", "-o", "out", "--threshold", "high"],
        ["classify", "data", "--model", "demo", "-o", "out", "--threshold", "P=1", "--threshold=2"],
        ["classify", "data", "--model", "demo", "-o", "out", "--block", "time=all"],
    ],
)
def test_bad_usage_ends_with_1_and_writes_nothing(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = here(*words)
    assert shown.exit_code == 1
    assert "Usage: dasdist" in shown.stderr or "Usage: root" in shown.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["demo", "synth", "index", "plan", "classify", "annotate", "status"]
)
def test_every_command_has_help_with_an_example(name):
    shown = here(name, "--help")
    assert shown.exit_code == 0
    assert f"dasdist {name}" in shown.stdout.partition("Examples:")[2]
    assert name in here("--help").stdout


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (["DATA", "--model", "dmeo"], ["no model called 'dmeo'", "Near: demo"]),
        (["nowhere.nc", "--model", "demo"], ["nothing at nowhere.nc", "dasdist index"]),
        (["none-*.nc", "--model", "demo"], ["No file matches none-*.nc"]),
        (["FOLDER", "--model", "demo"], ["is a folder", "dasdist index"]),
        (["TEXT", "--model", "demo"], ["letter.txt could not be opened", "--engine"]),
        (["DATA", "--model", "demo", "--set", "tresholds=0.3"], ["'tresholds'", "did you mean"]),
        (["DATA", "--model", "demo", "--threads", "2"], ["--workers"]),
        (["DATA", "--model", "demo", "--workers", "1", "--memory", "much"], ["--memory much"]),
        (["DATA", "--model", "demo", "--workers", "1", "--scheduler", "tcp://x:1"], ["exclude"]),
        (["DATA", "--model", "demo", "--block", "time=0"], ["time"]),
    ],
)
def test_bad_input_ends_with_1_and_a_message_without_traceback(words, facts, data, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    places = {"DATA": data, "FOLDER": str(tmp_path), "TEXT": str(tmp_path / "letter.txt")}
    shown = here("classify", *(places.get(word, word) for word in words), "-o", tmp_path / "out")
    assert shown.exit_code == 1
    assert shown.stdout == ""
    slow = "Loading libraries ...\n"  # said where it takes more than a second
    assert shown.stderr.removeprefix(slow).startswith("Error: ")
    assert "Traceback" not in shown.stderr
    for fact in facts:
        assert fact in shown.stderr
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_is_not_there_is_bad_input(data, tmp_path, monkeypatch):
    monkeypatch.setattr("dasdist.cluster.folder._PATIENCE", "1s")
    words = ["--model", "demo", "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1"]
    shown = here("classify", data, *words)
    assert shown.exit_code == 1
    assert "No scheduler answers at tcp://127.0.0.1:1" in shown.stderr


def test_errors_are_objects_for_programs_too(tmp_path):
    shown = here("status", tmp_path / "nothing", "--json")
    assert shown.exit_code == 1
    (end,) = events(shown.stdout)
    assert (end["event"], end["exit_code"], end["kind"]) == ("end", 1, "InvalidInput")
    assert end["error"] in shown.stderr


# ---------------------------------------------------------------- inputs


def test_anything_that_xdas_or_xarray_opens_is_an_input(data, tmp_path):
    from dasdist.cli.inputs import open_input

    values = xdas.open_mfdataarray(data, vtype="tiles").values
    assert np.array_equal(open_input(data).values, values)
    one = sorted(Path(data).parent.iterdir())[0]
    assert open_input(str(one)).shape == (6000, 12)
    time_ = np.datetime64("2025-06-01", "ns") + np.arange(100) * np.timedelta64(10, "ms")
    samples = xarray.DataArray(
        np.ones((100, 3), np.float32), {"time": time_, "distance": [0.0, 1.0, 2.0]}
    )
    both = xarray.Dataset({"strain": samples, "rate": samples, "length": 3.0})
    for name, dataset in {"two": both, "one": both.drop_vars("rate")}.items():
        dataset.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        dataset.to_zarr(tmp_path / f"{name}.zarr", zarr_format=3, consolidated=False)
        for path in (tmp_path / f"{name}.nc", tmp_path / f"{name}.zarr"):
            if name == "two":
                with pytest.raises(dasdist.InvalidInput, match=r"rate, strain.*--variable"):
                    open_input(str(path))
            found = open_input(str(path), variable="strain" if name == "two" else None)
            assert np.array_equal(found.values, samples.values)
    with pytest.raises(dasdist.InvalidInput, match="no variable 'stain'; it has length, strain"):
        open_input(str(tmp_path / "one.zarr"), variable="stain")


def test_a_file_of_a_pattern_that_cannot_be_opened_is_not_left_out_silently(data, tmp_path):
    from dasdist.cli.inputs import open_input

    first = sorted(Path(data).parent.iterdir())[0]
    (tmp_path / "a.nc").write_bytes(first.read_bytes())
    (tmp_path / "b.nc").write_bytes(first.read_bytes()[:3000])
    with pytest.raises(dasdist.InvalidInput, match=r"1 of 2 files.*b\.nc.*dasdist index"):
        open_input(f"{tmp_path}/*.nc")


# ---------------------------------------------------------------- runs


def test_a_plan_is_that_of_the_run(data):
    text = here("plan", data, "--model", "demo", *BLOCKS)
    assert text.exit_code == 0
    assert "computed twice" in text.stdout
    assert set(text.stderr.splitlines()) <= {"Loading libraries ...", "Planning ..."}  # if slow
    shown = here("plan", data, "--model", "demo", "--json", *BLOCKS)
    (end,) = events(shown.stdout)
    model = dasdist.from_pretrained("demo")
    expected = dasdist.plan(model, xdas.open_mfdataarray(data, vtype="tiles"), block={"time": 6000})
    assert end["blocks"] == len(expected) > 5
    assert end["peak_bytes"] > 10**8  # of this process as it is at that moment
    assert end["recompute_factor"] == expected.recompute_factor


def test_a_run_tells_programs_how_it_began_went_and_ended(picked):
    out, done = picked
    told = events(done.stdout)
    start, *steps, progress, end = told
    assert [start["event"], progress["event"], end["event"]] == ["start", "progress", "end"]
    assert {one["event"] for one in steps} <= {"progress"}  # one every five seconds
    assert {one["command"] for one in told} == {"classify"}
    assert start["done"] == 0
    assert start["blocks"] == progress["done"] == end["done"] == 9
    assert start["data_seconds"] == end["data_seconds"] == 540.0
    speed = progress["times_real_time"]
    assert speed > 0
    assert progress["data_hours_per_second"] == pytest.approx(speed / 3600, abs=1e-5)
    assert (progress["failures"], end["failures"], end["exit_code"]) == (0, 0, 0)
    picks = pd.read_parquet(out)
    assert end["counts"]["picks"] == len(picks) > 50
    least = picks.groupby("phase", observed=True)["confidence"].min()
    assert 0.3 <= least["P"] < 0.6 <= least["S"]


def test_picks_are_those_of_the_python_function(picked, data):
    model = dasdist.from_pretrained("demo")
    recording = xdas.open_mfdataarray(data, vtype="tiles")
    expected = dasdist.classify(model, recording, thresholds={"P": 0.3, "S": 0.6}, pbar=False)
    pd.testing.assert_frame_equal(picks_of(picked[0]), in_order(expected.picks))


def test_the_same_command_again_has_nothing_to_do_and_another_is_refused(picked, data):
    out, _ = picked
    words = ["classify", data, "--model", "demo", "-o", out, *BLOCKS]
    again = here(*words, "--threshold", "P=0.3", "--threshold", "S=0.6", "--json")
    assert again.exit_code == 0
    assert [one["event"] for one in events(again.stdout)] == ["start", "end"]
    assert events(again.stdout)[0]["done"] == 9
    parts = sorted(Path(out).iterdir())
    whole = parts[3].read_bytes()
    parts[3].unlink()  # then it is not as it was, and the run looks
    mended = here(*words, "--threshold", "P=0.3", "--threshold", "S=0.6", "--json")
    assert events(mended.stdout)[0]["done"] == 8
    assert parts[3].read_bytes() == whole
    other = here(*words, "--threshold", "0.2")
    assert other.exit_code == 1
    assert "thresholds" in other.stderr
    assert "--overwrite" in other.stderr


def test_status_of_a_run_for_people_and_programs(picked):
    out, _ = picked
    shown = here("status", out)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "complete" in shown.stdout
    told, end = events(here("status", out, "--json").stdout)
    assert (told["event"], told["state"], told["done"]) == ("status", "complete", 9)
    assert end["exit_code"] == 0


@pytest.mark.slow
@pytest.mark.deep
def test_a_quiet_cluster_of_its_own_with_a_model_of_ones_own_gives_the_same(picked, data, tmp_path):
    (tmp_path / "my_models.py").write_text(
        "import dasdist\nfrom dasdist.demo.model import DemoPicker\n\n"
        "class Mine(DemoPicker):\n    pass\n\n"
        "def build():\n    mine = Mine()\n"
        "    mine.load_state_dict(dasdist.from_pretrained('demo').state_dict())\n"
        "    return mine.eval()\n"
    )
    words = ["--threshold", "P=0.3", "--threshold", "S=0.6", "--annotations", "prob.zarr"]
    words += ["--workers", "1", "--threads", "2", "--memory", "3GB", "--quiet", *BLOCKS]
    model = ["--model", "my_models:build"]
    done = command("classify", data, *model, "-o", "picks", *words, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pd.testing.assert_frame_equal(picks_of(tmp_path / "picks"), picks_of(picked[0]))
    stored = dasdist.open_annotations(tmp_path / "prob.zarr")
    assert stored.sizes["distance"] == 12
    assert float(stored["P"].max()) > 0.9
    assert "Mine" in here("status", tmp_path / "prob.zarr").stdout


def test_annotations_go_to_zarr(data, tmp_path):
    out = tmp_path / "prob.zarr"
    words = ["--model", "demo", "-o", out, "--set", "stacking=max", "--batch-size", "16"]
    done = here("annotate", data, *words, "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    recording = xdas.open_mfdataarray(data, vtype="tiles")
    expected = dasdist.annotate(dasdist.from_pretrained("demo"), recording, stacking="max")
    np.testing.assert_allclose(
        dasdist.open_annotations(out)["S"].values, expected["S"].values, atol=1e-5
    )


# ---------------------------------------------------------------- failures


@pytest.fixture
def damaged(data, tmp_path):
    """The archive, with a file of NaN."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for number, file in enumerate(sorted(Path(data).parent.iterdir())):
        if number == 4:
            array = xdas.open_dataarray(file).load()
            array.values[:] = np.nan
            array.to_netcdf(folder / file.name)
        else:
            os.link(file, folder / file.name)
    return f"{folder}/*.nc"


def test_a_run_with_failed_blocks_ends_with_2_and_a_table_of_them(damaged, tmp_path):
    words = ["classify", damaged, "--model", "demo", "-o", tmp_path / "picks", *BLOCKS]
    done = here(*words, "--json")
    assert done.exit_code == 2
    failures = [one for one in events(done.stdout) if one["event"] == "failure"]
    end = events(done.stdout)[-1]
    assert end["exit_code"] == 2
    assert end["failures"] == len(failures) > 0
    assert end["done"] == 9 - len(failures)
    for failure in failures:
        assert failure["kind"] == "unreadable"
        assert "NaN" in failure["error"]
        assert failure["start"] < "2025-06-01T00:05:30"
        assert failure["stop"] > "2025-06-01T00:03:30"
    people = here(*words)  # nothing is left to do, and it failed all the same
    assert people.exit_code == 2
    assert f"{len(failures)} failed block" in people.stdout
    assert "done in part" in people.stdout  # windows of its neighbours reach into the file
    assert "Traceback" not in people.stderr
    quiet = here(*words, "--quiet")
    assert (quiet.exit_code, quiet.stdout) == (2, "")
    assert "failed block" in quiet.stderr


def test_too_many_failures_stop_the_run_with_2(damaged, tmp_path):
    words = ["classify", damaged, "--model", "demo", "-o", tmp_path / "picks", *BLOCKS]
    done = here(*words, "--max-failures", "1", "--json")
    assert done.exit_code == 2
    *_, failure, end = events(done.stdout)
    assert (failure["event"], end["kind"]) == ("failure", "TooManyFailures")
    assert end["error"] in done.stderr


def test_failures_are_a_line_each_however_long_their_errors_are(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    core = Region(Span(0, 100), Span(0, 12))
    error = "/archive/2024/05/a.h5: " + "cannot be read, " * 20 + "\nbecause of this"
    failures = [
        Failure(n, 0, core, error, "unreadable", "", f"{START}.000000000", f"{START}.990000000")
        for n in (3, 12345, 23456)
    ]
    voice = Voice("classify")
    screen = voice.out.file = io.StringIO()
    listed(voice, failures, (), "picks")
    title, header, *lines = screen.getvalue().splitlines()
    assert title == "3 failed blocks:"
    assert header.split() == ["block", "from", "to", "kind", "error"]
    assert [line.split()[:5] for line in lines] == [
        [str(f.block), START, START, "unreadable", "/archive/2024/05/a.h5:"] for f in failures
    ]
    assert all(line.endswith("cannot be read, because of this") for line in lines)


@pytest.mark.parametrize(("word", "number"), [(None, None), ("0", 0), ("17", 17), ("any", "any")])
def test_any_number_of_blocks_may_fail_if_one_says_so(word, number):
    assert Failing(max_failures=word).arguments()["max_failures"] == number


@pytest.mark.parametrize("word", ["-1", "1.5", "all", ""])
def test_what_is_neither_a_number_nor_any_is_refused(word):
    with pytest.raises(dasdist.InvalidInput, match="neither a number from 0 up nor any"):
        Failing(max_failures=word).arguments()


def test_a_cluster_of_its_own_says_where_its_dashboard_is(monkeypatch, capsys):
    link = "http://127.0.0.1:40123/status"

    @contextmanager
    def client(workers, **options):
        yield SimpleNamespace(dashboard_link=link)

    monkeypatch.setattr("dasdist.cluster.local.local_client", client)
    for voice in (Voice("plan"), Voice("plan", as_json=True), Voice("plan", quiet=True)):
        with computing(voice, Where(workers=2)):
            pass
    starting, people, programs = capsys.readouterr().out.splitlines()
    assert (starting, people) == ("Starting 2 worker processes", f"Dashboard: {link}")
    told = {"event": "cluster", "command": "plan", "workers": 2, "dashboard": link}
    assert json.loads(programs) == told


# ---------------------------------------------------------------- stopping


def lines_of(path):
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.parametrize(
    ("number", "extra"),
    [
        pytest.param(signal.SIGINT, ["--workers", "2"], marks=pytest.mark.deep),
        (signal.SIGTERM, []),
    ],
    ids=["ctrl-c, cluster", "sigterm, one process"],
)
def test_a_stopped_run_ends_with_130_and_the_command_that_goes_on(
    data, picked, tmp_path, monkeypatch, number, extra
):
    words = ["classify", data, "--model", "demo", "-o", "picks", "--block", "time=2000", *extra]
    words += ["--threshold", "P=0.3", "--threshold", "S=0.6"]
    process = subprocess.Popen(
        [*RUN, *words, "--overwrite"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ledger = tmp_path / "picks.dasdist" / "ledger.jsonl"
    while lines_of(ledger) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: the workers get it, too
    else:
        process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    before = lines_of(ledger)
    assert 2 <= before < 27
    (resume,) = re.findall(r"^  (dasdist .*)$", said, re.M)
    assert shlex.split(resume)[1:] == words  # all but --overwrite
    monkeypatch.chdir(tmp_path)
    done = here(*shlex.split(resume)[1:], "--json")
    assert done.exit_code == 0, done.stderr
    told = events(done.stdout)
    (start,) = [one for one in told if one["event"] == "start"]
    assert start["done"] == before
    assert told[-1]["done"] == told[-1]["blocks"]
    pd.testing.assert_frame_equal(picks_of(tmp_path / "picks"), picks_of(picked[0]))


# ---------------------------------------------------------------- archives


def test_synth_writes_what_the_python_function_does(archive, tmp_path):
    words = ["--hours", "0.15", "--channels", "12", "--events-per-hour", "60", "--seed", "3"]
    done = here("synth", tmp_path / "fibre", *words, "--gap", "2-5", "--json")
    assert done.exit_code == 0
    told = events(done.stdout)
    assert told[-1]["files"] == told[-1]["written"] == 6
    assert [told[0]["done"], told[0]["total"], told[-2]["done"]] == [1, 6, 6]
    for file in (tmp_path / "fibre").iterdir():
        assert file.read_bytes() == (archive / "fibre" / file.name).read_bytes()
    refused = here("synth", tmp_path / "fibre", "--hours", "0.1")
    assert refused.exit_code == 1
    assert "another synthetic archive" in refused.stderr


def test_an_index_lists_what_cannot_be_read_and_is_an_input(archive, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")  # no name is folded
    (tmp_path / "broken.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    out = tmp_path / "index.nc"
    done = here("index", archive / "fibre", tmp_path / "broken.nc", "-o", out, "--json")
    assert done.exit_code == 0, done.stderr
    problems = [one for one in events(done.stdout) if one["event"] == "problem"]
    assert [Path(one["path"]).name for one in problems] == ["broken.nc"]
    end = events(done.stdout)[-1]
    assert (end["files"], end["arrays"], end["scanned"]) == (9, 1, 10)
    people = here("index", archive / "fibre", tmp_path / "broken.nc", "-o", out)
    assert "broken.nc" in people.stdout.replace("\n", "")
    shown = here("plan", out, "--model", "demo", "--json")
    assert events(shown.stdout)[0]["data_seconds"] == 540.0


# ---------------------------------------------------------------- progress


def told_by(view):
    view.start(Progress(10, 4, 0, 0.4, 36_000.0, 0.0, 0.0, None))
    view.update(Progress(10, 5, 0, 0.55, 36_000.0, 10.0, 540.0, 30.0))
    view.update(Progress(10, 7, 1, 0.75, 36_000.0, 20.0, 630.0, 14.0))
    view.close()


def test_a_terminal_shows_speed_time_left_and_failures():
    screen = io.StringIO()
    told_by(ProgressBar(Console(file=screen, force_terminal=True, width=100)))
    shown = screen.getvalue()
    assert "75%" in shown
    assert "7 of 10 blocks, 630x real time, 14 s left, 1 failed" in shown


def test_a_log_is_told_how_much_there_is_to_do():
    lines = []
    told_by(LineView(lines.append))
    assert lines == ["10 blocks, 10.00 h of data, 4 of them done earlier"]


def test_programs_are_told_the_start_and_where_it_ended():
    told = []
    told_by(JsonView(lambda name, **facts: told.append((name, facts))))
    (start, begun), (name, ended) = told
    assert (start, name) == ("start", "progress")
    assert begun == {"blocks": 10, "done": 4, "data_seconds": 36_000.0}
    assert (ended["done"], ended["failures"]) == (7, 1)
