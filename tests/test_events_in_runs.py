"""Earthquakes from the command line and from a run itself: the same events, however it went."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.events import detect
from dasdist.testing import check_callback, check_sink
from tests.toys import Toy, recording

CHANNELS, SECONDS = 60, 200
PICKING = {"thresholds": 0.5, "blinding": (1, 1)}
ORIGINS = (30.0, 119.0)  # the second begins in one window of the detector and ends in the next
WINDOW = (200, 6)


class Marked(Toy):
    """P where samples are 1, S where they are -1."""

    def __init__(self):
        super().__init__(WINDOW, WINDOW, ((0, 200), (0, 6)), overlap=(20, 0))

    def forward(self, x, argdict=None):
        return {"P": x.clamp(0, 1), "S": (-x).clamp(0, 1)}


def marked():
    """A recording of two earthquakes and noise, as `Marked` picks it."""
    rng = np.random.default_rng(1)
    values = rng.uniform(-0.1, 0.1, (SECONDS * 100, CHANNELS)).astype(np.float32)
    values[rng.integers(0, len(values), 300), rng.integers(0, CHANNELS, 300)] = 1.0
    channel = np.arange(CHANNELS)
    for origin in ORIGINS:
        travel = np.hypot(10.0 * channel - 200, 4000) / 5500
        values[np.rint(100 * (origin + travel)).astype(int), channel] = 1.0
        values[np.rint(100 * (origin + 1.73 * travel)).astype(int), channel] = -1.0
    return values


DATA = recording(marked())
BLOCKS = {"time": 3000, "distance": 30}


def annotate(callback, block=None, **options):
    return dasdist.annotate(Marked(), DATA, callback, block=block, pbar=False, **options)


def here(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.fixture(scope="module")
def expected():
    """Events of the picks of one block, in memory."""
    callback = dasdist.DASPickingCallback(**PICKING)
    annotate(callback)
    found = detect(callback.picks)
    seconds = (found.events["time"].to_numpy() - np.datetime64(DATA["time"].values[0], "ns")) / 1e9
    np.testing.assert_allclose(seconds.astype(float), ORIGINS, atol=0.03)
    return found


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "picks.parquet"
    annotate(dasdist.PicksWriterCallback(path, **PICKING), BLOCKS)
    return path


# ---------------------------------------------------------------- in a run


@pytest.mark.parametrize("block", [None, BLOCKS, {"time": 5000, "distance": 60}])
def test_events_of_a_run_in_memory(expected, block):
    callback = dasdist.EventsCallback(dasdist.DASPickingCallback(**PICKING))
    annotate(callback, block)
    pd.testing.assert_frame_equal(callback.events, expected.events)
    pd.testing.assert_frame_equal(callback.picks, expected.picks)
    results = callback.get_results_dict()
    assert set(results) == {"P", "S", "picks", "events"}


def test_events_of_a_run_are_those_of_its_stored_picks(expected, stored, tmp_path):
    out = tmp_path / "events.parquet"
    picking = dasdist.PicksWriterCallback(tmp_path / "picks.parquet", **PICKING)
    callback = dasdist.EventsCallback(picking, out)
    annotate(callback, BLOCKS)
    pd.testing.assert_frame_equal(callback.events, expected.events)
    pd.testing.assert_frame_equal(detect(stored).events, expected.events)
    written = pd.read_parquet(out).astype(expected.events.dtypes)
    pd.testing.assert_frame_equal(written, expected.events)


def test_a_run_that_died_and_goes_on_has_the_same_events(expected, tmp_path):
    path, out = tmp_path / "picks.parquet", tmp_path / "events.parquet"
    annotate(dasdist.EventsCallback(dasdist.PicksWriterCallback(path, **PICKING), out), BLOCKS)
    ledger = tmp_path / "picks.parquet.dasdist" / "ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:5]) + lines[5][:20])  # died as it wrote of a block
    written = out.read_bytes()
    out.unlink()
    again = dasdist.EventsCallback(dasdist.PicksWriterCallback(path, **PICKING), out)
    report = annotate(again, BLOCKS)
    assert report.before == 5
    assert out.read_bytes() == written
    pd.testing.assert_frame_equal(again.events, expected.events)
    other = dasdist.EventsCallback(dasdist.PicksWriterCallback(path, **PICKING), min_channels=61)
    assert annotate(other, BLOCKS).before == len(list(path.iterdir()))  # nothing was computed
    assert len(other.events) == 0


def test_events_beside_another_callback(expected):
    events = dasdist.EventsCallback(dasdist.DASPickingCallback(**PICKING))
    stacked = dasdist.InMemoryCollectionCallback()
    annotate(dasdist.MultiCallback([events, stacked]))
    pd.testing.assert_frame_equal(events.events, expected.events)


@pytest.mark.slow
def test_the_callback_keeps_the_contracts(tmp_path):
    options = {"thresholds": 0.6, "min_time_separation": 0.1, "blinding": (2, 2)}
    check_callback(lambda: dasdist.EventsCallback(dasdist.DASPickingCallback(**options)))
    check_sink(
        lambda path: dasdist.EventsCallback(dasdist.PicksWriterCallback(path, **options)), tmp_path
    )


def test_what_is_no_picking_and_a_file_of_somebody_are_refused(tmp_path):
    with pytest.raises(dasdist.InvalidInput, match="given InMemoryCollectionCallback"):
        dasdist.EventsCallback(dasdist.InMemoryCollectionCallback())
    letter = tmp_path / "letter"
    letter.write_text("dear")
    callback = dasdist.EventsCallback(dasdist.DASPickingCallback(**PICKING), letter)
    with pytest.raises(dasdist.OutputExists, match="letter holds something else than events"):
        annotate(callback)
    assert letter.read_text() == "dear"
    with pytest.raises(dasdist.DasdistError, match="no events yet"):
        _ = callback.events


# ---------------------------------------------------------------- the command


def test_the_command_writes_events_and_picks(expected, stored, tmp_path):
    out, picks_out = tmp_path / "events.parquet", tmp_path / "with.parquet"
    done = here("events", stored, "-o", out, "--picks", picks_out, "--json")
    assert done.exit_code == 0, done.stderr
    end = json.loads(done.stdout.splitlines()[-1])
    picks = expected.picks
    assert (end["events"], end["picks"], end["channels"]) == (2, len(picks), CHANNELS)
    assert end["incoherent"] == int((picks["event"] == -1).sum()) > 100
    found = pd.read_parquet(out).astype(expected.events.dtypes)
    pd.testing.assert_frame_equal(found, expected.events)
    back = pd.read_parquet(picks_out)
    pd.testing.assert_frame_equal(back.astype(picks.dtypes), picks)
    units = {field.name: field.metadata for field in pq.read_schema(out)}
    assert units["s_minus_p"] == {b"unit": b"s"}
    assert b'"vp_vs": 1.73' in pq.read_schema(out).metadata[b"options"]


def test_the_command_says_what_it_found(stored, tmp_path):
    done = here("events", stored, "-o", tmp_path / "e.parquet", "--vp-vs", "1.8")
    assert done.stdout.startswith("2 events on 60 channels: ")
    assert b'"vp_vs": 1.8' in pq.read_schema(tmp_path / "e.parquet").metadata[b"options"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "-o", "e"], "There is nothing at none"),
        (["picks.parquet", "-o", "taken"], "taken is there already"),
        (["picks.parquet", "-o", "e", "--picks", "e"], "name the same file"),
        (["picks.parquet", "-o", "e", "--set", "apertur=3"], "apertur"),
        (["picks.parquet", "-o", "e", "--vp-vs", "1"], "P waves are faster than S waves"),
        (["picks.parquet", "-o", "e", "--channels", "3"], "picks lie on the channels 0 to 59"),
    ],
)
def test_the_command_refuses(stored, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").touch()
    words = [stored if word == "picks.parquet" else word for word in words]
    done = here("events", *words)
    assert done.exit_code == 1
    assert message in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_picks_of_a_run_that_is_not_done_are_said_to_be_so(tmp_path):
    path = tmp_path / "picks.parquet"
    annotate(dasdist.PicksWriterCallback(path, **PICKING), BLOCKS)
    ledger = tmp_path / "picks.parquet.dasdist" / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:5]))
    done = here("events", path, "-o", tmp_path / "events.parquet")
    assert done.exit_code == 0
    assert "Warning: " in done.stderr
    assert "blocks are done), and where picks are missing there are no events" in done.stderr
