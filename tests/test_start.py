"""Starting is quick: nothing loads what it does not use, and what is wrong is said first."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless
from tests.toys import Toy, noise, recording

ROOT = Path(__file__).resolve().parent.parent

HEAVY = {
    *("torch", "numba", "xdas", "distributed"),
    *("h5py", "pandas", "pyarrow", "scipy", "tqdm", "xarray", "zarr"),
}
COMMANDS = (
    *("demo", "synth", "index", "plan", "classify", "annotate", "status", "verify"),
    *("events", "compare", "export", "quality", "doctor"),
)

TELLING = """
import atexit, sys
atexit.register(lambda: print("LOADED", *{name.partition(".")[0] for name in sys.modules}))
"""


def loaded(code, *words, folder=None):
    """Run code in a process of its own; return its exit code, what it said, and what it loaded."""
    run = subprocess.run(
        [sys.executable, "-c", TELLING + code, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said, _, names = run.stdout.rpartition("LOADED")
    return run.returncode, said + run.stderr, set(names.split())


def loaded_by(*words, folder=None):
    """Run a command in a process of its own."""
    code = "from dasdist.cli import app; app(prog_name='dasdist')"
    return loaded(code, *words, folder=folder)


@pytest.fixture(scope="module")
def picks(tmp_path_factory):
    """What a finished run left."""
    out = tmp_path_factory.mktemp("run") / "picks"
    data = recording(noise(1000, 4))
    dasdist.classify(Toy(), data, out=out, thresholds=0.6, blinding=(1, 1), pbar=False)
    return out


# ---------------------------------------------------------------- the package


def test_importing_the_package_loads_nothing_and_offers_everything():
    code = "import dasdist; print(*dir(dasdist))"
    status, said, names = loaded(code)
    assert status == 0, said
    assert set(dasdist.__all__) <= set(said.split())
    assert not names & {*HEAVY, "numpy", "typer", "rich"}


def test_asking_for_the_status_of_a_run_loads_no_library_of_data(picks):
    status, said, names = loaded(f"import dasdist; print(dasdist.status({str(picks)!r}))")
    assert status == 0, said
    assert "complete" in said
    assert not names & HEAVY


def test_the_names_that_type_checkers_see_are_those_that_are_loaded():
    tree = ast.parse((ROOT / "dasdist" / "__init__.py").read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("dasdist.")
        for alias in node.names
    }
    assert {*seen, "__version__", "plot"} == set(dasdist.__all__)  # the latter is a module
    for name, module in seen.items():
        assert getattr(dasdist, name) is getattr(sys.modules[module], name)


def test_star_import_gives_every_name():
    names = {}
    exec("from dasdist import *", names)
    assert set(dasdist.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'dasdist' has no attribute 'anotate'"):
        _ = dasdist.anotate
    with pytest.raises(ImportError, match="anotate"):
        exec("from dasdist import anotate")


def test_modules_of_the_package_are_attributes_of_it():
    status, said, _ = loaded("import dasdist; print(dasdist.geometry.Axis.__name__)")
    assert (status, said.split()) == (0, ["Axis"])


USER = """
import dasdist
from dasdist import InvalidInput, PicksWriterCallback, open_archive

def run(path: str) -> int:
    try:
        found = dasdist.status(path)
    except InvalidInput as error:
        raise SystemExit(str(error)) from error
    reveal_type(found.blocks)
    reveal_type(dasdist.classify)
    reveal_type(dasdist.__version__)
    callback = PicksWriterCallback("picks", thresholds=0.3)
    report = dasdist.annotate(dasdist.from_pretrained("demo"), open_archive("2024.nc"), callback)
    return found.done + len(dasdist.ClassifyOutput("me", report, {}).creator)

dasdist.anotate
dasdist.status(3)
"""

CONFIGURATION = """
[mypy]
strict = True
[mypy-dasdist.*]
ignore_errors = True
[mypy-dask.*,distributed.*,h5py.*,numba.*,pandas.*,pyarrow.*,torch.*,xarray.*,xdas.*,zarr.*]
follow_imports = skip
ignore_missing_imports = True
"""


@pytest.mark.slow
def test_a_type_checker_sees_every_name_of_the_package_and_no_other(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "mypy.ini").write_text(CONFIGURATION)
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--cache-dir", "cache", "--no-pretty", "user.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.partition(": ")[2] for line in run.stdout.splitlines()]
    blocks, classify, version, unknown, wrong, _ = told
    assert blocks == 'note: Revealed type is "int"'
    assert classify.startswith('note: Revealed type is "def (model: Any, data: Any, *, client: ')
    assert version == 'note: Revealed type is "str"'
    assert unknown.startswith('error: Module has no attribute "anotate"')
    assert wrong.startswith('error: Argument 1 to "status" has incompatible type "int"')


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in COMMANDS),
        ["cluster", "--help"],
        ["cluster", "start", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_no_library_of_data(words):
    status, said, names = loaded_by(*words)
    assert (status, "dasdist" in said) == (0, True), said
    assert not names & {*HEAVY, "dask", "numpy"}


def test_status_loads_no_library_of_data(picks):
    status, said, names = loaded_by("status", picks, "--json")
    assert status == 0, said
    assert json.loads(said.splitlines()[0])["state"] == "complete"
    assert not names & {*HEAVY, "dask"}


RUN = ["classify", "data.nc", "--model", "demo", "-o", "out"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify", "data.nc"], "Missing option"),
        ([*RUN, "--set", "novalue"], "is not key=value"),
        ([*RUN, "--block", "time=all"], "is not time=SAMPLES"),
        ([*RUN, "--block", "time=0"], "--block time=0: a block has at least 1 sample"),
        ([*RUN, "--threads", "2"], "--threads needs --workers"),
        ([*RUN, "--memory", "4GB"], "--memory needs --workers or --cluster"),
        ([*RUN, "--workers", "2", "--memory", "much"], "--memory much is not a size"),
        ([*RUN, "--workers", "2", "--scheduler", "tcp://x:1"], "exclude each other"),
        ([*RUN, "--workers", "2", "--cluster", "slurm"], "--cluster excludes"),
        ([*RUN, "--jobs", "2"], "--jobs: only for jobs of a queue"),
        ([*RUN, "--cluster", "slurm", "--jobs", "2", "--adapt", "1:2"], "--jobs and --adapt"),
        ([*RUN, "--cluster", "slurm", "--adapt", "3:2"], "--adapt 3:2 is not"),
        ([*RUN, "--cluster", "slurm", "--walltime", "long"], "walltime 'long'"),
        ([*RUN, "--block-timeout", "60"], "--block-timeout needs worker processes"),
        ([*RUN, "--max-failures", "some"], "--max-failures some is neither a number"),
        ([*RUN, "--from", "yesterday"], "'yesterday' is not a time in UTC"),
        ([*RUN, "--from", "2024-02", "--to", "2024-01"], "--from 2024-02 is not before"),
        (["classify", "none.nc", "--model", "demo", "-o", "out"], "There is nothing at none.nc"),
        (["classify", "data.nc", "--model", "dmeo", "-o", "out"], "no model called 'dmeo'"),
        (["classify", "data.nc", "--model", "a.json", "-o", "out"], "a.json does not exist"),
        (
            ["classify", "data.nc", "--model", "demo", "-o", "data.nc"],
            "data.nc is a file, and the output is a folder",
        ),
        (["classify", "data.nc", "--model", "demo", "-o", "data.nc/out"], "is a file, not a"),
        (["classify", "data.nc", "--model", "demo", "-o", "full"], "full already holds letter"),
        ([*RUN, "--annotations", "full"], "full already holds letter"),
        (["annotate", "data.nc", "--model", "demo", "-o", "full"], "full already holds letter"),
        (["plan", "none.nc", "--model", "demo", "--workers", "2"], "There is nothing at none.nc"),
        (["status", "nothing"], "nothing holds no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_refused_before_any_library_of_data_is_loaded(words, message, tmp_path):
    (tmp_path / "data.nc").write_bytes(b"not looked at")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter").touch()
    status, said, names = loaded_by(*words, folder=tmp_path)
    assert status == 1, said
    assert message in " ".join(said.replace("│", " ").split())
    assert not names & HEAVY
    assert {path.name for path in tmp_path.iterdir()} == {"data.nc", "full"}


@pytest.mark.slow
def test_archives_are_made_and_indexed_without_torch(tmp_path):
    words = ("fibre", "--hours", "0.02", "--channels", "4")
    status, said, names = loaded_by("synth", *words, folder=tmp_path)
    assert status == 0, said
    assert not names & {"torch", "zarr"}  # xarray loads distributed when it writes a file
    status, said, names = loaded_by("index", "fibre", "-o", "fibre.nc", folder=tmp_path)
    assert status == 0, said
    assert not names & {"torch", "zarr"}


def test_showing_the_version_does_not_even_load_what_draws_help():
    status, said, names = loaded_by("--version")
    assert (status, said.strip()) == (0, f"dasdist {dasdist.__version__}")
    assert "rich" not in names


# ---------------------------------------------------------------- before a cluster


@pytest.fixture
def no_cluster(monkeypatch):
    def start(*args, **kwargs):
        pytest.fail("a cluster was about to start")

    monkeypatch.setattr("dasdist.cluster.local.local_client", start)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "tresholds=0.3"], "'tresholds'; did you mean 'thresholds'?"),
        (["--set", "P_threshold=0.3"], "thresholds={'P': ...}"),
        (["--from", "2030"], "There are no samples from 2030"),
        (["--variable", "strain"], "no variable 'strain'"),
        (["--model", "tests.toys:Toys"], "no 'Toys' in tests.toys"),
    ],
)
def test_what_data_or_model_refuse_is_said_before_a_cluster_starts(
    no_cluster, words, message, tmp_path
):
    recording(noise(1000, 4)).to_netcdf(tmp_path / "data.nc")
    run = ["classify", str(tmp_path / "data.nc"), "-o", str(tmp_path / "out"), "--workers", "2"]
    model = [] if "--model" in words else ["--model", "tests.toys:Toy"]
    done = CliRunner().invoke(app, [*run, *model, *words])
    assert done.exit_code == 1, done.output
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_output_that_another_run_holds_is_refused_before_a_cluster_starts(no_cluster, tmp_path):
    from dasdist.storage.lock import Lock

    (tmp_path / "data.nc").touch()
    journal = tmp_path / "out.dasdist"
    journal.mkdir()
    run = ["classify", str(tmp_path / "data.nc"), "-o", str(tmp_path / "out"), "--workers", "2"]
    with Lock(journal / "lock", "other"):
        done = CliRunner().invoke(app, [*run, "--model", "demo"])
    assert done.exit_code == 1
    assert "is in use by run other" in done.stderr


@pytest.mark.slow
def test_that_all_is_done_is_said_without_a_library_of_data(tmp_path):
    write_minutes(tmp_path / "fibre", 1 / 60, Endless(4, 10.0, 100.0, 0.0, 0, "float32"))
    words = ["classify", tmp_path / "fibre" / "*.nc", "--model", "demo", "-o", tmp_path / "picks"]
    assert loaded_by(*words)[0] == 0
    code, said, names = loaded_by(*words, "--workers", "2")
    assert code == 0, said
    assert "Nothing was left to do" in said
    assert names & {"torch", "numba", "xdas", "distributed"} <= {"numba"}
    code, said, _ = loaded_by(*words, "--threshold", "0.4")
    assert code == 1
    assert "holds another run" in said
