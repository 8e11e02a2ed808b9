"""Several hosts: links that go down and come back change no result, and are told in plain words."""

import json
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from tests import hosts
from tests.forked import Forked
from tests.hosts import Hosts, ip
from tests.on_hosts import BLOCKS, OnHosts, annotate

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(hosts.lacking()), reason=hosts.lacking() or "hosts can be made"),
]


@pytest.fixture
def network(tmp_path):
    with Hosts(tmp_path) as network:
        yield network


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """What the serial loop gives."""
    folder = tmp_path_factory.mktemp("serial")
    annotate(folder, "serial", {})
    return folder / "serial"


def check_results(folder, serial):
    found, expected = (StoredPicks(f / "picks.parquet").read() for f in (folder, serial))
    assert len(expected) > 100
    pd.testing.assert_frame_equal(found, expected)
    stores = [dasdist.open_annotations(f / "prob.zarr") for f in (folder, serial)]
    for key in ("P", "S"):
        np.testing.assert_array_equal(stores[0][key], stores[1][key])


def cut_off(network, run, gate):
    """Wait until a worker is in a phase of a block, and cut off its host."""
    at = network.folder / f"at-{gate}"
    assert run.wait_for(lambda: at.exists() and at.read_text()), run.said
    network.cut(at.read_text())
    return at.read_text()


def finish(folder, run, name):
    assert run.wait() == 0, run.said[-3000:]
    return json.loads((folder / f"{name}.json").read_text())


def test_a_link_that_is_down_for_five_seconds_changes_nothing(network, tmp_path, serial):
    cluster = OnHosts(network)
    run = cluster.run("one", gates={7: "compute"})
    host = cut_off(network, run, "one-7-compute")
    time.sleep(5)  # which is what is tried
    network.join(host)
    (tmp_path / "open-one-7-compute").touch()
    report = finish(tmp_path, run, "one")
    assert report["finished"] == BLOCKS
    check_results(tmp_path / "one", serial)
    assert "Traceback" not in run.said


def make_hosts_and_die(folder):
    with Hosts(folder) as network:
        network.start("worker1", signal.pause)
        os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_killed_run_left_is_removed(tmp_path):
    killed = Forked(tmp_path / "log", make_hosts_and_die, tmp_path)
    assert killed.wait() == -signal.SIGKILL
    assert f"dasdist-{killed.pid}-worker1" in ip("netns", "list")
    with Hosts(tmp_path):
        assert f"dasdist-{killed.pid}-" not in ip("netns", "list")
        assert f"dasdist-{os.getpid()}-worker1" in ip("netns", "list")
    assert f"dasdist-{os.getpid()}-" not in ip("netns", "list")
