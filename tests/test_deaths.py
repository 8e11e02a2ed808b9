"""Workers that die, blocks that hang, raise or kill: what a run makes of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from distributed import Client

import dasdist
from dasdist.executors.names import task_key
from dasdist.executors.worker_events import WorkerEvents

from .toys import Toy, recording


class Troubled(Toy):
    """Does as the first sample of its input says; notes every block that it begins."""

    def __init__(self, folder, seconds=0.0):
        super().__init__(window=(64, 4), out=(64, 4), overlap=(0, 0))
        self.folder, self.seconds = str(folder), seconds

    def forward(self, x, argdict=None):
        told = x[0, 0, 0].item()
        if told:  # not the trial of zeros
            Path(self.folder, f"{told:.0f}-{os.getpid()}-{time.monotonic_ns()}").touch()
            time.sleep(self.seconds)
        kind = round(told % 1, 1)
        if kind == 0.1:
            os._exit(7)
        if kind == 0.2:
            time.sleep(3600)
        if kind == 0.3:
            raise RuntimeError("no such luck")
        return super().forward(x)


def blocks(count, **kinds):
    """Blocks of 64 samples; the first sample of block i is i + 1, and says what happens."""
    values = np.full((64 * count, 4), 0.5, dtype=np.float32)
    values[::64] = (np.arange(count) + 1)[:, None]
    for name, where in kinds.items():
        values[64 * np.array(where)] += {"kill": 0.1, "hang": 0.2, "fail": 0.3}[name]
    return recording(values)


def annotated(model, data, client, **options):
    collected = dasdist.InMemoryCollectionCallback()
    report = dasdist.annotate(
        model,
        data,
        collected,
        client=client,
        block={"time": 64},
        batch_size=1,
        pbar=False,
        **options,
    )
    return collected.annotations["P"].values, report


def begun(folder):
    """How often each block began."""
    numbers = [int(name.split("-")[0]) - 1 for name in os.listdir(folder)]
    return {number: numbers.count(number) for number in set(numbers)}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, pytest.param(0.1, marks=pytest.mark.deep)])
def test_poison_hanging_and_failing_blocks_in_one_run(make_cluster, tmp_path, seconds):
    """Also where blocks are so short that they share tasks."""
    data = blocks(40, kill=[7], hang=[15], fail=[23])
    with make_cluster(n_workers=2) as cluster, Client(cluster, set_as_default=False) as client:
        model = Troubled(tmp_path, seconds)
        with pytest.warns(dasdist.DataWarning, match="3 blocks"):
            values, report = annotated(model, data, client, max_failures=3, block_timeout=3)
    by_block = {failure.block: failure for failure in report.failures}
    kinds = {block: failure.kind for block, failure in by_block.items()}
    assert kinds == {7: "killed", 15: "deadline", 23: "error"}
    assert "no such luck" in by_block[23].error
    assert "forward" in by_block[23].traceback
    assert "time.sleep(3600)" in by_block[15].traceback
    assert by_block[7].start == "2024-01-01T00:00:04.480000000"
    # two workers for the poison while its neighbours are not ruled out and three alone; a scheduler
    # hands it on within milliseconds, up to four times in all, before it can be taken back
    times = begun(tmp_path)
    assert times[7] <= 7
    # neither is tried again for what it did; a death of the poison may take them along
    assert 1 <= times[15] <= 5
    assert 1 <= times[23] <= 5
    missing = np.isnan(values).all(axis=1).reshape(40, 64)
    assert np.flatnonzero(missing.any(axis=1)).tolist() == [7, 15, 23]


@pytest.mark.slow
def test_blocks_run_again_are_at_most_those_in_flight_at_each_kill(make_cluster, tmp_path):
    data = blocks(60)
    expected, _ = annotated(Troubled(tmp_path), data, None)
    for name in tmp_path.iterdir():
        name.unlink()
    kills = 0
    with make_cluster(n_workers=2) as cluster, Client(cluster, set_as_default=False) as client:
        finished = threading.Event()

        def kill():
            nonlocal kills
            # every worker at once, then one after the other, each as soon as blocks run again
            for count in (2, 1, 1):
                seen = len(os.listdir(tmp_path))
                while len(os.listdir(tmp_path)) < seen + 8:
                    if finished.wait(0.05):
                        return
                running = {int(name.split("-")[1]) for name in os.listdir(tmp_path)}
                alive = [pid for pid in sorted(running) if Path(f"/proc/{pid}").exists()]
                for pid in alive[-count:]:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            values, report = annotated(Troubled(tmp_path, 0.15), data, client)
        finally:
            finished.set()
            killer.join()
    np.testing.assert_array_equal(values, expected)
    assert report.complete
    assert kills >= 3
    # a worker of one thread holds one block that runs, and one that waits and has not begun
    assert sum(times - 1 for times in begun(tmp_path).values()) <= 2 * kills


class Dying(dasdist.InMemoryCollectionCallback):
    """Kills the first process that is told of the run."""

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def mapper(self):
        return DyingMapper(super().mapper(), self.folder, os.getpid())


class DyingMapper:
    def __init__(self, mapper, folder, client):
        self.mapper, self.state = mapper, (mapper, folder, client)

    def __call__(self, block):
        return self.mapper(block)

    def __reduce__(self):
        return _told, self.state


def _told(mapper, folder, client):
    if os.getpid() != client:
        try:
            Path(folder, "died").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os._exit(1)
    return DyingMapper(mapper, folder, client)


def test_a_worker_that_dies_as_it_is_told_of_the_run(make_cluster, tmp_path):
    (tmp_path / "blocks").mkdir()
    with make_cluster(n_workers=2) as cluster, Client(cluster, set_as_default=False) as client:
        callback = Dying(tmp_path)
        report = dasdist.annotate(
            Troubled(tmp_path / "blocks"),
            blocks(6),
            callback,
            client=client,
            block={"time": 64},
            pbar=False,
        )
        assert (tmp_path / "died").exists()
        assert report.complete
        # and what was brought for the run is taken away after it
        plugins = client.run(lambda dask_worker: list(dask_worker.plugins))
        known = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    assert not [name for names in [*plugins.values(), known] for name in names if "dasdist" in name]


def test_if_nothing_ever_succeeds_the_run_stops_and_says_why(client, tmp_path):
    data = blocks(200, fail=range(200))
    with pytest.raises(dasdist.TooManyFailures, match=r"All of the first .* no such luck"):
        annotated(Troubled(tmp_path), data, client, max_failures=1000)
    assert len(begun(tmp_path)) < 100


def test_more_failures_than_allowed_stop_the_run(client, tmp_path):
    data = blocks(60, fail=[10, 20, 30, 40])
    with pytest.raises(dasdist.TooManyFailures, match=r"3 blocks failed .* no more than 2 may"):
        annotated(Troubled(tmp_path), data, client, max_failures=2)


def test_without_failures_allowed_the_first_error_is_raised_as_it_is(client, tmp_path):
    for where in (client, None):
        with pytest.raises(RuntimeError, match="no such luck"):
            annotated(Troubled(tmp_path), blocks(20, fail=[3]), where)


def test_a_timeout_needs_processes_that_can_be_ended(inproc_client, tmp_path):
    for where, why in ((None, "this very process"), (inproc_client, "have no nanny")):
        with pytest.raises(dasdist.InvalidInput, match=why):
            annotated(Troubled(tmp_path), blocks(3), where, block_timeout=1.0)
    assert not begun(tmp_path)


@pytest.mark.slow
def test_a_scheduler_that_is_gone_is_named(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SCHEDULER], **pipes) as started:
        address = started.stdout.readline().strip()
        with Client(address, set_as_default=False, timeout="3s") as client:
            client.wait_for_workers(1)
            killer = threading.Thread(target=_kill_when_begun, args=(started, tmp_path))
            killer.start()
            with pytest.raises(dasdist.ClusterLost, match=f"scheduler {address} was lost"):
                annotated(Troubled(tmp_path, 0.2), blocks(200), client)
            killer.join()


SCHEDULER = """
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=False, host="127.0.0.1",
        protocol="tcp://", dashboard_address=None,
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"})
    print(cluster.scheduler_address, flush=True)
    input()
"""


def _kill_when_begun(process, folder):
    while not begun(folder):
        time.sleep(0.05)
    process.kill()


@pytest.mark.parametrize("leaves", [True, False])
def test_a_worker_that_leaves_is_not_blamed_on_its_blocks(make_cluster, leaves):
    """Not even if it is the last one, which the scheduler cannot retire."""
    with (
        make_cluster(n_workers=1) as cluster,
        Client(cluster, set_as_default=False) as client,
        WorkerEvents(client, "run") as deaths,
    ):
        held = client.submit(time.sleep, 600, key=task_key("run", [3], 1))
        while not any(client.processing().values()):
            time.sleep(0.05)
        if leaves:  # as at the end of its lifetime
            client.run(leave, wait=False)
        else:
            os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        while not (news := deaths.news()):
            time.sleep(0.05)
        assert [died.blocks for died in news] == [frozenset() if leaves else frozenset({3})]
        held.cancel()


async def leave(dask_worker):
    await dask_worker.close_gracefully()
