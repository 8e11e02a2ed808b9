"""Clusters as people run them: shared, full, empty, stopped, closed, asynchronous."""

import asyncio
import json
import pickle
import re
import time

import dask
import pandas as pd
import pytest
from distributed import Client, LocalCluster, get_client
from distributed.core import clean_exception, error_message

import dasdist
from dasdist import errors
from dasdist.executors import waiting

from .toys import Toy, noise, recording

OPTIONS = {"thresholds": 0.5, "blinding": (1, 1), "pbar": False}
BLOCK = {"time": 100}


def picked(client, data=None, **options):
    data = recording(noise(2000, 4)) if data is None else data
    return dasdist.classify(Toy(gain=3.0), data, client=client, block=BLOCK, **OPTIONS, **options)


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


def in_a_task():
    return picked(get_client()).picks


def test_a_call_within_a_task_does_not_wait_for_its_own_thread(make_cluster, alone):
    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        pd.testing.assert_frame_equal(client.submit(in_a_task).result(), alone)


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
