"""The call that measures a GPU: nothing that fails hides what comes after it."""

import json
import runpy
from pathlib import Path

import pytest

from tests.benchmarks.gpu.sections import Report

FOLDER = Path(__file__).parent / "benchmarks" / "gpu"


@pytest.fixture
def call():
    return runpy.run_path(str(FOLDER), run_name="not main")


def test_a_row_that_fails_hides_no_other_row_or_section(tmp_path, capsys):
    def broken(report):
        report.row("first", lambda: 1.5)
        report.row("second", lambda: 1 / 0)
        report.row("third", lambda: pytest.skip("not here"))
        report.row("fourth", lambda: "words")
        raise OSError("the section")

    def whole(report):
        report.row("fifth", lambda: 2)

    report = Report("cpu", True, tmp_path / "out", 60.0)
    report.section("broken", broken)
    report.section("whole", whole)
    found = json.loads((tmp_path / "out" / "measure.json").read_text())
    assert found == {"broken": {"first": 1.5, "fourth": "words"}, "whole": {"fifth": 2}}
    assert report.failed == ["second", "third", "broken"]
    said = capsys.readouterr().out
    assert "failed: ZeroDivisionError at test_gpu_benchmark.py" in said
    assert "failed: Skipped" in said


def test_no_section_begins_when_the_time_is_spent(tmp_path, capsys):
    report = Report("cpu", True, tmp_path, -1.0)
    report.section("late", lambda report: pytest.fail("it began"))
    assert "late: no time is left" in capsys.readouterr().out


def test_every_section_is_there(call):
    assert len(call["SECTIONS"]) == 10
    for section in call["SECTIONS"]:
        assert callable(call["_function"](section))


def test_it_is_played_through_on_a_cpu(call, tmp_path, capsys):
    assert call["main"](["ceilings", "--device", "cpu", "--quick", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "h5py, whole rows, GB/s" in said
    assert json.loads((tmp_path / "measure.json").read_text())["ceilings"]["reading"] == "done"


@pytest.mark.deep
@pytest.mark.seisbench
def test_results_and_rates_are_played_through_on_a_cpu(call, tmp_path, capsys):
    named = ["parity", "events", "network", "large", "raw", "stages", "profile"]
    options = ["--device", "cpu", "--quick", "--seconds", "3000", "--out", str(tmp_path)]
    assert call["main"]([*named, *options]) == 0, capsys.readouterr().out
