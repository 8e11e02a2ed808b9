"""What a job has on a node, and the workers that follow; and that these are started so."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasdist.cluster import pinning
from dasdist.cluster.allocation import (
    Allocation,
    cgroup_limits,
    find_allocation,
    slurm_limits,
    visible_devices,
    workers_for,
)
from dasdist.errors import InvalidInput
from tests.conftest import REPOSITORY

GIB = 2**30

allocations = st.builds(
    Allocation,
    cpus=st.integers(1, 256),
    memory=st.integers(GIB, 2048 * GIB),
    devices=st.integers(0, 16).map(lambda n: tuple(map(str, range(n)))),
)


@given(allocations)
def test_no_node_is_oversubscribed(allocation):
    workers = workers_for(allocation)
    computing = workers.count * workers.threads * workers.compute_threads
    if not allocation.devices or workers.compute_threads > 1:
        assert computing <= allocation.cpus
    assert workers.count * workers.memory <= allocation.memory


@given(allocations.filter(lambda a: not a.devices))
def test_no_node_without_gpus_is_left_half_idle(allocation):
    workers = workers_for(allocation)
    assert 2 * workers.count * workers.threads * workers.compute_threads > allocation.cpus


@given(allocations.filter(lambda a: a.devices))
def test_every_gpu_has_a_process_that_reads_and_computes(allocation):
    workers = workers_for(allocation)
    assert workers.devices == allocation.devices
    assert workers.count == len(allocation.devices)
    assert workers.threads in (2, 3)


@given(allocations, st.integers(1, 16), st.integers(1, 8), st.integers(1, 64 * GIB))
def test_what_is_given_stands_but_for_memory_that_the_job_lacks(allocation, count, threads, memory):
    if allocation.devices and count > len(allocation.devices):
        with pytest.raises(InvalidInput, match=r"has \d+ GPUs? on this node"):
            workers_for(allocation, count=count)
        return
    workers = workers_for(allocation, count=count, threads=threads, memory=memory, spare=0)
    assert (workers.count, workers.threads) == (count, threads)
    assert workers.memory == min(memory, allocation.memory // count)


def test_little_memory_gives_few_processes_that_use_all_cpus():
    workers = workers_for(Allocation(cpus=16, memory=5 * GIB), spare=GIB)
    assert (workers.count, workers.threads, workers.compute_threads) == (2, 2, 4)


def test_a_node_without_memory_for_workers_is_refused():
    with pytest.raises(InvalidInput, match=r"has 1000 MiB .* 2000 MiB are kept for other .* --mem"):
        workers_for(Allocation(2, 1000 * 2**20), spare=2000 * 2**20)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, (None, None)),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_MEM_PER_NODE": "64000"}, (16, 64000 * 2**20)),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_MEM_PER_CPU": "4000"}, (16, 64000 * 2**20)),
        ({"SLURM_MEM_PER_GPU": "8000", "SLURM_GPUS_ON_NODE": "4"}, (None, 32000 * 2**20)),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_MEM_PER_NODE": "0"}, (16, None)),
        ({"SLURM_CPUS_ON_NODE": "16", "SLURM_STEP_TASKS_PER_NODE": "1(x12)"}, (16, None)),
    ],
)
def test_a_slurm_job_has_what_it_asked_for(environ, expected):
    assert slurm_limits(environ) == expected


@pytest.mark.parametrize("tasks", ["4", "4(x2)", "1(x3),2"])
def test_several_tasks_per_node_are_refused(tasks):
    with pytest.raises(InvalidInput, match="--ntasks-per-node=1"):
        slurm_limits({"SLURM_STEP_TASKS_PER_NODE": tasks})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ("0",)),
        ("3,1", ("3", "1")),
        ("", ()),
        ("-1", ()),
        ("0,-1,1", ("0",)),
        ("NoDevFiles", ()),
        ("GPU-8932f937-d72c,MIG-41b36e", ("GPU-8932f937-d72c", "MIG-41b36e")),
    ],
)
def test_devices_are_read_as_cuda_reads_them(text, expected):
    assert visible_devices({"CUDA_VISIBLE_DEVICES": text}) == expected
    assert visible_devices({}) is None


# ---------------------------------------------------------------- cgroups


def write_tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def test_limits_of_a_job_hold_for_its_steps_cgroups_v2(tmp_path):
    job = "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7"
    write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0/user/task_0",
            f"{job}/memory.max": str(8 * GIB),
            f"{job}/step_0/memory.max": "max",
            f"{job}/step_0/user/task_0/memory.max": "max",
            f"{job}/cpu.max": "350000 100000",
            f"{job}/step_0/cpu.max": "max 100000",
        },
    )
    assert cgroup_limits(tmp_path) == (4, 8 * GIB)


def test_limits_of_a_job_hold_for_its_steps_cgroups_v1(tmp_path):
    unlimited = str(2**63 - 4096)
    write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "9:memory:/slurm/uid_5/job_7/step_0\n4:cpu,cpuacct:/slurm/uid_5",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": unlimited,
            "sys/fs/cgroup/memory/slurm/uid_5/job_7/memory.limit_in_bytes": str(3 * GIB),
            "sys/fs/cgroup/memory/slurm/uid_5/job_7/step_0/memory.limit_in_bytes": unlimited,
            "sys/fs/cgroup/cpu,cpuacct/slurm/uid_5/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu,cpuacct/slurm/uid_5/cpu.cfs_period_us": "100000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert cgroup_limits(tmp_path) == (2, 3 * GIB)


def test_a_system_without_cgroups_has_no_limit(tmp_path):
    assert cgroup_limits(tmp_path) == (None, None)


def test_an_allocation_is_the_least_of_all_that_is_told(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "1")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,2")
    assert find_allocation() == Allocation(1, 100 * 2**20, ("4", "2"))
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "100000")
    assert find_allocation().cpus <= len(os.sched_getaffinity(0))


# ---------------------------------------------------------------- workers as they are started


@contextmanager
def workers_of_a_node(folder, *options, **environ):
    """A scheduler, and the workers of a node with such variables; yields a client."""
    from distributed import Client

    file = folder / "scheduler.json"
    env = {**os.environ, **environ}
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    node = [sys.executable, "-m", "dasdist.cluster.worker", "--scheduler-file", str(file)]
    node += ["--interface", "lo", "--no-dashboard", "--death-timeout", "60", *options]
    with (
        subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.DEVNULL) as scheduler,
        (folder / "node.log").open("w") as log,
        subprocess.Popen(node, cwd=REPOSITORY, env=env, stderr=log) as nannies,
    ):
        try:
            with Client(scheduler_file=str(file), timeout=60, set_as_default=False) as client:
                yield client
        finally:
            nannies.terminate()
            nannies.wait()
            scheduler.terminate()


def look():
    """What a worker finds around it."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible, os.environ["OMP_NUM_THREADS"], torch.get_num_threads()


@pytest.mark.slow
def test_a_node_has_a_worker_per_device_also_when_one_was_started_again(tmp_path):
    with workers_of_a_node(
        tmp_path,
        *("--name", "node", "--nthreads", "3", "--memory-limit", "64GB", "--spare", "100MiB"),
        CUDA_VISIBLE_DEVICES="3,1",
        OMP_NUM_THREADS="7",
        SLURM_MEM_PER_NODE="2148",
    ) as client:
        client.wait_for_workers(2)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert {w["name"]: w["nthreads"] for w in workers.values()} == {"node-0": 3, "node-1": 3}
        assert [w["memory_limit"] for w in workers.values()] == [GIB, GIB]  # the job's, not 64 GB
        seen = sorted(client.run(look).values())
        assert seen == [("1", "1", 1), ("3", "1", 1)]
        killed = next(iter(workers))
        client.run(os.kill, client.run(os.getpid, workers=[killed])[killed], 9, workers=[killed],
                   on_error="ignore")  # fmt: skip
        while len(set(client.scheduler_info(n_workers=-1)["workers"]) - {killed}) < 2:
            time.sleep(0.05)
        assert sorted(client.run(look).values()) == seen


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--memory-limit", "0.5", "0.5 is not a size"),
        ("--spare", "much", "much is not a size"),
        ("--nworkers", "-1", "-1 is not a number"),
        ("--nworkers", "3", "3 worker processes were asked for, but the job has 1 GPU"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(option, value, message):
    from dasdist.cluster.worker import main

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "0")
        with pytest.raises(InvalidInput, match=message):
            main([option, value])


def test_dask_cuda_tells_the_cpus_near_a_gpu(monkeypatch):
    """A stand-in for dask-cuda: the real one needs a driver, and NVML to know what is near."""

    class CPUAffinity:
        def __init__(self, cores):
            self.cores = cores

    here = sorted(os.sched_getaffinity(0))
    utils = SimpleNamespace(get_cpu_affinity=lambda device: [*here, 10**6 + device])
    monkeypatch.setitem(sys.modules, "dask_cuda", SimpleNamespace(__spec__=SimpleNamespace()))
    monkeypatch.setitem(sys.modules, "dask_cuda.utils", utils)
    monkeypatch.setitem(sys.modules, "dask_cuda.plugins", SimpleNamespace(CPUAffinity=CPUAffinity))
    nanny = SimpleNamespace(env={}, nthreads=1, worker_kwargs={"plugins": ("kept",)})
    pinning.give(("6",))
    pinning.dask_setup(nanny)
    assert nanny.env == {"CUDA_VISIBLE_DEVICES": "6"}
    kept, affinity = nanny.worker_kwargs["plugins"]
    assert (kept, affinity.cores) == ("kept", here)


@pytest.mark.gpu
def test_a_worker_computes_on_its_one_gpu(tmp_path):
    def device():
        import torch

        return torch.cuda.device_count(), torch.ones(2, device="cuda").sum().item()

    import torch

    names = ",".join(map(str, range(torch.cuda.device_count())))
    with workers_of_a_node(tmp_path, CUDA_VISIBLE_DEVICES=names) as client:
        client.wait_for_workers(torch.cuda.device_count())
        assert set(client.run(device).values()) == {(1, 2.0)}
        indices = client.run(lambda: os.environ["CUDA_VISIBLE_DEVICES"])
        assert sorted(indices.values(), key=int) == names.split(",")
