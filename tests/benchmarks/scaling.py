"""Two workers against one, Dask against the serial loop, and what that means for a thousand."""

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

import dasdist
from dasdist.cluster.local import local_client
from dasdist.inference.malloc import keep_freed_memory
from tests.benchmarks import inputs, overhead, rivals
from tests.benchmarks.harness import Contest, Facts, benchmark
from tests.benchmarks.overhead import Waits
from tests.benchmarks.simulation import Cluster, Costs, best_block, simulate
from tests.test_plan import archive as minutes

TB = 1e12
ARCHIVES = {"1 TB": TB, "100 TB": 100 * TB, "1 PB": 1000 * TB}
WORKERS = [2**i for i in range(11)]
SIZES = [2.0**i for i in range(22, 34)]  # 4 MB to 8 GB

DISK = 2e9
"""Bytes per second of a small parallel file system; at most a quarter of it for one worker."""

MEMORY = 8e9
"""Bytes of a worker for blocks."""


@benchmark("workers", at_least=1.9, aim=1.98)
def workers(quick: bool) -> Iterator[Contest]:
    """One worker of one core, and two, each on a core of its own.

    Cores of a machine share caches and memory: the network alone, in bare processes, tells how much
    two of them can do at the most.
    """
    values, block = inputs.strips(quick)
    ours = inputs.ours()
    with (
        inputs.archive(values) as data,
        rivals.cluster(1) as one,
        rivals.cluster(2) as two,
    ):
        options = {"block": block, "thresholds": 0.3}
        sides = {
            "1 worker": rivals.ours_classify(ours, data, one, **options),
            "2 workers": rivals.ours_classify(ours, data, two, **options),
        }
        yield Contest(
            sides,
            rivals.same_table,
            {"samples": values.size},
            turns=4,
            facts=lambda _: {"2 bare processes over 1": _bare_scaling(0.2 if quick else 8.0)},
        )


def _bare_scaling(seconds: float) -> float:
    """Return how much more of the network two processes compute than one."""
    with rivals.settled(0) as one, rivals.settled(1) as other:
        for process in (one, other):
            process.submit(_windows_per_second, 0.1).result()
        alone = one.submit(_windows_per_second, seconds)
        rate = alone.result()
        both = [process.submit(_windows_per_second, seconds) for process in (one, other)]
        return sum(found.result() for found in both) / rate


@cache
def _network() -> Any:
    keep_freed_memory()
    return inputs.ours().folded(inputs.WINDOW, {"blinding": (0, 0)}).network


def _windows_per_second(seconds: float) -> float:
    network, batch = _network(), torch.zeros(21, 1, inputs.WINDOW)
    started, count = perf_counter(), 0
    with torch.inference_mode():
        while perf_counter() - started < seconds:
            network(batch)
            count += len(batch)
    return count / (perf_counter() - started)


@benchmark("dask", at_least=0.95, aim=0.98)
def dask(quick: bool) -> Iterator[Contest]:
    """The serial loop on one core; client, scheduler and a worker on that same core."""
    values, block = inputs.strips(quick, 128)
    ours = inputs.ours()
    cores = os.sched_getaffinity(0)
    with inputs.archive(values) as data, rivals.one_core(), rivals.cluster(1) as client:
        options = {"block": block, "thresholds": 0.3}
        sides = {
            "serial loop": rivals.ours_classify(ours, data, **options),
            "Dask": rivals.ours_classify(ours, data, client, **options),
        }
        yield Contest(sides, rivals.same_table, {"samples": values.size}, turns=4)
    assert os.sched_getaffinity(0) == cores


@benchmark("cluster-start")
def cluster_start(quick: bool) -> Iterator[Facts]:
    """Seconds until two workers of ``--workers 2`` answer, in a process that has torch loaded."""
    took = []
    for _ in range(1 if quick else 5):
        started = perf_counter()
        with local_client(2) as client:
            client.run(int)
            took.append(perf_counter() - started)
    yield Facts({"first": took[0], "median": float(np.median(took))})


@benchmark("recompute", at_least=None, aim=None)
def recompute(quick: bool) -> Iterator[Facts]:
    """What the default plan computes twice, and reads twice."""
    del quick
    ours = inputs.ours()
    facts = {}
    for name, hours, channels in (("1 h x 1000", 1, 1000), ("24 h x 10,000", 24, 10_000)):
        plan = dasdist.plan(ours, minutes(Path("archive"), 60 * hours, channels))
        facts[f"{name}: recompute factor"] = plan.recompute_factor
        facts[f"{name}: read amplification"] = plan.read_amplification
    yield Facts(facts)


@benchmark("simulation")
def simulation(quick: bool) -> Iterator[Facts]:
    """Many workers, from times measured here; first checked against one and two real ones."""
    values, block = inputs.strips(quick)
    ours = inputs.ours()
    facts: dict[str, float] = {}
    with inputs.archive(values) as data, rivals.cluster(1) as one, rivals.cluster(2) as two:
        timed = {}
        for workers, client in ((1, one), (2, two)):
            dasdist.classify(ours, data, client=client, block=block, pbar=False)
            started = perf_counter()
            found = dasdist.classify(ours, data, client=client, block=block, pbar=False)
            timed[workers] = perf_counter() - started
            if workers == 1:
                computed = sum(found.report.seconds.values())
                fixed = timed[1] - computed
                blocks = found.report.blocks
        per_task = overhead.seconds_per_block(two, 200 if quick else 2000)
    nbytes = float(values.nbytes)
    costs = Costs(nbytes, nbytes / blocks, 0.0, computed / nbytes, per_task)
    start = max(0.0, fixed - blocks * per_task)
    for workers, seconds in timed.items():
        predicted = simulate(costs, Cluster(workers, per_task, start=start))
        facts[f"{workers} worker{'s'[: workers - 1]}: simulated / real"] = predicted / seconds
    facts["seconds a GB on a core"] = 1e9 * costs.per_byte
    facts["ms a block of client and scheduler"] = 1e3 * per_task
    halo = 2 * inputs.WINDOW * 1000 * 4.0  # of a block on 1000 channels
    names = ["1 TB"] if quick else list(ARCHIVES)
    for name in names:
        facts |= _saturation(name, replace(costs, archive=ARCHIVES[name], halo=halo), per_task)
    yield Facts(facts)


@benchmark("many-workers")
def many_workers(quick: bool) -> Iterator[Facts]:
    """The simulation against runs on many workers whose blocks only wait, and take no core."""
    blocks, seconds = (16, 0.02) if quick else (400, 0.5)
    facts: dict[str, float] = {}
    for workers in (2, 4) if quick else (2, 4, 8, 16):
        with local_client(workers) as client:
            overhead.annotate(client, 20)
            per_task = overhead.seconds_per_block(client, 200)
            started = perf_counter()
            overhead.annotate(client, blocks, Waits(seconds))
            took = perf_counter() - started
        costs = Costs(blocks, 1.0, 0.0, 0.0, seconds, spread=0.0)
        facts[f"{workers} workers: simulated / real"] = (
            simulate(costs, Cluster(workers, per_task)) / took
        )
        facts[f"{workers} workers: worth of each"] = blocks * seconds / workers / took
    yield Facts(facts)


def _saturation(name: str, costs: Costs, per_task: float) -> dict[str, float]:
    """Return the best block, and where more workers are less than nine tenths of their worth."""
    crowd = Cluster(WORKERS[-1], per_task, DISK, DISK / 4, start=5.0)
    facts = {}
    for storage, bandwidth in (("2 GB/s", DISK), ("fast storage", np.inf)):
        many = replace(crowd, bandwidth=bandwidth)
        size, seconds = best_block(costs, many, SIZES, MEMORY)
        chosen = replace(costs, block=size)
        alone = simulate(chosen, replace(many, workers=1))
        worth = {w: alone / simulate(chosen, replace(many, workers=w)) / w for w in WORKERS}
        facts[f"{name}, {storage}: best block, MB"] = size / 1e6
        facts[f"{name}, {storage}: hours on 1024"] = seconds / 3600
        facts[f"{name}, {storage}: efficiency of 1024"] = worth[WORKERS[-1]]
        facts[f"{name}, {storage}: workers at 90%"] = max(w for w, e in worth.items() if e >= 0.9)
    return facts
