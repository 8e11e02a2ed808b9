"""Workers in jobs of a queue: what they compute, what is replaced, and what is left of them.

All on a real SLURM, whose nodes may be one machine.  Jobs of others in the same queue are left
alone: those of a test are known by their name.
"""

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import psutil
import pytest
from distributed import Client

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from dasdist.cluster.certificates import make_certificates
from dasdist.cluster.jobs import user_name
from tests import survivor
from tests.conftest import REPOSITORY
from tests.test_cli import RUN, here, picks_of
from tests.toys import Toy, noise, recording

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(400)]

SMALL = {"cores": 1, "memory": "1500MB", "interface": "lo", "walltime": "00:10:00"}
"""Of a job; many fit on a small machine."""

GPU = {**SMALL, "gpus_per_job": 1, "partition": "gpu"}


@pytest.fixture(scope="module", autouse=True)
def quick_looks():
    """Look at the queue often, and let workers import the tests."""
    with pytest.MonkeyPatch.context() as patch, dask.config.set({LOOK: "1s"}):
        patch.setenv("PYTHONPATH", str(REPOSITORY), prepend=os.pathsep)
        patch.setenv("DASK_DASDIST__SLURM__LOOK_INTERVAL", "1s")
        patch.setenv("DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT", "30")
        yield


LOOK = "dasdist.slurm.look-interval"

PARTS = {"ca": "ca_file", "cert": "cert", "key": "key"}


def queued(name, *states):
    """The numbers of the jobs of a name that the queue has, and that did not end."""
    asked = ["squeue", "-h", "-o", "%A", f"--user={getpass.getuser()}", f"--name={name}"]
    wanted = [f"--states={','.join(states)}"] if states else []
    done = subprocess.run([*asked, *wanted], capture_output=True, text=True, check=True)
    return done.stdout.split()


def until(condition):
    """Wait until something holds, and return it; pytest-timeout ends what never does."""
    while not (found := condition()):
        time.sleep(0.1)
    return found


def cancel(job):
    subprocess.run(["scancel", job], check=True)


def begun(folder):
    path = folder / "begun"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """What the serial loop gives."""
    folder = tmp_path_factory.mktemp("serial")
    Toy(gain=3.0).annotate(
        survivor.data(), survivor.callback(folder, {}), block=survivor.BLOCK, pbar=False
    )
    assert len(StoredPicks(folder / "picks.parquet").read()) > 100
    return folder


def run(client, folder, **options):
    return Toy(gain=3.0).annotate(
        survivor.data(),
        survivor.callback(folder, options),
        block=survivor.BLOCK,
        client=client,
        pbar=False,
    )


def check(folder, serial, report):
    assert report.finished == survivor.BLOCKS
    assert not report.failures
    found, expected = (StoredPicks(f / "picks.parquet").read() for f in (folder, serial))
    pd.testing.assert_frame_equal(found, expected)
    stores = [dasdist.open_annotations(f / "prob.zarr") for f in (folder, serial)]
    for key in ("P", "S"):
        np.testing.assert_array_equal(stores[0][key], stores[1][key])


def run_and(client, folder, action):
    """Run, and do something when a third of the blocks have begun."""
    done = threading.Event()

    def act():
        while begun(folder) < survivor.BLOCKS // 3:
            if done.wait(0.05):
                return
        action()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        return run(client, folder, pause=0.5)
    finally:
        done.set()
        thread.join()


# ---------------------------------------------------------------- fixed: --jobs


@pytest.fixture(scope="class")
def fixed(tmp_path_factory):
    """Three jobs, of which one was cancelled before its worker registered."""
    folder = tmp_path_factory.mktemp("fixed") / "cluster"
    with dasdist.slurm_cluster(3, folder=folder, **GPU) as cluster:
        name = cluster.job_name
        first = [job.job_id for job in cluster.workers.values()]
        assert cluster.scheduler.workers == {}
        cancel(first[0])
        with Client(cluster, set_as_default=False) as client:
            client.wait_for_workers(3)
            yield cluster, client, first
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "logs", "sweep.log"]
    until(lambda: not queued(name))


class TestFixed:
    def test_a_job_cancelled_before_its_worker_registered_was_replaced(self, fixed):
        cluster, _, first = fixed
        assert len(first) == 3
        now = set(queued(cluster.job_name, "RUNNING"))
        assert now & set(first) == set(first[1:])
        assert len(now) == 3

    def test_every_worker_sees_the_one_device_of_its_node(self, fixed):
        _, client, _ = fixed
        found = client.run(
            lambda: (os.environ["SLURMD_NODENAME"], os.environ["CUDA_VISIBLE_DEVICES"])
        )
        assert len({node for node, _ in found.values()}) == 3
        assert [device for _, device in found.values()] == ["0"] * 3

    def test_nothing_listens_on_all_interfaces(self, fixed):
        cluster, client, _ = fixed
        # by number: the scheduler is in this process, and so may be other tests' servers
        ports = {int(cluster.scheduler_address.rpartition(":")[2])}
        ports.add(cluster.scheduler.services["dashboard"].port)
        found = {
            s.laddr.ip
            for s in psutil.Process().net_connections(kind="inet")
            if s.status == psutil.CONN_LISTEN and s.laddr.port in ports
        }
        for pid in client.run(os.getpid).values():
            for process in (psutil.Process(pid), psutil.Process(pid).parent()):
                sockets = process.net_connections(kind="inet")
                found |= {s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN}
        assert found == {"127.0.0.1"}

    def test_who_has_not_the_certificate_is_refused(self, fixed, tmp_path):
        cluster, client, _ = fixed
        there = set(client.scheduler_info(n_workers=-1)["workers"])
        another = make_certificates(tmp_path / "another").get_tls_config_for_role("worker")
        forged = [f"--tls-{part}-file" if part == "ca" else f"--tls-{part}" for part in PARTS]
        options = ["--death-timeout", "3", "--host", "127.0.0.1", "--no-nanny", "--no-dashboard"]
        address = cluster.scheduler_address
        intruders = [
            subprocess.Popen(
                [sys.executable, "-m", "distributed.cli.dask_worker", *words, *options],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for words in (
                [address.replace("tls://", "tcp://")],
                [address, *sum(zip(forged, map(another.get, PARTS.values()), strict=True), ())],
            )
        ]
        for intruder in intruders:
            _, said = intruder.communicate()
            assert intruder.returncode == 1
            assert "Waiting to connect to" in said  # it tried
            assert "Registered to" not in said
        assert set(client.scheduler_info(n_workers=-1)["workers"]) == there

    def test_a_job_cancelled_in_mid_run_is_survived_and_replaced(self, fixed, tmp_path, serial):
        cluster, _, _ = fixed
        before = queued(cluster.job_name, "RUNNING")
        with dasdist.connect(cluster.folder, set_as_default=False) as client:
            report = run_and(client, tmp_path, lambda: cancel(before[0]))
            check(tmp_path, serial, report)
            assert len(list(tmp_path.glob("node-*"))) >= 3
            client.wait_for_workers(3)
        now = set(queued(cluster.job_name, "RUNNING"))
        assert now & set(before) == set(before[1:])
        assert len(now) == 3

    def test_workers_leave_before_the_walltime_and_it_costs_nothing(self, fixed, tmp_path, serial):
        cluster, client, _ = fixed
        lifetimes = client.run(lambda dask_worker: dask_worker.lifetime)
        assert all(0.8 * 600 < seconds < 0.98 * 600 for seconds in lifetimes.values())
        leaver = next(iter(lifetimes))
        before = set(queued(cluster.job_name, "RUNNING"))
        report = run_and(client, tmp_path, lambda: client.run(leave, workers=[leaver], wait=False))
        check(tmp_path, serial, report)
        told = [event for _, event in client.get_events("all") if isinstance(event, dict)]
        (left,) = [
            event
            for event in told
            if event.get("action") == "remove-worker" and event["worker"] == leaver
        ]
        assert left["expected"]
        until(lambda: len(set(queued(cluster.job_name, "RUNNING")) - before) == 1)


async def leave(dask_worker):
    """What a worker does when its lifetime is over."""
    await dask_worker.close_gracefully()


# ---------------------------------------------------------------- adaptive: --adapt


def test_adaptive_jobs_follow_the_work_and_are_replaced(tmp_path, serial):
    with dasdist.slurm_cluster(adapt=(1, 3), folder=tmp_path / "cluster", **GPU) as cluster:
        name = cluster.job_name
        early = [job.job_id for job in cluster.workers.values()]
        assert len(early) == 1
        cancel(early[0])
        assert not cluster.scheduler.workers  # before its worker registers
        with Client(cluster, set_as_default=False) as client:
            report = run_and(client, tmp_path, lambda: cancel(queued(name, "RUNNING")[0]))
        check(tmp_path, serial, report)
        asked = set(queued(name, "all"))
        assert len(list(tmp_path.glob("node-*"))) >= 2
        assert len(asked) >= 4  # two were cancelled, and more than one was there at a time
    until(lambda: not queued(name))


# ---------------------------------------------------------------- others


@pytest.mark.deep
def test_a_plain_cluster_of_dask_jobqueue_works_by_its_client(tmp_path, serial):
    from dask_jobqueue import SLURMCluster

    with (
        SLURMCluster(
            queue="normal",
            cores=1,
            processes=1,
            memory="1GB",
            interface="lo",
            scheduler_options={"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
            worker_extra_args=["--dashboard-address", "127.0.0.1:0"],
            log_directory=str(tmp_path / "logs"),
            job_name=f"plain-{os.getpid()}",
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        cluster.scale(jobs=1)
        report = run(client, tmp_path)
    check(tmp_path, serial, report)
    until(lambda: not queued(f"plain-{os.getpid()}"))


# ---------------------------------------------------------------- what cannot be


def test_what_the_queue_refuses_is_said_at_once(tmp_path):
    with pytest.raises(dasdist.InvalidInput, match=r"does not take the job.*invalid partition"):
        dasdist.slurm_cluster(folder=tmp_path / "c", **{**SMALL, "partition": "no-such-partition"})
    assert not (tmp_path / "c/key.pem").exists()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cores": 3}, r"3 cores .* no node of partition normal has \(at most 2 cores"),
        ({"memory": "8GB"}, r"7630 MiB of memory, which no node .*--memory"),
        ({"gpus_per_job": 2}, r"2 GPUs, and the nodes of partition normal have at most 1"),
        ({"walltime": "2:00:00"}, r"walltime of 2:00:00, .* at most 1:00:00"),
    ],
)
def test_what_no_node_could_run_is_refused_before_anything_is_made(tmp_path, asked, words):
    with pytest.raises(dasdist.InvalidInput, match=words):
        dasdist.slurm_cluster(folder=tmp_path / "c", **{**SMALL, **asked})
    assert not (tmp_path / "c").exists()


def test_by_default_a_job_is_as_large_as_its_node_and_named_like_its_folder(tmp_path):
    shared = {"jobqueue.slurm.shared-temp-directory": str(tmp_path)}
    with (
        dask.config.set(shared),
        dasdist.slurm_cluster(1, interface="lo", job_name="night") as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.wait_for_workers(1, timeout=120)
        (worker,) = client.scheduler_info()["workers"].values()
        assert worker["nthreads"] == 2
        assert worker["memory_limit"] == (4000 - 512) * 2**20
        (lifetime,) = client.run(lambda dask_worker: dask_worker.lifetime).values()
        assert 0.8 * 1800 < lifetime < 0.98 * 1800
        name = cluster.job_name
        assert queued(name, "RUNNING")
        assert name.startswith("night-")
        assert cluster.folder == tmp_path / f"dasdist-{user_name()}" / name
    assert list((cluster.folder / "logs").glob(f"{name}-*.err"))
    until(lambda: not queued(name))


def test_jobs_that_always_fail_end_the_run_with_their_log(tmp_path):
    with (
        dasdist.slurm_cluster(
            2, folder=tmp_path / "c", job_script_prologue=["echo no luck >&2; exit 3"], **SMALL
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        name = cluster.job_name
        with pytest.raises(dasdist.ClusterLost, match=r"jobs in a row ended before") as caught:
            run(client, tmp_path)
        asked = len(queued(name, "all"))
    log = next(word for word in str(caught.value).split() if word.endswith(".err"))
    assert "no luck" in Path(log).read_text()
    assert "FAILED" in str(caught.value)
    assert "ends: no luck" in str(caught.value)
    assert asked <= 6  # twice as many as were wanted, and those on their way
    until(lambda: not queued(name))


# ---------------------------------------------------------------- the command line


class Slow(Toy):
    def forward(self, x, argdict=None):
        time.sleep(0.5)
        return super().forward(x)


def quick():
    return Toy(gain=3.0)


def slow():
    return Slow(gain=3.0)


ON_SLURM = [
    *("--cluster", "slurm", "--partition", "gpu", "--cores", "1", "--memory", "1500MB"),
    *("--interface", "lo", "--walltime", "10"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.nc"
    recording(noise(12_000, 12)).to_netcdf(path)
    return path


def classify(data, folder, model, *options):
    return [
        *("classify", str(data), "--model", f"tests.test_slurm_queue:{model}"),
        *("-o", str(folder / "picks.parquet"), "--block", "time=100,distance=6"),
        *("--threshold", "0.5", "--set", "blinding=[1,1]", "--json", *options),
    ]


def first_event(process, name):
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(process.communicate()[1][-3000:])


def test_classify_in_a_queue_gives_what_one_process_gives(data, tmp_path):
    folders = [tmp_path / name for name in ("here", "there")]
    for folder in folders:
        folder.mkdir()
    there = [*ON_SLURM, "--jobs", "2", "--cluster-folder", str(tmp_path / "cluster")]
    outputs = [
        here(*classify(data, folder, "quick", *options))
        for folder, options in zip(folders, ([], there), strict=True)
    ]
    for output in outputs:
        assert output.exit_code == 0, output.output[-3000:]
    found, expected = (picks_of(folder / "picks.parquet") for folder in reversed(folders))
    assert len(expected) > 20
    pd.testing.assert_frame_equal(found, expected)
    cluster = next(
        event
        for event in map(json.loads, outputs[1].stdout.splitlines())
        if event["event"] == "cluster"
    )
    assert cluster["tunnel"].startswith("ssh -N -L 8787:127.0.0.1:")
    until(lambda: not queued(cluster["jobs"]))


def test_whatever_ends_a_command_no_job_is_left(data, tmp_path):
    """Ctrl-C; kill -9; and kill -9 of the process, too, that would have swept behind it."""
    ways = ("interrupted", "killed", "swept-by-none")
    processes, names = {}, {}
    try:
        for way in ways:
            (tmp_path / way).mkdir()
            # both jobs on one node with one GPU: one of them has to wait
            node = f"--job-extra=--nodelist={NODES[way]}"
            options = [*ON_SLURM, "--gpus-per-job", "1", "--jobs", "2", node]
            options += ["--cluster-folder", str(tmp_path / way / "cluster")]
            processes[way] = subprocess.Popen(
                [*RUN, *classify(data, tmp_path / way, "slow", *options)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
                env={**os.environ, "DASK_JOBQUEUE__SLURM__DEATH_TIMEOUT": "40"},
            )
        for way in ways:
            names[way] = first_event(processes[way], "cluster")["jobs"]
        for way in ways:
            until(lambda way=way: any((tmp_path / way / "picks.parquet").glob("*.parquet")))
            assert len(queued(names[way], "RUNNING")) == 1
            assert len(queued(names[way], "PENDING")) == 1
        os.killpg(processes["interrupted"].pid, signal.SIGINT)
        processes["killed"].kill()
        victim = psutil.Process(processes["swept-by-none"].pid)
        sweeper = next(c for c in victim.children() if "sweep.py" in " ".join(c.cmdline()))
        sweeper.kill()
        victim.kill()
        for process in processes.values():
            process.communicate()
        assert processes["interrupted"].returncode == 130
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    for way in ways:
        until(lambda way=way: not queued(names[way]))
        has_key = (tmp_path / way / "cluster/key.pem").exists()
        assert has_key == (way == "swept-by-none")


NODES = {"interrupted": "das1", "killed": "das2", "swept-by-none": "das3"}


def gone(pid):
    """Whether a process has ended; one that a test started may still be a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_cluster_stays_for_notebooks_until_it_is_stopped(tmp_path, serial):
    folder = tmp_path / "cluster"

    def cluster(action, *options):
        done = here("cluster", action, "--json", *options)
        assert done.exit_code == 0, done.output[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    started = cluster("start", *ON_SLURM, "--cluster-folder", str(folder))
    try:
        assert Path(started["file"]) == folder / "scheduler.json"
        assert started["jobs"].startswith("dasdist-")
        assert started["host"] == socket.gethostname()
        with dasdist.connect(folder, set_as_default=False) as client:
            check(tmp_path, serial, run(client, tmp_path))
        assert cluster("status", str(folder))["workers"] == 1
    finally:
        cluster("stop", str(folder))
    assert not (folder / "key.pem").exists()
    until(lambda: gone(started["pid"]))
    until(lambda: not queued(started["jobs"]))
    with pytest.raises(dasdist.InvalidInput, match="not up yet, or has ended"):
        dasdist.connect(folder)
