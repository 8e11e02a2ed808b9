"""Whatever dies, and whenever: the same command ends with what an undisturbed run gives."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import psutil
import pytest

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from tests import survivor
from tests.conftest import REPOSITORY
from tests.survivor import done, held, noted
from tests.toys import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.fixture
def start(tmp_path):
    """Start the run in a session of its own, so that it can be killed as a whole."""
    started = []

    def start(**options):
        command = [sys.executable, "-m", "tests.survivor", str(tmp_path), json.dumps(options)]
        started.append(
            subprocess.Popen(
                command,
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        kill_all(process)


def finish(process):
    """Wait for the end of a run and return what it says."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def kill_all(process):
    """SIGKILL a run, its nannies and its workers."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if not process.stdout.closed:
        process.communicate(timeout=60)


def ran(folder, name="begun"):
    return Counter(number for number, _ in noted(folder / name))


def wait_for(condition, process):
    """Wait until something holds; tell whether it did before the process ended."""
    while process.poll() is None:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a run gives that nobody disturbs: the files, byte for byte."""
    folder = tmp_path_factory.mktemp("undisturbed")
    watched = survivor.callback(folder, {})
    Toy(gain=3.0).annotate(survivor.data(), watched, block=survivor.BLOCK, pbar=False)
    assert len(StoredPicks(folder / "picks.parquet").read()) > 100
    return folder


def check_results(folder, undisturbed):
    found, expected = (StoredPicks(f / "picks.parquet").read() for f in (folder, undisturbed))
    pd.testing.assert_frame_equal(found, expected)
    stores = [dasdist.open_annotations(f / "prob.zarr") for f in (folder, undisturbed)]
    for key in ("P", "S"):
        np.testing.assert_array_equal(stores[0][key], stores[1][key])
    names = [sorted(p.name for p in (f / "picks.parquet").iterdir()) for f in (folder, undisturbed)]
    assert names[0] == names[1]


def test_workers_die_in_every_phase(tmp_path, start, undisturbed):
    phases = {"read": 5, "model": 17, "write": 30, "written": 43}
    report = finish(start(die=phases))
    assert report == {"before": 0, "finished": survivor.BLOCKS}
    assert {path.name for path in tmp_path.glob("once-*")} == {f"once-{p}" for p in phases}
    check_results(tmp_path, undisturbed)
    again = ran(tmp_path).total() - survivor.BLOCKS
    lost = [number for number, _ in noted(tmp_path / "lost")]
    assert len(lost) == len(phases)
    assert len(phases) <= again <= sum(lost)


def test_workers_are_killed_at_random(tmp_path, start, undisturbed):
    chance = random.Random(1)
    process = start(pause=0.15)
    kills, lost, count = 0, 0, 0
    while wait_for(lambda: ran(tmp_path).total() > count, process):  # noqa: B023
        workers = [
            child
            for child in psutil.Process(process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        if workers:
            worker = chance.choice(workers)
            worker.suspend()  # so that it begins no other block while these are counted
            lost += held(tmp_path, worker.pid)
            worker.kill()
            kills += 1
        count = ran(tmp_path).total() + chance.randint(5, 15)
    assert finish(process)["finished"] == survivor.BLOCKS
    assert kills > 3
    check_results(tmp_path, undisturbed)
    assert ran(tmp_path).total() - survivor.BLOCKS <= lost


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_client_dies_around_an_entry_of_the_ledger(tmp_path, start, undisturbed, when):
    process = start(client_dies=[20, when])
    process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL
    kill_all(process)
    known = done(tmp_path)
    assert 15 <= len(known) <= 21
    (tmp_path / "begun").unlink()
    report = finish(start())
    assert report == {"before": len(known), "finished": survivor.BLOCKS}
    assert not known & set(ran(tmp_path))  # nothing is done twice that the ledger had
    check_results(tmp_path, undisturbed)


def test_everything_dies_again_and_again(tmp_path, start, undisturbed):
    chance = random.Random(0)
    for _ in range(10):
        known, before = done(tmp_path), ran(tmp_path)
        process = start(pause=0.03)
        wanted = before.total() + chance.randint(15, 25)
        was_killed = wait_for(lambda: ran(tmp_path).total() >= wanted, process)  # noqa: B023
        if not was_killed:
            break
        kill_all(process)
        assert not known & set(ran(tmp_path) - before)
    assert finish(process)["finished"] == survivor.BLOCKS
    check_results(tmp_path, undisturbed)


def test_the_scheduler_dies(tmp_path, start, undisturbed):
    with scheduler_and_workers(tmp_path / "first.json") as (scheduler, address):
        process = start(scheduler=address, pause=0.03)
        assert wait_for(lambda: len(ran(tmp_path, "finished")) >= 20, process)
        scheduler.kill()
        _, error = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "ClusterLost: The connection to the scheduler" in error
    known = done(tmp_path)
    assert len(known) >= 10
    (tmp_path / "begun").unlink()
    with scheduler_and_workers(tmp_path / "second.json") as (_, address):
        report = finish(start(scheduler=address))
    assert report == {"before": len(known), "finished": survivor.BLOCKS}
    assert not known & set(ran(tmp_path))
    check_results(tmp_path, undisturbed)


@contextmanager
def scheduler_and_workers(file):
    """A scheduler and two workers, each with processes of its own."""
    processes = []

    def spawn(command, *options):
        process = subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{command}", *map(str, options)],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        processes.append(process)
        return process

    try:
        scheduler = spawn(
            "dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
            "--scheduler-file", file,
        )  # fmt: skip
        assert wait_for(lambda: file.exists() and file.read_text().endswith("}"), scheduler)
        address = json.loads(file.read_text())["address"]
        for _ in range(2):
            spawn("dask_worker", address, "--nthreads", 1, "--host", "127.0.0.1", "--no-dashboard")
        yield scheduler, address
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
