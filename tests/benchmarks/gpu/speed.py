"""How fast a GPU is: the network alone, whole runs beside SeisBench, stages, a profile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from queue import Empty
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import dasdist
from tests.benchmarks.gpu.sections import Report

__all__ = ["large", "large_raw", "network", "profile", "ratio_events", "ratio_quiet", "stages"]

FORMS: dict[str, dict[str, Any]] = {
    "default": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "compiled": {"optimize": "compile"},
    "compiled, bf16": {"optimize": "compile", "precision": "bf16"},
    "plain": {"optimize": False},
}


def network(report: Report) -> None:
    """Window samples a second of PhaseNet, in every form."""
    from dasdist.inference import Predictor
    from dasdist.inference.cuda import own_stream
    from dasdist.inference.variant import choose_variant
    from tests.benchmarks import inputs

    model = inputs.ours().to(report.device)
    predictor = Predictor(model)
    for size in (16,) if report.quick else (256, 1024, 2800):
        batch = torch.randn(1, inputs.WINDOW, size, device=report.device)
        for name, form in FORMS.items():

            def rate(form: dict[str, Any] = form, batch: Any = batch) -> float:
                variant = choose_variant(model, form)
                arguments = dict(model.default_args)
                with own_stream(predictor.device):
                    took = report.seconds(
                        lambda: predictor(batch, arguments, (0.01, 10.0), variant), 5
                    )
                return batch.numel() / took / 1e6

            report.row(f"{name}, {size} windows, M window samples/s", rate)


@contextmanager
def stored(values: np.ndarray, rate: float) -> Iterator[Any]:
    from tests.benchmarks import inputs

    with inputs.archive(values, rate=rate, seconds=30 if rate < 500 else 10) as data:
        yield data


def _theirs(pattern: str, device: str, out: Any) -> None:
    """SeisBench, in a process of its own, as it is: with TF32 where torch allows it."""
    import xdas

    from tests.benchmarks import inputs, rivals

    data = xdas.open_mfdataarray(pattern, vtype="tiles")
    model = inputs.theirs().to(device)
    model.classify(data[: inputs.WINDOW], pbar=False, thresholds=0.3)
    began = perf_counter()
    found = model.classify(data, pbar=False, thresholds=0.3)
    seconds = perf_counter() - began
    out.put((seconds, rivals.as_table({k: getattr(found, k) for k in model.annotate_keys})))


def _of_seisbench(pattern: str, report: Report) -> tuple[float, Any]:
    spawn = get_context("spawn")
    queue = spawn.Queue()
    child = spawn.Process(target=_theirs, args=(pattern, report.device, queue))
    child.start()
    try:
        for _ in range(150):
            try:
                return queue.get(timeout=1)
            except Empty:
                if not child.is_alive():
                    raise RuntimeError(f"it ended with {child.exitcode}") from None
        raise TimeoutError("it took over 150 s")
    finally:
        child.kill()
        child.join()


def ratio_quiet(report: Report) -> None:
    """On noise."""
    _ratio(report, "quiet")


def ratio_events(report: Report) -> None:
    """On earthquakes on every channel."""
    _ratio(report, "events")


def _ratio(report: Report, kind: str) -> None:
    import xdas

    from tests.benchmarks import inputs

    shape = (4501, 16) if report.quick else (21_001, 1024)
    values = getattr(inputs, kind)(*shape)
    with TemporaryDirectory() as folder:
        inputs.write_files(values, Path(folder), 100.0, 30)
        pattern = f"{folder}/*.nc"
        told: list[Any] = [None, None]

        def seisbench() -> str:
            told[:] = _of_seisbench(pattern, report)
            return f"{values.size / told[0] / 1e6:.1f} M samples/s, {len(told[1])} picks"

        report.row("SeisBench", seisbench)
        theirs, picks = told
        data = xdas.open_mfdataarray(pattern, vtype="tiles")
        model = inputs.ours().to(report.device)
        whole = {"block": {"time": len(values) // 3, "distance": shape[1]}}
        for name, form in {**FORMS, "default, whole rows": whole}.items():
            report.row(
                name, lambda f=form: _run(report, model, data, values.size, f, theirs, picks)
            )


def _run(
    report: Report, model: Any, data: Any, size: int, form: Any, theirs: float | None, picks: Any
) -> str:
    from tests.benchmarks import rivals

    def run() -> Any:
        return dasdist.classify(model, data, pbar=False, thresholds=0.3, **form)

    took = report.seconds(run)
    result = run()
    told = [f"{size / took / 1e6:.1f} M samples/s", f"{len(result.picks)} picks"]
    if theirs is not None:
        expected, found = rivals._keys(picks), rivals._keys(result.picks)
        near = {(p, d, s + off) for p, d, s in found for off in (-1, 0, 1)}
        told.insert(0, f"{theirs / took:.2f} times SeisBench")
        told.append(f"{len(expected - near)} of its {len(expected)} are missing")
    return ", ".join([*told, *result.report.notes])


def large(report: Report) -> None:
    """10 minutes of 10,000 channels at 100 Hz, in int16."""
    _large(report, 100.0, *((64, 60) if report.quick else (10_000, 600)))


def large_raw(report: Report) -> None:
    """A minute of 10,000 channels at 1 kHz, in int16, resampled to 100 Hz."""
    _large(report, 1000.0, *((64, 60) if report.quick else (10_000, 60)))


def _large(report: Report, rate: float, channels: int, seconds: int) -> None:
    from tests.benchmarks import inputs

    samples = int(rate * seconds)
    piece = (300 * inputs.quiet(min(samples, 3000), channels)).astype(np.int16)
    values = np.tile(piece, (-(-samples // len(piece)), 1))[:samples]
    with stored(values, rate) as data:
        model = inputs.ours(dt_range=(0.0099, 0.0101)).to(report.device)
        rows = {"block": {"time": max(3001, seconds * 100 // 6), "distance": channels}}
        for name, options in {"default plan": {}, "whole rows": rows}.items():

            def run(options: dict[str, Any] = options) -> str:
                plan = dasdist.plan(model, data, **options)
                took = report.seconds(
                    lambda: dasdist.classify(model, data, pbar=False, thresholds=0.3, **options), 1
                )
                return (
                    f"{len(plan)} blocks, batches of {plan.batching.on_gpu}, {took:.2f} s: "
                    f"{values.size / took / 1e6:.0f} M recorded samples/s, "
                    f"{seconds / took:.1f} times real time"
                )

            report.row(f"{rate:g} Hz, {name}", run)
            if report.on_gpu:
                report.row("most memory, GB", lambda: torch.cuda.max_memory_allocated() / 1e9)


def stages(report: Report) -> None:
    """Seconds by stage: of one block at a time, and of several side by side."""
    from dasdist.executors.resources import resources_of
    from tests.benchmarks import inputs

    values = inputs.events(*((4501, 16) if report.quick else (60_001, 1024)))
    with stored(values, 100.0) as data:
        model = inputs.ours().to(report.device)

        def told() -> str:
            run = dasdist.classify(model, data, pbar=False, thresholds=0.3).report
            parts = [f"{name} {seconds:.3g}" for name, seconds in run.seconds.items()]
            return f"{run.wall_seconds:.3g} s; {', '.join(parts)}"

        def one_by_one(client: Any, device: Any) -> Any:
            return replace(resources_of(client, device), threads=1)

        report.row("warm up", told)
        report.row("side by side", told)
        with patch("dasdist.run.request.resources_of", one_by_one):
            report.row("one block at a time", told)


def profile(report: Report) -> None:
    """The operators that take longest; all of them in ``profile.txt``."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    from tests.benchmarks import inputs

    values = inputs.events(*((4501, 16) if report.quick else (21_001, 1024)))
    with stored(values, 100.0) as data:
        model = inputs.ours().to(report.device)

        def run() -> None:
            dasdist.classify(model, data, pbar=False, thresholds=0.3)

        run()
        activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * report.on_gpu]
        with profiler(activities=activities) as found:
            run()
            report.wait()
    key = "self_cuda_time_total" if report.on_gpu else "self_cpu_time_total"
    table = found.key_averages().table(sort_by=key, row_limit=40, max_name_column_width=90)
    (report.out / "profile.txt").write_text(table)
    print("\n".join(line[:170] for line in table.splitlines()[:22]), flush=True)
