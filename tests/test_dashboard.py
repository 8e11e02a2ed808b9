"""The dashboard's page, without a browser: cells, states, what is served, and what is escaped."""

import json
import logging
import pickle
import sys
from collections import Counter
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client
from distributed.protocol.pickle import dumps
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.block_events import BlockEvent
from dasdist.dashboard.board import CODES, PARTS, Board, Reason
from dasdist.dashboard.cells import Cells, cells_of
from dasdist.dashboard.install import boards_of
from dasdist.dashboard.lanes import Lanes
from dasdist.dashboard.watch import Watch, _installer
from dasdist.dashboard.words import headline

from .toys import Toy, noise, recording

OPTIONS = {"thresholds": 0.7, "blinding": (1, 1), "pbar": False}
FACTS = {"model": "Toy", "data_seconds": 3600.0, "archive_bytes": 10**9, "phases": ["P", "S"]}


def plan_of(values, **options):
    block = {"time": 125, "distance": 6}
    return dasdist.plan(Toy(), recording(values), client=False, block=block, **options)


def bounds_of(block):
    """Where a block lies by its own coordinates: an output's time, and half a channel beyond."""
    times = block.out_time.values().astype("int64") / 1e6
    places = block.out_distance.values()
    step = float(block.out_time.step) / 1e6
    return times[0], times[-1] + step, places.min() - 5.0, places.max() + 5.0


@pytest.fixture(scope="module")
def plan():
    return plan_of(noise(4000, 12))


def test_every_block_is_a_cell_in_its_place(plan):
    cells = cells_of(plan.grids)
    assert not cells.merged
    found = np.stack([cells.left, cells.right, cells.bottom, cells.top], axis=1)
    np.testing.assert_allclose(found, [bounds_of(block) for block in plan], rtol=0, atol=1e-3)


def test_merged_cells_hold_every_block_and_are_as_large_as_they_are_together(plan):
    cells = cells_of(plan.grids, most=6)
    assert cells.merged
    assert len(cells) <= 6
    assert cells.blocks.sum() == len(plan)
    bounds = np.array([bounds_of(block) for block in plan])
    for cell in range(len(cells)):
        left, right, bottom, top = bounds[cells.of_block == cell].T
        held = cells.left[cell], cells.right[cell], cells.bottom[cell], cells.top[cell]
        expected = left.min(), right.max(), bottom.min(), top.max()
        np.testing.assert_allclose(held, expected, rtol=0, atol=1e-3)


def test_a_million_blocks_are_a_map_that_a_browser_draws():
    data = recording(np.broadcast_to(np.float32(0), (400_000, 12)))
    (grid,) = dasdist.plan(Toy(), data, client=False, optimize=False).grids
    grid = replace(grid, core=(1, 1))  # each output a block: 100,000 times 12
    assert len(grid) == 1_200_000
    cells = cells_of([grid])
    assert len(cells) <= 20_000
    assert cells.blocks.sum() == 1_200_000
    board = Board("r", FACTS, cells, began=0.0)
    board.ended(news([(1_199_999, "failed")]), 0.0)
    (changed,) = board.changed_since(0)
    assert CODES[board.shades(np.array([changed]))[0]] == "failed"
    (words,) = board.words(np.array([changed]))
    assert words.endswith("waiting, 1 failed")


def test_a_long_fibre_counts_kilometres_and_one_without_distances_channels(plan):
    data = recording(noise(800, 12), dx=1000.0)
    far = dasdist.plan(Toy(), data, client=False, block={"time": 125, "distance": 6})
    cells = cells_of(far.grids)
    assert cells.unit == "km"
    assert (cells.bottom.min(), cells.top.max()) == (-0.5, 11.5)
    assert cells_of(plan.grids, "1").unit == "channel"


def test_cells_survive_being_packed(plan):
    for most in (1000, 6):
        cells = cells_of(plan.grids, "m", most)
        again = Cells.unpacked(json.loads(json.dumps(_text(cells.packed())), object_hook=_bytes))
        assert again.unit == cells.unit
        for name in ("left", "right", "bottom", "top", "of_block"):
            np.testing.assert_array_equal(getattr(again, name), getattr(cells, name))


def _text(packed):
    return {k: v.decode("latin1") if isinstance(v, bytes) else v for k, v in packed.items()}


def _bytes(packed):
    return {k: v if k == "unit" else v.encode("latin1") for k, v in packed.items()}


# ---------------------------------------------------------------- states


def board_of(blocks, cells=None):
    """A board of blocks of a minute, one after the other, in so many cells."""
    each = blocks // (cells or blocks)
    edges = 60_000.0 * each * np.arange((cells or blocks) + 1)
    ones = np.ones(edges.size - 1)
    of_block = np.repeat(np.arange(ones.size, dtype="i4"), each)
    return Board("r", FACTS, Cells(edges[:-1], edges[1:], 0 * ones, ones, of_block), began=0.0)


def news(ended, picks=None, **progress):
    """What a run tells of blocks that have ended: pairs of number and state."""
    watch = Watch(None, "r", ("P", "S"))
    watch._telling = True
    for block, state in ended:
        counts = dict(zip("PS", picks, strict=True)) if picks else {}
        error = "it broke" if state == "failed" else ""
        watch(BlockEvent(block, state, counts=counts, error=error, seconds=2.0, worker="w"))
    nothing = {"blocks": b"", "states": b"", "seconds": b"", "picks": b"", "failed": []}
    told = watch._news() or nothing
    return told | {"progress": progress}


_TOLD = st.lists(st.tuples(st.integers(0, 11), st.integers(1, 6), st.sampled_from("ab")))


@given(_TOLD, st.sampled_from([None, 3]))
def test_a_cell_shows_what_a_book_of_its_blocks_says(told, cells):
    board, book = board_of(12, cells), dict.fromkeys(range(12), "waiting")
    held = {}
    for block, code, worker in told:
        if book[block] in ("done", "failed", "skipped"):
            board.runs(worker, (block, "computing", "model", 0.5, 1.0), 0.0)  # late: no matter
        elif code >= 4:
            board.ended(news([(block, CODES[code])]), 0.0)
            book[block] = CODES[code]
        else:
            board.runs(worker, (block, CODES[code], "read", 0.5, 1.0), 0.0)
            book[block], held[block] = CODES[code], worker
    board.worker_left("a", 0.0)
    for block, worker in held.items():
        if worker == "a" and book[block] in CODES[1:4]:
            book[block] = "waiting"
    assert board.counts == dict.fromkeys(CODES, 0) | Counter(book.values())
    every = np.arange(len(board.cells))
    for cell, shade in zip(every, board.shades(every), strict=True):
        states = Counter(book[b] for b in range(12) if board.cells.of_block[b] == cell)
        assert shade == _shade_of(states)


def _shade_of(states):
    if states["failed"]:
        return CODES.index("failed")
    runs = [state for state in CODES[1:4] if states[state]]
    if runs:
        return CODES.index(max(runs, key=lambda state: states[state]))
    behind = states["done"] + states["skipped"]
    if not states["waiting"]:
        return CODES.index("done" if states["done"] else "skipped")
    part = max(1, int(PARTS * behind / states.total()))
    return len(CODES) + part - 1 if behind else 0


def test_only_what_changed_is_told_again():
    board = board_of(10)
    board.ended(news([(3, "done"), (4, "failed")]), 0.0)
    stamp = board.stamp
    assert board.changed_since(0).tolist() == [3, 4]
    board.runs("w", (7, "reading", "read", 0.0, 0.0), 1.0)
    assert board.changed_since(stamp).tolist() == [7]
    assert board.words(np.array([3, 7])) == ["done", "reading, 0% computed"]


def test_picks_are_spread_over_the_minutes_of_their_block():
    board = board_of(4)  # a minute each
    board.ended(news([(0, "done"), (2, "done")], picks=(6, 2)), 0.0)
    rates = board.picks_a_minute(60_000.0 * np.array([0, 0.5, 1, 2, 3, 4]))
    none = np.nan  # no block has ended there
    np.testing.assert_allclose(rates[:, 0], [6, 6, none, 6, none], atol=1e-9)
    np.testing.assert_allclose(rates[:, 1], [2, 2, none, 2, none], atol=1e-9)


def test_a_board_does_not_grow_with_time_or_failures():
    board = board_of(5000)
    board.ended(news([(block, "failed") for block in range(5000)]), 0.0)
    for second in range(5000):
        board.ended(news([], seconds=float(second), share=0.5), float(second))
        board.lanes.tell("w", second, "read", float(second))
        board.lanes.end(second, second + 0.5)
    assert board.counts["failed"] == 5000
    assert len(board.reasons) == 1000
    assert len(board.history) <= 1024
    assert board.history[0].seconds == 0.0
    assert board.history[-1].seconds > 4900
    assert len(board.lanes.past) <= 4000
    assert len(board.lanes.since(board.lanes.count - 2)) == 2


def test_lanes_of_a_worker_hold_a_block_each_from_stage_to_stage():
    lanes = Lanes()
    for now, block, stage in [(0, 1, "read"), (1, 2, "read"), (2, 1, "model"), (3, 1, "model")]:
        lanes.tell("w", block, stage, float(now))
    lanes.end(1, 4.0)
    lanes.tell("w", 3, "read", 5.0)
    past = [(one.lane[1], one.block, one.stage, one.start, one.stop) for one in lanes.past]
    assert past == [(0, 1, "read", 0.0, 2.0), (0, 1, "model", 2.0, 4.0)]
    assert [(one.lane[1], one.block) for one in lanes.open] == [(1, 2), (0, 3)]


def test_a_run_that_is_over_runs_nothing():
    board = board_of(3)
    board.runs("w", (1, "computing", "model", 0.5, 1.0), 1.0)
    board.end("stopped", "it was told to", 2.0)
    assert board.counts["waiting"] == 3
    assert board.lanes.open == []


def test_gauges_show_memory_and_gpu_as_workers_told_them():
    from dasdist.dashboard.workers import Workers

    told = {"memory": 2e9, "gpu": {"utilization": 40, "memory-used": 1e9}}
    one = SimpleNamespace(
        nthreads=1, memory_limit=8e9, metrics=told, extra={"gpu": {"memory-total": 4e9}}
    )
    other = SimpleNamespace(nthreads=1, memory_limit=0, metrics={"memory": 1e9}, extra={})
    shown = Workers(SimpleNamespace(workers={"tcp://b:1": other, "tcp://a:1": one}))
    shown.begin(board_of(2))
    memory, gpu = (plot.renderers[0].data_source.data for plot in (shown.memory, shown.gpu))
    assert memory["percent"] == [25.0, 0.0]
    assert memory["text"] == ["2.0 GB of 8.0 GB", "1.0 GB"]
    assert shown.gpu.visible
    assert gpu["percent"] == [40, 0.0]
    assert gpu["text"] == ["40%, 1.0 GB of 4.0 GB", "none"]


# ---------------------------------------------------------------- text from outside


def test_what_is_said_in_html_is_escaped():
    board = board_of(3)
    board.facts = FACTS | {"model": "<script>alert(1)</script>"}
    board.end("stopped", "no <img src=x onerror=alert(2)>", 0.0)
    said = headline(board)
    assert "<script" not in said
    assert "<img" not in said
    assert "&lt;script&gt;alert(1)" in said
    assert "&lt;img src=x" in said


def test_reasons_of_cells_are_on_one_line_and_hold_no_secrets():
    from dasdist.dashboard.archive_map import _columns

    board = board_of(2)
    error = "s3://ana:secret@host/a.zarr\nis\x1b[31m gone"
    board.ended(news([(1, "failed")]), 0.0)
    board.reasons[1] = Reason(error, "tcp://w:1")
    (none, why) = _columns(board, np.arange(2))["why"]
    assert none == ""
    assert why == r"s3://host/a.zarr\x0ais\x1b[31m gone (on tcp://w:1)"


# ---------------------------------------------------------------- on a cluster


def get(cluster, path):
    connection = HTTPConnection("127.0.0.1", cluster.scheduler.http_server.port)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()


@pytest.fixture(scope="module")
def seen(make_cluster):
    """A cluster with a dashboard behind a prefix, and a client of it."""
    address = {"dashboard_address": "127.0.0.1:0"}
    options = address | {"scheduler_kwargs": address | {"http_prefix": "/das-proxy"}}
    with (
        make_cluster(2, processes=False, **options) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield cluster, client


def classified(client, values, **options):
    return dasdist.classify(
        Toy(),
        recording(values),
        client=client,
        block={"time": 125, "distance": 6},
        **OPTIONS | options,
    )


def test_a_run_puts_its_page_on_the_dashboard_and_all_of_its_state_on_the_board(seen):
    cluster, client = seen
    values = noise(4000, 12)
    values[900:1900] = np.nan
    with pytest.warns(dasdist.DataWarning, match="left out"):
        found = classified(client, values, max_failures="any")
    board = boards_of(cluster.scheduler).current
    report = found.report
    failed = {failure.block: failure.error for failure in report.failures}
    expected = {"done": report.finished, "failed": len(failed)}
    assert board.counts == dict.fromkeys(CODES, 0) | expected
    assert {block: reason.error for block, reason in board.reasons.items()} == failed
    assert board.over == "finished"
    assert board.progress["share"] == 1.0
    by_phase = found.picks["phase"].value_counts()
    assert board.picks.sum(axis=0).tolist() == [by_phase.get("P", 0), by_phase.get("S", 0)]
    assert board.facts["data_seconds"] == report.data_seconds == 40.0
    page = get(cluster, "/das-proxy/das")
    assert 'href="das"' in page
    listed = json.loads(get(cluster, "/das-proxy/individual-plots.json"))
    assert "/individual-das-map" in listed.values()
    assert "/individual-task-stream" in listed.values()
    get(cluster, "/das-proxy/individual-das-map")


def test_the_next_run_replaces_the_last_one_and_adds_no_page(seen):
    cluster, client = seen
    classified(client, noise(2000, 12))
    boards = boards_of(cluster.scheduler)
    last, served = boards.current, len(cluster.scheduler.http_application.applications)
    classified(client, noise(1000, 12))
    assert boards.current is not last
    assert len(boards._boards) == 1
    assert len(cluster.scheduler.http_application.applications) == served
    assert get(cluster, "/das-proxy/das").count('href="das"') == 1


def test_a_run_that_stops_says_why(seen):
    cluster, client = seen
    values = noise(2000, 12)
    values[:] = np.nan
    with pytest.raises(dasdist.DasdistError):
        classified(client, values)
    board = boards_of(cluster.scheduler).current
    assert board.over == "stopped"
    assert "NaN" in board.why


def test_runs_at_a_time_are_shown_one_after_the_other(seen):
    cluster, client = seen
    classified(client, noise(1000, 12))
    boards = boards_of(cluster.scheduler)
    packed = board_of(3).cells.packed()
    begin = {"kind": "begin", "cells": packed, "facts": FACTS, "client": "one"}
    assert [boards.hear(begin | {"run": run}) for run in ("first", "second")] == [True, True]
    assert boards.current.run == "second"
    boards.hear({"kind": "over", "run": "second", "how": "finished", "why": ""})
    first = boards.current
    assert first.run == "first"
    boards.remove_client(cluster.scheduler, "one")
    assert first.over == "stopped"
    assert not boards.hear({"kind": "news", "run": "unknown"})


def test_what_a_newer_version_tells_does_no_harm(seen):
    cluster, client = seen
    classified(client, noise(1000, 12))
    boards = boards_of(cluster.scheduler)
    assert not boards.hear({"kind": "news", "run": boards.current.run, "blocks": 3})


def test_a_cluster_without_a_dashboard_is_told_nothing_and_one_line_says_so(client, caplog):
    with caplog.at_level(logging.DEBUG, "dasdist"):
        found = classified(client, noise(1000, 12))
    assert found.report.complete
    lines = [line for line in caplog.messages if "dashboard" in line]
    assert len(lines) == 1
    assert "without a dashboard" in lines[0]


def test_a_scheduler_without_dasdist_or_bokeh_says_so(seen, monkeypatch):
    cluster, _ = seen
    sent = dumps(_installer())
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "dasdist.dashboard.install", None)
        assert "cannot show it: ModuleNotFoundError" in pickle.loads(sent)(cluster.scheduler)
    bare = type("Scheduler", (), {"plugins": {}, "http_application": None})()
    assert "lacks bokeh" in pickle.loads(sent)(bare)


def test_what_blocks_found_is_told(seen):
    _, client = seen
    for where in (False, client):
        events = []
        found = classified(where, noise(2000, 12), on_event=events.append)
        assert sum(event.counts.get("picks", 0) for event in events) == len(found.picks) > 0
