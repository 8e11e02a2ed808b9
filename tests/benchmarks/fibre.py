"""A whole fibre as instruments record it: thousands of channels in contiguous rows."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import h5py
import numpy as np
import xdas

import dasdist
from dasdist.callbacks import Needs
from dasdist.geometry import Region, Span
from dasdist.run.options import RunOptions
from dasdist.run.request import Request
from dasdist.sources import open_recording
from tests.benchmarks import inputs, rivals
from tests.benchmarks.harness import Contest, Facts, benchmark
from tests.toys import recording

CHANNELS = 10_000
MODEL_RATE = {"dt_range": (0.0099, 0.0101)}  # PhaseNet asks for 100 Hz then, whatever comes


def _counts(folder: Path, seconds: int, channels: int, rate: int = 1000) -> list[Path]:
    """Write files of 30 s of counts; every file holds the same, for what differs costs the same."""
    rng = np.random.default_rng(0)
    values = rng.integers(-500, 500, (30 * rate, channels), dtype=np.int16)
    paths = []
    for number, first in enumerate(range(0, seconds, 30)):
        begins = np.datetime64("2024-01-01", "ns") + np.timedelta64(first, "s")
        paths.append(folder / f"{number:06d}.nc")
        recording(values, rate=float(rate), start=begins).to_netcdf(str(paths[-1]))
    return paths


@benchmark("classify-fibre", at_least=3)
def classify_fibre(quick: bool) -> Iterator[Facts]:
    """PhaseNet on 10,000 channels of counts at 1000 Hz, on two workers of a core each."""
    seconds, channels = (60, 16) if quick else (180, CHANNELS)
    model = inputs.ours(**MODEL_RATE)
    with TemporaryDirectory(prefix="dasdist-benchmark-") as name, rivals.cluster(2) as client:
        _counts(Path(name), seconds, channels)
        data = xdas.open_mfdataarray(f"{name}/*.nc", vtype="tiles")
        few = data[:, : channels // 100 + 2]
        dasdist.classify(model, few, client=client, pbar=False)  # replicas are built
        started = perf_counter()
        found = dasdist.classify(model, data, client=client, pbar=False)
        took = perf_counter() - started
        yield Facts(
            {
                "data seconds a second": seconds / took,
                "blocks": float(found.report.blocks),
            }
        )


@benchmark("read-rows", at_least=0.85, aim=0.95)
def read_rows(quick: bool) -> Iterator[Contest]:
    """What the default plan reads of contiguous files, against h5py in whole rows, once each."""
    seconds, channels = (60, 16) if quick else (300, 1000)
    with TemporaryDirectory(prefix="dasdist-benchmark-") as name:
        paths = _counts(Path(name), seconds, channels)
        dataset = inputs.dataset_of(paths[0])
        data = xdas.open_mfdataarray(f"{name}/*.nc", vtype="tiles")
        found = open_recording(data)
        plan = Request.of(inputs.ours(**MODEL_RATE), data, RunOptions(), {}).plan(Needs(), None)

        def with_h5py() -> int:
            read = 0
            for path in paths:
                with h5py.File(path, "r") as file:
                    read += file[dataset][()].nbytes
            return read

        def with_dasdist() -> int:
            return sum(_read(found, block.read, plan.slice_rows(block)) for block in plan)

        yield Contest(
            {"h5py": with_h5py, "dasdist": with_dasdist},
            _all_of_it,
            {"MB": with_h5py() / 1e6},
            turns=9,
        )


def _read(found: Any, region: Region, rows: int) -> int:
    """Read a block as a run does, in slices where it does so; return its bytes."""
    first, stop = region.time.start, region.time.stop
    edges = [*range(first, stop, rows or region.time.size), stop]
    slices = (Region(Span(*both), region.distance) for both in pairwise(edges))
    return sum(found.select(piece).read().nbytes for piece in slices)


def _all_of_it(once: int, in_blocks: int) -> None:
    """Blocks read all there is, and their halos."""
    assert once <= in_blocks <= 1.2 * once
