"""What plan, classify and annotate do alike: make ready, run, and say what came of it."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.api.model_names import check_name
from dasdist.cli.beforehand import check_outputs
from dasdist.cli.compute import computing
from dasdist.cli.groups import Failing, Period, Queue, Where
from dasdist.cli.inputs import (
    check_input,
    load_model,
    open_input,
    parse_settings,
    parse_thresholds,
)
from dasdist.cli.period import within
from dasdist.cli.voice import Voice
from dasdist.errors import InvalidInput, TooManyFailures

if TYPE_CHECKING:
    from dasdist.report import Failure, RunReport

__all__ = ["Asked", "conclude", "counted", "merged", "ready"]


@dataclass(frozen=True)
class Asked:
    """What plan, classify and annotate are asked for alike.

    Parameters
    ----------
    data, engine, variable
        The input.
    model : str
        Name of the model.
    settings : mapping
        Arguments of the model and of the callback.
    block : mapping or None
        Core of a block.
    period
        The stretch of it that counts.
    where, queue
        Where to compute.
    failing
        What to do with failures, and with what is there.
    outputs : tuple of str or Path
        What is written.
    picks : bool
        Whether the first of these is a dataset of picks.
    engine_options : mapping
        Options of the engine.
    """

    data: str
    model: str
    engine: str | None
    variable: str | None
    settings: Mapping[str, Any]
    block: Mapping[str, int] | None
    period: Period
    where: Where
    queue: Queue = field(default_factory=Queue)
    failing: Failing = field(default_factory=Failing)
    outputs: tuple[str | Path, ...] = ()
    picks: bool = False
    engine_options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what can be refused without loading anything."""
        self.queue.check()
        self.where.check(queued=self.queue.cluster is not None)
        self.failing.check(self.where, self.queue)
        self.period.check()
        if self.block is not None and min(self.block.values()) < 1:
            sizes = ",".join(f"{name}={size}" for name, size in self.block.items())
            raise InvalidInput(f"--block {sizes}: a block has at least 1 sample and 1 channel.")
        check_outputs(self.outputs, overwrite=self.failing.overwrite)


def merged(
    settings: Sequence[str] | None,
    batch_size: int | None,
    threshold: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Bring all arguments of the model and the callback together."""
    given = {} if batch_size is None else {"batch_size": batch_size}
    return {**parse_settings(settings or ()), **given, **parse_thresholds(threshold or ())}


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
    found = open_input(
        asked.data,
        engine=asked.engine,
        variable=asked.variable,
        engine_options=asked.engine_options,
    )
    recording = within(found, asked.period.since, asked.period.until)
    network = load_model(asked.model)
    if callback is not None:
        check_settings(network, asked.settings, callback)
        if nothing_left(asked, recording):
            yield network, recording, False  # it takes no cluster to say so
            return
    with computing(voice, asked.where, asked.queue) as client:
        yield network, recording, client


def check_settings(network: Any, settings: Mapping[str, Any], callback: str) -> None:
    """Refuse settings that neither the model nor the callback takes, and values out of range."""
    import dasdist
    from dasdist.callbacks import Context
    from dasdist.models import ModelSpec, as_das_model, check_arguments

    model = as_das_model(network)
    kind = getattr(dasdist, callback)
    taken = set(inspect.signature(kind).parameters)
    check_arguments(model, settings, taken)
    given = {name: value for name, value in settings.items() if name in taken}
    kind("not written", **given)
    if "thresholds" in given:
        spec = ModelSpec.of(model)
        context = Context(spec.annotate_keys, (), ("time", "distance"), phases=spec.phases)
        dasdist.DASPickingCallback(given["thresholds"]).setup(context)


def nothing_left(asked: Asked, recording: Any) -> bool:
    """Tell whether an earlier run has done, or given up, all blocks of all outputs."""
    failing = asked.failing
    if failing.overwrite or failing.retry_failed or not asked.outputs:
        return False
    from dasdist.journal.status import is_complete, journal_folder
    from dasdist.sources import open_recording

    if not all(journal_folder(output) for output in asked.outputs):
        return False
    tolerance = asked.settings.get("tolerance", 0.25)
    identity = open_recording(recording, tolerance=tolerance).identity()
    return all(is_complete(output, identity) for output in asked.outputs)


@contextmanager
def counted(voice: Voice, out: str | Path) -> Iterator[None]:
    """Let a run that stopped for too many failures end as one that finished with some."""
    try:
        yield
    except TooManyFailures as error:
        import dasdist

        voice.wrong(f"Error: {error}")
        listed(voice, dasdist.status(out).failures, out)
        voice.end(2, error=str(error), kind="TooManyFailures")


def conclude(voice: Voice, out: str | Path, report: "RunReport") -> None:
    """Say what came of a run."""
    import dasdist

    for skipped in report.skipped:
        voice.event("skipped", reason=str(skipped))
    listed(voice, report.failures, out)
    counts = dict(dasdist.status(out).counts)
    voice.fact(
        model=report.model,
        blocks=report.blocks,
        done=report.finished,
        failures=len(report.failures),
        data_seconds=report.data_seconds,
        wall_seconds=round(report.wall_seconds, 3),
        counts=counts,
    )
    if report.before == report.blocks:
        voice.say(f"Nothing was left to do: all {report.blocks} blocks were done earlier.")
    else:
        voice.say(str(report).split("\n  block ")[0])  # the table has the blocks
    if counts:
        voice.say(f"{out}: " + ", ".join(f"{count:,} {name}" for name, count in counts.items()))
    if report.failures:
        voice.end(2)


def listed(voice: Voice, failures: Sequence["Failure"], out: str | Path) -> None:
    """List the blocks that failed."""
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
        f"{len(rows)} failed blocks",
        ("block", "from", "to", "kind", "error"),
        rows,
        f"dasdist status {out} --json",
    )


def _one_line(text: str) -> str:
    return next(iter(text.splitlines()), "")
