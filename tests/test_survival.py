"""Whatever dies, and whenever: the same command ends with what an undisturbed run gives."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from dasdist.run.ledger import read_ledger
from tests import survivor
from tests.conftest import REPOSITORY
from tests.toys import Toy

IN_FLIGHT = 4
"""Blocks that two workers of one thread hold: one running and one waiting each."""


def start(folder, **options):
    """Start the run in a session of its own, so that all its processes can be killed at once."""
    command = [sys.executable, "-m", "tests.survivor", str(folder), json.dumps(options)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(folder, **options):
    process = start(folder, **options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def kill_all(process):
    """SIGKILL a run and its workers.  Nannies put each worker in a session of no one's."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)


def done(folder):
    ledgers = [folder / f"{name}.dasdist/ledger.jsonl" for name in ("picks.parquet", "prob.zarr")]
    return set.intersection(*(set(read_ledger(path).parts) for path in ledgers))


def ran(folder, name="begun"):
    path = folder / name
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()[-3000:]
        time.sleep(0.02)


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


def test_workers_die_in_every_phase(tmp_path, undisturbed):
    phases = {"read": 5, "model": 17, "write": 30, "written": 43}
    report = finish(tmp_path, die=phases)
    assert report == {"before": 0, "finished": survivor.BLOCKS}
    assert {path.name for path in tmp_path.glob("once-*")} == {f"once-{p}" for p in phases}
    check_results(tmp_path, undisturbed)
    again = ran(tmp_path).total() - survivor.BLOCKS
    assert len(phases) <= again <= IN_FLIGHT * len(phases)


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_client_dies_around_an_entry_of_the_ledger(tmp_path, undisturbed, when):
    process = start(tmp_path, client_dies=[20, when])
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    known = done(tmp_path)
    assert 15 <= len(known) <= 21
    (tmp_path / "begun").unlink()
    report = finish(tmp_path)
    assert report == {"before": len(known), "finished": survivor.BLOCKS}
    assert not known & set(ran(tmp_path))  # nothing is done twice that the ledger had
    check_results(tmp_path, undisturbed)


def test_everything_dies_again_and_again(tmp_path, undisturbed):
    chance = random.Random(0)
    while True:
        known, before = done(tmp_path) if (tmp_path / "begun").exists() else set(), ran(tmp_path)
        process = start(tmp_path, pause=0.03)
        wanted = len(known) + chance.randint(5, 25)
        try:
            wait_for(lambda: len(ran(tmp_path, "finished")) >= wanted, process)  # noqa: B023
        except AssertionError:
            break  # it is over
        kill_all(process)
        assert not known & set(ran(tmp_path) - before)
    assert process.wait(timeout=60) == 0
    check_results(tmp_path, undisturbed)


def test_the_scheduler_dies(tmp_path, undisturbed):
    for attempt in range(2):
        with scheduler_and_workers(tmp_path / f"scheduler{attempt}.json") as (scheduler, address):
            process = start(tmp_path, scheduler=address, pause=0.03)
            if attempt == 0:
                wait_for(lambda: len(ran(tmp_path, "finished")) >= 20, process)
                scheduler.kill()
                _, error = process.communicate(timeout=120)
                assert process.returncode not in (0, None)
                assert "scheduler" in error.splitlines()[-1].lower()
                known = done(tmp_path)
                (tmp_path / "begun").unlink()
            else:
                out, error = process.communicate(timeout=120)
                assert process.returncode == 0, error[-3000:]
    assert json.loads(out.splitlines()[-1])["before"] == len(known)
    assert not known & set(ran(tmp_path))
    check_results(tmp_path, undisturbed)


class scheduler_and_workers:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, file):
        self.file, self.processes = file, []

    def spawn(self, *command):
        process = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def __enter__(self):
        private = ["--host", "127.0.0.1", "--no-dashboard"]
        scheduler = self.spawn(
            "dask_scheduler", "--port", "0", *private, "--scheduler-file", self.file
        )
        wait_for(lambda: self.file.exists() and self.file.read_text().endswith("}"), scheduler)
        address = json.loads(self.file.read_text())["address"]
        for _ in range(2):
            self.spawn("dask_worker", address, "--nthreads", "1", *private)
        return scheduler, address

    def __exit__(self, *error):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
