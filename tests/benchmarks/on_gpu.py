"""On a GPU: ``python -m tests.benchmarks --gpu``; it needs no network.

SeisBench's model and ours are on the same GPU.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import dasdist
from dasdist.geometry import Block
from dasdist.inference import annotate_patches, prepare
from dasdist.inference.cuda import own_stream
from dasdist.inference.replica import predictor_of
from dasdist.run.options import RunOptions
from dasdist.run.request import Request
from tests.benchmarks import inputs, rivals
from tests.benchmarks.harness import Contest, benchmark

DEVICE = "cuda"


def _on_gpu(model: Any) -> Any:
    return model.to(DEVICE)


def _theirs() -> Any:
    return _on_gpu(inputs.theirs())


def _size(quick: bool) -> tuple[int, int]:
    windows, channels = (2, 16) if quick else (12, 1024)
    return inputs.WINDOW + 1500 * windows, channels


def _values(quick: bool) -> np.ndarray:
    return inputs.events(*_size(quick))


FORMS: dict[str, dict[str, Any]] = {
    "dasdist": {},
    "dasdist, compiled": {"optimize": "compile"},
    "dasdist, bf16": {"precision": "bf16"},
    "dasdist, fp16": {"precision": "fp16"},
}


@benchmark("gpu-classify", at_least=10, aim=30, gpu=True)
def gpu_classify(quick: bool) -> Iterator[Contest]:
    """PhaseNet on earthquakes on every channel, from files to picks."""
    with _classify(_values(quick)) as contest:
        yield contest


@benchmark("gpu-quiet", at_least=10, aim=30, gpu=True)
def gpu_quiet(quick: bool) -> Iterator[Contest]:
    """PhaseNet on noise, from files to picks: where lower precision computes little again."""
    with _classify(inputs.quiet(*_size(quick))) as contest:
        yield contest


@contextmanager
def _classify(values: np.ndarray) -> Iterator[Contest]:
    model = _on_gpu(inputs.ours())
    with inputs.archive(values, seconds=30) as data, rivals.apart() as process:
        sides: dict[str, Any] = {
            "SeisBench": rivals.theirs_classify(process, _theirs, data, thresholds=0.3)
        }
        for side, form in FORMS.items():
            sides[side] = rivals.ours_classify(model, data, thresholds=0.3, **form)
        yield Contest(sides, rivals.same_picks, {"samples": values.size})


@benchmark("gpu-overlap", at_least=0.8, aim=0.95, gpu=True)
def gpu_overlap(quick: bool) -> Iterator[Contest]:
    """The slower of reading and of the model alone, and the whole run."""
    values = _values(quick)
    model = _on_gpu(inputs.ours())
    with inputs.archive(values, seconds=30) as data:
        request = Request.of(model, data, RunOptions(), {})
        callback = dasdist.DASPickingCallback(thresholds=0.3)
        plan = request.plan(callback.needs, None)
        predictor = predictor_of(request.payload.token)
        blocks = list(plan)

        def samples_of(block: Block) -> np.ndarray:
            return request.recording.select(block.read).read()

        def reading() -> int:
            return sum(len(samples_of(block)) for block in blocks)

        with own_stream(predictor.device):
            prepared = [
                prepare(samples_of(block), block, plan.sections[block.segment], predictor.device)
                for block in blocks
            ]

        def computing() -> int:
            patches = 0
            for block, samples in zip(blocks, prepared, strict=True):
                found = annotate_patches(
                    samples, block, predictor, plan.batching, request.arguments
                )
                patches += sum(1 for _ in found)
            return patches

        def whole() -> int:
            return len(dasdist.classify(model, data, pbar=False, thresholds=0.3).picks)

        def facts(medians: dict[str, float]) -> dict[str, float]:
            alone = max(medians["read alone"], medians["model alone"])
            return {"slower stage alone over end to end": alone / medians["end to end"]}

        sides = {"read alone": reading, "model alone": computing, "end to end": whole}
        yield Contest(sides, _any, {"samples": values.size}, facts=facts)


def _any(one: Any, other: Any) -> None:
    """These sides do different things."""
