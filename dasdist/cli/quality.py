"""``dasdist quality``: which channels are dead, clipped, noisy or duplicated, and when."""

from pathlib import Path
from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.compute import computing
from dasdist.cli.groups import Period, Where, grouped
from dasdist.cli.parsing import parse_engine_options
from dasdist.cli.voice import speaking
from dasdist.errors import OutputExists

__all__ = ["quality"]


@app.command(
    epilog=examples(
        "dasdist quality fibre.nc -o quality.parquet --picture quality.png",
        "dasdist classify fibre.nc --model demo -o picks.parquet --mask quality.parquet",
    ),
)
@grouped
def quality(
    data: opt.Data,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Parquet file for the table: a row per channel and hour."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it: .png, .pdf or .svg.")
    ] = None,
    overwrite: opt.Overwrite = False,
    engine: opt.Engine = None,
    engine_option: opt.EngineOption = None,
    variable: opt.Variable = None,
    *,
    period: Period,
    where: Where,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Find the channels that are dead, clipped, noisy or duplicated, hour by hour."""
    with speaking("quality", quiet=quiet, as_json=as_json) as voice:
        period.check()
        where.check()
        for path in filter(None, (out, picture)):
            if path.is_dir() or (path.exists() and not overwrite):
                raise OutputExists(
                    f"{path} exists; choose another path, or replace it with --overwrite."
                )
        from dasdist.cli.channels import among
        from dasdist.cli.inputs import open_input
        from dasdist.cli.period import within

        with voice.patience("Loading libraries ..."):
            import dasdist

            found = open_input(
                data,
                engine=engine,
                variable=variable,
                engine_options=parse_engine_options(engine_option),
            )
            chosen = within(among(found, period.channels), period.since, period.until)
        with computing(voice, where) as client, voice.counting("parts") as count:
            judged = dasdist.quality(chosen, client=client or False, engine=engine, progress=count)
        voice.event("quality", **judged.to_dict())
        voice.say(judged)
        if out is not None:
            judged.to_parquet(out)
            voice.say(f"Table:   {out}")
        if picture is not None:
            from dasdist.plot.levels import draw_quality

            draw_quality(judged, picture)
            voice.say(f"Picture: {picture}")
