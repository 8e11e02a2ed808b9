"""What comes from outside is shown, not obeyed: by terminals, browsers and readers of reports."""

import ast
import logging
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.callbacks.pick_files import StoredPicks
from dasdist.cli import app
from dasdist.report import Failure, RunReport
from dasdist.safe_text import as_html, logger, one_line, shown, without_secrets

from .toys import Toy, noise, recording

PACKAGE = Path(dasdist.__file__).parent
RED, TITLE, BELL, LEFT, BACK = "\x1b[31m", "\x1b]0;title\x07", "\x07", "\u202e", "\x08"
HOSTILE = f"{RED}a{TITLE}{LEFT}b\u2066{BACK}c\x9b2J\r"
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def here(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


# ---------------------------------------------------------------- the functions


@given(st.text(st.characters(), max_size=30))
def test_any_text_is_shown_without_what_a_terminal_obeys(text):
    plain = shown(text)
    assert not UNFIT.search(plain)
    plain.encode()  # also what os.fsdecode made of bytes that are no text
    assert "\n" not in one_line(text)
    assert not set("<>\"'") & set(as_html(text))
    assert shown(plain) == plain


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=30))
def test_plain_text_of_any_script_stays_what_it_is(text):
    assert shown(text) == text or "://" in text
    assert shown("a\tb\nc") == "a\tb\nc"


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("s3://bucket/a.zarr", "s3://bucket/a.zarr"),
        ("s3://ana:secret@host/a.zarr", "s3://host/a.zarr"),
        ("s3://ana:sec@ret@host/a.zarr", "s3://host/a.zarr"),
        ("s3://ana:sec/ret@host/a.zarr", "s3://host/a.zarr"),
        ("https://ana@host:8080/a?X-Amz-Signature=secret&b=1", "https://host:8080/a"),
        ("https://host/a.zarr#secret", "https://host/a.zarr"),
        ("https://host?secret", "https://host"),
        ("tls://10.0.0.1:8786", "tls://10.0.0.1:8786"),
        ("simplecache::s3://ana:secret@host/a", "simplecache::s3://host/a"),
        ("s3://bucket/a@2.zarr", "s3://bucket/a@2.zarr"),
        ("/data/a?.h5", "/data/a?.h5"),
    ],
)
def test_urls_lose_user_password_and_query(url, public):
    assert without_secrets(url) == public
    sentence = f"The Zarr store {url} could not be opened, nor '{url}' either."
    assert without_secrets(sentence) == sentence.replace(url, public)
    assert without_secrets({"a": [url, 3, None, (url,)]}) == {"a": [public, 3, None, [public]]}


def test_logs_and_errors_show_too(caplog, capsys):
    logger("dasdist").warning("%s is lost", HOSTILE)
    try:
        raise OSError(f"{HOSTILE} https://ana:secret@host/x?y")
    except OSError:
        logger("dasdist").exception("not %s", "that")
    handler = logging.StreamHandler()
    for record in caplog.records:
        handler.emit(record)
    said = capsys.readouterr().err + caplog.text
    assert "OSError" in said
    assert not UNFIT.search(said)
    assert "secret" not in said
    for kind in (dasdist.InvalidInput, dasdist.UnreadableData, dasdist.DataWarning):
        assert str(kind(f"No {HOSTILE} at s3://ana:secret@host/x")).endswith("at s3://host/x")
        assert not UNFIT.search(str(kind(HOSTILE)))


# ---------------------------------------------------------------- every place that prints

FIT = {"shown", "one_line", "as_html", "without_secrets"}

PRINTS = {
    # what it prints is none of the data's
    ("cli/application.py", "typer.echo"),  # the version
    ("cli/demo.py", "voice.out.print"),  # scores of the demonstration
    ("cli/doctor.py", "console.print"),  # `finding_table`, whose cells are shown
    ("cli/voice.py", "console.print"),  # tables and lines, whose cells are on one line each
    ("training/picker.py", "typer.echo"),  # numbers
    # lines of JSON, or of words, for another process and for the log of a cluster
    ("archive/reader.py", "print"),
    ("cluster/daemon.py", "print"),
    ("cluster/sweep.py", "print"),  # runs alone, without the package
}
"""Where something is printed that goes through none of the functions above, and why it may."""

TEXTS = {
    # built of texts that are on one line already, or of numbers and words of dasdist's own
    "cluster/allocation.py": ["__str__"],
    "doctor/finding.py": ["__str__"],  # of all findings; of one, it is shown
    "journal/coverage.py": ["__str__"],
    "sources/channel_range.py": ["__str__"],
    "sources/jitter.py": ["__str__"],
    "sources/time_range.py": ["__str__"],
}
"""Texts of objects that go through none of the functions above."""


def calls(node):
    """Return the names of all that is called below a node."""
    return [ast.unparse(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)]


def is_printing(name):
    last = name.rpartition(".")[2]
    return (
        last in ("print", "echo", "secho", "showwarning", "print_exc", "print_json", "rule")
        or name in ("sys.stdout.write", "sys.stderr.write", "self.json.write", "usual")
        or (last == "log" and "console" in name)
    )


def sources():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "safe_text.py":
            yield name, ast.parse(path.read_text())


def test_every_place_that_prints_makes_its_text_fit():
    """A new one fails here until it does so, or stands in the list with its reason."""
    found = set()
    for name, tree in sources():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            what = ast.unparse(call.func)
            if is_printing(what) and not FIT & set(calls(call)):
                found.add((name, what))
    json_line = {("cli/voice.py", "self.json.write")}  # `without_secrets`, in the line above
    assert found == PRINTS | json_line


def test_every_text_of_an_object_is_fit():
    found = {}
    for name, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name in ("__str__", "__repr__"):
                if not FIT & set(calls(node)):
                    found.setdefault(name, []).append(node.name)
            elif isinstance(node, ast.FunctionDef) and node.name == "_repr_html_":
                assert "as_html" in calls(node), name
    assert found == TEXTS


def test_every_log_is_one_whose_messages_are_shown():
    found = {name for name, tree in sources() if "logging.getLogger" in calls(tree)}
    assert found == {"executors/lost_links.py"}  # which filters Dask's own, and logs nothing


# ---------------------------------------------------------------- from end to end


def is_fit(done):
    for text in (done.stdout, done.stderr):
        assert not UNFIT.search(text), repr(text)
        assert "secret" not in text
    return done


@pytest.fixture
def archive(tmp_path):
    """Files whose names and attributes hold what a terminal obeys."""
    folder = tmp_path / f"archive{RED}{LEFT}"
    folder.mkdir()
    for number in range(2):
        path = folder / f"{number}{HOSTILE}.nc"
        start = np.datetime64("2024-01-01", "ns") + number * np.timedelta64(60, "s")
        recording(noise(6000, 4, seed=number), start=start).to_netcdf(path)
    (folder / f"9{HOSTILE}\nError: forged.nc").write_bytes(b"nothing of the kind")
    with h5py.File(folder / f"8{HOSTILE}.h5", "w") as file:
        file[f"group{HOSTILE}"] = [1]
    return folder


PICKING = ["--threshold", "0.5", "--set", "blinding=[1,1]", "--set", "min_time_separation=0.1"]


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_commands_show_hostile_names_and_attributes(archive, tmp_path, as_json):
    index = tmp_path / f"index{HOSTILE}.nc"
    done = is_fit(here("index", archive, "-o", index, *as_json))
    assert done.exit_code == 0
    assert r"\u202e" in done.stdout
    assert not re.search("^Error: forged", done.stdout, re.MULTILINE)
    is_fit(here("plan", next(archive.glob("9*")), "--model", "demo", *as_json))
    is_fit(here("plan", archive / HOSTILE, "--model", "demo", *as_json))
    is_fit(here("plan", index, "--model", HOSTILE, *as_json))
    is_fit(here("plan", index, "--model", "demo", "--engine", HOSTILE, *as_json))
    next(archive.glob("1*")).write_bytes(b"rotten")
    out = tmp_path / f"picks{HOSTILE}"
    said = [*PICKING, "--max-failures", "any", *as_json]
    done = is_fit(here("classify", index, "--model", "tests.toys:Toy", "-o", out, *said))
    assert done.exit_code == 2, done.output
    assert "missing" in done.output
    done = is_fit(here("status", out, *as_json))
    assert done.exit_code == 0
    (report,) = tmp_path.glob("*/report.txt")
    assert not UNFIT.search(report.read_text())
    assert not UNFIT.search((report.parent / "report.json").read_text())


def test_attributes_and_names_of_variables_are_shown(tmp_path):
    coords = {"time": np.arange(600).astype("M8[s]").astype("M8[ns]"), HOSTILE: np.arange(4.0)}
    data = xarray.DataArray(noise(600, 4), coords, name=HOSTILE + "s", attrs={"units": HOSTILE})
    data.to_dataset().to_zarr(tmp_path / "a.zarr", consolidated=False)
    for more in ([], ["--variable", RED], ["--set", f"channel_coord_name={HOSTILE}x"]):
        is_fit(here("plan", tmp_path / "a.zarr", "--model", "tests.toys:Toy", *more))


def test_urls_with_a_password_are_nowhere_to_be_found(tmp_path):
    url = "memory://ana:secret@host/{}.zarr?token=secret"
    for words in (["plan"], ["annotate", "-o", "memory://ana:secret@host/prob.zarr"]):
        for as_json in ([], ["--json"]):
            done = is_fit(here(words[0], url.format("a"), "--model", "demo", *words[1:], *as_json))
            assert done.exit_code == 1
            assert "memory://host/a.zarr" in done.stdout + done.stderr
    # what a run leaves behind
    out = tmp_path / "picks"
    values = noise(6000, 4)
    values[:100] = 1000.0
    data = recording(values)
    with pytest.warns(dasdist.DataWarning, match="https://host/model$"):
        report = dasdist.classify(
            Failing(), data, out=out, pbar=False, client=False, max_failures="any",
            thresholds=0.5, blinding=(1, 1), block={"time": 500},
        )  # fmt: skip
    for text in (str(report), str(dasdist.status(out)), report._repr_html_()):
        assert "https://host/model" in text
        assert "secret" not in text
    (journal,) = (path.parent for path in tmp_path.glob("*/report.json"))
    assert sorted(path.name for path in journal.iterdir() if "secret" in read(path)) == []


def read(path):
    return path.read_bytes().decode(errors="replace") if path.is_file() else ""


class Failing(Toy):
    def forward(self, x, argdict=None):
        if x.max() > 100:
            raise RuntimeError("no answer from https://ana:secret@host/model?key=secret")
        return super().forward(x, argdict)


def test_html_of_results_is_escaped(tmp_path):
    tag = "<img src=x onerror=alert(1)>"
    report = RunReport(
        model=tag, blocks=1, data_seconds=1.0, wall_seconds=1.0, finished=0, notes=(tag,),
        failures=(Failure(0, 0, core=None, error=tag),),
        facts={tag: tag},
    )  # fmt: skip
    picks = StoredPicks(tmp_path / tag, {"picks": 0, tag: 0, "bytes": 0})
    for results in ({"picks": picks}, {}, {tag: 1}):
        found = dasdist.ClassifyOutput(tag, report, results)
        assert "<img" not in found._repr_html_()
        assert "&lt;img" in found._repr_html_()
    data = recording(noise(600, 4))
    made = dasdist.plan(type(f"{tag}", (Toy,), {})(), data)
    assert "&lt;img" in made._repr_html_()
    assert "<img" not in made._repr_html_()
    assert "\n" not in repr(made).partition("model")[2].partition("segments")[0].strip()
