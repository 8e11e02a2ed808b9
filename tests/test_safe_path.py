"""A folder of data runs no code: modules that lie beside the recordings are never imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dasdist.cluster.daemon import start_cluster, stop_cluster
from tests.toys import noise, recording

NAMES = [
    *("xdas", "h5py", "numpy", "torch", "dask", "distributed", "psutil", "json", "signal"),
    *("sitecustomize", "selectors", "dask_jobqueue", "tblib"),
]
"""What processes of a command import, early and late."""


@pytest.fixture
def archive(tmp_path):
    """A folder with a recording and with modules that leave a file where they are imported."""
    folder = tmp_path / "archive"
    folder.mkdir()
    recording(noise(400, 4)).to_netcdf(folder / "data.nc")
    mark = f"open({str(tmp_path / 'imported')!r}, 'a').write(__name__ + chr(10))\n"
    for name in NAMES:
        (folder / f"{name}.py").write_text(mark + "raise ImportError('from the folder of data')\n")
    (folder / "mine.py").write_text(
        "from tests.toys import Toy\nclass Mine(Toy): pass\ndef build(): return Mine(gain=3.0)\n"
    )
    return folder


def run(archive, *arguments, python=("-m", "dasdist"), **environ):
    # as an installed package is found: not by the folder that one is in
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **environ}
    env.pop("PYTHONSAFEPATH", None)
    done = subprocess.run(
        [sys.executable, *python, *arguments],
        cwd=archive, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    imported = archive.parent / "imported"
    assert not imported.exists(), imported.read_text()
    return done.stdout


PICKING = ["--threshold", "0.5", "--set", "blinding=[1,1]"]


@pytest.mark.slow
def test_an_index_of_a_folder_imports_nothing_from_it(archive):
    run(archive, "index", ".", "-o", "index.nc")
    run(archive, "plan", "index.nc", "--model", "mine:build")


@pytest.mark.slow
def test_workers_import_nothing_from_it_but_a_model_that_is_named(archive):
    out = ["-o", "../picks.parquet", "--workers", "1", "--json"]
    said = run(archive, "classify", "data.nc", "--model", "mine:build", *PICKING, *out)
    assert json.loads(said.splitlines()[-1])["counts"]["picks"] > 0


@pytest.mark.slow
@pytest.mark.deep
def test_an_index_made_in_a_script_imports_nothing_from_it(archive):
    script = archive.parent / "script.py"  # its own folder is first in the path, not the data's
    script.write_text("import dasdist; dasdist.index_archive('.', '../index.nc')")
    run(archive, python=(str(script),))


@pytest.mark.slurm
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.deep
def test_a_cluster_in_the_queue_imports_nothing_from_it(archive, monkeypatch):
    monkeypatch.chdir(archive)
    settings = {
        "jobs": 1,
        "cores": 1,
        "memory": "2GB",
        "interface": "lo",
        "folder": str(archive.parent / "cluster"),
    }
    facts = start_cluster(settings, archive.parent / "cluster.log")
    try:
        out = ["-o", "../picks.parquet", "--scheduler", facts["file"], "--json"]
        said = run(archive, "classify", "data.nc", "--model", "mine:build", *PICKING, *out)
    finally:
        stop_cluster(facts)
    assert json.loads(said.splitlines()[-1])["counts"]["picks"] > 0
