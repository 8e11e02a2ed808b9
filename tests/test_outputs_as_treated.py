"""Outputs as people treat them: moved, emptied, locked elsewhere, named oddly, out of reach."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

import dasdist
from dasdist.storage import lock

from .toys import Toy, noise, recording

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
