"""What plan, classify and annotate do alike: make ready, run, and say what came of it."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.cli.compute import computing
from dasdist.cli.groups import Period, Queue, Where
from dasdist.cli.inputs import load_model, open_input, parse_settings, parse_thresholds
from dasdist.cli.period import within
from dasdist.cli.voice import Voice
from dasdist.errors import InvalidInput, TooManyFailures

if TYPE_CHECKING:
    from dasdist.report import Failure, RunReport

__all__ = ["Asked", "conclude", "counted", "known_arguments", "merged", "ready"]


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
    """

    data: str
    model: str
    engine: str | None
    variable: str | None
    settings: Mapping[str, Any]
    block: Mapping[str, int] | None
    period: Period
    where: Where
    queue: Queue | None = None


def merged(
    settings: Sequence[str] | None,
    batch_size: int | None,
    threshold: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Bring all arguments of the model and the callback together."""
    given = {} if batch_size is None else {"batch_size": batch_size}
    return {**parse_settings(settings or ()), **given, **parse_thresholds(threshold or ())}


@contextmanager
def ready(voice: Voice, asked: Asked) -> Iterator[tuple[Any, Any, Any]]:
    """Yield model, recording and client; what may be wrong first comes before the cluster."""
    network = load_model(asked.model)
    found = open_input(asked.data, engine=asked.engine, variable=asked.variable)
    recording = within(found, asked.period.since, asked.period.until)
    with computing(voice, asked.where, asked.queue) as client:
        yield network, recording, client


@contextmanager
def known_arguments() -> Iterator[None]:
    """Make bad usage of what dasdist refuses as an argument that nothing knows."""
    try:
        yield
    except TypeError as error:
        frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
        if not frames or frames[-1].function != "check_arguments":
            raise
        raise InvalidInput(f"{error} Arguments come from --set, --threshold and such.") from error


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
    rows = [(f.block, f.start, f.stop, f.kind, f.error) for f in failures]
    columns = ("block", "from", "to", "kind", "error")
    voice.table(f"{len(rows)} failed blocks", columns, rows, f"dasdist status {out}")
