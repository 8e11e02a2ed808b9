"""What is wrong is said in words, before work starts, with a remedy; and how many there are."""

import importlib.util
import io
import json
import os
import threading
import warnings
from contextlib import nullcontext
from types import MappingProxyType

import numpy as np
import pytest
import xarray
from typer.testing import CliRunner

import dasdist
from dasdist.api.model_names import SEISBENCH
from dasdist.cli import app
from dasdist.cli import voice as voices
from dasdist.doctor.queue import check_commands
from dasdist.sources.selection import ArraySource
from dasdist.synthetic.archive import write_minutes
from dasdist.synthetic.endless import Endless
from dasdist.testing import check_callback, check_executor, check_sink, check_source

from .toys import START, Toy, noise, recording

DATA = recording(noise(3000, 4))
OPTIONS = {"pbar": False, "blinding": (1, 1)}


def command(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def told(text):
    """A message as one line, whatever drew a box around it."""
    return " ".join(text.replace("│", " ").split())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Five minutes, of which the third file is cut short, and an index that says so."""
    folder = tmp_path_factory.mktemp("words")
    write_minutes(folder / "fibre", 5 / 60, Endless(channels=4, events_per_hour=60.0, seed=3))
    files = sorted((folder / "fibre").glob("*.nc"))
    os.truncate(files[2], 1000)
    index = dasdist.index_archive(folder / "fibre", folder / "fibre.nc", processes=1)
    assert len(index.problems) == 1
    return folder


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize("wrong", [2, -0.1, float("nan"), {"P": 0.3, "S": 1.5}, "0.3"])
def test_thresholds_are_probabilities(wrong):
    with pytest.raises(dasdist.InvalidInput, match="from 0 to 1"):
        Toy().classify(DATA, thresholds=wrong, **OPTIONS)
    with pytest.raises(dasdist.InvalidInput, match="from 0 to 1"):
        dasdist.plan(Toy(), DATA, thresholds=wrong)
    if wrong not in (2, {"P": 0.3, "S": 1.5}):  # what a model of one's own may annotate with
        with pytest.raises(dasdist.InvalidInput, match="from 0 to 1"):
            dasdist.PicksWriterCallback("not written", wrong)


@pytest.mark.parametrize("call", [dasdist.classify, dasdist.plan])
def test_an_unknown_phase_names_those_of_the_model_before_data_is_looked_at(call):
    with pytest.raises(dasdist.InvalidInput, match=r"no phase 'X'.* phases are 'P', 'S'"):
        call(Toy(), "no data at all", thresholds={"X": 0.3})


@pytest.mark.parametrize(
    ("words", "fact"),
    [
        (["2x"], "'2x' is not a number"),
        (["2"], "'2' is not between 0 and 1"),
        (["-1"], "'-1' is not between 0 and 1"),
        (["nan"], "'nan' is not between 0 and 1"),
        (["P=high"], "'high' is not a number"),
        (["P=0.3", "0.2"], "mixes one for all phases"),
        (["P=0.3", "P=0.2"], "has two for P"),
    ],
)
@pytest.mark.parametrize("name", ["classify", "plan"])
def test_the_command_line_says_how_a_threshold_is_written(name, words, fact, tmp_path):
    out = [] if name == "plan" else ["-o", tmp_path / "picks"]
    options = [f"--threshold={word}" for word in words]
    shown = command(name, "nowhere.nc", "-m", "demo", *out, *options)
    assert shown.exit_code == 1
    assert fact in told(shown.stderr)
    assert "--threshold P=0.3 --threshold S=0.2" in told(shown.stderr)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- another run


def test_a_run_of_another_kind_is_told_in_words(tmp_path):
    model, picks, store = Toy(), tmp_path / "picks", tmp_path / "prob"
    model.classify(DATA, out=picks, thresholds=0.5, **OPTIONS)
    model.classify(DATA, out=tmp_path / "both", annotations=store, thresholds=0.5, **OPTIONS)

    def refused(call):
        with pytest.raises(dasdist.RunMismatch) as error:
            call()
        message = str(error.value)
        assert "(-o)" in message
        assert "--overwrite" in message
        for internal in ("output.", "recording.", "arguments.", "segments[", "identity", "model."):
            assert internal not in message
        return message

    def classify(**changes):
        return lambda: model.classify(
            DATA, **{"out": picks, "thresholds": 0.5, **OPTIONS, **changes}
        )

    message = refused(classify(thresholds={"P": 0.5, "S": 0.25}))
    assert "other thresholds: 0.5 then, P=0.5, S=0.25 now" in message
    message = refused(lambda: model.annotate(DATA, dasdist.WriterCallback(picks), pbar=False))
    assert "it holds picks, and this run writes probabilities" in message
    message = refused(lambda: model.annotate(DATA, dasdist.WriterCallback(store), pbar=False))
    assert "it holds picks and probabilities in one pass, and this run writes prob" in message
    message = refused(classify(precision="bf16"))
    assert "other precision: float32 then, bf16 now" in message
    other = recording(noise(2000, 4))
    message = refused(lambda: model.classify(other, out=picks, thresholds=0.5, **OPTIONS))
    assert "another recording: 3,000 samples x 4 channels then, 2,000 x 4 now" in message

    class Another(Toy):
        pass

    message = refused(lambda: Another().classify(DATA, out=picks, thresholds=0.5, **OPTIONS))
    assert "another model: Toy then, Another now" in message


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dasdist.classify(Toy(), DATA, max_failure=3), "did you mean 'max_failures'"),
        (lambda: dasdist.plan(Toy(), DATA, max_failure=3), "did you mean 'max_failures'"),
        (lambda: dasdist.annotate(Toy(), DATA, retry_fail=True), "did you mean 'retry_failed'"),
        (lambda: dasdist.annotate(Toy(), DATA, thresholds=0.3), "'thresholds' .* to classify"),
        (lambda: dasdist.annotate(Toy(), DATA, blinding=(1, 1)), "'blinding' .* to classify"),
        (lambda: dasdist.annotate(Toy(), DATA, threshold=0.3), "'thresholds'. It belongs to cl"),
        (lambda: dasdist.annotate(Toy(), DATA, out="picks"), "'out' .* to classify"),
        (lambda: dasdist.classify(Toy(), DATA, callback=None), "'callback' .* to annotate"),
        (
            lambda: dasdist.annotate(
                Toy(), DATA, dasdist.InMemoryCollectionCallback(), stacking="max"
            ),
            r"'stacking' .* to the callback: WriterCallback\(path, stacking=...\)",
        ),
        (lambda: dasdist.from_pretrained("phasenet"), "Near: seisbench:PhaseNet/original"),
        (lambda: dasdist.from_pretrained("EQTransfomer/stead"), "Near: seisbench:EQT.*/stead"),
    ],
)
def test_a_name_that_is_wrong_here_is_told_where_it_belongs(call, message):
    with pytest.raises(dasdist.InvalidInput, match=message):
        call()


def test_an_argument_of_a_model_of_ones_own_is_its_own(tmp_path):
    class Own(Toy):
        _annotate_args = MappingProxyType({**Toy._annotate_args, "out": ("A level", 1.0)})

    assert dasdist.annotate(Own(), DATA, out=2.0)["P"].shape == (750, 4)


@pytest.mark.skipif(importlib.util.find_spec("seisbench") is None, reason="needs SeisBench")
def test_the_models_that_one_is_reminded_of_exist():
    import seisbench.models

    assert all(hasattr(seisbench.models, name) for name in SEISBENCH)


def test_settings_that_are_options_are_told_so(archive, tmp_path):
    words = ["annotate", archive / "fibre.nc", "-m", "demo", "-o", tmp_path / "prob"]
    shown = command(*words, "--set", "max_failures=3")
    assert (shown.exit_code, shown.stderr.count("--max-failures")) == (1, 1)
    shown = command(*words, "--set", "thresholds=0.3")
    assert "the command classify" in shown.stderr
    shown = command(*words, "--set", "path=elsewhere")
    assert "Give it by the option -o." in shown.stderr
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- formats


def open_raw(path):
    values = np.fromfile(path, "float32").reshape(-1, 4)
    time = START + np.arange(len(values)) * np.timedelta64(10, "ms")
    return xarray.DataArray(values, {"time": time, "distance": 10.0 * np.arange(4)})


def test_a_function_of_ones_own_is_an_engine(tmp_path, monkeypatch):
    values = noise(3000, 4)
    values.tofile(tmp_path / "a.raw")
    words = ["-m", "tests.toys:Toy", "-o", tmp_path / "picks", "--set", "blinding=[1,1]", "--json"]
    words += ["--threshold", "0.5", "--engine", "tests.test_words:open_raw"]
    shown = command("classify", tmp_path / "a.raw", *words)
    assert shown.exit_code == 0, shown.stderr
    expected = Toy().classify(recording(values), thresholds=0.5, **OPTIONS).picks
    assert json.loads(shown.stdout.splitlines()[-1])["counts"]["picks"] == len(expected) > 10


def test_an_unknown_engine_names_the_near_ones(archive, tmp_path):
    for name, path in (("index", archive / "fibre"), ("plan", archive / "fibre" / "*.nc")):
        words = ["-o", tmp_path / "out.nc"] if name == "index" else ["-m", "demo"]
        shown = command(name, path, *words, "--engine", "prodmi")
        assert (shown.exit_code, "did you mean 'prodml'?" in shown.stderr) == (1, True)


def test_an_index_refuses_a_format_that_was_added_and_says_where_it_works(archive, tmp_path):
    for name in ("raw", "tests.test_words:open_raw"):
        dasdist.register_format("raw", open_raw)
        with pytest.raises(dasdist.InvalidInput, match=f"classify.* --engine {name}"):
            dasdist.index_archive(archive / "fibre", tmp_path / "out.nc", engine=name)


# ---------------------------------------------------------------- contract tests


class Abstract(dasdist.DASAnnotateCallback):
    def map_block(self, block, annotations):
        return annotations["energy"]


class Energetic(Abstract):
    def combine(self, parts):
        return parts

    def get_results_dict(self):
        return {}


class Open:
    """Carries an open file."""

    def __init__(self):
        self.file = io.TextIOWrapper(io.BytesIO())

    def select(self, region):
        return self

    def read(self):
        return np.zeros((4, 3))

    def files(self):
        return ()

    def chunks(self):
        return None

    def identity(self):
        yield b"open"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda path: check_callback(dasdist.DASPickingCallback()), "pass the class DASPicking"),
        (lambda path: check_callback(Abstract), "abstract method"),
        (lambda path: check_callback(dict), "dict is not a callback"),
        (lambda path: check_callback(Energetic, keys="energy"), r"such as \['P', 'S'\]"),
        (lambda path: check_callback(Energetic, segments=0), "use 1 or 2"),
        (lambda path: check_sink(dasdist.WriterCallback(path), path), "pass the class WriterCall"),
        (lambda path: check_sink(lambda: 3, path), "with a path as its only argument"),
        (lambda path: check_sink(lambda _: 3, path), "not a dasdist.SinkCallback"),
        (lambda path: check_sink(dasdist.WriterCallback, path / "no"), "not an empty folder"),
        (lambda path: check_source(np.zeros((3, 3)), (3, 3)), "and has no select, read, files"),
        (lambda path: check_source(ArraySource, (3, 3)), "pass an instance"),
        (lambda path: check_source(ArraySource(np.zeros((3, 3)))), "shape is None; pass"),
        (lambda path: check_source(ArraySource(np.zeros((3, 3))), 9), "shape is 9; pass"),
        (lambda path: check_executor(3), "check_executor makes new objects"),
        (lambda path: check_executor(object), "no method run"),
    ],
)
def test_contract_tests_refuse_what_they_cannot_check(check, message, tmp_path):
    with pytest.raises(dasdist.InvalidInput, match=message):
        check(tmp_path)


def test_contract_tests_say_which_method_raised():
    with pytest.raises(AssertionError, match=r"map_block.* KeyError.*keys 'P', 'S'; with"):
        check_callback(Energetic)
    with pytest.raises(AssertionError, match=r"Pickling .*open files in read\(\)"):
        check_source(Open(), (4, 3))


def test_a_source_array_says_its_shape_itself():
    time = START + np.arange(6) * np.timedelta64(10, "ms")
    source = ArraySource(noise(6, 3))
    check_source(dasdist.SourceArray(source, "float32", time, np.arange(3.0)))
    with pytest.raises(AssertionError, match=r"gave shape \(6, 3\), expected \(6, 2\)"):
        check_source(dasdist.SourceArray(source, "float32", time, np.arange(2.0)))


# ---------------------------------------------------------------- files and folders in the way


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("name", ["classify", "annotate"])
def test_a_file_where_an_output_goes_is_told_to_be_one(archive, tmp_path, name, overwrite):
    (tmp_path / "thesis").write_text("precious")
    words = [archive / "fibre.nc", "-m", "demo", "-o", tmp_path / "thesis"]
    shown = command(name, *words, *overwrite)
    assert shown.exit_code == 1
    assert "thesis is a file, and the output is a folder" in shown.stderr
    assert "Choose another path, or move the file away." in shown.stderr
    assert (tmp_path / "thesis").read_text() == "precious"


def test_a_file_where_the_journal_goes_is_told_to_be_one(tmp_path):
    (tmp_path / "picks.dasdist").write_text("precious")
    with pytest.raises(dasdist.InvalidInput, match=r"picks\.dasdist is .* choose another output"):
        Toy().classify(DATA, out=tmp_path / "picks", **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picks.dasdist"]


def test_a_folder_is_no_index_and_the_remedy_works(archive):
    with pytest.raises(dasdist.InvalidInput, match="is a folder") as error:
        dasdist.open_archive(archive / "fibre")
    assert f"`dasdist index {archive / 'fibre'} -o fibre.nc`" in str(error.value)
    for call in (dasdist.classify, dasdist.plan):
        with pytest.raises(dasdist.InvalidInput, match="is a folder"):
            call(Toy(), archive / "fibre")


# ---------------------------------------------------------------- what was left out


def test_a_run_warns_of_files_that_the_index_left_out(archive, tmp_path):
    index = archive / "fibre.nc"
    with pytest.warns(dasdist.DataWarning, match="1 file of the archive is left out") as caught:
        dasdist.plan(Toy(), index)
    assert "1 unreadable" in str(caught[0].message)
    assert f"ArchiveIndex.read({str(index)!r}).problems" in str(caught[0].message)
    for period in ([], ["--from", "2025-06-01T00:01"]):
        words = ["classify", index, "-m", "demo", "-o", tmp_path / f"picks{len(period)}", *period]
        shown = command(*words)
        assert shown.exit_code == 0, shown.stderr
        assert shown.stderr.count("1 file of the archive is left out") == 1


def test_files_that_make_an_array_of_their_own_are_not_left_out(tmp_path):
    for name, start, channels in (("a", 0, 4), ("b", 30, 4), ("c", 60, 3)):
        begin = START + np.timedelta64(start, "s")
        recording(noise(3000, channels), start=begin).to_netcdf(str(tmp_path / f"{name}.nc"))
    index = dasdist.index_archive(tmp_path, tmp_path / "index.dat", processes=1)
    assert list(index.problems["kind"]) == ["channels"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dasdist.plan(Toy(window=(64, 3), out=(16, 3), covers=((0, 64), (0, 3))), index.path)


def test_failures_name_their_file_once_with_short_times(archive, tmp_path):
    index = dasdist.index_archive(archive / "fibre", archive / "again.nc", processes=1)
    path = sorted((archive / "fibre").glob("*.nc"))[-1]
    whole = path.read_bytes()
    os.truncate(path, len(whole) - 1)
    try:
        words = ["-m", "demo", "-o", tmp_path / "picks", "--block", "time=6000"]
        shown = command("classify", index.path, *words)
    finally:
        path.write_bytes(whole)
    assert shown.exit_code == 2
    rows = [line for line in shown.stdout.splitlines() if str(path) in line]
    assert len(rows) == 2  # one of them reads into the file for its last window, and lacks that
    assert [row.endswith("--max-failures any).") for row in rows] == [True, False]
    assert "1 block done in part" in shown.stdout
    for row in rows:
        assert row.count(str(path)) == 1
        assert "000000" not in row.replace(str(path), "")
    assert str(path) not in shown.stderr  # the table says it


# ---------------------------------------------------------------- ends that no window reaches


def test_ends_that_no_window_reaches_are_told():
    model = Toy(window=(64, 4), out=(12, 4), covers=((10, 58), (0, 4)))
    plan = dasdist.plan(model, DATA)
    assert plan.unreached_seconds == (0.1, 0.06)  # at 100 Hz
    assert "0.1 s at the start and 0.06 s at the end of each segment" in str(plan)
    report = model.classify(DATA, **OPTIONS).report
    assert "0.1 s at the start and 0.06 s at the end of each segment" in str(report)
    assert "not covered" not in str(dasdist.plan(Toy(), DATA))
    narrow = Toy(window=(64, 3), out=(16, 1), covers=((0, 64), (1, 2)))
    assert "2 channels of each segment" in str(dasdist.plan(narrow, DATA))


def test_coverage_counts_what_no_window_reaches(tmp_path):
    model = Toy(window=(64, 4), out=(12, 4), covers=((10, 58), (0, 4)))
    model.classify(DATA, out=tmp_path / "picks", block={"time": 100}, **OPTIONS)
    report = json.loads((tmp_path / "picks.dasdist" / "report.json").read_text())
    assert report["data"]["covered"] == pytest.approx((3000 - 16) / 3000)
    ends = [hole for hole in report["data"]["not_covered"] if hole["reason"] == "end"]
    seconds = [(hole["start"][17:22], hole["stop"][17:22]) for hole in ends]
    assert seconds == [("00.00", "00.09"), ("29.94", "29.99")]
    text = (tmp_path / "picks.dasdist" / "report.txt").read_text()
    assert "0.1 s at the start and 0.06 s at the end of each segment" in text
    assert "99.47% covered" in text


# ---------------------------------------------------------------- how a command speaks


@pytest.mark.parametrize(
    ("options", "spoken"), [({}, True), ({"quiet": True}, False), ({"as_json": True}, False)]
)
def test_a_long_silence_is_broken_unless_asked_for(monkeypatch, options, spoken):
    monkeypatch.setattr(voices, "_PATIENCE", 0.0)
    said = threading.Event()
    voice = voices.Voice("plan", **options)
    monkeypatch.setattr(voice, "wrong", lambda text: said.set())
    with voice.patience("Loading libraries ..."):
        if spoken:
            assert said.wait(60)
    assert said.is_set() == spoken


def test_one_of_a_thing_is_not_several(tmp_path):
    result = Toy().classify(DATA, out=tmp_path / "picks", block={"time": 3000}, **OPTIONS)
    assert "1 of 1 block," in str(result.report)
    text = str(dasdist.status(tmp_path / "picks"))
    assert "1 of 1 block done" in text


def test_a_part_that_is_gone_is_work_for_the_cluster(archive, tmp_path, monkeypatch):
    """Also where the command is not known again, and the ledger says that all is done."""
    places = []

    def computing(voice, where, queue):
        places.append(where.workers)
        return nullcontext(False)

    monkeypatch.setattr("dasdist.cli.running.computing", computing)
    words = ["classify", archive / "fibre.nc", "-m", "demo", "-o", tmp_path / "picks"]
    words += ["--workers", "2", "--json"]
    assert command(*words).exit_code == 0
    (tmp_path / "picks.dasdist" / "asked.json").unlink()
    assert command(*words).exit_code == 0  # nothing is left to do, so that no cluster starts
    assert places == [2]
    (tmp_path / "picks.dasdist" / "asked.json").unlink()
    (tmp_path / "picks" / "block-000000000.parquet").unlink()
    assert command(*words).exit_code == 0
    assert places == [2, 2]
    assert (tmp_path / "picks" / "block-000000000.parquet").exists()


def test_a_site_without_slurm_is_told_so_in_a_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (check_commands().state, check_commands().fact) == (
        "not checked",
        "There is no SLURM here.",
    )
    for name in ("sbatch", "squeue", "sinfo", "scancel"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'error: no configuration' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    assert check_commands().fact == "SLURM does not answer here."
    needed = check_commands(needed=True)
    assert (needed.state, "no configuration" in needed.fact) == ("wrong", True)
