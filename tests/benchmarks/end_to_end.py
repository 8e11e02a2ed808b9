"""``classify`` and ``annotate`` against SeisBench's, from files to results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from distributed import Client
from xdas.atoms import Picker

import dasdist
from dasdist.inference.engine import compiler_found
from tests.benchmarks import inputs, rivals, stages
from tests.benchmarks.harness import Contest, benchmark

WORKERS = 2


Models = tuple[Callable[[], Any], Callable[[], Any]]
"""What makes the model of SeisBench, in its own process, and ours."""


def wrapped(*name: str, **changes: Any) -> Models:
    """A picker in SeisBench's wrapper and in ours; the same weights, the same settings."""
    return partial(inputs.theirs, *name, **changes), partial(inputs.ours, *name, **changes)


@contextmanager
def _classify(
    models: Models, data: Any, small: Any, *, quick: bool, turns: int = 4, **options: Any
) -> Iterator[Contest]:
    """SeisBench, and dasdist in this process and on two workers of one core, in each form."""
    theirs, ours = models[0], models[1]()
    # worker processes take seconds to start: the quick run does without
    with rivals.apart() as process, nullcontext() if quick else rivals.cluster(WORKERS) as client:

        def sides(of: Any) -> dict[str, Any]:
            found = {"SeisBench": rivals.theirs_classify(process, theirs, of, **options)}
            for side, where, form in _sides(ours, client):
                found[side] = rivals.ours_classify(ours, of, where, **options, **form)
            return found

        samples = float(np.prod(data.shape))
        yield Contest(
            sides(data), rivals.same_picks, {"samples": samples}, warm=sides(small), turns=turns
        )


def _sides(ours: Any, client: Client | None) -> Iterator[tuple[str, Client | None, dict[str, Any]]]:
    """Yield where dasdist runs and in which form."""
    forms: dict[str, dict[str, Any]] = {"": {}}
    if compiler_found() and isinstance(ours, dasdist.DASWaveformModelWrapper):
        forms[", compiled"] = {"optimize": "compile"}
    for name, form in forms.items():
        yield f"dasdist{name}, in this process", None, form
        if client is not None:  # there is none in the quick run
            yield f"dasdist{name}, 2 workers", client, form


def _length(quick: bool) -> tuple[int, int]:
    """Five windows of PhaseNet on a patch of SeisBench, or two on a few channels."""
    return (inputs.WINDOW + 1500, 12) if quick else (inputs.WINDOW + 4 * 1500, 1024)


@benchmark("classify-quiet", at_least=3, aim=5)
def classify_quiet(quick: bool) -> Iterator[Contest]:
    """PhaseNet on noise."""
    with (
        inputs.archive(inputs.quiet(*_length(quick)), seconds=30) as data,
        _classify(wrapped(), data, data[: inputs.WINDOW], quick=quick, thresholds=0.3) as contest,
    ):
        yield contest


@benchmark("classify-events", at_least=3.5, aim=6)
def classify_events(quick: bool) -> Iterator[Contest]:
    """PhaseNet on earthquakes on every channel."""
    with (
        inputs.archive(inputs.events(*_length(quick)), seconds=30) as data,
        _classify(wrapped(), data, data[: inputs.WINDOW], quick=quick, thresholds=0.3) as contest,
    ):
        yield contest


@benchmark("classify-eqtransformer", at_least=4, aim=6)
def classify_eqtransformer(quick: bool) -> Iterator[Contest]:
    """EQTransformer on earthquakes on every channel."""
    samples, channels = (6000, 4) if quick else (6000 + 2 * 3000, 256)
    values = inputs.events(samples, channels)
    models = wrapped(inputs.EQTRANSFORMER)
    with (
        inputs.archive(values, seconds=30) as data,
        _classify(models, data, data[:6000, :8], quick=quick, turns=3, thresholds=0.3) as contest,
    ):
        yield contest


@benchmark("classify-xdas", at_least=6, aim=10)
def classify_xdas(quick: bool) -> Iterator[Contest]:
    """PhaseNet on earthquakes, against xdas's own picker, which stacks and triggers otherwise."""
    ours = inputs.ours()
    with inputs.archive(inputs.events(*_length(quick)), seconds=30) as data:

        def sides(of: Any) -> dict[str, Any]:
            return {
                "xdas": lambda: len(Picker(inputs.network(), thresh=0.3, device="cpu")(of.load())),
                "dasdist": lambda: len(
                    dasdist.classify(ours, of, pbar=False, thresholds=0.3).picks
                ),
            }

        samples = float(np.prod(data.shape))
        small = data[: inputs.WINDOW]
        yield Contest(sides(data), _as_many, {"samples": samples}, warm=sides(small), turns=4)


def _as_many(one: int, other: int) -> None:
    """Raise if a side finds less than a third of the other's: one blinds ends of windows."""
    assert min(one, other) > max(one, other) / 3, f"{one} picks and {other}"


@benchmark("classify-light", at_least=20, aim=60)
def classify_light(quick: bool) -> Iterator[Contest]:
    """A model that costs nothing, and 100,000 picks."""
    samples, channels = (4500, 256) if quick else (15000, 1024)
    values = inputs.spikes(samples, channels, 1500 if quick else 150)
    light = partial(inputs.light, channels)
    with (
        inputs.archive(values) as data,
        _classify(
            (light, light), data, data[:3000], quick=quick, turns=1, thresholds=0.5
        ) as contest,
    ):
        yield contest


@benchmark("classify-integers", at_least=3, aim=5)
def classify_integers(quick: bool) -> Iterator[Contest]:
    """PhaseNet on counts at 200 Hz, that are resampled and filtered."""
    samples, channels = _length(quick)
    values = np.repeat(inputs.events(samples, channels), 2, axis=0)
    counts = (1000 * values).clip(-32000, 32000).astype(np.int16)
    models = wrapped(
        dt_range=(0.0099, 0.0101),
        filter_samples=("butter", {"N": 2, "Wn": [2.0, 45.0], "btype": "bandpass"}),
    )
    with (
        inputs.archive(counts, rate=200.0, seconds=30) as data,
        _classify(models, data, data[: 2 * inputs.WINDOW], quick=quick, thresholds=0.3) as contest,
    ):
        yield contest


@contextmanager
def _raw(quick: bool, band: Any) -> Iterator[Contest]:
    samples, channels = (4500, 16) if quick else (12_000, 512)
    values = np.repeat(inputs.spikes(samples, channels, 600), 10, axis=0)
    counts = (1000 * values).clip(-32000, 32000).astype(np.int16)
    settings = {"unit": 1e-3, "dt_range": (0.0099, 0.0101), "filter_samples": band}
    light = partial(inputs.light, channels, **settings)
    with (
        inputs.archive(counts, rate=1000.0, seconds=30) as data,
        _classify((light, light), data, data[:30_000], quick=quick, thresholds=0.5) as contest,
    ):
        yield contest


@benchmark("classify-raw", at_least=6, aim=15)
def classify_raw(quick: bool) -> Iterator[Contest]:
    """Counts at 1000 Hz through a model for 100 Hz that costs nothing."""
    with _raw(quick, None) as contest:
        yield contest


@benchmark("classify-raw-filtered", at_least=6, aim=15)
def classify_raw_filtered(quick: bool) -> Iterator[Contest]:
    """The same, with a band-pass."""
    with _raw(quick, stages.BAND) as contest:
        yield contest


@benchmark("annotate-zarr", at_least=3, aim=5)
def annotate_zarr(quick: bool) -> Iterator[Contest]:
    """PhaseNet's probabilities, to Zarr and to the files of SeisBench's writer."""
    theirs, ours = inputs.theirs, inputs.ours()
    with (
        inputs.archive(inputs.events(*_length(quick)), seconds=30) as data,
        TemporaryDirectory(prefix="dasdist-benchmark-") as folder,
        rivals.apart() as process,
        nullcontext() if quick else rivals.cluster(WORKERS) as client,
    ):
        place = Path(folder)

        def sides(of: Any) -> dict[str, Any]:
            found = {"SeisBench": rivals.theirs_annotate(process, theirs, of, place / "theirs")}
            for number, (side, where, form) in enumerate(_sides(ours, client)):
                store = place / f"ours{number}.zarr"
                found[side] = rivals.ours_annotate(ours, of, store, where, **form)
            return found

        samples = float(np.prod(data.shape))
        small = data[: inputs.WINDOW + 1500]
        yield Contest(
            sides(data), rivals.same_annotations, {"samples": samples}, warm=sides(small), turns=4
        )
