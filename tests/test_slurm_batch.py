"""deploy/slurm on a real SLURM: what a user submits, and what becomes of it."""

import math
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from dasdist.journal.ledger import read_ledger
from tests.conftest import REPOSITORY
from tests.toys import Toy, noise, recording

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900)]

CLASSIFY = REPOSITORY / "deploy/slurm/classify.sbatch"
PICKING = ["--threshold", "0.5", "--set", "blinding=[1,1]", "--batch-size", "4"]
BLOCKS = 60


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def until(condition, job):
    """Wait until something holds, and say what the job said if the test is stopped meanwhile."""
    try:
        while not condition():
            time.sleep(0.1)
    except BaseException as error:  # of pytest-timeout, too
        error.add_note(job.said)
        raise


@dataclass
class Job:
    """A job of a test, in a folder of its own."""

    number: str
    folder: Path

    def fact(self, name):
        found = re.search(rf"\b{name}=(\S+)", run("scontrol", "show", "job", self.number))
        return found[1]

    @property
    def ended(self):
        return run("squeue", "-h", "-j", self.number, "-o", "%T") == ""

    @property
    def said(self):
        files = sorted([*self.folder.glob("*.out"), *self.folder.glob("dasdist-*/*.log")])
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)

    @property
    def notes(self):
        path = self.folder / "notes"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def parts(self):
        """Blocks that the ledger has, with the time at which their files were written."""
        out = self.folder / "picks.parquet"
        ledger = self.folder / "picks.parquet.dasdist/ledger.jsonl"
        known = read_ledger(ledger).parts if ledger.exists() else {}
        return {block: (out / f"block-{block:09d}.parquet").stat().st_mtime_ns for block in known}

    def let(self, more):
        """Let the model compute so many batches more, then wait."""
        aside = self.folder / "limit.aside"
        aside.write_text(str(len(self.notes) + more))
        aside.replace(self.folder / "limit")


@pytest.fixture
def submit(tmp_path):
    """Submit the script; whatever happens, no job of the test stays."""
    numbers = []

    def submit(*arguments, nodes, **environ):
        env = {
            **os.environ,
            "DASDIST_PYTHON": sys.executable,
            "DASDIST_INTERFACE": "lo",
            "DASDIST_SPARE": "200MB",
            "DASDIST_SCRATCH": str(tmp_path),
            "DASDIST_TEST_GATE": str(tmp_path),
            "PYTHONPATH": str(REPOSITORY),
            **environ,
        }
        options = [f"--nodes={nodes}", "--cpus-per-task=1", "--mem=1800", "--gres=gpu:1"]
        options += ["--partition=low"]
        options += ["--job-name=dasdist-test-batch", "--time=20"]
        word = [a for a in arguments if a.startswith("--array")]
        command = ["sbatch", "--parsable", *options, *word, str(CLASSIFY)]
        command += [a for a in arguments if a not in word]
        (tmp_path / "limit").write_text("1000000")
        numbers.append(run(*command, cwd=tmp_path, env=env).strip())
        return Job(numbers[-1], tmp_path)

    yield submit
    for number in numbers:
        subprocess.run(["scancel", number], check=False, capture_output=True)
        until(lambda: run("squeue", "-h", "-j", number) == "", Job(number, tmp_path))  # noqa: B023


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A file of 60 blocks, and the picks that the serial loop finds in it."""
    path = tmp_path_factory.mktemp("archive") / "data.nc"
    data = recording(noise(400 * BLOCKS // 2, 12))
    data.to_netcdf(path)
    return path, serial(data)


def serial(data):
    found = dasdist.classify(Toy(gain=3.0), data, thresholds=0.5, blinding=(1, 1), pbar=False)
    assert len(found.picks) > 100
    return found.picks


def check(out, picks):
    pd.testing.assert_frame_equal(StoredPicks(out).read(), picks)


def blocks_of(archive, out):
    return [str(archive[0]), "--model", "tests.gated:build", "-o", out, *PICKING, "--block",
            "time=100,distance=6"]  # fmt: skip


def test_a_run_on_three_nodes_survives_the_loss_of_one(submit, archive):
    job = submit(*blocks_of(archive, "picks.parquet"), nodes=3)
    job.let(12)
    until(lambda: len({node for node, *_ in job.notes}) == 3 and len(job.notes) >= 12, job)
    everywhere = processes(job)
    assert listening(everywhere) == {"127.0.0.1"}
    lost = job.notes[0][0]
    workers = [p for p, env in everywhere if env["SLURMD_NODENAME"] == lost and in_step(env)]
    assert len(workers) >= 2  # the node's nannies and its worker
    for process in workers:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    before = len(job.notes)
    job.let(10**6)
    until(lambda: job.ended, job)
    assert (job.fact("JobState"), job.fact("ExitCode")) == ("COMPLETED", "0:0"), job.said
    assert lost not in {node for node, *_ in job.notes[before + 4 :]}
    # each worker saw its one device and computes with the threads that one CPU allows
    assert {tuple(note[1:]) for note in job.notes} == {("0", "1")}
    check(job.folder / "picks.parquet", archive[1])
    (folder,) = job.folder.glob(f"dasdist-{job.number}.0")
    assert folder.stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in folder.iterdir()) == ["scheduler.log", "workers.log"]


def processes(job):
    """The Python processes of a job, on all its nodes, with their variables."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            env = process.environ()
            if env.get("SLURM_JOB_ID") == job.number and "python" in process.name():
                found.append((process, env))
    return found


def in_step(env):
    return "SLURM_STEP_NODELIST" in env


def listening(everywhere):
    return {
        socket.laddr.ip
        for process, _ in everywhere
        for socket in process.net_connections(kind="inet")
        if socket.status == psutil.CONN_LISTEN
    }


def expire(job):
    """Let the time limit come so near that SLURM sends the signal that the script asks for."""
    hours, minutes, seconds = map(int, job.fact("RunTime").split(":"))
    minutes = math.ceil((60 * minutes + 3600 * hours + seconds + 65) / 60)
    run("scontrol", "update", f"JobId={job.number}", f"TimeLimit={minutes}")


def terminate(job):
    """Signal the batch script alone, as SLURM may when it preempts: running blocks finish."""
    run("scancel", "--batch", "--signal=TERM", job.number)


def preempt(job):
    """Submit a job that needs all nodes to a partition that goes before; it takes a moment."""
    script = "#!/bin/sh\nsleep 1\n"
    options = ["--job-name=dasdist-test-urgent", "--partition=normal", "--nodes=4", "--exclusive"]
    run("sbatch", *options, input=script, cwd=job.folder)
    until(lambda: job.fact("PreemptTime") != "None", job)


@pytest.mark.parametrize(
    ("nodes", "ends"),
    [
        pytest.param(2, [expire, preempt], id="two nodes"),
        pytest.param(3, [expire, terminate, preempt], id="three", marks=pytest.mark.deep),
    ],
)
def test_walltime_and_preemption_drain_and_the_job_resumes(submit, archive, nodes, ends):
    job = submit(*blocks_of(archive, "picks.parquet"), nodes=nodes)
    known = {}
    for start, end in enumerate(ends):
        job.let(80)
        waiting = len(job.notes) + 80
        until(lambda: len(job.notes) >= waiting, job)  # noqa: B023
        # a job that was warned in an earlier start gets TERM for its steps when it is preempted,
        # and then no running block finishes
        until(lambda: len(job.parts) > len(known), job)  # noqa: B023
        end(job)
        until(lambda: job.said.count("SIGTERM: stopping") > start, job)  # noqa: B023
        job.let(10**6)  # what runs can end, as it does within the grace time
        until(lambda: job.fact("Restarts") == str(start + 1), job)  # noqa: B023
        assert job.said.count("Stopped by SIGTERM before all blocks were done") == start + 1
        assert known.items() <= job.parts.items()
        assert len(known) < len(job.parts) < BLOCKS
        known = job.parts
        job.let(0)
        until(lambda: job.fact("JobState") == "PENDING", job)
        # SLURM lets a job that is queued again wait two minutes; nodes refuse it for one second
        run("scontrol", "update", f"JobId={job.number}", "StartTime=now+3", "TimeLimit=20")
    job.let(10**6)
    until(lambda: job.ended, job)
    assert (job.fact("JobState"), job.fact("ExitCode")) == ("COMPLETED", "0:0"), job.said
    assert known.items() <= job.parts.items()  # nothing is done twice that the ledger had
    assert len(job.parts) == BLOCKS
    check(job.folder / "picks.parquet", archive[1])


@pytest.mark.deep
def test_an_array_splits_a_recording_by_month_and_each_task_resumes(submit, tmp_path):
    start = np.datetime64("2024-01-31T23:59:00", "ns")
    data = recording(noise(12000, 4), start=start)
    data.to_netcdf(tmp_path / "data.nc")
    job = submit(
        *("--array=1-2", "data.nc", "--model", "tests.gated:build", *PICKING),
        *("-o", "{month}.parquet", "--block", "time=100"),
        nodes=1,
        DASDIST_YEAR="2024",
    )
    job.let(20)
    until(lambda: len({node for node, *_ in job.notes}) == 2, job)
    second = Job(f"{job.number}_2", tmp_path)  # its number is that of the array
    terminate(second)  # this task alone
    until(lambda: "SIGTERM: stopping" in job.said, job)
    job.let(10**6)
    until(lambda: (second.fact("Restarts"), second.fact("JobState")) == ("1", "PENDING"), job)
    run("scontrol", "update", f"JobId={second.number}", "StartTime=now+3")
    until(lambda: job.ended, job)
    assert Job(f"{job.number}_1", tmp_path).fact("Restarts") == "0"
    before = data.sel(time=slice(None, np.datetime64("2024-02-01", "ns") - np.timedelta64(1, "ns")))
    after = data.sel(time=slice(np.datetime64("2024-02-01", "ns"), None))
    assert before.shape == after.shape
    check(tmp_path / "2024-01.parquet", serial(before))
    check(tmp_path / "2024-02.parquet", serial(after))
