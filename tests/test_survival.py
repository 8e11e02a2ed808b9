"""Whatever dies, and whenever: the same command ends with what an undisturbed run gives."""

import json
import random
import signal
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pandas as pd
import psutil
import pytest
from distributed.cli import dask_scheduler, dask_worker

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from tests import survivor
from tests.forked import Forked
from tests.survivor import done, held, noted
from tests.toys import Toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(500)]


@pytest.fixture
def start(tmp_path):
    """Start the run in a session of its own, so that it can be killed as a whole."""
    started = []

    def start(**options):
        log = tmp_path / f"run-{len(started)}.log"
        started.append(Forked(log, survivor.run, tmp_path, options))
        return started[-1]

    yield start
    for process in started:
        process.kill_all()


def finish(process, folder):
    """Wait for the end of a run and return its report."""
    assert process.wait() == 0, process.said[-3000:]
    return json.loads((folder / "report.json").read_text())


def ran(folder, name="begun"):
    return Counter(number for number, _ in noted(folder / name))


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
    report = finish(start(die=phases), tmp_path)
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
    while process.wait_for(lambda: ran(tmp_path).total() > count):  # noqa: B023
        begun = {pid for _, pid in noted(tmp_path / "begun")}
        alive = [pid for pid in sorted(begun) if psutil.pid_exists(pid)]
        if alive:
            worker = psutil.Process(chance.choice(alive))
            worker.suspend()  # so that it begins no other block while these are counted
            lost += held(tmp_path, worker.pid)
            worker.kill()
            kills += 1
        count = ran(tmp_path).total() + chance.randint(5, 15)
    assert finish(process, tmp_path)["finished"] == survivor.BLOCKS
    assert kills > 3
    check_results(tmp_path, undisturbed)
    assert ran(tmp_path).total() - survivor.BLOCKS <= lost


@pytest.mark.parametrize("when", ["before", pytest.param("after", marks=pytest.mark.deep)])
def test_the_client_dies_around_an_entry_of_the_ledger(tmp_path, start, undisturbed, when):
    process = start(client_dies=[20, when])
    assert process.wait() == -signal.SIGKILL
    process.kill_all()
    known = done(tmp_path)
    assert 15 <= len(known) <= 21
    (tmp_path / "begun").unlink()
    report = finish(start(), tmp_path)
    assert report == {"before": len(known), "finished": survivor.BLOCKS}
    assert not known & set(ran(tmp_path))  # nothing is done twice that the ledger had
    check_results(tmp_path, undisturbed)


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.deep)])
def test_everything_dies_again_and_again(tmp_path, start, undisturbed, rounds):
    chance = random.Random(0)
    for _ in range(rounds):
        known, before = done(tmp_path), ran(tmp_path)
        process = start(pause=0.03)
        wanted = before.total() + chance.randint(15, 25)
        was_killed = process.wait_for(lambda: ran(tmp_path).total() >= wanted)  # noqa: B023
        if not was_killed:
            break
        process.kill_all()
        assert not known & set(ran(tmp_path) - before)
    else:
        process = start()
    assert finish(process, tmp_path)["finished"] == survivor.BLOCKS
    check_results(tmp_path, undisturbed)


@pytest.mark.parametrize("rounds", [(0, 1), pytest.param((14, 8), marks=pytest.mark.deep)])
def test_kills_at_any_time_also_of_runs_that_overwrite(tmp_path, start, undisturbed, rounds):
    chance = random.Random(2)
    kinds = [False] * rounds[0] + [True] * rounds[1]
    chance.shuffle(kinds)
    for overwrite in kinds:
        wanted = ran(tmp_path).total() + chance.randint(1, 25)
        process = start(pause=0.03, overwrite=overwrite)
        process.wait_for(lambda: ran(tmp_path).total() >= wanted)  # noqa: B023
        process.kill_all()  # or it has ended, if it had little left to do
    assert finish(start(), tmp_path)["finished"] == survivor.BLOCKS
    check_results(tmp_path, undisturbed)


def test_the_scheduler_dies(tmp_path, start, undisturbed):
    with scheduler_and_workers(tmp_path / "first.json") as (scheduler, address):
        process = start(scheduler=address, pause=0.03)
        assert process.wait_for(lambda: len(ran(tmp_path, "finished")) >= 20)
        scheduler.kill()
        assert process.wait() == 1
        assert "ClusterLost: The connection to the scheduler" in process.said
    known = done(tmp_path)
    assert len(known) >= 10
    (tmp_path / "begun").unlink()
    with scheduler_and_workers(tmp_path / "second.json") as (_, address):
        report = finish(start(scheduler=address), tmp_path)
    assert report == {"before": len(known), "finished": survivor.BLOCKS}
    assert not known & set(ran(tmp_path))
    check_results(tmp_path, undisturbed)


def run_scheduler(words):
    dask_scheduler.main(words)


def run_worker(words):
    dask_worker.main(words)


@contextmanager
def scheduler_and_workers(file):
    """A scheduler and two workers, each with processes of its own."""
    processes = []

    def spawn(command, *options):
        words = [str(option) for option in (*options, "--host", "127.0.0.1", "--no-dashboard")]
        log = file.with_suffix(f".{len(processes)}.log")
        processes.append(Forked(log, command, words))
        return processes[-1]

    try:
        scheduler = spawn(run_scheduler, "--port", 0, "--scheduler-file", file)
        assert scheduler.wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        address = json.loads(file.read_text())["address"]
        for _ in range(2):
            spawn(run_worker, address, "--nthreads", 1, "--no-nanny")
        yield scheduler, address
    finally:
        for process in processes:
            process.kill_all()
