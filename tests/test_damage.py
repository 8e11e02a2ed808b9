"""Journals that a power cut or a disk has damaged: what is lost costs its blocks, and no more.

Every line of a real ledger, and of the journal of a real scan, is damaged in turn.
"""

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

import dasdist
from dasdist.archive import make as indexing
from dasdist.archive import store
from dasdist.archive.reader import read_header
from dasdist.archive.scan_journal import Journal, journal_path
from dasdist.journal.ledger import Ledger, read_ledger
from dasdist.report import BlockResult
from dasdist.storage.json_lines import JsonLines, read_json_lines
from dasdist.storage.seal import unseal

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


def entries_of(ledger):
    return [json.loads(line) for line in ledger.read_bytes().splitlines()]


def takes_back(entry):
    return not {"part", "failed"} & entry.keys()


def standing(entries):
    """What lines say, one after the other: the blocks done, with their parts, and those failed."""
    done, failed = {}, set()
    for entry in entries:
        done.pop(entry["block"], None)
        failed.discard(entry["block"])
        if "part" in entry:
            done[entry["block"]] = entry["part"]
        if "failed" in entry:
            failed.add(entry["block"])
    return done, failed


def taken_back(out):
    """What run.json knows of the ledger."""
    return json.loads((out.with_name(f"{out.name}.dasdist") / "run.json").read_text())["taken_back"]


def test_the_ledger_is_one_to_learn_from(grown):
    out = grown[0] / "picks.parquet"
    entries = entries_of(ledger_of(out))
    done = {entry["block"] for entry in entries if "part" in entry}
    failed = {entry["block"] for entry in entries if "failed" in entry}
    forgotten = {entry["block"] for entry in entries if takes_back(entry)}
    assert forgotten & done
    assert forgotten & failed == failed
    assert len(done) > 5
    assert len(grown[1].picks) > 20
    assert taken_back(out) == sum(map(takes_back, entries)) > 2


def test_a_damaged_line_costs_its_own_block_and_no_other(out):
    ledger, least = ledger_of(out), taken_back(out)
    lines, entries = ledger.read_bytes().splitlines(keepends=True), entries_of(ledger)
    done, failed = standing(entries)
    for at, entry in enumerate(entries):
        for damage in IN_TURN:
            ledger.write_bytes(b"".join(damage(lines, at)))
            found = read_ledger(ledger, len(lines), least)
            assert f"is damaged: line {at + 1} " in found.damage
            assert "1 line is lost. Only the blocks" in found.damage
            assert found.parts == {b: part for b, part in done.items() if b in found.parts}
            assert done.keys() - found.parts.keys() <= {entry["block"]}
            assert failed - found.failures.keys() <= {entry["block"]}
            later = {one["block"] for one in entries[at + 1 :]}
            assert (entry["block"] in found.parts) <= (entry["block"] in later)


def test_no_damage_gives_a_block_back_that_was_taken_back(out):
    """Whatever is lost: what still counts is what the whole ledger says."""
    ledger, least = ledger_of(out), taken_back(out)
    lines, entries = ledger.read_bytes().splitlines(keepends=True), entries_of(ledger)
    done, failed = standing(entries)
    cuts = [(a, b) for a in range(len(lines)) for b in range(a + 1, len(lines) + 1)]
    for first, last in cuts:
        for left in (b"", b"\0" * 700, b"\0" * 700 + b"\n"):
            ledger.write_bytes(b"".join([*lines[:first], left, *lines[last:]]))
            found = read_ledger(ledger, len(lines), least)
            assert found.parts.items() <= done.items()
            assert found.failures.keys() <= failed
            lost = entries[first:last]
            if not any(map(takes_back, lost)):
                assert done.keys() - found.parts.keys() <= {one["block"] for one in lost}
    for damage in ALWAYS:
        for at in range(len(lines) - 1):
            ledger.write_bytes(b"".join(damage(lines, at)))
            assert read_ledger(ledger, len(lines), least).parts.items() <= done.items()


def test_a_line_end_that_is_lost_costs_nothing(out):
    ledger, least = ledger_of(out), taken_back(out)
    whole = ledger.read_bytes()
    expected = read_ledger(ledger, None, least)
    assert expected.damage == ""
    for end in (at for at, byte in enumerate(whole) if byte == ord("\n")):
        ledger.write_bytes(whole[:end] + b"\x0b" + whole[end + 1 :])
        found = read_ledger(ledger, None, least)
        assert "has lost its end. No line is lost." in found.damage
        assert (found.parts, found.failures) == (expected.parts, expected.failures)


@pytest.mark.parametrize("share", range(4))
def test_a_run_resumes_whatever_line_of_its_ledger_is_damaged(grown, out, share):
    expected = grown[1]
    ledger = ledger_of(out)
    lines = ledger.read_bytes().splitlines(keepends=True)
    for _, damaged in list(damages(lines))[share::12]:
        ledger.write_bytes(damaged)
        status = dasdist.status(out)
        assert "ledger.jsonl is damaged: line" in str(status)
        assert status.to_dict()["damage"] == status.damage

        result, told = classify(GROWN, out)
        assert told[0] == status.damage
        assert status.done == result.report.before
        assert result.report.finished == expected.report.finished
        pd.testing.assert_frame_equal(result.picks, expected.picks)
        assert [f.block for f in result.report.failures] == [
            f.block for f in expected.report.failures
        ]
        status = dasdist.status(out)
        assert (status.damage, status.done) == ("", expected.report.finished)


@pytest.mark.parametrize("which", ["the first", "one of the last run", "the last"])
def test_an_unfinished_last_line_is_no_damage(grown, out, which):
    ledger = ledger_of(out)
    lines, entries = ledger.read_bytes().splitlines(keepends=True), entries_of(ledger)
    began = max(at for at, entry in enumerate(entries) if takes_back(entry)) + 1
    whole = {"the first": 0, "one of the last run": began, "the last": len(lines) - 1}[which]
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
    assert again.report.before == first.report.finished - 1
    pd.testing.assert_frame_equal(again.picks, first.picks)
    assert dasdist.status(store_).done == dasdist.status(out).done == first.report.finished


@pytest.mark.parametrize("other", OTHER_KINDS)
def test_what_no_run_has_written_ends_what_is_trusted_of_an_earlier_ledger(tmp_path, other):
    path = tmp_path / "ledger.jsonl"
    whole = earlier({"block": 0, "part": {"picks": 2}, "seconds": {}, "peak": 1})
    path.write_bytes(whole + json.dumps(other).encode() + b"\n" + whole.replace(b"0", b"1", 1))
    history = read_ledger(path, blocks=5)
    assert "damaged: line 2 is JSON of another kind. 2 lines are lost" in history.damage
    assert history.size >= len(whole)
    assert set(history.parts) <= {0}
    with Ledger(path, blocks=5) as ledger:
        assert ledger.damage == history.damage
        ledger.add(BlockResult(4, {"picks": 1}, {}, 1))
    assert dict(read_ledger(path).parts) == {**history.parts, 4: {"picks": 1}}


def earlier(*entries):
    """Lines as dasdist wrote them before they had numbers."""
    return b"".join(json.dumps(entry).encode() + b"\n" for entry in entries)


def test_what_is_named_behind_the_damage_of_an_earlier_ledger_does_not_count(tmp_path):
    """The line that took block 0 back may be the one that is lost."""
    path = tmp_path / "ledger.jsonl"
    done = [{"block": b, "part": {"picks": b}, "seconds": {}, "peak": 1} for b in range(4)]
    lines = [earlier(one) for one in (*done, {"block": 0}, {"block": 1}, done[1])]
    path.write_bytes(b"".join([*lines[:4], lines[4][:-2] + lines[5], b"\0\0\n", lines[6]]))
    assert set(read_ledger(path).parts) == {2, 3}
    with Ledger(path) as ledger:
        assert "3 lines are lost" in ledger.damage
    assert read_ledger(path).damage == ""
    assert set(read_ledger(path).parts) == {2, 3}


def test_an_earlier_ledger_goes_on_and_is_checked_from_then_on(tmp_path):
    path = tmp_path / "ledger.jsonl"
    before = earlier(
        {"block": 0, "part": {"picks": 2}, "seconds": {}, "peak": 1},
        {"block": 1, "part": {"picks": 3}, "seconds": {}, "peak": 1},
        {"block": 0},
    )
    path.write_bytes(before)
    with Ledger(path) as ledger:
        ledger.add(BlockResult(2, {"picks": 5}, {}, 1))
        assert ledger.again == 1
    assert path.read_bytes().startswith(before)
    assert dict(read_ledger(path, 3, 1).parts) == {1: {"picks": 3}, 2: {"picks": 5}}
    lines = path.read_bytes().splitlines(keepends=True)
    # the line that is lost took a block back, and not block 0 or 1 for all that is known
    path.write_bytes(b"".join([*lines[:2], b"?\n", lines[3]]))
    assert dict(read_ledger(path, 3, 1).parts) == {1: {"picks": 3}, 2: {"picks": 5}}
    path.write_bytes(b"".join([lines[0], b"?\n", b"?\n", lines[3]]))
    assert dict(read_ledger(path, 3, 1).parts) == {2: {"picks": 5}}


def test_a_ledger_that_is_mended_twice_still_proves_what_it_says(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with Ledger(path) as ledger:
        for block in range(5):
            ledger.add(BlockResult(block, {"picks": block}, {}, 1))
        ledger.forget([1, 2])
        again = ledger.again
    for lost in (0, 3):
        lines = path.read_bytes().splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if b'"block": %d' % lost in line)
        path.write_bytes(b"".join([*lines[:at], *lines[at + 1 :]]))
        with Ledger(path, 5, again) as ledger:
            assert "lines are missing before number" in ledger.damage
            assert ledger.again == again == 2
    assert dict(read_ledger(path, 5, again).parts) == {4: {"picks": 4}}
    assert read_ledger(path, 5, again).damage == ""


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
    asked, _ = unseal(lines[0])
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
        lines.cut(sum(map(len, path.read_bytes().splitlines(keepends=True)[:2])))
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
