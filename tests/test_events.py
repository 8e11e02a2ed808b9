"""Events of blocks: one stream, in this process and from workers, and the progress made of it."""

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

import dasdist
from dasdist.executors.block_task import RunSpec
from dasdist.executors.telemetry import BlockTelemetry
from dasdist.run.progress import Progress, RunProgress

from .toys import Toy, noise, recording

OPTIONS = {"thresholds": 0.7, "blinding": (1, 1), "pbar": False}


def classified(events, client=False, **options):
    data = recording(noise(4000, 12))
    return dasdist.classify(
        Toy(),
        data,
        client=client,
        block={"time": 125, "distance": 6},
        on_event=events.append,
        **OPTIONS | options,
    )


@pytest.mark.parametrize("where", ["here", "client"])
def test_the_end_of_every_block_is_told_once_with_what_it_took(request, where):
    client = request.getfixturevalue("client") if where == "client" else False
    events = []
    report = classified(events, client).report
    ended = [event for event in events if event.ended]
    assert Counter(event.block for event in ended) == Counter(range(report.blocks))
    assert {event.state for event in ended} == {"done"}
    for stage, seconds in report.seconds.items():
        assert sum(event.stages[stage] for event in ended) == pytest.approx(seconds)
    assert sum(event.samples for event in ended) == 4000 // 4 * 12  # the toy's outputs
    workers = {event.worker for event in ended}
    assert workers <= ({""} if where == "here" else set(client.scheduler_info()["workers"]))


def test_states_of_a_block_follow_one_another():
    events = []
    classified(events)
    by_block = defaultdict(list)
    for event in events:
        by_block[event.block].append(event)
    for block in by_block.values():
        states = [state for state, _ in itertools.groupby(event.state for event in block)]
        assert states == ["reading", "computing", "writing", "done"]
        shares = [event.share for event in block]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_workers_tell_what_a_long_block_does(client):
    events = []
    data = recording(noise(2000, 4))
    model = Slow(0.02)
    dasdist.annotate(
        model, data, Counted(), client=client, block={"time": 10**6}, pbar=False, batch_size=1,
        on_event=events.append, optimize=False,
    )  # fmt: skip
    shares = [event.share for event in events if event.state == "computing"]
    assert len(set(shares)) > 2
    assert all(event.worker for event in events if event.state == "computing")
    assert events[-1].state == "done"


class Slow(Toy):
    """Takes its time for every batch."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x, argdict=None):
        import time

        time.sleep(self.seconds)
        return super().forward(x)


class Counted(dasdist.DASAnnotateCallback):
    def map_block(self, block, annotations):
        return [block.index]

    def get_results_dict(self):
        return {}


def test_failed_and_earlier_blocks_are_told(tmp_path):
    values = noise(4000, 12)
    values[900:1900] = np.nan
    options = {"block": {"time": 125}, "out": tmp_path / "picks", **OPTIONS}
    events = []
    with pytest.warns(dasdist.DataWarning, match="left out"):
        dasdist.classify(Toy(), recording(values), on_event=events.append, **options)
    ended = Counter(event.state for event in events if event.ended)
    assert ended["failed"] >= 1
    (first, *_) = (event for event in events if event.state == "failed")
    assert "NaN" in first.error
    again = []
    with pytest.warns(dasdist.DataWarning, match="left out"):
        dasdist.classify(Toy(), recording(values), on_event=again.append, **options)
    assert Counter(event.state for event in again) == {"skipped": sum(ended.values())}


def test_a_listener_that_raises_does_not_stop_the_run(caplog):
    def broken(event):
        raise ValueError("no screen")

    expected = classified([]).picks
    data = recording(noise(4000, 12))
    found = dasdist.classify(Toy(), data, client=False, on_event=broken, **OPTIONS)
    assert found.picks.equals(expected)
    assert caplog.text.count("gets no more of them") == 1


def test_what_is_not_a_function_is_refused():
    with pytest.raises(dasdist.InvalidInput, match=r"on_event .* a function"):
        dasdist.classify(Toy(), recording(noise(400, 12)), on_event=3, **OPTIONS)


# ---------------------------------------------------------------- progress


class View:
    def __init__(self):
        self.seen: list[Progress] = []

    def start(self, progress):
        self.seen.append(progress)

    def update(self, progress):
        self.seen.append(progress)

    def close(self):
        self.closed = True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def plan():
    data = recording(noise(4000, 12))
    return dasdist.plan(Toy(), data, client=False, block={"time": 125}, blinding=(1, 1))


def test_two_blocks_of_an_hour_move_from_the_first_second_and_tell_when_they_end(clock):
    data = recording(np.broadcast_to(np.float32(0), (720_000, 12)))
    plan = dasdist.plan(Toy(), data, client=False, block={"time": 90_000}, blinding=(1, 1))
    assert len(plan) == 2
    view = View()
    with RunProgress(plan, view) as progress:
        clock[0] += 30.0  # workers load the model
        for second in range(1, 401):  # two workers, each 200 s for its block at half of the share
            clock[0] += 1.0
            for block in plan:
                event = dasdist.BlockEvent(
                    block.index,
                    "computing",
                    share=second / 400,
                    samples=int(second / 400 * block.core.time.size * block.core.distance.size),
                )
                progress(event)
            latest = view.seen[-1]
            if second >= 2:
                assert latest.share == pytest.approx(second / 400, abs=1 / 400)
            if second >= 40:  # a tenth
                assert latest.seconds_left == pytest.approx(400 - second, rel=0.3, abs=0.5)
    assert view.closed


def test_late_news_of_a_block_changes_nothing(clock, plan):
    view = View()
    with RunProgress(plan, view) as progress:
        progress(dasdist.BlockEvent(0, "done", share=1.0))
        share = view.seen[-1].share
        clock[0] += 1.0
        progress(dasdist.BlockEvent(0, "computing", share=0.2, samples=10))
    assert view.seen[-1].share == share == pytest.approx(1 / len(plan), rel=0.1)
    assert view.seen[-1].ended == 1


def test_what_an_earlier_run_did_is_behind_but_no_speed(clock, plan):
    view = View()
    with RunProgress(plan, view) as progress:
        for block in range(4):
            progress(dasdist.BlockEvent(block, "skipped", share=1.0))
        clock[0] += 10.0
        progress(dasdist.BlockEvent(4, "failed"))
    last = view.seen[-1]
    assert (last.ended, last.failed) == (5, 1)
    done_now = plan.grids[0].areas().ravel()[4] / plan.grids[0].areas().sum()
    assert last.speed == pytest.approx(done_now * plan.data_seconds / 10.0)


def test_a_bar_of_ones_own_is_told_everything():
    view = View()
    classified([], pbar=view)
    assert view.seen[0].share == 0.0
    assert view.seen[-1].share == 1.0
    assert view.seen[-1].ended == view.seen[-1].blocks == 16
    assert view.closed


def test_events_of_a_block_are_few(clock, plan):
    told = []
    telemetry = BlockTelemetry(plan.block(0), told.append, period=0.25)
    telemetry("read", 0.0)
    for step in range(1000):
        clock[0] += 0.01
        telemetry("model", step / 1000)
        telemetry("reduce", step / 1000)
    telemetry("write", 1.0)
    assert [told[0].state, told[-1].state] == ["reading", "writing"]
    assert 35 <= len(told) <= 45


def test_a_spec_finds_every_block(plan):
    spec = RunSpec(plan.grids, (), None, keep_going=True)
    assert [spec.block(i) for i in range(len(plan))] == list(plan)
