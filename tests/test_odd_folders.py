"""Folders and files that one may not use, that are locked, or that have odd names: every command.

What is wrong is said in one sentence, without a traceback, and the exit code is 1.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import xdas
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.cli.application import app as commands
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless

from . import unprivileged
from .forked import Forked

MODEL = ("--model", "demo")
SLURM = ("--cluster", "slurm")

WRITING = {
    "demo": ("demo", "--out", "closed/demo", "--minutes", "1"),
    "synth": ("synth", "closed/synth", "--hours", "0.02"),
    "index": ("index", "fibre", "-o", "closed/index.nc"),
    "classify": ("classify", "fibre.nc", *MODEL, "-o", "closed/picks"),
    "classify --annotations": (
        *("classify", "fibre.nc", *MODEL, "-o", "picks2"),
        *("--annotations", "closed/prob.zarr"),
    ),
    "annotate": ("annotate", "fibre.nc", *MODEL, "-o", "closed/prob.zarr"),
    "cluster start": ("cluster", "start", *SLURM, "--cluster-folder", "closed/cluster"),
    "doctor": ("doctor", "--folder", "closed"),
    "quality": ("quality", "fibre.nc", "-o", "closed/quality.parquet"),
    "events": ("events", "found picks", "-o", "closed/events.parquet"),
    "compare": ("compare", "found picks", "found picks", "--picture", "closed/both.png"),
    "export": ("export", "found picks", "--to", "quakescope", "-o", "closed/export"),
}
"""Commands that write, into a folder where that is not allowed."""

READING = {
    "index": ("index", "shut/fibre", "-o", "index2.nc"),
    "index of a file": ("index", "shut.nc", "-o", "index3.nc"),
    "plan": ("plan", "shut.nc", *MODEL),
    "plan of an index": ("plan", "shut index.nc", *MODEL),
    "classify": ("classify", "shut.nc", *MODEL, "-o", "picks3"),
    "classify of a pattern": ("classify", "shut*.nc", *MODEL, "-o", "picks3"),
    "annotate": ("annotate", "shut.nc", *MODEL, "-o", "prob3.zarr"),
    "model": ("plan", "fibre.nc", "--model", "shut.json"),
    "status": ("status", "shut picks"),
    "verify": ("verify", "shut picks"),
    "quality": ("quality", "shut.nc", "-o", "quality3.parquet"),
    "events": ("events", "shut.parquet", "-o", "events3.parquet"),
    "compare": ("compare", "found picks", "shut.parquet"),
    "export": ("export", "shut.parquet", "--to", "quakescope", "-o", "export3"),
    "cluster stop": ("cluster", "stop", "shut"),
    "cluster status": ("cluster", "status", "shut"),
}
"""Commands that read what may not be read."""

LOCKED = {
    "index": ("index", "locked.nc", "-o", "index4.nc"),
    "index as output": ("index", "fibre", "-o", "locked index.nc"),
    "plan": ("plan", "locked.nc", *MODEL),
    "plan of an index": ("plan", "locked index.nc", *MODEL),
    "classify": ("classify", "locked.nc", *MODEL, "-o", "picks4"),
    "classify of a pattern": ("classify", "locked.n[cd]", *MODEL, "-o", "picks4"),
    "annotate": ("annotate", "locked.nc", *MODEL, "-o", "prob4.zarr"),
    "synth": ("plan", "locked.nc", *MODEL, "--engine", "xdas"),
}
"""Commands that read what another program holds locked."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    write_minutes(folder / "fibre", 2 / 60, Endless(channels=12, seed=3))
    dasdist.index_archive(folder / "fibre", folder / "fibre.nc")
    (folder / "closed").mkdir()
    (folder / "shut" / "fibre").mkdir(parents=True)
    one = min((folder / "fibre").glob("*.nc"))
    for name in ("shut.nc", "shut/fibre/a.nc", "locked.nc"):
        shutil.copy(one, folder / name)
    for name in ("shut index.nc", "locked index.nc"):
        shutil.copy(folder / "fibre.nc", folder / name)
    dasdist.classify(
        dasdist.from_pretrained("demo"),
        dasdist.open_archive(folder / "fibre.nc"),
        out=folder / "shut picks",
        client=False,
        pbar=False,
    )
    shutil.copytree(folder / "shut picks", folder / "found picks")
    shutil.copy(min((folder / "found picks").iterdir()), folder / "shut.parquet")
    (folder / "shut.json").write_text("{}")
    (folder / "shut.pt").write_text("")
    (folder / "closed").chmod(0o555)
    for name in ("shut", "shut picks.dasdist", *(file.name for file in folder.glob("shut*.*"))):
        (folder / name).chmod(0)
    yield folder
    for name in ("closed", "shut", "shut picks.dasdist"):
        (folder / name).chmod(0o755)


@pytest.fixture(scope="module", autouse=True)
def permissions_hold(places):
    """Skip where nobody can be kept from writing, as in some containers."""
    tried = Forked(places / "try.log", unprivileged.try_it, places / "closed")
    if tried.wait() != 0:
        pytest.skip("this system lets a process of root's write anywhere: permissions mean nothing")


def run(places, words, name, access_lies=False):
    log = places / f"{name}.log"
    return Forked(log, unprivileged.command, words, places, access_lies), log


def is_one_sentence(code, said):
    assert "Traceback" not in said, said
    assert code == 1, said
    told = [line for line in said.splitlines() if line.startswith(("Error: ", "╭─ Error"))]
    assert len(told) == 1, said
    assert len(told[0]) < 500


@pytest.mark.slow
@pytest.mark.parametrize("access_lies", [False, True])
@pytest.mark.parametrize("name", WRITING)
def test_a_folder_without_permission_to_write(places, name, access_lies):
    if access_lies and name == "demo":
        pytest.skip("a demo starts its cluster first, whose processes would be root again")
    words = WRITING[name]
    process, log = run(places, words, f"w {name}", access_lies)
    code, said = process.wait(), log.read_text()
    if name == "doctor":  # a table of all that is to be mended
        assert code == 1
        assert "Traceback" not in said
        assert "write" in said
        return
    is_one_sentence(code, said)
    assert "closed" in said
    assert "write" in said or "cannot be written" in said
    assert not list((places / "closed").iterdir())


@pytest.mark.parametrize("name", READING)
def test_a_file_or_folder_without_permission_to_read(places, name):
    process, log = run(places, READING[name], f"r {name}")
    is_one_sentence(process.wait(), log.read_text())


@pytest.mark.parametrize("name", LOCKED)
def test_a_file_that_its_writer_holds_locked(places, name):
    """HDF5 takes such a lock for a writer; one of this process is another's to the command."""
    with open(places / "locked.nc") as one, open(places / "locked index.nc") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX)
        process, log = run(places, LOCKED[name], f"l {name}")
        code, said = process.wait(), log.read_text()
    is_one_sentence(code, said)
    assert "its writer still has it open" in " ".join(said.split()), said


def test_a_file_that_h5py_is_writing(tmp_path):
    """The lock of HDF5 itself, by a real writer in another process."""
    path = tmp_path / "written.h5"
    script = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'w'); f['x'] = [1]; f.flush(); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"ready\n"
        index = dasdist.index_archive(path, tmp_path / "index.nc")
        writer.stdin.close()
    (problem,) = index.problems.itertuples()
    assert problem.kind == "unreadable"
    assert problem.reason.startswith("its writer still has it open")


def test_a_writer_that_died_is_said_to(tmp_path):
    path = tmp_path / "died.h5"
    script = (
        "import h5py, os, sys; f = h5py.File(sys.argv[1], 'w', libver='latest'); f['x'] = [1]; "
        "f.flush(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(path, "r")
    index = dasdist.index_archive(path, tmp_path / "index.nc")
    (problem,) = index.problems.itertuples()
    assert "died before it closed it" in problem.reason
    assert "h5clear -s" in problem.reason


def test_every_command_is_walked():
    """A new command has to be added above."""
    known = {command.name or command.callback.__name__ for command in commands.registered_commands}
    walked = {name.split()[0] for table in (WRITING, READING, LOCKED) for name in table}
    assert known <= walked | {"plan"}


# ---------------------------------------------------------------- brackets


def here(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.slow
def test_brackets_in_names_are_names(tmp_path, monkeypatch):
    place = tmp_path / "DAS[1] [red]x"
    place.mkdir()
    monkeypatch.chdir(place)
    for words in (
        ("synth", "fibre[2024]", "--hours", 2 / 60, "--channels", 12),
        ("index", "fibre[2024]", "-o", "i[1].nc"),
        ("plan", "i[1].nc", *MODEL),
        ("classify", "i[1].nc", *MODEL, "-o", "p[1]"),
        ("classify", "fibre[2024]/*.nc", *MODEL, "-o", "p[2]"),
        ("annotate", str(place / "fibre[2024]" / "*.nc"), *MODEL, "-o", "z[1].zarr"),
        ("status", "p[1]"),
        ("status", "z[1].zarr"),
        ("index", "fibre[2024]/*.nc", "-o", "i[2].nc"),
    ):
        done = here(*words)
        assert done.exit_code == 0, (words, done.output)
    one, two = (pd.read_parquet(place / f"p[{n}]") for n in (1, 2))
    assert len(one) == len(two)
    assert dasdist.ArchiveIndex.read("i[2].nc").files == 2
    assert "[red]" in here("status", place / "p[1]").output
    folder = here("plan", "fibre[2024]", *MODEL)
    assert folder.exit_code == 1
    assert "fibre[2024] is a folder" in folder.stderr


@pytest.mark.parametrize("pattern", ["fibre[2024]/*.nc", "[", "[]", "x[!a].nc", "**/[[]x]*"])
def test_patterns_with_brackets_that_match_nothing(tmp_path, monkeypatch, pattern):
    monkeypatch.chdir(tmp_path)
    for words in (
        ("index", pattern, "-o", "i.nc"),
        ("plan", pattern, *MODEL),
        ("classify", pattern, *MODEL, "-o", "p"),
        ("annotate", pattern, *MODEL, "-o", "z"),
    ):
        done = here(*words)
        assert done.exit_code == 1
        assert isinstance(done.exception, SystemExit)
        assert "write [[] for a bracket" in done.stderr
        assert done.stderr.count("Error") == 1


@pytest.mark.slow
def test_a_pattern_still_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a1.nc", "a2.nc", "a3.nc", "[a]4.nc"):
        time = {
            "tie_indices": [0, 99],
            "tie_values": np.array([0, 99], "M8[s]") + np.timedelta64(100 * int(name[-4]), "s"),
        }
        xdas.DataArray(np.zeros((100, 2), "f4"), {"time": time, "distance": [0.0, 1.0]}).to_netcdf(
            name
        )
    for pattern, files in {"a[12].nc": 2, "a?.nc": 3, "[[]a]*.nc": 1, "[a]4.nc": 1}.items():
        assert dasdist.index_archive(pattern, "i.index").files == files, pattern
