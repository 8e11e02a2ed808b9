"""SeisBench and dasdist on the same data, and whether they agree."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xdas
from distributed import Client, LocalCluster

import dasdist


@contextmanager
def cluster(workers: int, threads: int = 1) -> Iterator[Client]:
    """A cluster on loopback, worker processes with one torch thread, each on a core of its own."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=threads,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        for core, address in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
            client.run(_settle, core, workers=[address])
        yield client


def _settle(core: int) -> None:
    import os

    import torch

    cores = sorted(os.sched_getaffinity(0))
    for task in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(task), [cores[core % len(cores)]])
    torch.set_num_threads(1)


def theirs_classify(model: Any, data: Any, **options: Any) -> Callable[[], pd.DataFrame]:
    """SeisBench's ``classify``."""

    def classify() -> Any:
        return model.classify(data, pbar=False, **options)

    return classify


def ours_classify(
    model: Any, data: Any, client: Client | None = None, **options: Any
) -> Callable[[], pd.DataFrame]:
    """``dasdist.classify``."""

    def classify() -> pd.DataFrame:
        return dasdist.classify(model, data, pbar=False, client=client, **options).picks

    return classify


def same_picks(theirs: Any, ours: pd.DataFrame, share: float = 0.999) -> None:
    """Raise unless nearly all picks of either side are picks of the other, within a sample."""
    named = {key: getattr(theirs, key) for key in vars(theirs) if key != "creator"}
    rows = [(p.phase, p.channel, p.time) for picks in named.values() for p in picks]
    if not rows:
        assert len(ours) == 0, f"{len(ours)} picks instead of none"
        return
    phase, distance, time = zip(*rows, strict=True)
    theirs_table = pd.DataFrame(
        {"phase": phase, "distance": distance, "time": np.array(time, dtype="datetime64[ns]")}
    ).drop_duplicates()
    a, b = _keys(theirs_table), _keys(ours)
    near = {(p, d, t + off) for p, d, t in b for off in (-1, 0, 1)}
    far = {(p, d, t + off) for p, d, t in a for off in (-1, 0, 1)}
    found, known = len(a & near) / len(a), len(b & far) / max(1, len(b))
    assert min(found, known) >= share, f"{found:.4%} of {len(a)} found, {known:.4%} of {len(b)} so"


def _keys(table: pd.DataFrame) -> set[tuple[str, int, int]]:
    distance = table["distance"].round().astype(int)
    steps = (table["time"].to_numpy().astype("datetime64[ns]").astype(np.int64) + 5_000_000) // 10**7
    return set(zip(table["phase"], distance, steps.tolist(), strict=True))


def theirs_annotate(model: Any, data: Any, folder: Path) -> Callable[[], dict[str, np.ndarray]]:
    """SeisBench's ``annotate`` with its WriterCallback, and its files read afterwards."""
    from seisbench.models.das_base import WriterCallback

    def annotate() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        model.annotate(data, WriterCallback(folder), pbar=False)
        return folder

    return annotate


def ours_annotate(
    model: Any, data: Any, path: Path, client: Client | None = None
) -> Callable[[], Any]:
    """``dasdist.annotate`` with WriterCallback."""

    def annotate() -> Path:
        writer = dasdist.WriterCallback(path, overwrite=True)
        dasdist.annotate(model, data, writer, pbar=False, client=client)
        return path

    return annotate


def same_annotations(theirs: Path, ours: Path) -> None:
    """Raise unless what was written agrees to 1e-4."""
    found = dasdist.open_annotations(ours)
    for key in found:
        written = xdas.open_mfdataarray(str(theirs / key / "*"))
        np.testing.assert_allclose(found[key].values, np.asarray(written.values), atol=1e-4)
