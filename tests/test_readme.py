"""The README's programs run as they stand."""

import re
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray

import dasdist
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless

from .conftest import REPOSITORY
from .toys import noise, recording

PROGRAMS = re.findall(
    r"^```python\n(.*?)^```", (REPOSITORY / "README.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with ``fibre``, as ``dasdist synth`` writes it."""
    folder = tmp_path_factory.mktemp("readme")
    write_minutes(folder / "fibre", 2 / 60, Endless(8, 10.0, 100.0, 120.0, 1, "float32"))
    return folder


@pytest.mark.slow
def test_the_first_program_runs_as_a_script(folder):
    script = folder / "first.py"
    script.write_text(PROGRAMS[0])
    shutil.rmtree(folder / "prob.zarr", ignore_errors=True)
    run = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert "phase" in run.stdout
    opened = dasdist.open_annotations(folder / "prob.zarr")
    assert opened["P"].shape[1] == 8


def test_a_callback_and_a_model_of_ones_own_run():
    values = noise(1000, 6)
    space = {"data": recording(values)}
    exec(
        PROGRAMS[1].replace("annotate(data, callback)", "annotate(data, callback, pbar=False)"),
        space,
    )
    expected = np.nanmax(values**2, axis=0)
    found = space["callback"].largest
    assert sorted(found) == [10.0 * i for i in range(6)]
    np.testing.assert_allclose([found[x] for x in sorted(found)], expected, rtol=1e-6)
    dasdist.testing.check_callback(space["Loudest"], keys=["energy"])


def test_a_view_of_ones_own_runs(capsys):
    from .toys import Toy

    program = PROGRAMS[3].replace("on_event=show", "on_event=show, pbar=False, blinding=(1, 1)")
    exec(program, {"data": recording(noise(1000, 6)), "model": Toy()})
    assert "done" in capsys.readouterr().out


def test_the_program_that_finds_earthquakes_runs(tmp_path, monkeypatch):
    from .toys import Toy

    monkeypatch.chdir(tmp_path)
    program = next(program for program in PROGRAMS if "EventsCallback" in program)
    program = program.replace("thresholds=0.3", "thresholds=0.6, blinding=(1, 1)")
    space = {"dasdist": dasdist, "model": Toy(), "data": recording(noise(1000, 6))}
    exec(program.replace("annotate(data, callback)", "annotate(data, callback, pbar=False)"), space)
    assert len(space["picking"].picks) > 20
    assert len(pd.read_parquet("events.parquet")) == len(space["callback"].events) == 0


def test_a_format_of_ones_own_is_read(tmp_path, monkeypatch):
    from .toys import Toy

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dasdist.sources.formats._registered", {})
    values = noise(800, 16, seed=2)
    (tmp_path / "fibre").mkdir()
    for second in (0, 4):
        values[100 * second : 100 * second + 400].tofile(f"fibre/{1_700_000_000 + second}.mydas")
    space = {"np": np, "Path": Path, "xarray": xarray, "glob": glob, "dasdist": dasdist}
    exec(PROGRAMS[2], space)
    options = {"thresholds": 0.6, "blinding": (1, 1), "pbar": False}
    picks = dasdist.classify(Toy(), space["data"], **options).picks
    expected = dasdist.classify(Toy(), recording(values, dx=5.0), **options).picks
    assert len(picks) > 20
    columns = ["distance", "phase", "sample_index", "confidence", "segment"]
    pd.testing.assert_frame_equal(picks[columns], expected[columns])


def test_the_program_that_draws_runs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib").use("agg")
    monkeypatch.chdir(tmp_path)
    program = next(program for program in PROGRAMS if "plot.waterfall" in program)
    program = program.replace("classify(data)", "classify(data, pbar=False)")
    space = {"data": recording(noise(3000, 6)), "model": dasdist.from_pretrained("demo").eval()}
    exec(program, space)
    assert (tmp_path / "waterfall.png").stat().st_size > 10_000
