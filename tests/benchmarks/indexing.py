"""Indexing an archive of many equal files, against opening all of them with xdas."""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import xdas

import dasdist
from dasdist.synthetic.files import archive_files
from tests.benchmarks.harness import Contest, benchmark

SAMPLES, CHANNELS, RATE = 100, 8, 100.0


@benchmark("index-1500", at_least=10, aim=20)
def index_1500(quick: bool) -> Iterator[Contest]:
    """A day of one-minute files."""
    yield from _index(12 if quick else 1500, turns=3)


@benchmark("index-20000", at_least=20, aim=50)
def index_20000(quick: bool) -> Iterator[Contest]:
    """Two weeks of them."""
    yield from _index(24 if quick else 20_000, turns=1)


def _index(files: int, turns: int) -> Iterator[Contest]:
    with TemporaryDirectory(prefix="dasdist-benchmark-") as place:
        folder = Path(place) / "archive"
        paths = equal_files(folder, files)
        sides: dict[str, Callable[[], Any]] = {
            "xdas": lambda: _theirs(paths),
            "index": lambda: _ours(folder, Path(place) / "index.nc"),
        }
        warm = {"xdas": lambda: _theirs(paths[:4]), "index": lambda: _read(paths)}
        yield Contest(sides, _same, {"files": files}, warm, turns)


def equal_files(folder: Path, count: int) -> list[str]:
    """Write small files that follow one another, as xdas would; return their paths."""
    samples = np.zeros((SAMPLES, CHANNELS), dtype="f4").tobytes()
    paths = []
    with archive_files(folder, (SAMPLES, CHANNELS), "float32", RATE, 10.0) as model:
        for number in range(count):
            ends = (round(1e9 * (number * SAMPLES + end) / RATE) for end in (0, SAMPLES - 1))
            times = struct.pack("<2q", *ends)
            head = model.head[: model.at] + times + model.head[model.at + len(times) :]
            path = folder / f"{number:06d}.nc"
            path.write_bytes(head + samples + model.tail)
            paths.append(str(path))
    return paths


def _theirs(paths: list[str]) -> Any:
    return xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles")  # a process on each core


def _ours(folder: Path, out: Path) -> Any:
    out.unlink(missing_ok=True)
    return dasdist.index_archive(folder, out, processes=2).open()


def _read(paths: list[str]) -> None:
    for path in paths:
        Path(path).read_bytes()


def _same(theirs: Any, ours: Any) -> None:
    assert ours.equals(theirs), f"{ours.sizes} and {theirs.sizes}"
