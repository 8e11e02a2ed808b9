"""``dasdist compare``: two tables of picks, and either against an analyst's."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.period import bounds_of
from dasdist.cli.voice import Voice, speaking
from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["compare"]

_PICKS = "Picks: the output of a run, a Parquet file, or a CSV file."


@app.command(
    epilog=examples(
        "dasdist compare phasenet.parquet eqtransformer.parquet --picture both.png",
        "dasdist compare before.parquet after.parquet --budget all --json",
        "dasdist compare picks.parquet --truth analyst.csv --from 2024-03-01 --to 2024-03-02",
    ),
)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=_PICKS)],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Those to compare with, likewise.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="True arrivals: time, channel, phase; and event and snr, if known.",
        ),
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.0, help="Largest difference of a pair."),
    ] = 0.5,
    budget: Annotated[
        str,
        typer.Option(
            metavar="N|smaller|all",
            help="Picks of each phase to keep of A and B, the most confident: a number, as many as "
            "the one with fewer has, or all.",
        ),
    ] = "smaller",
    min_snr: Annotated[
        float, typer.Option(help="Signal-to-noise ratio from which an arrival must be found.")
    ] = 4.0,
    since: opt.Since = None,
    until: opt.Until = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw A and B: .png, .pdf or .svg.")
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Compare the picks of two runs or two models, or picks with an analyst's."""
    with speaking("compare", as_json=as_json) as voice:
        if b is None and truth is None:
            raise InvalidInput("There is nothing to compare with: name other picks, or --truth.")
        if b is None and picture is not None:
            raise InvalidInput("--picture draws two tables of picks: name the other one.")
        options: dict[str, Any] = {
            "tolerance": tolerance,
            "between": bounds_of(since, until),
        }
        tables: list[tuple[str, Any]] = [(a, a)]
        if b is not None:
            tables = _compared(voice, a, b, {**options, "budget": _budget(budget)}, picture)
        if truth is not None:
            for name, table in tables:
                _score(voice, name, table, truth, {**options, "min_snr": min_snr})


def _budget(text: str) -> Any:
    if text in ("smaller", "all"):
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a number, nor smaller, nor all.", param_hint="--budget"
        ) from None


def _compared(
    voice: Voice, a: str, b: str, options: dict[str, Any], picture: Path | None
) -> list[tuple[str, Any]]:
    """Tell how two tables compare; return what of them was compared."""
    import dasdist

    found = dasdist.compare(a, b, **options)
    voice.event("compared", **found.to_dict())
    voice.say(found)
    if picture is not None:
        from dasdist.plot.agreement import draw_comparison

        draw_comparison(found, picture)
        voice.say(f"Picture: {picture}")
    return list(zip((a, b), found.picks, strict=True))


def _score(voice: Voice, name: str, table: Any, truth: str, options: dict[str, Any]) -> None:
    import dasdist

    found = replace(dasdist.score(table, truth, **options), name=name)
    voice.event("scored", truth=truth, **found.to_dict())
    voice.say("")
    voice.say(found)
    arrivals = count_of(len(found.missed), "expected arrival was", "expected arrivals were")
    false = count_of(len(found.false_picks), "pick is", "picks are")
    voice.say(f"{arrivals} missed, {false} false.")
