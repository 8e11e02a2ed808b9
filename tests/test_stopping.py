"""Signals stop a run in an orderly way, in processes as they are."""

import os
import signal

import pytest
from distributed import Client, LocalCluster

import dasdist
from tests.forked import Forked, fork_workers
from tests.test_deaths import Troubled, blocks


def run(folder, where, seconds):
    """Run until a signal comes; say what became of the workers and the handlers."""
    if where == "serial":
        run_with(None, folder, seconds)
        return
    fork_workers()
    local = {"host": "127.0.0.1", "dashboard_address": None}
    local["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **local) as cluster,
        Client(cluster) as client,
    ):
        before = sorted(client.run(os.getpid).values())
        run_with(client, folder, seconds)
        print("same workers", before == sorted(client.run(os.getpid).values()))


def run_with(client, folder, seconds):
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    try:
        dasdist.annotate(
            Troubled(folder, seconds),
            blocks(1000),
            dasdist.InMemoryCollectionCallback(),
            client=client,
            block={"time": 64},
            batch_size=1,
            pbar=False,
        )
    except dasdist.RunInterrupted as error:
        print("interrupted", error)
    again = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    print("handlers back", handlers == again, flush=True)


@pytest.fixture
def folder(tmp_path):
    """Where blocks leave a file when they begin."""
    (tmp_path / "blocks").mkdir()
    return tmp_path / "blocks"


def stopped(folder, where, number, times, seconds):
    """Signal a run, with SIGINT all its processes as a terminal does; return what it printed."""
    process = Forked(folder.parent / "log", run, folder, where, seconds)
    try:
        assert process.wait_for(lambda: os.listdir(folder)), process.said
        for left in reversed(range(times)):
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                os.kill(process.pid, number)
            if left:  # two signals at one moment would be one
                assert process.wait_for(lambda: "stopping. Blocks that are running" in process.said)
        assert process.wait() == 0, process.said
    finally:
        process.kill_all()
    return process.said


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("where", ["cluster", "serial"])
def test_a_signal_stops_a_run_and_running_blocks_finish(folder, where, number):
    output = stopped(folder, where, number, 1, seconds=0.2)
    assert f"interrupted Stopped by {number.name}" in output
    assert "handlers back True" in output
    if where == "cluster":  # Ctrl-C reached the workers, too, and did not end them
        assert "same workers True" in output
    assert len(os.listdir(folder)) < 100


@pytest.mark.slow
@pytest.mark.parametrize("where", ["cluster", "serial"])
def test_a_second_signal_stops_at_once(folder, where):
    output = stopped(folder, where, signal.SIGINT, 2, seconds=600)
    assert "interrupted Stopped by SIGINT" in output
    assert "handlers back True" in output
