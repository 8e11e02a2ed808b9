"""SeisBench and dasdist on the same data, and whether they agree."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
import xdas
from distributed import Client, LocalCluster

import dasdist
from tests.benchmarks.harness import Timed


@contextmanager
def cluster(workers: int, threads: int = 1, *, dashboard: bool = False) -> Iterator[Client]:
    """A cluster on loopback, worker processes with one torch thread, each on a core of its own."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address="127.0.0.1:0" if dashboard else None,
            scheduler_kwargs={"dashboard": dashboard, "dashboard_address": "127.0.0.1:0"},
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        for core, address in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
            client.run(_settle, core, workers=[address])
        yield client


def _pin(cores: set[int]) -> None:
    """Keep all threads of this process, and those they start, to some cores."""
    for task in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # that thread has ended meanwhile
            os.sched_setaffinity(int(task), cores)


def _settle(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    _pin({cores[core % len(cores)]})
    torch.set_num_threads(1)


@contextmanager
def apart() -> Iterator[ProcessPoolExecutor]:
    """A process of its own for SeisBench: what dasdist sets in this one must not reach it."""
    threads = torch.get_num_threads()
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, torch.set_num_threads, (threads,)) as process:
        yield process


@contextmanager
def settled(core: int) -> Iterator[ProcessPoolExecutor]:
    """A process on a core of its own."""
    with ProcessPoolExecutor(1, get_context("spawn"), _settle, (core,)) as process:
        yield process


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and those that it starts, to one core and one torch thread."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    _settle(0)
    try:
        yield
    finally:
        _pin(cores)
        torch.set_num_threads(threads)


def theirs_classify(
    process: ProcessPoolExecutor, make: Callable[[], Any], data: Any, **options: Any
) -> Callable[[], Timed]:
    """SeisBench's ``classify``."""

    def classify() -> Timed:
        return process.submit(_theirs_classify, make, data, options).result()

    return classify


def _theirs_classify(make: Callable[[], Any], data: Any, options: dict[str, Any]) -> Timed:
    model = make()  # a pickle of it lacks what SeisBench keeps in the class
    started, cpu = perf_counter(), process_time()
    found = model.classify(data, pbar=False, **options)
    seconds, cpu = perf_counter() - started, process_time() - cpu
    arrivals = [key for key in model.annotate_keys if key != "Detection"]  # picked as well there
    return Timed(seconds, as_table({key: getattr(found, key) for key in arrivals}), cpu)


def as_table(found: Mapping[str, list[Any]]) -> pd.DataFrame:
    """Return picks of SeisBench, by phase, as a table; the same pick of two patches counts once."""
    rows = [(p.phase, p.channel, p.time) for picks in found.values() for p in picks]
    table = pd.DataFrame(rows, columns=["phase", "distance", "time"])
    return table.astype({"time": "datetime64[ns]", "distance": "float64"}).drop_duplicates()


def ours_classify(
    model: Any, data: Any, client: Client | None = None, **options: Any
) -> Callable[[], pd.DataFrame]:
    """``dasdist.classify``."""

    def classify() -> pd.DataFrame:
        return dasdist.classify(model, data, pbar=False, client=client, **options).picks

    return classify


def same_table(one: Any, other: Any) -> None:
    """Raise unless two tables are the same."""
    assert one.equals(other), f"{len(one)} picks and {len(other)}"


def same_picks(theirs: pd.DataFrame, ours: pd.DataFrame, share: float = 0.999) -> None:
    """Raise unless nearly all picks of either side are picks of the other, within a sample."""
    a, b = _keys(theirs), _keys(ours)
    near, far = ({(p, d, t + off) for p, d, t in keys for off in (-1, 0, 1)} for keys in (b, a))
    found, known = len(a & near) / max(1, len(a)), len(b & far) / max(1, len(b))
    same = len(a) == len(b) == 0 or min(found, known) >= share
    assert same, f"{found:.4%} of {len(a)} picks were found, {known:.4%} of {len(b)} are right"


def _keys(table: pd.DataFrame) -> set[tuple[str, int, int]]:
    distance = table["distance"].round().astype(int)
    steps = (
        table["time"].to_numpy().astype("datetime64[ns]").astype(np.int64) + 5_000_000
    ) // 10**7
    return set(zip(table["phase"], distance, steps.tolist(), strict=True))


def theirs_annotate(
    process: ProcessPoolExecutor, make: Callable[[], Any], data: Any, folder: Path
) -> Callable[[], Timed]:
    """SeisBench's ``annotate`` with its WriterCallback."""

    def annotate() -> Timed:
        shutil.rmtree(folder, ignore_errors=True)
        return process.submit(_theirs_annotate, make, data, folder).result()

    return annotate


def _theirs_annotate(make: Callable[[], Any], data: Any, folder: Path) -> Timed:
    from seisbench.models.das_base import WriterCallback

    model = make()
    started, cpu = perf_counter(), process_time()
    model.annotate(data, WriterCallback(folder), pbar=False)
    return Timed(perf_counter() - started, folder, process_time() - cpu)


def ours_annotate(
    model: Any, data: Any, path: Path, client: Client | None = None, **options: Any
) -> Callable[[], Any]:
    """``dasdist.annotate`` with WriterCallback."""

    def annotate() -> Path:
        writer = dasdist.WriterCallback(path, overwrite=True)
        dasdist.annotate(model, data, writer, pbar=False, client=client, **options)
        return path

    return annotate


def same_annotations(theirs: Path, ours: Path) -> None:
    """Raise unless what was written agrees to 1e-4."""
    found = dasdist.open_annotations(ours)
    for key in found:
        written = xdas.open_mfdataarray(str(theirs / key / "*"))
        np.testing.assert_allclose(found[key].values, np.asarray(written.values), atol=1e-4)
