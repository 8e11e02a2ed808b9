"""Outputs as people treat them: moved, emptied, locked elsewhere, named oddly, out of reach."""

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.storage import lock

from .forked import Forked
from .toys import Toy, noise, recording
from .unprivileged import give_up_privileges, try_it

OPTIONS = {"thresholds": 0.5, "blinding": (1, 1), "pbar": False, "client": False}
BLOCK = {"time": 100}
HOUR = 3600


def classify(out, **options):
    data = recording(noise(2000, 4))
    return dasdist.classify(Toy(gain=3.0), data, out=out, block=BLOCK, **{**OPTIONS, **options})


def journal(path):
    return path.with_name(f"{path.name}.dasdist")


# ---------------------------------------------------------------- locks of other machines

# Another machine's flock is not seen here, nor ours there, and the times that it leaves are its own
_ELSEWHERE = """
import os, socket, sys
from pathlib import Path
from dasdist.storage import lock
path, seconds = Path(sys.argv[1]), float(sys.argv[2])
socket.gethostname = lambda: "elsewhere"
lock.fcntl.flock = lambda file, how: None
lock.BEAT = 0.1
write = os.write
def write_by_its_clock(file, data):
    write(file, data)
    now = os.stat(file).st_mtime + seconds
    os.utime(file, (now, now))
os.write = write_by_its_clock
with lock.Lock(path, "1f0c"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 0])
def test_clocks_of_other_machines_decide_nothing(tmp_path, monkeypatch, ahead):
    """Whether its host is an hour ahead or behind, a run holds its output as long as it lives."""
    monkeypatch.setattr(lock, "DEAD", 5 * 60)
    out = tmp_path / "picks"
    classify(out)
    held = journal(out) / "lock"
    command = [sys.executable, "-c", _ELSEWHERE, str(held), str(ahead)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(dasdist.OutputInUse, match=f"run 1f0c, process {other.pid} on elsewh"):
            classify(out, overwrite=True)
        assert dasdist.status(out).state == "running"
        other.kill()
    now = time.time() + ahead
    os.utime(held, (now, now))
    monkeypatch.setattr(lock, "DEAD", 0.5)
    monkeypatch.setattr(lock, "LOOK", 0.5)
    assert dasdist.status(out).state == "complete"
    assert classify(out, overwrite=True).report.complete


def test_a_beat_of_a_version_that_wrote_none_counts(tmp_path):
    """It set the time of the file alone."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "run": "1f0c"}))
    before = lock._beats(path)
    os.utime(path)
    assert lock._beats(path) != before


def test_what_is_waited_for_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(lock, "DEAD", 0.3)
    path = tmp_path / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "run": "1f0c"}))
    with lock.Lock(path, "here"):
        assert json.loads(path.read_text())["run"] == "here"
    assert path.read_text() == ""
    (record,) = caplog.records
    assert "run 1f0c, process 1 on elsewhere" in record.getMessage()


def test_beats_do_not_harm_what_the_lock_says(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.001)
    path = tmp_path / "lock"
    with lock.Lock(path, "here"):
        size = path.stat().st_size
        while path.stat().st_size < size + 3:
            time.sleep(0.001)
        assert lock.holder_of(path)["run"] == "here"
    assert lock.holder_of(path) is None


def test_a_lock_that_another_machine_took_over_is_not_given_back(tmp_path):
    path = tmp_path / "lock"
    with lock.Lock(path, "here"):
        path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "run": "1f0c"}))
    assert json.loads(path.read_text())["run"] == "1f0c"


def test_where_a_file_system_has_no_locks_beats_alone_count(tmp_path, monkeypatch):
    """Then a run of this machine is not seen either, but by its beats."""

    def none(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(lock, "BEAT", 0.05)
    path = tmp_path / "lock"
    with (
        lock.Lock(path, "first"),
        pytest.raises(dasdist.OutputInUse, match="run first"),
        lock.Lock(path, "second"),
    ):
        pass
    with lock.Lock(path, "third"):
        pass


# ---------------------------------------------------------------- what vanishes in mid-run


def whole(path):
    """All files of an output that a reader reads, by name."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "zarr.json"
    }


def run(kind, out, **options):
    data, model = recording(noise(2000, 4)), Toy(gain=3.0)
    given = {"block": BLOCK, "client": False, "pbar": False, **options}
    if kind == "picks":
        return dasdist.classify(model, data, out=out, **{**OPTIONS, **given}).report
    return dasdist.annotate(model, data, dasdist.WriterCallback(out), **given)


@pytest.fixture(scope="module", params=["picks", "annotations"])
def undisturbed(request, tmp_path_factory):
    """The kind of an output, and one that nobody touched."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run(request.param, out)
    return request.param, whole(out)


class Vandal:
    """Listens to a run, and harms what the second block wrote when a block is done."""

    def __init__(self, out, harm, at=3, times=1):
        self.out, self.harm, self.at, self.times = out, harm, at, times

    def __call__(self, event):
        if event.state == "done" and event.block == self.at and self.times:
            self.times -= 1
            found = [*self.out.glob("block-*.parquet"), *self.out.glob("P/c/*/0")]
            self.harm(sorted(found, key=lambda file: (len(str(file)), file))[1])


def test_what_vanishes_in_mid_run_is_done_again(undisturbed, tmp_path):
    kind, expected = undisturbed
    out = tmp_path / "out"
    report = run(kind, out, on_event=Vandal(out, Path.unlink))
    assert report.complete
    assert whole(out) == expected
    assert any("1 block had to be computed again" in note for note in report.notes)
    assert dasdist.status(out).state == "complete"


def test_on_a_cluster_and_of_two_outputs_too(client, tmp_path):
    folders = [tmp_path / name / "out" for name in ("undisturbed", "harmed")]
    for out in folders:
        harm = Vandal(out, Path.unlink) if out.parent.name == "harmed" else None
        given = {"out": out, "annotations": out.with_name("P.zarr"), "client": client}
        report = run("picks", **given, on_event=harm)
        assert report.complete
    assert report.notes
    for name in ("out", "P.zarr"):
        assert whole(folders[0].with_name(name)) == whole(folders[1].with_name(name))


def test_what_is_cut_short_in_mid_run_is_done_again(undisturbed, tmp_path):
    kind, expected = undisturbed
    out = tmp_path / "out"
    report = run(kind, out, on_event=Vandal(out, lambda file: os.truncate(file, 7)))
    assert report.complete
    assert whole(out) == expected


def test_what_vanishes_whenever_it_is_written_is_said_to_be_missing(undisturbed, tmp_path):
    kind, expected = undisturbed
    out = tmp_path / "out"
    vandal = Vandal(out, Path.unlink, at=1, times=99)
    with pytest.warns(dasdist.DataWarning, match="1 block was left out"):
        report = run(kind, out, on_event=vandal)
    (failure,) = report.failures
    assert (failure.block, report.finished) == (1, report.blocks - 1)
    assert "gone from the output" in failure.error
    assert dasdist.status(out).state == "failures"
    assert run(kind, out, retry_failed=True).complete
    assert whole(out) == expected


@pytest.mark.parametrize("what", ["out", "out.dasdist", "out.dasdist/ledger.jsonl"])
def test_whatever_is_removed_in_mid_run_nothing_is_said_to_be_there_that_is_not(
    undisturbed, tmp_path, what
):
    kind, expected = undisturbed
    out, removed = tmp_path / "out", tmp_path / what

    def remove(_):
        shutil.rmtree(removed) if removed.is_dir() else removed.unlink()

    complete = False
    with suppress(dasdist.DasdistError):
        complete = run(kind, out, on_event=Vandal(out, remove)).complete
    if not complete:
        assert run(kind, out, overwrite=what == "out.dasdist").complete
    assert whole(out) == expected


# ---------------------------------------------------------------- where nothing can be written

NAMES = {
    "a name too long": ("n" * 250, "shorter"),
    "a name beyond all lengths": ("n" * 300, "shorter"),
    "below a file": ("file.txt/picks", "file.txt is a file"),
    "far below a file": ("file.txt/2024/01/picks", "file.txt is a file"),
    "a file": ("file.txt", "is a file"),
    "a folder that is closed": ("closed/picks", "you may write to"),
    "a closed folder that is there": ("half/picks", "you may write to"),
    "a read-only file system": ("read-only/picks", "Read-only file system"),
    "no name": ("/", "name another path"),
    "a character that no name has": ("a\0b", "name another path"),
}


def try_all(folder):
    """Try each name with a run in this process, without privileges; print what is said."""
    give_up_privileges()
    told = {}
    for why, (name, _) in NAMES.items():
        for kind in ("picks", "annotations"):
            began = []
            try:
                run(kind, folder / name, on_event=began.append)
                told[f"{kind}: {why}"] = ["written", "", 0]
            except Exception as error:  # noqa: BLE001 -- whatever is wrong with it
                told[f"{kind}: {why}"] = [type(error).__name__, str(error), len(began)]
    (folder / "told.json").write_text(json.dumps(told))


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    (folder / "file.txt").write_text("here already")
    for name in ("closed", "half/picks", "half/picks.dasdist", "read-only"):
        (folder / name).mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=64k", "none", str(folder / "read-only")]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    for name in ("closed", "half", "half/picks"):
        (folder / name).chmod(0o555)
    try:
        tried = Forked(folder / "try.log", try_it, folder / "closed").wait()
        assert Forked(folder / "log", try_all, folder).wait() == 0, (folder / "log").read_text()
    finally:
        if mounted:
            subprocess.run(["umount", str(folder / "read-only")], check=True)
    found = json.loads((folder / "told.json").read_text())
    return found, {"permissions": tried == 0, "mounts": mounted}


@pytest.mark.parametrize("kind", ["picks", "annotations"])
@pytest.mark.parametrize("why", NAMES)
def test_an_output_that_cannot_be_is_refused_in_a_sentence_before_any_block(told, why, kind):
    said, can = told
    if "closed" in why and not can["permissions"]:
        pytest.skip("this system lets root write anywhere: permissions mean nothing")
    if "read-only" in why and not can["mounts"]:
        pytest.skip("nothing can be mounted here")
    name, sentence, began = said[f"{kind}: {why}"]
    assert name in {"InvalidInput", "OutputExists", "OutputUnwritable"}
    assert sentence.count("\n") == 0
    assert NAMES[why][1] in sentence
    assert began == 0


@pytest.mark.parametrize("name", ["n" * 250, "n" * 300, "file.txt/picks"])
def test_a_command_refuses_it_before_it_loads_anything(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("here already")
    for command in ("classify", "annotate"):
        words = [command, "no such data.nc", "--model", "demo", "-o", name]
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 1
        assert isinstance(found.exception, SystemExit)
        assert found.output.count("Error: ") == 1
        assert re.search("shorter|file.txt is a file", found.output)


def test_what_has_no_name_cannot_be_made():
    found = CliRunner().invoke(app, ["synth", "/", "--hours", "0.001"])
    assert (found.exit_code, found.output.count("Error: / cannot be made")) == (1, 1)
