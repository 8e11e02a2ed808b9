"""What plan, classify and annotate do alike: make ready, run, and say what came of it."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.api.model_names import check_name
from dasdist.cli.asked import Asked
from dasdist.cli.asked_before import nothing_left
from dasdist.cli.channels import among, mask_of
from dasdist.cli.compute import computing
from dasdist.cli.inputs import check_input, load_model, on_gpu, open_input
from dasdist.cli.period import within
from dasdist.cli.voice import Voice
from dasdist.errors import DataWarning, TooManyFailures
from dasdist.units import all_done, count_of, results_of

if TYPE_CHECKING:
    from dasdist.report import Failure, Missing, RunReport

__all__ = ["conclude", "counted", "ready"]


_OPTIONS = {
    name: f"Give it by the option {option}."
    for name, option in {
        "path": "-o",
        "out": "-o",
        "annotations": "--annotations of classify",
        "block": "--block",
        "overwrite": "--overwrite",
        "max_failures": "--max-failures",
        "retry_failed": "--retry-failed",
        "block_timeout": "--block-timeout",
        "engine": "--engine",
        "mask": "--mask",
    }.items()
}
"""What is given to a command by an option of its own, not by --set."""

_OF_CLASSIFY = dict.fromkeys(
    ("thresholds", "min_time_separation", "blinding", "columns"),
    "It belongs to the command classify.",
)


@contextmanager
def ready(
    voice: Voice, asked: Asked, callback: str | None = None
) -> Iterator[tuple[Any, Any, Any]]:
    """Yield model, recording and client; what is wrong is said first, the cheapest to find out.

    Options and paths need no library, data and model take seconds, a cluster may take minutes.
    ``callback`` names the class in `dasdist` that takes the settings that the model does not.
    """
    asked.check()
    check_name(asked.model)
    check_input(asked.data)
    with voice.patience("Loading libraries ..."):
        found = open_input(
            asked.data,
            engine=asked.engine,
            variable=asked.variable,
            engine_options=asked.engine_options,
        )
        tolerance = asked.settings.get("tolerance", 0.25)
        chosen = among(found, asked.period.channels, tolerance)
        recording = within(chosen, asked.period.since, asked.period.until, tolerance)
        _tell_mask(voice, asked)
        network = load_model(asked.model)
    if callback is not None:
        check_settings(network, asked.settings, callback)
        if nothing_left(asked, recording):
            yield network, recording, False  # it takes no cluster to say so
            return
    with computing(voice, asked.where, asked.queue) as client:
        if client is None:
            network = on_gpu(network)
        yield network, recording, client


def _tell_mask(voice: Voice, asked: Asked) -> None:
    """Tell programs which channels are left out, and why; people read it in plan and report."""
    mask = mask_of(asked)
    if mask is not None:
        voice.event("masked", origin=mask.origin, channels=dict(mask.reasons))


def check_settings(network: Any, settings: Mapping[str, Any], callback: str) -> None:
    """Refuse settings that neither the model nor the callback takes, and values out of range."""
    import dasdist
    from dasdist.callbacks import check_thresholds
    from dasdist.models import ModelSpec, as_das_model, check_arguments

    model = as_das_model(network)
    kind = getattr(dasdist, callback)
    taken = set(inspect.signature(kind).parameters) - set(_OPTIONS)
    elsewhere = {**_OPTIONS, **({} if "thresholds" in taken else _OF_CLASSIFY)}
    check_arguments(model, settings, taken, elsewhere)
    given = {name: value for name, value in settings.items() if name in taken}
    kind("not written", **given)
    if "thresholds" in given:
        spec = ModelSpec.of(model)
        check_thresholds(given["thresholds"], spec.annotate_keys, spec.phases)


@contextmanager
def counted(voice: Voice, out: str | Path) -> Iterator[None]:
    """Let a run that stopped for too many failures end as one that finished with some.

    The blocks that failed are listed at the end, so that no warning has to name the first of them.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "[0-9,]+ blocks? (was|were) left out", DataWarning)
            yield
    except TooManyFailures as error:
        import dasdist

        voice.wrong(f"Error: {error}")
        found = dasdist.status(out)
        listed(voice, found.failures, found.missing, out)
        voice.end(2, error=str(error), kind="TooManyFailures")


def conclude(voice: Voice, out: str | Path, report: "RunReport") -> None:
    """Say what came of a run."""
    import dasdist

    for skipped in report.skipped:
        voice.event("skipped", reason=str(skipped))
    listed(voice, report.failures, report.missing, out)
    counts = dict(dasdist.status(out).counts)
    voice.fact(
        model=report.model,
        blocks=report.blocks,
        done=report.finished,
        failures=len(report.failures),
        in_part=len(report.partial),
        data_seconds=report.data_seconds,
        wall_seconds=round(report.wall_seconds, 3),
        counts=counts,
    )
    if report.before == report.blocks:
        voice.say(f"Nothing was left to do: {all_done(report.blocks)}.")
    else:
        voice.say(str(report).split("\n  block ")[0])  # the table has the blocks
    if counts:
        voice.say(f"{out}: " + results_of(counts))
    if report.failures or report.partial:
        voice.end(2)


def listed(
    voice: Voice, failures: Sequence["Failure"], missing: Sequence["Missing"], out: str | Path
) -> None:
    """List the blocks that failed, and what those lack that are done in part."""
    for one in missing:
        voice.event("missing", **asdict(one))
    for failure in failures:
        voice.event(
            "failure",
            block=failure.block,
            segment=failure.segment,
            kind=failure.kind,
            error=failure.error,
            start=failure.start,
            stop=failure.stop,
        )
    rows = [(f.block, f.start[:19], f.stop[:19], f.kind, _one_line(f.error)) for f in failures]
    voice.lines(
        count_of(len(rows), "failed block"),
        ("block", "from", "to", "kind", "error"),
        rows,
        f"dasdist status {out} --json",
    )
    voice.lines(
        count_of(len({one.block for one in missing}), "block") + " done in part",
        ("block", "missing"),
        [(one.block, str(one)) for one in missing],
        f"dasdist status {out} --json",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())
