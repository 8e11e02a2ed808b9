"""What the machine could do at most: memory, products, transfers, reading."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from tests.benchmarks.gpu.sections import Report

__all__ = ["ceilings"]


def ceilings(report: Report) -> None:
    """Rates in GB/s and TFLOP/s."""
    if report.on_gpu:
        _of_device(report)
        _of_bus(report)
    report.row("reading", lambda: _reading(report))


def _of_device(report: Report) -> None:
    def copy() -> float:
        one = torch.empty(2**30, dtype=torch.uint8, device="cuda")
        other = torch.empty_like(one)
        return 2 * one.nbytes / report.seconds(lambda: other.copy_(one)) / 1e9

    def product(dtype: torch.dtype, tf32: bool) -> float:
        before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            one = torch.randn(8192, 8192, device="cuda", dtype=dtype)
            return 2 * 8192**3 / report.seconds(lambda: one @ one) / 1e12
        finally:
            torch.backends.cuda.matmul.allow_tf32 = before

    report.row("copy on the device, GB/s", copy)
    report.row("products in float32, TFLOP/s", lambda: product(torch.float32, False))
    report.row("products in TF32, TFLOP/s", lambda: product(torch.float32, True))
    report.row("products in bf16, TFLOP/s", lambda: product(torch.bfloat16, False))


def _of_bus(report: Report) -> None:
    size = 2**28
    there = torch.empty(size, dtype=torch.uint8, device="cuda")
    plain = torch.empty(size, dtype=torch.uint8)
    pinned = torch.empty(size, dtype=torch.uint8, pin_memory=True)
    for name, target, source in (
        ("to the device, pinned", there, pinned),
        ("to the device, pageable", there, plain),
        ("from the device, pinned", pinned, there),
        ("from the device, pageable", plain, there),
        ("from pageable to pinned", pinned, plain),
    ):
        report.row(
            f"{name}, GB/s",
            lambda t=target, s=source: (
                size / report.seconds(lambda: t.copy_(s, non_blocking=True)) / 1e9
            ),
        )


def _reading(report: Report) -> str:
    """Read a contiguous HDF5 file of int16 from the page cache."""
    import h5py

    rows, columns = (2000, 1000) if report.quick else (60_000, 10_000)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samples.h5"
        some = np.random.default_rng(0).integers(-999, 999, (rows // 20, columns), dtype=np.int16)
        with h5py.File(path, "w") as file:
            file["samples"] = np.tile(some, (20, 1))
        whole = np.empty((rows, columns), np.int16)
        part = np.empty((rows, columns // 16), np.int16)
        with h5py.File(path) as file:
            held: Any = file["samples"]
            offset = held.id.get_offset()
            report.row(
                "h5py, whole rows, GB/s",
                lambda: whole.nbytes / report.seconds(lambda: held.read_direct(whole)) / 1e9,
            )
            here = np.s_[:, columns // 16 : 2 * (columns // 16)]
            report.row(
                "h5py, a sixteenth of each row, GB/s wanted",
                lambda: part.nbytes / report.seconds(lambda: held.read_direct(part, here), 1) / 1e9,
            )
        for threads in (1, 4, 8):
            report.row(
                f"preadv, {threads} threads, GB/s",
                lambda n=threads: whole.nbytes / _preadv(report, path, whole, offset, n) / 1e9,
            )
    return "done"


def _preadv(report: Report, path: Path, target: Any, offset: int, threads: int) -> float:
    view = memoryview(target).cast("B")
    step = -(-len(view) // (4 * threads))
    file = os.open(path, os.O_RDONLY)

    def read(first: int) -> int:
        return os.preadv(file, [view[first : first + step]], offset + first)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return report.seconds(lambda: list(pool.map(read, range(0, len(view), step))))
    finally:
        os.close(file)
