"""Journals that a power cut or a disk has damaged: what stands before the damage counts, no more.

Every line of a real ledger, and of the journal of a real scan, is damaged in turn.
"""

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

import dasdist
from dasdist.archive import index as indexing
from dasdist.archive import store
from dasdist.archive.reader import read_header
from dasdist.archive.scan_journal import Journal, journal_path
from dasdist.journal.ledger import Ledger, read_ledger
from dasdist.report import BlockResult
from dasdist.storage.json_lines import JsonLines, read_json_lines

from .toys import START, Toy, noise, recording

BLOCK = {"time": 100, "distance": 3}
VALUES = noise(1900, 6)
VALUES[40, 1] = np.nan
GROWN = recording(VALUES)
BEGUN = recording(VALUES[:1690])

OTHER_KINDS = [
    [1, 2],
    17,
    None,
    {},
    {"block": "3"},
    {"block": True},
    {"block": -1},
    {"block": 999},
    {"block": 0, "note": "neither done nor failed"},
    {"block": 0, "part": {"picks": 1}},
    {"block": 0, "part": {"picks": 1}, "seconds": {}},
    {"block": 0, "part": [3], "seconds": {}, "peak": 1},
    {"block": 0, "part": {"picks": "many"}, "seconds": {}, "peak": 1},
    {"block": 0, "failed": {}},
    {"block": 0, "failed": "it did"},
]


def nothing_but_nul(lines, at):
    return [*lines[:at], b"\0" * (len(lines[at]) - 1) + b"\n", *lines[at + 1 :]]


def nul_over_the_end(lines, at):
    """What a file has whose length reached the disk, and whose last blocks did not."""
    return [*lines[:at], b"\0" * sum(map(len, lines[at:]))]


def rubbish(lines, at):
    return [*lines[:at], b"\xff\xfe}{ rubbish\n", *lines[at + 1 :]]


def another_kind(lines, at):
    other = OTHER_KINDS[at % len(OTHER_KINDS)]
    return [*lines[:at], json.dumps(other).encode() + b"\n", *lines[at + 1 :]]


def half_and_the_next(lines, at):
    return [*lines[:at], lines[at][: len(lines[at]) // 2] + lines[at + 1], *lines[at + 2 :]]


ALWAYS = (nul_over_the_end, half_and_the_next)
IN_TURN = (nothing_but_nul, rubbish, another_kind)


def damages(lines, *, every=False):
    """Yield the number of a line, from 1 on, and a file in which that line is the first bad one.

    Each line is damaged in three ways, or in every way there is.
    """
    for at in range(len(lines)):
        for damage in (*ALWAYS, *(IN_TURN if every else (IN_TURN[at % 3],))):
            if damage is half_and_the_next and at == len(lines) - 1:
                continue  # an unfinished last line is no damage
            yield at + 1, b"".join(damage(lines, at))


# ---------------------------------------------------------------- the ledger


def classify(data, out, **options):
    """Run a toy over data of which two blocks fail."""
    given = {"thresholds": 0.5, "blinding": (1, 1), "block": BLOCK, "pbar": False}
    with pytest.warns(dasdist.DataWarning) as told:
        result = Toy(gain=3.0).classify(data, out=out, **{**given, **options})
    return result, [str(warning.message) for warning in told]


def ledger_of(out):
    return out.with_name(f"{out.name}.dasdist") / "ledger.jsonl"


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A run that grew: blocks done, failed, forgotten since their end moved, and tried again."""
    folder = tmp_path_factory.mktemp("grown")
    classify(BEGUN, folder / "picks.parquet")
    result, _ = classify(GROWN, folder / "picks.parquet", retry_failed=True)
    return folder, result


@pytest.fixture
def out(grown, tmp_path):
    shutil.copytree(grown[0], tmp_path / "run")
    return tmp_path / "run" / "picks.parquet"


def test_the_ledger_is_one_to_learn_from(grown):
    lines = ledger_of(grown[0] / "picks.parquet").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    done = {entry["block"] for entry in entries if "part" in entry}
    failed = {entry["block"] for entry in entries if "failed" in entry}
    forgotten = {entry["block"] for entry in entries if len(entry) == 1}
    assert forgotten & done
    assert forgotten & failed == failed
    assert len(done) > 5
    assert len(grown[1].picks) > 20


def test_whatever_line_is_damaged_the_ones_before_it_are_read(out):
    ledger = ledger_of(out)
    lines = ledger.read_bytes().splitlines(keepends=True)
    for line, damaged in damages(lines, every=True):
        ledger.write_bytes(b"".join(lines[: line - 1]))
        before = read_ledger(ledger)
        ledger.write_bytes(damaged)
        found = read_ledger(ledger, blocks=len(lines))
        assert f"damaged from line {line} on" in found.damage
        assert found.size == before.size
        assert found.parts.items() <= before.parts.items()


@pytest.mark.parametrize("share", [0, 1])
def test_a_run_resumes_whatever_line_of_its_ledger_is_damaged(grown, out, share):
    expected = grown[1]
    ledger = ledger_of(out)
    lines = ledger.read_bytes().splitlines(keepends=True)
    forgotten = sum(len(json.loads(line)) == 1 for line in lines)
    for line, damaged in list(damages(lines))[share::2]:
        ledger.write_bytes(damaged)
        status = dasdist.status(out)
        assert f"ledger.jsonl is damaged from line {line} on" in str(status)
        assert status.to_dict()["damage"] == status.damage
        assert status.done <= line - 1
        assert not status.failures

        result, told = classify(GROWN, out)
        assert told[0] == status.damage
        # of blocks that were forgotten, what is on the disk may be newer than what is trusted
        assert 0 <= status.done - result.report.before <= forgotten
        assert result.report.finished == expected.report.finished
        pd.testing.assert_frame_equal(result.picks, expected.picks)
        assert [f.block for f in result.report.failures] == [
            f.block for f in expected.report.failures
        ]
        status = dasdist.status(out)
        assert (status.damage, status.done) == ("", expected.report.finished)


def test_an_unfinished_last_line_is_no_damage(grown, out):
    ledger = ledger_of(out)
    lines = ledger.read_bytes().splitlines(keepends=True)
    for whole in (0, 1, len(lines) - 1):
        ledger.write_bytes(b"".join(lines[:whole]) + lines[whole][:7])
        assert dasdist.status(out).damage == ""
        result, told = classify(GROWN, out)
        assert not any("damaged" in text for text in told)
        pd.testing.assert_frame_equal(result.picks, grown[1].picks)


def test_an_empty_ledger_is_one_of_a_run_that_has_done_nothing(grown, out):
    ledger_of(out).write_bytes(b"")
    status = dasdist.status(out)
    assert (status.state, status.done, status.damage) == ("unfinished", 0, "")
    result, _ = classify(GROWN, out)
    assert result.report.before == 0
    pd.testing.assert_frame_equal(result.picks, grown[1].picks)


def test_of_two_ledgers_one_may_be_damaged(tmp_path):
    out, store_ = tmp_path / "picks.parquet", tmp_path / "prob.zarr"
    first, _ = classify(GROWN, out, annotations=store_)
    lines = ledger_of(store_).read_bytes().splitlines(keepends=True)
    ledger_of(store_).write_bytes(b"".join(rubbish(lines, 3)))
    again, told = classify(GROWN, out, annotations=store_)
    assert [text for text in told if "damaged" in text] == [told[0]]
    assert str(ledger_of(store_)) in told[0]
    assert again.report.before == 3
    pd.testing.assert_frame_equal(again.picks, first.picks)
    assert dasdist.status(store_).done == dasdist.status(out).done == first.report.finished


@pytest.mark.parametrize("other", OTHER_KINDS)
def test_what_no_run_has_written_ends_what_is_trusted(tmp_path, other):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        ledger.add(BlockResult(0, {"picks": 2}, {}, 1))
    whole = path.read_bytes()
    path.write_bytes(whole + json.dumps(other).encode() + b"\n" + whole.replace(b"0", b"1", 1))
    history = read_ledger(path, blocks=5)
    assert "damaged from line 2 on" in history.damage
    assert history.size == len(whole)
    assert set(history.parts) <= {0}
    with Ledger(path, blocks=5) as ledger:
        assert ledger.damage == history.damage
        ledger.add(BlockResult(4, {"picks": 1}, {}, 1))
    assert dict(read_ledger(path).parts) == {**history.parts, 4: {"picks": 1}}


def test_what_is_named_behind_the_damage_does_not_count(tmp_path):
    """The line that took block 0 back may be the one that is lost."""
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        for block in range(4):
            ledger.add(BlockResult(block, {"picks": block}, {}, 1))
        ledger.forget([0, 1])
        ledger.add(BlockResult(1, {"picks": 9}, {}, 1))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], lines[4][:-2] + lines[5], b"\0\0\n", lines[6]]))
    assert set(read_ledger(path).parts) == {2, 3}
    with Ledger(path) as ledger:
        assert "3 lines" in ledger.damage
    assert read_ledger(path).damage == ""
    assert set(read_ledger(path).parts) == {2, 3}


def test_a_part_that_is_no_mapping_of_counts_is_refused_when_it_is_written(tmp_path):
    with (
        Ledger(tmp_path / "ledger.jsonl") as ledger,
        pytest.raises(TypeError, match="mapping of names to counts"),
    ):
        ledger.add(BlockResult(0, [1, 2], {}, 1))


# ---------------------------------------------------------------- the journal of a scan


@pytest.fixture
def scanned(tmp_path, monkeypatch):
    """A folder, and the journal of a scan of it that died before it wrote the index."""

    def scan(paths, *_):  # in this process, which these files do not crash
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as the processes that scan do
            return [read_header(path) for path in paths]

    folder, out = tmp_path / "archive", tmp_path / "index.nc"
    folder.mkdir()
    for number, channels in enumerate((3, 3, 4, 4)):
        start = START + np.timedelta64(number, "s")
        recording(noise(100, channels), start=start).to_netcdf(folder / f"{number}.nc")
    monkeypatch.setattr(indexing, "_scan", scan)
    with monkeypatch.context() as patched:
        patched.setattr(store, "save", _die)
        with pytest.raises(KeyboardInterrupt):
            dasdist.index_archive(folder, out)
    return folder, out


def _die(*_):
    raise KeyboardInterrupt


def lines_of(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    headers = ["header" in json.loads(line) for line in lines]
    assert (sum(headers), len(lines)) == (4, 7)
    return lines, headers


def test_whatever_line_of_a_scan_is_damaged_the_ones_before_it_are_read(scanned):
    journal = journal_path(scanned[1])
    lines, headers = lines_of(journal)
    asked = json.loads(lines[0])
    for line, damaged in damages(lines, every=True):
        journal.write_bytes(damaged)
        with (
            pytest.warns(dasdist.DataWarning, match=f"is damaged from line {line} on"),
            JsonLines(journal) as file,
        ):
            found = Journal(journal, file, asked)
        assert len(found.headers) == sum(headers[: line - 1])
        assert journal.read_bytes() == (b"".join(lines[: line - 1]) or lines[0])


def test_a_scan_goes_on_whatever_line_of_its_journal_is_damaged(scanned):
    folder, out = scanned
    journal = journal_path(out)
    lines, headers = lines_of(journal)
    assert dasdist.index_archive(folder, out).scanned == 0
    expected = dasdist.ArchiveIndex.read(out).table()
    for at in range(len(lines)):
        out.unlink()
        journal.write_bytes(b"".join(IN_TURN[at % 3](lines, at)))
        with pytest.warns(dasdist.DataWarning, match="The files listed there are scanned again"):
            index = dasdist.index_archive(folder, out)
        assert index.scanned == 4 - sum(headers[:at])
        pd.testing.assert_frame_equal(index.table(), expected)
        assert not journal.exists()


def test_the_journal_of_another_scan_is_dropped_without_a_word(scanned):
    folder, out = scanned
    lines = journal_path(out).read_bytes().splitlines(keepends=True)
    journal_path(out).write_bytes(b"".join([b'{"version": 0, "engine": null}\n', *lines[1:]]))
    assert dasdist.index_archive(folder, out).scanned == 4


# ---------------------------------------------------------------- lines


def test_lines_are_read_back_as_they_were_appended(tmp_path):
    path, found = tmp_path / "lines", []
    entries = [{"block": 1}, {"text": "a\nb\0 \udc80é"}, {}]
    with JsonLines(path) as lines:
        for entry in entries:
            lines.append(entry)
        lines.sync()
    assert read_json_lines(path, found.append).damage is None
    assert found == entries
    with JsonLines(path) as lines:
        lines.cut(len(path.read_bytes()) - 3)
        lines.append({"block": 2})
    found.clear()
    assert read_json_lines(path, found.append).size == path.stat().st_size
    assert found == [*entries[:2], {"block": 2}]


def test_damage_says_where_it_is_and_how_much(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b'{}\n{}\nx\n{}\n{"unfinished')
    damage = read_json_lines(path, lambda entry: None).damage
    assert (damage.line, damage.lines, damage.size) == (3, 3, 2 + 3 + 12)
    assert str(damage) == (
        f"{path} is damaged from line 3 on, which is not JSON: 3 lines (17 bytes) cannot be trusted"
    )
