"""The benchmarks run, and their sides agree; what they measure is for a quiet machine to say."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("seisbench.models.das_base")
pytest.importorskip("h5py")

from tests.benchmarks import simulation, suite
from tests.benchmarks.__main__ import main
from tests.benchmarks.harness import BENCHMARKS, Contest, benchmark, run
from tests.benchmarks.simulation import Cluster, Costs, best_block, simulate

pytestmark = pytest.mark.seisbench

assert suite.SUITE  # registered

ON_CPU = [name for name, one in BENCHMARKS.items() if not one.gpu]
ON_GPU = [name for name, one in BENCHMARKS.items() if one.gpu]
# whose sides other tests compare on smaller data: parity, the writer, the executors
DEEP = {"annotate-zarr", "classify-events", "classify-integers", "classify-quiet"}
DEEP |= {"classify-raw", "classify-raw-filtered", "dask", "model", "preprocess", "second-thread"}
DEEP |= {
    "classify-eqtransformer",
    "classify-fibre",
    "classify-xdas",
    "cluster-start",
    "events",
    "many-workers",
    "pick-columns",
    "simulation",
    "slow-storage",
    "verify-cached",
    "watching",
    "workers",
}
SLOW = {"classify-light"}


def marks(name):
    return [pytest.mark.deep] * (name in DEEP) + [pytest.mark.slow] * (name in SLOW)


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in ON_CPU])
def test_sides_agree(name):
    rows = run(name, quick=True)
    assert len({row.side for row in rows}) == len(rows) > 1
    assert all(row.ratio > 0 for row in rows)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_sides_agree_on_a_gpu(name):
    assert len(run(name, quick=True)) > 1


def test_one_command_prints_a_table_and_writes_json(tmp_path, capsys):
    assert main(["recompute", "--quick", "--json", str(tmp_path / "rows.json")]) == 0
    assert "recompute factor" in capsys.readouterr().out
    assert json.loads((tmp_path / "rows.json").read_text())["rows"]


def test_the_default_plan_computes_little_twice():
    facts = {row.side: row.ratio for row in run("recompute", quick=True)}
    for name, factor in facts.items():
        if name.endswith("recompute factor"):
            assert 1 <= factor <= 1.05


def test_a_contest_with_differing_results_fails():
    @benchmark("differing")
    def differing(quick):
        yield Contest({"one": lambda: 1, "other": lambda: 2}, np.testing.assert_equal)

    try:
        with pytest.raises(AssertionError):
            run("differing", quick=True)
    finally:
        del BENCHMARKS["differing"]


# ---------------------------------------------------------------- simulation

COSTS = Costs(archive=1000.0, block=10.0, halo=0.0, per_byte=0.1, per_block=0.0, spread=0.0)


@pytest.mark.parametrize(("workers", "seconds"), [(1, 100), (2, 50), (3, 34), (100, 1), (500, 1)])
def test_without_limits_a_run_takes_the_rounds_of_its_blocks(workers, seconds):
    assert simulate(COSTS, Cluster(workers, per_task=0.0)) == pytest.approx(seconds)


def test_a_long_run_goes_on_as_it_began(monkeypatch):
    cluster = Cluster(3, per_task=0.01, bandwidth=40.0)
    whole = simulate(replace(COSTS, archive=10_000.0, spread=0.05), cluster)
    monkeypatch.setattr(simulation, "LONGEST", 200)
    part = simulate(replace(COSTS, archive=10_000.0, spread=0.05), cluster)
    assert part == pytest.approx(whole, rel=0.02)


def test_a_slow_scheduler_is_what_the_run_waits_for():
    # a block every half second, whoever is free: the last begins after 50 s and takes 1 s
    assert simulate(COSTS, Cluster(64, per_task=0.5)) == pytest.approx(51)


def test_a_slow_storage_is_what_the_run_waits_for():
    # 1000 bytes at 20 a second, and the last block is computed after that
    assert simulate(COSTS, Cluster(64, per_task=0.0, bandwidth=20.0)) == pytest.approx(51)


def test_reading_hides_behind_computing():
    # reading takes half of the time of computing; the first block alone is waited for
    alone = simulate(COSTS, Cluster(1, per_task=0.0, per_worker=20.0))
    assert alone == pytest.approx(100.5)


def test_the_best_block_is_neither_so_small_that_halos_count_nor_so_large_that_workers_idle():
    costs = Costs(archive=1e6, block=1.0, halo=100.0, per_byte=1e-3, per_block=0.0, spread=0.0)
    sizes = [10.0, 100.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0]
    size, seconds = best_block(costs, Cluster(10, per_task=0.0), sizes, memory=1e9)
    # ten blocks of 10,000 for each of ten workers: 10 * 10,100 * 1e-3
    assert (size, seconds) == (100_000.0, pytest.approx(100.1))
    size, _ = best_block(costs, Cluster(10, per_task=0.0), sizes, memory=30_000)
    assert size == 10_000.0
