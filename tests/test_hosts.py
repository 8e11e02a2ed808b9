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
from tests.hosts import ADDRESSES, Hosts, ip
from tests.on_hosts import BLOCKS, PORT, OnHosts, annotate

LACKING = hosts.lacking()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(bool(LACKING), reason=LACKING or "they can be made"),
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


def reached(network, run, gate):
    """Wait until a worker is in a phase of a block, and return its host."""
    at = network.folder / f"at-{gate}"
    assert run.wait_for(lambda: at.exists() and at.read_text()), run.said
    return at.read_text()


def go_on(network, gate):
    (network.folder / f"open-{gate}").touch()


def finish(network, run, name):
    """Wait for the end of a run and return what it found."""
    assert run.wait() == 0, run.said[-3000:]
    assert "Traceback" not in run.said
    return json.loads((network.folder / f"{name}.json").read_text())


def down(network, host, seconds):
    """Take a link down for so long, which is what is tried here."""
    network.cut(host)
    time.sleep(seconds)
    network.join(host)


def lost(host):
    return [
        f"A worker on {ADDRESSES[host]} was lost, with its process or its link, while it held "
        "blocks; they were computed again."
    ]


def told(said, words):
    return [line for line in said.splitlines() if words in line]


each_phase = pytest.mark.parametrize("phase", ["read", "compute", "write"])


def test_two_runs_do_not_notice_a_link_that_is_down_for_five_seconds(network, serial):
    cluster = OnHosts(network)
    phases = {"one": "compute", "two": "write"}
    runs = {name: cluster.run(name, gates={7: phase}) for name, phase in phases.items()}
    host = reached(network, runs["one"], "one-7-compute")
    reached(network, runs["two"], "two-7-write")
    down(network, host, 5)
    for name, phase in phases.items():
        go_on(network, f"{name}-7-{phase}")
        found = finish(network, runs[name], name)
        assert found == {"before": 0, "finished": BLOCKS, "notes": []}
        check_results(network.folder / name, serial)
    assert not told(cluster.workers[host].said, "is lost")


def test_a_worker_that_is_cut_off_is_told_of_and_comes_back(network, serial):
    cut_off_and_back(network, serial, "compute", 0, tcp="11s")


@each_phase
@pytest.mark.deep
def test_a_link_that_is_down_for_five_seconds_changes_nothing(network, serial, phase):
    cluster = OnHosts(network)
    run = cluster.run("one", gates={7: phase})
    host = reached(network, run, f"one-7-{phase}")
    down(network, host, 5)
    go_on(network, f"one-7-{phase}")
    assert finish(network, run, "one") == {"before": 0, "finished": BLOCKS, "notes": []}
    check_results(network.folder / "one", serial)
    assert not told(cluster.workers[host].said, "is lost")


@each_phase
@pytest.mark.deep
def test_a_link_is_down_for_a_minute(network, serial, phase):
    cut_off_and_back(network, serial, phase, 60, tcp="30s")


def cut_off_and_back(network, serial, phase, seconds, tcp):
    """Its block is finished while nobody hears of it, and computed again by another."""
    cluster = OnHosts(network, tcp=tcp)
    run = cluster.run("one", gates={7: phase})
    host = reached(network, run, f"one-7-{phase}")
    network.cut(host)
    began = time.monotonic()
    go_on(network, f"one-7-{phase}")
    found = finish(network, run, "one")
    print(f"{phase}: {host} cut off, and the run over after {time.monotonic() - began:.0f} s")
    assert found == {"before": 0, "finished": BLOCKS, "notes": lost(host)}
    assert len(told(run.said, "is lost")) == 1
    check_results(network.folder / "one", serial)
    time.sleep(max(0, began + seconds - time.monotonic()))
    network.join(host)
    again = cluster.run("two")  # which waits for three workers
    assert finish(network, again, "two")["finished"] == BLOCKS
    check_results(network.folder / "two", serial)
    assert len(told(cluster.workers[host].said, "is lost; a new worker waits")) == 1
    assert "Traceback" not in cluster.workers[host].said


@each_phase
@pytest.mark.deep
def test_a_link_is_down_for_good(network, serial, phase):
    cluster = OnHosts(network, death="20s")
    run = cluster.run("one", gates={7: phase})
    host = reached(network, run, f"one-7-{phase}")
    network.cut(host)
    began = time.monotonic()
    found = finish(network, run, "one")
    print(f"{phase}: {host} cut off, and the run over after {time.monotonic() - began:.0f} s")
    assert found == {"before": 0, "finished": BLOCKS, "notes": lost(host)}
    assert len(told(run.said, "is lost")) == 1
    check_results(network.folder / "one", serial)
    cluster.workers[host].wait()  # for it is not to wait for ever
    print(f"its worker has ended after {time.monotonic() - began:.0f} s")
    assert "Traceback" not in cluster.workers[host].said


@each_phase
@pytest.mark.deep
def test_what_a_worker_that_is_cut_off_writes_late_harms_nothing(network, serial, phase):
    late_write(network, serial, phase, tcp="30s")


def late_write(network, serial, phase, tcp):
    """The run is superseded meanwhile, by one that takes the output over."""
    cluster = OnHosts(network, tcp=tcp)
    run = cluster.run("one", gates={7: phase})
    host = reached(network, run, f"one-7-{phase}")
    network.cut(host)
    run.kill_all()
    staging = network.folder / "one" / "picks.parquet.dasdist"
    before = {path.name for path in staging.glob("staging-*")}
    again = cluster.run("one", overwrite=True)
    assert again.wait_for(lambda: {p.name for p in staging.glob("staging-*")} - before)
    go_on(network, f"one-7-{phase}")
    assert again.wait_for((network.folder / "late-one-7").exists)
    assert finish(network, again, "one")["finished"] == BLOCKS
    check_results(network.folder / "one", serial)


SCHEDULER = f"tls://{ADDRESSES['scheduler']}:{PORT}"


@each_phase
@pytest.mark.deep
def test_the_client_is_cut_off_for_five_seconds(network, serial, phase):
    cluster = OnHosts(network)
    run = cluster.run("one", gates={7: phase})
    reached(network, run, f"one-7-{phase}")
    down(network, "client", 5)
    go_on(network, f"one-7-{phase}")
    assert finish(network, run, "one") == {"before": 0, "finished": BLOCKS, "notes": []}
    check_results(network.folder / "one", serial)


@each_phase
@pytest.mark.deep
def test_the_client_is_cut_off_for_good(network, serial, phase):
    cluster = OnHosts(network)
    run = cluster.run("one", gates={7: phase})
    reached(network, run, f"one-7-{phase}")
    network.cut("client")
    began = time.monotonic()
    ends_in_cluster_lost(network, run)
    print(f"{phase}: client cut off, and the run over after {time.monotonic() - began:.0f} s")
    network.join("client")
    again = cluster.run("one")
    assert again.wait_for(lambda: (network.folder / "begun-one").read_text().count("\n") > 20)
    go_on(network, f"one-7-{phase}")  # of the first run: it is late
    check_resumed(network, again, serial)


@pytest.mark.deep
@pytest.mark.parametrize("soon", [True, False])
def test_a_scheduler_starts_again_at_its_port(network, serial, soon):
    cluster = OnHosts(network)
    run = cluster.run("one", gates={7: "compute"})
    reached(network, run, "one-7-compute")
    cluster.scheduler.kill()
    cluster.scheduler.wait()
    began = time.monotonic()
    if soon:
        cluster.scheduler = cluster.start_scheduler()
    ends_in_cluster_lost(network, run)
    print(f"scheduler killed, and the run over after {time.monotonic() - began:.0f} s")
    if not soon:
        cluster.scheduler = cluster.start_scheduler()
    again = cluster.run("one")  # which waits for three workers
    assert again.wait_for(lambda: (network.folder / "begun-one").read_text().count("\n") > 20)
    go_on(network, "one-7-compute")
    check_resumed(network, again, serial)
    print(f"resumed with all workers, and done after {time.monotonic() - began:.0f} s")
    for worker in cluster.workers.values():
        assert len(told(worker.said, "is lost; a new worker waits")) == 1
        assert "Traceback" not in worker.said


def ends_in_cluster_lost(network, run):
    found = finish(network, run, "one")
    assert found["error"] == "ClusterLost"
    assert found["reason"].startswith(f"The connection to the scheduler {SCHEDULER} was lost")
    assert "\n" not in found["reason"]


def check_resumed(network, again, serial):
    found = finish(network, again, "one")
    assert found["before"] > 0
    assert found["finished"] == BLOCKS
    check_results(network.folder / "one", serial)


@pytest.mark.deep
def test_a_scheduler_that_notices_late_takes_a_worker_that_comes_back(network, serial):
    cluster = OnHosts(network, tcp="90s")
    cluster.workers["worker1"].kill_all()
    cluster.tcp = "11s"
    cluster.workers["worker1"] = cluster.start_worker("worker1")
    gates = [f"one-{block}-compute" for block in (30, 31, 32)]
    run = cluster.run("one", gates=dict.fromkeys((30, 31, 32), "compute"))
    hosts = {reached(network, run, gate): gate for gate in gates}
    network.cut("worker1")
    go_on(network, hosts["worker1"])
    worker = cluster.workers["worker1"]
    assert worker.wait_for(lambda: told(worker.said, "Restarting worker"))
    network.join("worker1")
    assert worker.wait_for(lambda: len(told(worker.said, "Registered to")) == 2)
    for gate in gates:
        go_on(network, gate)
    assert finish(network, run, "one")["finished"] == BLOCKS
    check_results(network.folder / "one", serial)
    print(*told(worker.said, "name taken"), sep="\n")
    assert "Traceback" not in worker.said


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
