"""What it costs to notice every bit that rots: in a run, and when all of it is read again."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

import dasdist
from dasdist.callbacks import pick_files, pick_writing, zarr_shards, zarr_template
from dasdist.storage import seal
from tests.benchmarks import inputs
from tests.benchmarks.harness import Contest, Timed, benchmark
from tests.toys import recording

_PIECE = 2**20


@benchmark("checksums", at_least=0.98, aim=1.0)
def checksums(quick: bool) -> Iterator[Contest]:
    """A run to picks and annotations, without and with all checksums."""
    rows, channels = (1, 4) if quick else (8, 192)
    values = inputs.quiet(inputs.WINDOW + 1500 * (rows - 1), channels)
    data, model = recording(values), inputs.ours()
    block = {"time": 3001, "distance": min(32, channels)}

    def classify() -> pd.DataFrame:
        with TemporaryDirectory(prefix="dasdist-benchmark-") as folder:
            outputs = {"out": f"{folder}/picks", "annotations": f"{folder}/prob.zarr"}
            options: dict[str, Any] = {"thresholds": 0.1, "block": block, "pbar": False}
            return dasdist.classify(model, data, client=False, **outputs, **options).picks

    def unchecked() -> pd.DataFrame:
        with ExitStack() as stack:
            for where, name, other in _WITHOUT:
                stack.enter_context(patch.object(where, name, other))
            return classify()

    sides = {"without checksums": unchecked, "with checksums": classify}
    yield Contest(sides, pd.testing.assert_frame_equal, {"samples": values.size}, turns=7)


class _Unchecked:
    """pyarrow.parquet, that writes pages without checksums."""

    def __getattr__(self, name: str) -> Any:
        return getattr(pq, name)

    @staticmethod
    def write_table(*given: Any, write_page_checksum: bool, **options: Any) -> None:
        assert write_page_checksum
        pq.write_table(*given, **options)


_WITHOUT: tuple[tuple[Any, str, Any], ...] = (
    (seal, "zlib", SimpleNamespace(crc32=lambda data: 0)),
    *((module, "crc32c", lambda data: 0) for module in (pick_writing, zarr_shards)),
    (pick_files, "pq", _Unchecked()),
    (zarr_template, "_CODECS", zarr_template._CODECS[:1]),
)


class _Copies(dasdist.DASModel):
    """Returns its input."""

    def __init__(self, channels: int) -> None:
        covers = ((0, 2000), (0, channels))
        structure = dasdist.PatchingStructure(2000, channels, 2000, channels, *covers, 0, 0)
        super().__init__(patching_structure=structure, annotate_keys=["P"])

    def forward(self, x: torch.Tensor, argdict: Any = None) -> dict[str, torch.Tensor]:
        return {"P": x}


def _verified(quick: bool, *, from_disk: bool) -> Iterator[Contest]:
    samples, channels = (4000, 16) if quick else (400_000, 512)
    with TemporaryDirectory(prefix="dasdist-benchmark-", dir=Path.cwd()) as folder:
        store = Path(folder) / "prob.zarr"
        data = recording(inputs.quiet(samples, channels))
        block = {"time": 20_000}
        dasdist.annotate(
            _Copies(channels), data, dasdist.WriterCallback(store), block=block, pbar=False
        )
        del data
        shards = sorted(file for file in store.glob("P/c/*/*") if file.is_file())
        size = sum(shard.stat().st_size for shard in shards)

        def timed(read: Any) -> Timed:
            for shard in shards if from_disk else ():
                _forget(shard)
            started, cpu = perf_counter(), process_time()
            result = read()
            return Timed(perf_counter() - started, result, process_time() - cpu)

        def verified() -> int:
            found = dasdist.verify(store)
            assert found.intact
            return found.bytes

        sides = {
            "plain reading": lambda: timed(lambda: sum(map(_read, shards))),
            "verify": lambda: timed(verified),
        }
        yield Contest(sides, np.testing.assert_equal, {"GB": size / 1e9}, turns=7)


def _read(path: Path) -> int:
    """Read a file as quickly as one process does; return its size."""
    size, piece = 0, bytearray(_PIECE)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(piece):
            size += count
    return size


def _forget(path: Path) -> None:
    """Let the system forget what it holds of a file in memory."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@benchmark("verify", at_least=0.8, aim=1.0)
def verify(quick: bool) -> Iterator[Contest]:
    """All of a store again, from the disk."""
    yield from _verified(quick, from_disk=True)


@benchmark("verify-cached", at_least=0.8, aim=1.0)
def verify_cached(quick: bool) -> Iterator[Contest]:
    """The same from memory, as if of a disk that nothing waits for."""
    yield from _verified(quick, from_disk=False)
