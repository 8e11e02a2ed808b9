"""Clusters as people run them: shared, full, empty, stopped, closed, asynchronous."""

import asyncio
import json
import os
import pickle
import re
import signal
import time
from dataclasses import dataclass
from typing import Any

import dask
import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster, get_client, worker_client
from distributed.core import clean_exception, error_message

import dasdist
from dasdist import errors
from dasdist.cli.voice import Voice
from dasdist.executors import waiting
from dasdist.geometry import Region, Span

from .toys import START, Toy, noise, recording

OPTIONS = {"thresholds": 0.5, "blinding": (1, 1), "pbar": False}
BLOCK = {"time": 100}


class Slow(Toy):
    """Takes so many seconds for a batch."""

    def __init__(self, seconds):
        super().__init__(gain=3.0)
        self.seconds = seconds

    def forward(self, x, argdict=None):
        time.sleep(self.seconds)
        return super().forward(x)


def picked(client, slow=0.0, **options):
    data = recording(noise(2000, 4))
    return dasdist.classify(Slow(slow), data, client=client, block=BLOCK, **OPTIONS, **options)


@pytest.fixture(scope="module")
def alone():
    """The picks without a cluster."""
    return picked(False).picks


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_comes_back_from_a_worker_as_it_is(name):
    error = getattr(errors, name)("A sentence.")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), "A sentence.")
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 -- whatever it is derived from
        told = error_message(raised)
    _, again, trace = clean_exception(told["exception"].data, told["traceback"].data)
    assert (type(again), str(again)) == (type(error), "A sentence.")
    assert trace is not None


def with_a_client():
    return picked(get_client()).picks


def with_a_thread_given_back():
    with worker_client() as client:
        return picked(client).picks


async def in_the_loop_of_a_worker():
    with pytest.raises(errors.InvalidInput, match=r"await asyncio\.to_thread"):
        picked(await get_client())


def test_a_call_within_a_task_does_not_wait_for_its_own_thread(make_cluster, alone):
    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        for task in (with_a_client, with_a_thread_given_back, with_a_client):
            pd.testing.assert_frame_equal(client.submit(task, pure=False).result(), alone)
        assert client.submit(in_the_loop_of_a_worker).result() is None


async def test_a_call_in_the_loop_of_its_cluster_is_refused_with_what_works(alone):
    async with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            asynchronous=True,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, asynchronous=True, set_as_default=False) as client,
    ):
        with pytest.raises(errors.InvalidInput, match=r"await asyncio\.to_thread"):
            picked(client)
        found = await asyncio.to_thread(picked, client)
    pd.testing.assert_frame_equal(found.picks, alone)


CLIENTS = {}


class Closing(Toy):
    """Closes a client of this process while a plan tries the model."""

    def forward(self, x, argdict=None):
        for client in CLIENTS.values():
            client.close()
        return super().forward(x)


@pytest.mark.parametrize("when", ["before", "planning", "running"])
def test_a_client_that_is_closed_is_said_in_one_sentence(cluster, tmp_path, when):
    client = Client(cluster, set_as_default=False)
    model = Closing(gain=3.0) if when == "planning" else Toy(gain=3.0)
    if when == "before":
        client.close()

    def close(event):
        if event.state == "done":
            client.close()

    CLIENTS["planning"] = client
    try:
        with pytest.raises(errors.ClusterLost, match=r"^[^\n]*client (is|was) closed[^\n]*$"):
            dasdist.classify(
                model,
                recording(noise(8000, 4)),
                client=client,
                block=BLOCK,
                out=tmp_path / "picks",
                on_event=close if when == "running" else None,
                **OPTIONS,
            )
    finally:
        CLIENTS.clear()
        client.close()
    if when == "running":
        report = json.loads((tmp_path / "picks.dasdist" / "report.json").read_text())
        assert report["reason"].startswith("ClusterLost: ")
        assert 0 < report["blocks"]["done"] < report["blocks"]["total"]


# ---------------------------------------------------------------- what a run waits for


def start_one_with_resources(cluster, client):
    cluster.new_spec["options"]["resources"] = {"GPU": 1}
    cluster.scale(2)


def let_go(cluster, client):
    for worker in cluster.workers.values():
        worker.memory_manager.memory_pause_fraction = 0.99


def paused(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return all(worker["status"] == "paused" for worker in workers)


WAITS = {
    "the cluster has no workers": (
        {"n_workers": 0},
        {},
        {},
        lambda cluster, client: cluster.scale(1),
    ),
    "the only worker is paused": (
        {"n_workers": 1, "memory_limit": "8GB"},
        {"distributed.worker.memory.pause": 1e-6},
        {},
        let_go,
    ),
    r'none of 1 worker has .* \(GPU=1\).* --resources "GPU=1"': (
        {"n_workers": 1},
        {},
        {"resources": {"GPU": 1}},
        start_one_with_resources,
    ),
}


@pytest.mark.parametrize("told", WAITS)
def test_a_run_says_what_it_waits_for_and_goes_on_when_that_comes(
    make_cluster, alone, monkeypatch, caplog, told
):
    monkeypatch.setattr(waiting, "FIRST", 0.5)
    of_cluster, config, annotations, mend = WAITS[told]
    reasons = []

    def heard(event):
        if event.waits_for:
            reasons.append(event.waits_for)
            mend(cluster, client)

    with dask.config.set(config):  # which workers of this process read when they start
        cluster = make_cluster(processes=False, **of_cluster)
    with (
        cluster,
        Client(cluster, set_as_default=False) as client,
        dask.annotate(**annotations),
    ):
        while config and not paused(client):
            time.sleep(0.01)
        found = picked(client, on_event=heard)
    pd.testing.assert_frame_equal(found.picks, alone)
    assert all(re.search(told, reason) for reason in reasons)
    assert reasons
    assert reasons[0] in caplog.text
    assert "\n" not in reasons[0]


def test_programs_are_told_what_a_run_waits_for(capsys):
    voice = Voice("classify", as_json=True)
    voice.waiting(dasdist.BlockEvent(3, "waiting"))
    assert capsys.readouterr().out == ""
    voice.waiting(dasdist.BlockEvent(3, "waiting", waits_for="There are no workers."))
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["reason"]) == ("waiting", "There are no workers.")


@pytest.mark.parametrize("fewest", [0, 1])
def test_data_in_memory_reaches_a_cluster_that_starts_its_workers_when_there_is_work(
    make_cluster, fewest
):
    data = recording(noise(20_000, 24))  # blocks of more than travels within a task
    options = {"block": {"time": 2500}, **OPTIONS}
    expected = dasdist.classify(Toy(gain=3.0), data, client=False, **options)
    with (
        make_cluster(n_workers=0, processes=False) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.adapt(minimum=fewest, maximum=1, interval="50 ms")
        found = dasdist.classify(Toy(gain=3.0), data, client=client, **options)
    pd.testing.assert_frame_equal(found.picks, expected.picks)


def test_a_reader_that_only_this_process_knows_reaches_the_workers(client):
    """As one that is defined in a notebook."""

    @dataclass(frozen=True)
    class Reader:
        region: Region

        def select(self, region):
            time = region.time.shift(self.region.time.start)
            return Reader(Region(time, region.distance.shift(self.region.distance.start)))

        def read(self):
            return noise(2000, 4)[self.region.time.slice, self.region.distance.slice]

        def files(self):
            return []

        def chunks(self):
            return None

        def identity(self):
            yield b"of no file"

    data = dasdist.SourceArray(
        Reader(Region(Span(0, 2000), Span(0, 4))),
        np.dtype("float32"),
        START + np.arange(2000) * np.timedelta64(10, "ms"),
        10.0 * np.arange(4),
    )
    found = [
        dasdist.classify(Toy(gain=3.0), data, client=where, block=BLOCK, **OPTIONS).picks
        for where in (False, client)
    ]
    pd.testing.assert_frame_equal(*found)
    assert len(found[0]) > 20


# ---------------------------------------------------------------- blocks that take too long


class WritesAndHangs(dasdist.PicksWriterCallback):
    """Writes what it found in a block, and then never ends in one of them."""

    def mapper(self):
        return Hanging(super().mapper())


@dataclass(frozen=True)
class Hanging:
    inner: Any

    @property
    def picking(self):
        return self.inner.picking

    def __call__(self, block):
        return HangingBlock(self.inner(block), block.index)


@dataclass(frozen=True)
class HangingBlock:
    inner: Any
    block: int

    def add(self, patch):
        self.inner.add(patch)

    def part(self):
        part = self.inner.part()
        while self.block == 3:
            time.sleep(1)
        return part


def test_the_data_are_without_a_block_that_was_given_up_after_it_had_written(
    make_cluster, tmp_path
):
    writer = WritesAndHangs(tmp_path / "picks", 0.5, blinding=(1, 1))
    with (
        make_cluster(n_workers=1) as cluster,
        Client(cluster, set_as_default=False) as client,
        pytest.warns(dasdist.DataWarning, match="1 block was left out"),
    ):
        report = dasdist.annotate(
            Toy(gain=3.0),
            recording(noise(2000, 4)),
            writer,
            client=client,
            block=BLOCK,
            block_timeout=2,
            pbar=False,
        )
    assert [(failure.block, failure.kind) for failure in report.failures] == [(3, "deadline")]
    there = {path.name for path in writer.path.iterdir()}
    assert there == {f"block-{b:09d}.parquet" for b in range(report.blocks) if b != 3}
    assert len(writer.picks) == writer.counts["picks"]


@pytest.mark.slow
def test_a_stopped_worker_is_not_one_whose_blocks_hang(make_cluster, tmp_path, alone):
    """A laptop's lid, a debugger, a batch system that suspends jobs."""
    stopped = []

    def stop(event):
        if event.state == "done" and not stopped:
            stopped.append(pid)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(8)  # which is what the test is about
            os.kill(pid, signal.SIGCONT)

    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        (pid,) = client.run(os.getpid).values()
        out = tmp_path / "picks"
        found = picked(client, slow=0.3, out=out, block_timeout=3, on_event=stop)
        assert [*client.run(os.getpid).values()] == [pid]
    assert found.report.complete
    assert stopped
    pd.testing.assert_frame_equal(found.picks, alone)
