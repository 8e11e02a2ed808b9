"""Which GPU a process takes, and what of it a plan counts; GPUs are played, for a CPU has none."""

import threading
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dasdist
from dasdist.doctor import gpus as doctor
from dasdist.doctor.surroundings import Surroundings
from dasdist.executors import gpus
from dasdist.executors.block_task import RunSpec
from dasdist.executors.resources import resources_of, resources_of_cluster
from dasdist.executors.serial import SerialExecutor
from dasdist.executors.stopping import Stop
from dasdist.executors.worker_plugin import RunPlugin, delivered
from dasdist.inference.gpus import device_of_process, take_turn
from dasdist.inference.replica import Payload
from dasdist.planning.resources import CUDA_BYTES, WORKER_BYTES, Resources
from dasdist.planning.speed import Speed, patches_of

from .toys import Toy, noise, recording

GIB = 2**30
EMPTY = RunSpec((), (), Payload("none", b""), keep_going=False)


@pytest.fixture
def two_gpus(monkeypatch):
    """Let torch say that there are two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr("dasdist.inference.gpus._turn", [0])


# ---------------------------------------------------------------- which one


def test_without_a_gpu_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of_process() == torch.device("cpu")


@pytest.mark.parametrize("names", [range(4), ["job-0", "job-1", "job-2", "job-3"]])
def test_workers_beside_each_other_share_the_gpus_equally(two_gpus, names):
    taken = []
    for name in names:
        worker = SimpleNamespace(name=name, address="tcp://127.0.0.1:4321", nanny=None)
        RunPlugin("run", EMPTY).setup(worker)
        taken.append(device_of_process())
    assert Counter(taken) == {torch.device("cuda", i): 2 for i in (0, 1)}


def test_workers_that_share_a_process_leave_its_gpu_as_it_is(two_gpus):
    worker = SimpleNamespace(name=1, address="inproc://127.0.0.1/1/4", nanny=None)
    RunPlugin("run", EMPTY).setup(worker)
    assert device_of_process() == torch.device("cuda", 0)


def test_each_worker_of_a_cluster_has_its_turn(client):
    with delivered(client, RunPlugin("turns", EMPTY)):
        turns = client.run(_turn)
    assert sorted(turns.values()) == [0, 1]


def _turn():
    from dasdist.inference import gpus

    return gpus._turn[0]


def seen(*identities):
    return Surroundings("n", "h", "", None, "", None, identities, "", len(identities), "13.0", 1)


def test_the_doctor_looks_at_the_gpu_that_each_worker_takes():
    share = doctor.check_pinning({"a": seen("x", "y"), "b": seen("x", "y")})
    assert share.state == "wrong"
    assert "2 workers on n compute on the same GPU, x" in share.fact
    assert doctor.check_pinning({"a": seen("x", "y"), "b": seen("y", "x")}).state == "ok"
    idle = doctor.check_pinning({"a": seen("x", "y", "z")})
    assert idle.state == "warning"
    assert idle.fact.startswith("2 GPUs are idle")


def test_one_process_says_that_it_leaves_a_gpu_idle(two_gpus):
    data = recording(noise(400, 8))
    said = "this machine's GPU (a GPU) is idle; model.cuda() moves it there"
    assert any(said in note for note in dasdist.plan(Toy(), data).notes)
    report = dasdist.classify(Toy(), data, blinding=(1, 1), pbar=False).report
    assert any(said in note for note in report.notes)


def test_without_a_gpu_nothing_is_said():
    assert not dasdist.plan(Toy(), recording(noise(400, 8))).notes


def test_a_command_without_workers_takes_the_gpu(two_gpus):
    from dasdist.cli.inputs import on_gpu

    model = SimpleNamespace(cuda=lambda: "the model on the GPU")
    assert on_gpu(model) == "the model on the GPU"


# ---------------------------------------------------------------- what a plan counts


def test_workers_with_gpus_are_asked_for_their_memory(inproc_client, monkeypatch, two_gpus):
    """The workers share this process, so that they see what is played."""
    before = resources_of_cluster(inproc_client)
    assert before.gpu is None
    properties = SimpleNamespace(total_memory=16 * GIB)
    monkeypatch.setattr(gpus, "glob", lambda pattern: ["/dev/nvidia0"])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    found = resources_of_cluster(inproc_client)
    assert found.gpu == 16 * GIB
    assert found.process == pytest.approx(before.process + CUDA_BYTES, rel=0.1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resources_of_cluster(inproc_client).gpu is None


@pytest.mark.parametrize("for_cuda", [True, False])
def test_workers_that_are_promised_with_gpus_are_planned_with_what_cuda_takes(
    for_cuda, monkeypatch
):
    """None of them is there yet; they have the torch that this process has."""
    promised = {"workers": 3, "threads": 2, "memory": 8 * GIB, "gpu": 0}
    waiting = SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": {}},
        get_metadata=lambda keys, default: promised,
    )
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: for_cuda)
    found = resources_of_cluster(waiting)
    assert (found.workers, found.gpu) == (3, 0 if for_cuda else None)
    assert found.process == WORKER_BYTES + for_cuda * CUDA_BYTES


def test_workers_that_are_there_count_as_what_they_are(client):
    """A job may have GPUs of which its torch, one for CPUs, sees none."""
    client.set_metadata(["dasdist-workers"], {"memory": 8 * GIB, "gpu": 0})
    try:
        found = resources_of_cluster(client)
    finally:
        client.set_metadata(["dasdist-workers"], {})
    assert found.gpu is None
    assert found.process == WORKER_BYTES


def test_this_process_counts_what_cuda_will_take(monkeypatch):
    properties = SimpleNamespace(total_memory=16 * GIB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    found = resources_of(None, torch.device("cuda", 0))
    assert found.gpu == 16 * GIB
    assert found.process >= WORKER_BYTES + CUDA_BYTES


class Windows(Toy):
    """Windows of single channels."""

    channelwise = True

    def __init__(self):
        super().__init__((64, 4), (64, 4), ((0, 64), (0, 4)), (32, 0))

    def forward(self, x, argdict=None):
        return {"P": torch.sigmoid(x), "S": torch.sigmoid(-x)}


def plan_of(resources, monkeypatch, channels=2000, samples=6000, **options):
    monkeypatch.setattr("dasdist.run.request.resources_of", lambda client, device: resources)
    data = recording(np.zeros((samples, channels), np.float32))
    return dasdist.plan(Windows(), data, **options)


def test_blocks_fit_into_a_gpu(monkeypatch):
    roomy = Resources(threads=3, memory=64 * GIB, gpu=80 * GIB)
    whole = plan_of(roomy, monkeypatch)
    assert plan_of(replace(roomy, gpu=0), monkeypatch).grids == whole.grids
    narrow = plan_of(replace(roomy, gpu=GIB // 64), monkeypatch)
    assert len(narrow) > len(whole)
    taken = 3 * max(narrow.samples_bytes(grid.largest_block()) for grid in narrow.grids)
    assert taken + narrow.gpu_batch_bytes <= GIB // 64
    assert "memory of a GPU    about" in str(narrow)
    assert "memory of a GPU" not in str(plan_of(replace(roomy, gpu=None), monkeypatch))
    # where a worker's own memory has no limit, its GPU's has
    assert len(plan_of(replace(roomy, gpu=GIB // 64, memory=None), monkeypatch)) > len(whole)


@pytest.mark.parametrize("length", [70, 1000, 6000])
@pytest.mark.parametrize("channels", [7, 300, 2000])
def test_batches_of_a_gpu_are_filled(monkeypatch, length, channels):
    block = {"time": length, "distance": channels}
    plan = plan_of(Resources(), monkeypatch, channels, block=block)
    (grid,) = plan.grids
    windows = patches_of(grid, grid.largest_block())
    size = plan.batching.on_gpu
    assert size <= 4096
    computed = -(-windows // size) * size
    assert computed < windows + max(8, -(-windows // size) * 8)
    assert plan_of(Resources(), monkeypatch, channels, batch_size=3).batching.on_gpu == 12


# ---------------------------------------------------------------- this process


def test_a_slow_block_leaves_no_thread_idle(monkeypatch):
    """The first of six blocks ends when the fourth has begun: two threads get so far without it."""
    fourth = threading.Event()

    def compute(selection, block, spec, listen):
        if block.index == 3:
            fourth.set()
        assert block.index != 0 or fourth.wait(20)
        return block.index

    monkeypatch.setattr("dasdist.executors.serial.run_block", compute)
    monkeypatch.setattr("dasdist.executors.serial.BlockTelemetry", lambda block, listen: None)
    tasks = [SimpleNamespace(block=SimpleNamespace(index=i), selection=None) for i in range(6)]
    recipes = (SimpleNamespace(batching=SimpleNamespace(cores=1)),)
    spec = replace(EMPTY, recipes=recipes)
    found = SerialExecutor(threads=2).run(spec, tasks, Stop(), lambda event: None)
    assert list(found) == [0, 1, 2, 3, 4, 5]


def test_blocks_that_wait_do_not_begin_once_the_run_is_to_stop(monkeypatch):
    stop, begun = Stop(), []

    def compute(selection, block, spec, listen):
        begun.append(block.index)
        stop.requested = True
        return block.index

    monkeypatch.setattr("dasdist.executors.serial.run_block", compute)
    monkeypatch.setattr("dasdist.executors.serial.BlockTelemetry", lambda block, listen: None)
    tasks = [SimpleNamespace(block=SimpleNamespace(index=i), selection=None) for i in range(9)]
    recipes = (SimpleNamespace(batching=SimpleNamespace(cores=1)),)
    spec = replace(EMPTY, recipes=recipes)
    with pytest.raises(dasdist.errors.RunInterrupted):
        list(SerialExecutor(threads=2).run(spec, tasks, stop, lambda event: None))
    assert len(begun) <= 2


def test_take_turn_is_of_this_process(two_gpus):
    take_turn(5)
    assert device_of_process() == torch.device("cuda", 1)


def test_workers_with_gpus_get_blocks_for_gpus(monkeypatch):
    """Who plans has only a core to try: the same speed is tried here for both."""
    tried = Speed(patch=2**-10, sample=2**-28)
    monkeypatch.setattr("dasdist.planning.fit.speed_of", lambda *arguments: tried)
    on_cores = Resources(workers=1, memory=64 * GIB)
    few = plan_of(replace(on_cores, gpu=80 * GIB), monkeypatch)
    many = plan_of(on_cores, monkeypatch)
    assert few.speed == Speed(patch=tried.patch / 100, sample=tried.sample / 100)
    assert len(few) < len(many) / 5
