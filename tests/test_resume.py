"""Runs whose results last: the same call goes on where the last one ended; another is refused."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xdas

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from dasdist.journal.ledger import read_ledger
from tests.toys import START, Toy, noise, recording

BLOCK = {"time": 100, "distance": 5}
PICKING = {"thresholds": 0.5, "blinding": (1, 1)}
VALUES = noise(3000, 12)
DATA = recording(VALUES)


def classify(data, out, model=None, **options):
    given = {**PICKING, "pbar": False, **options}
    return (model or Toy(gain=3.0)).classify(data, out=out, **given)


def journal(path):
    return path.with_name(path.name + ".dasdist")


def done(path):
    return sorted(read_ledger(journal(path) / "ledger.jsonl").parts)


def interrupt(path, blocks):
    """Leave a ledger as a run does that died while it wrote the entry after so many."""
    ledger = journal(path) / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:blocks]) + lines[blocks][:20])


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected)
    assert len(expected) > 50


@pytest.fixture
def out(tmp_path):
    return tmp_path / "picks.parquet"


# ---------------------------------------------------------------- going on


def test_picks_on_disk_are_those_in_memory(out):
    in_memory = classify(DATA, None, block=BLOCK)
    on_disk = classify(DATA, out, block=BLOCK)
    same(on_disk.picks, in_memory.picks)
    assert on_disk.report.complete
    assert done(out) == list(range(on_disk.report.blocks))


def test_the_same_call_computes_only_what_is_missing(out):
    first = classify(DATA, out, block=BLOCK)
    interrupt(out, 7)
    again = classify(DATA, out)  # with the blocks that the output was begun with
    assert (again.report.before, again.report.finished) == (7, first.report.blocks)
    same(again.picks, first.picks)
    third = classify(DATA, out)
    assert third.report.before == third.report.blocks
    assert len(third.picks) == len(first.picks)
    assert repr(third).startswith(f"{len(first.picks):,} picks (")


@pytest.mark.slow
def test_what_does_not_change_results_may_change(out, client):
    first = classify(DATA, out, block=BLOCK)
    interrupt(out, 5)
    again = classify(DATA, out, batch_size=3, client=client, max_failures=7)
    assert again.report.before == 5
    same(again.picks, first.picks)


def test_parts_that_are_gone_are_computed_again(out):
    first = classify(DATA, out, block=BLOCK)
    (out / "block-000000003.parquet").unlink()
    (out / "block-000000009.parquet").write_bytes(b"cut sho")
    again = classify(DATA, out)
    assert again.report.before == again.report.blocks - 2
    same(again.picks, first.picks)


def test_two_outputs_in_one_pass(tmp_path, out):
    store = tmp_path / "prob.zarr"
    alone = classify(DATA, None)
    both = classify(DATA, out, annotations=store, block=BLOCK)
    same(both.picks, alone.picks)
    interrupt(store, 6)  # of two ledgers the one that knows less counts
    again = classify(DATA, out, annotations=store)
    assert again.report.before == 6
    memory = dasdist.InMemoryCollectionCallback()
    Toy(gain=3.0).annotate(DATA, memory, pbar=False)
    with dasdist.open_annotations(store) as found:
        np.testing.assert_allclose(found["P"], memory.annotations["P"].values, rtol=1e-6)
    (journal(store) / "run.json").unlink()
    with pytest.raises(dasdist.RunMismatch, match=r"begun without .*prob\.zarr"):
        classify(DATA, out, annotations=store)


# ---------------------------------------------------------------- another run


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": Toy(gain=2.0)}, "other weights of the model Toy"),
        ({"thresholds": 0.6}, "other thresholds: 0.5 then, 0.6 now"),
        ({"blinding": (2, 1)}, r"other blinding: \[1, 1\] then, \[2, 1\] now"),
        ({"overlap_samples": 10}, r"other overlap_samples: (not given|[0-9.]+) then, 10 now"),
        (
            {"block": {"time": 50, "distance": 5}},
            "other blocks: of 100 samples x 5 channels then, of 50 x 5 now",
        ),
        ({"data": recording(VALUES + 1)}, "another recording: of the same size"),
        (
            {"data": recording(VALUES[:2500])},
            r"another recording: 3,000 samples x \d+ channels then, 2,500 x \d+ now",
        ),
        ({"data": recording(VALUES, start=START + np.timedelta64(1, "s"))}, "another recording"),
    ],
)
def test_another_run_is_refused_with_the_differences(out, change, told):
    first = classify(DATA, out, block=BLOCK)
    with pytest.raises(dasdist.RunMismatch, match=told) as error:
        classify(**{"data": DATA, "out": out, **change})
    assert "overwrite" in str(error.value)
    same(classify(DATA, out).picks, first.picks)  # and nothing was harmed


def test_overwrite_begins_anew(out):
    classify(DATA, out, block=BLOCK)
    anew = classify(DATA, out, thresholds=0.6, overwrite=True)
    assert anew.report.before == 0
    same(anew.picks, classify(DATA, None, thresholds=0.6).picks)


def test_what_is_not_ours_stays(out):
    out.mkdir()
    (out / "thesis.tex").write_text("all of it")
    for overwrite in (False, True):
        with pytest.raises(dasdist.OutputExists, match="thesis"):
            classify(DATA, out, overwrite=overwrite)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    (out / "thesis.tex").unlink()
    first = classify(DATA, out, block=BLOCK)
    (out / "thesis.tex").write_text("all of it")
    with pytest.raises(dasdist.OutputExists, match="thesis"):
        classify(DATA, out, overwrite=True)
    assert (out / "thesis.tex").read_text() == "all of it"
    assert len(done(out)) == first.report.blocks  # the ledger that was there still stands


def test_a_run_that_died_while_it_began_counts_for_nothing(out):
    first = classify(DATA, out, block=BLOCK)
    (journal(out) / "begun").touch()
    (journal(out) / "run.json").unlink()
    (journal(out) / "ledger.jsonl").unlink()
    again = classify(DATA, out)
    assert again.report.before == 0
    same(again.picks, first.picks)


# ---------------------------------------------------------------- growing archives


@pytest.mark.parametrize("samples", [1, 30, 64, 100, 777])
def test_an_archive_that_grew_extends_the_run(out, samples):
    old = recording(VALUES[: 3000 - samples])
    before = classify(old, out, block=BLOCK)
    grown = classify(DATA, out)
    same(grown.picks, classify(DATA, None).picks)
    # a patch is 64 samples: of 100-sample blocks, few lie so near the old end
    assert grown.report.before >= before.report.blocks - 3 * 3
    assert classify(DATA, out).report.before == grown.report.blocks


def test_a_segment_may_follow(out, tmp_path):
    later = recording(VALUES[:700], start=START + np.timedelta64(3600, "s"))
    both = xdas.concatenate([DATA, later], "time")
    first = classify(DATA, out, block=BLOCK)
    grown = classify(both, out)
    assert grown.report.before == first.report.blocks
    same(grown.picks, classify(both, None).picks)


def test_an_array_of_another_form_may_follow(out):
    """More channels, of another type, at another rate: a member of its own in a collection."""
    start = START + np.timedelta64(3600, "s")
    later = recording(noise(900, 20, dtype="float64"), rate=50.0, start=start)
    first = classify([DATA], out, block=BLOCK)
    grown = classify([DATA, later], out)
    assert grown.report.before == first.report.blocks
    same(grown.picks, classify([DATA, later], None).picks)


def test_annotations_grow_too(tmp_path):
    store = tmp_path / "prob.zarr"
    model = Toy(gain=3.0)
    old = recording(VALUES[:2345])
    model.annotate(old, dasdist.WriterCallback(store), block=BLOCK, pbar=False)
    report = model.annotate(DATA, dasdist.WriterCallback(store), pbar=False)
    assert 0 < report.before < report.blocks
    fresh = tmp_path / "fresh.zarr"
    model.annotate(DATA, dasdist.WriterCallback(fresh), pbar=False)
    with dasdist.open_annotations(store) as grown, dasdist.open_annotations(fresh) as anew:
        for key in ("P", "S"):
            np.testing.assert_allclose(grown[key], anew[key], rtol=1e-6)
            np.testing.assert_array_equal(grown[key]["time"], anew[key]["time"])


# ---------------------------------------------------------------- one at a time

_HOLD = """
import sys, time
from pathlib import Path
from dasdist.storage.lock import Lock
with Lock(Path(sys.argv[1]), "1f0c"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_runs_on_one_output(out):
    classify(DATA, out, block=BLOCK)
    interrupt(out, 5)
    command = [sys.executable, "-c", _HOLD, str(journal(out) / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert dasdist.status(out).state == "running"
        with pytest.raises(dasdist.OutputInUse, match=f"run 1f0c, process {other.pid} on"):
            classify(DATA, out)
        other.kill()
    assert dasdist.status(out).state == "unfinished"
    assert classify(DATA, out).report.before == 5  # a dead run's lock is taken over


def test_staging_of_an_earlier_run_is_moved_away(out):
    classify(DATA, out, block=BLOCK)
    zombie = journal(out) / "staging-old"
    zombie.mkdir()
    (zombie / "half").write_bytes(b"a part")
    classify(DATA, out)
    left = {path.name for path in journal(out).iterdir()}
    kept = {"ledger.jsonl", "run.json", "run-copy.json", "report.json", "report.txt"}
    assert left == {"lock", "manifest.json", *kept}


# ---------------------------------------------------------------- failed blocks, report, status


def holed(values):
    values = values.copy()
    values[1000:2000] = np.nan
    return recording(values)


def test_failed_blocks_are_listed_and_tried_again_when_asked(out):
    data = holed(VALUES)
    with pytest.warns(dasdist.DataWarning, match="left out"):
        first = classify(data, out, block=BLOCK)
    failed = {failure.block for failure in first.report.failures}
    assert 0 < len(failed) < 8
    assert done(out) == sorted(set(range(first.report.blocks)) - failed)
    assert {f.kind for f in first.report.failures} == {"unreadable"}
    with pytest.warns(dasdist.DataWarning, match="left out"):
        again = classify(data, out)
    assert {failure.block for failure in again.report.failures} == failed
    with pytest.warns(dasdist.DataWarning, match="left out"):
        retried = classify(data, out, retry_failed=True)
    assert {failure.block for failure in retried.report.failures} == failed
    status = dasdist.status(out)
    assert (status.state, status.done) == ("failures", first.report.blocks - len(failed))
    assert "x" in str(status.coverage)


def test_too_many_failures_stop_the_run(out):
    values = VALUES.copy()
    values[::150] = np.nan
    with pytest.raises(dasdist.TooManyFailures, match="max_failures"):
        classify(recording(values), out, block=BLOCK, max_failures=2)


def test_the_report_tells_what_is_covered(out):
    gap = xdas.concatenate(
        [
            DATA,
            recording(VALUES[:30], start=START + np.timedelta64(60, "s")),  # less than a patch
            recording(VALUES[:500], start=START + np.timedelta64(120, "s")),
        ],
        "time",
    )
    with pytest.warns(dasdist.DataWarning, match="too short"):
        classify(gap, out, block=BLOCK)
    report = json.loads((journal(out) / "report.json").read_text())
    assert report["state"] == "complete"
    assert [hole["reason"] for hole in report["data"]["not_covered"]] == ["gap", "short", "gap"]
    assert report["data"]["not_covered"][1]["start"].startswith("2024-01-01T00:01:00")
    assert set(report["stages"]) == {"read", "preprocess", "model", "reduce", "write"}
    assert min(report["memory"].values()) > 0
    assert {"dasdist", "torch", "dask", "python"} <= set(report["versions"])
    assert report["results"]["picks"] == len(StoredPicks(out).read())
    text = (journal(out) / "report.txt").read_text()
    assert "not covered (3)" in text
    status = dasdist.status(out)
    assert status.counts["picks"] == report["results"]["picks"]
    assert " " in str(status.coverage).splitlines()[0].strip()  # gaps are blank
    json.dumps(status.to_dict())
