"""``dasdist export``: picks as files of another program."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.voice import Voice, speaking
from dasdist.errors import InvalidInput

__all__ = ["export"]

_GEOMETRY = "Where channels lie"
_FEWER = "Fewer picks"


@app.command(
    epilog=examples(
        "dasdist export picks.parquet --to snuffler -o markers",
        "dasdist export picks.parquet --to gamma -o gamma --geometry channels.csv --best-of 500",
        "dasdist export picks.parquet --to pyocto -o octo --line=-17.95,28.60,-17.84,28.66 "
        "--channels 2000 --every 10",
        "One straight fibre cannot tell on which side of it an event lies, nor offset from depth.",
    )
)
def export(
    picks: Annotated[
        Path, typer.Argument(metavar="PICKS", help="The picks, what `classify` wrote to -o.")
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="phasenet-das, phasenet-das-parquet, quakescope, gamma, pyocto, adloc, "
            "nonlinloc, quakeml, scml, snuffler or seisbench.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the files.")],
    geometry: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A CSV file with the columns channel, longitude, latitude and elevation, or a "
            "recording with coordinates longitude and latitude.",
            rich_help_panel=_GEOMETRY,
        ),
    ] = None,
    line: Annotated[
        str | None,
        typer.Option(
            metavar="LON,LAT,LON,LAT",
            help="The first and the last channel, with all others evenly between them.",
            rich_help_panel=_GEOMETRY,
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(help="With --line: how many channels.", rich_help_panel=_GEOMETRY),
    ] = None,
    network: Annotated[
        str, typer.Option(help="Code of the network in the names of stations.")
    ] = "XX",
    events: Annotated[
        Path | None,
        typer.Option(
            help="Parquet with columns event, time and maybe longitude, latitude, depth_m."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="The recording that was picked, for seisbench: training data."),
    ] = None,
    window: Annotated[
        float, typer.Option(metavar="SECONDS", help="Length of a record of training data.")
    ] = 60.0,
    pick_error: Annotated[
        float, typer.Option(help="Standard error of a pick in seconds, for NonLinLoc.")
    ] = 0.1,
    every: Annotated[
        int, typer.Option(metavar="N", help="Every n-th channel.", rich_help_panel=_FEWER)
    ] = 1,
    best_of: Annotated[
        float | None,
        typer.Option(
            metavar="METRES",
            help="The best pick of a phase in windows of so many metres of fibre.",
            rich_help_panel=_FEWER,
        ),
    ] = None,
    within: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="With --best-of: how near picks compete.",
            rich_help_panel=_FEWER,
        ),
    ] = 1.0,
    events_only: Annotated[
        bool,
        typer.Option(
            "--events-only", help="Picks that belong to an event.", rich_help_panel=_FEWER
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export that is there.")
    ] = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Write picks as files that an associator, a locator or a viewer reads."""
    with speaking("export", quiet=quiet, as_json=as_json) as voice:
        from dasdist.exports import Thinning
        from dasdist.exports import export as write

        thinning = Thinning(every, best_of, within, events_only)
        made = write(
            picks,
            to,
            out,
            geometry=_geometry(geometry, line, channels),
            events=events,
            recording=_opened(data),
            window=window,
            thinning=thinning,
            network=network,
            pick_error=pick_error,
            overwrite=overwrite,
        )
        _tell(voice, made)


def _geometry(file: str | None, line: str | None, channels: int | None) -> Any:
    if line is None and channels is not None:
        raise InvalidInput("--channels belongs to --line; give both or none.")
    if line is not None:
        if file is not None:
            raise InvalidInput("--geometry and --line exclude each other; give one of them.")
        return _line(line, channels)
    if file is None or file.lower().endswith((".csv", ".txt")):
        return file
    return _opened(file)


def _opened(name: str | None) -> Any:
    if name is None:
        return None
    from dasdist.cli.inputs import open_input

    return open_input(name)


def _line(text: str, channels: int | None) -> Any:
    from dasdist.exports import ChannelTable

    try:
        west, south, east, north = map(float, text.split(","))
    except ValueError as error:
        raise InvalidInput(
            f"--line {text} is not LON,LAT,LON,LAT: four numbers in degrees, such as "
            "--line=-17.95,28.60,-17.84,28.66."
        ) from error
    if channels is None:
        raise InvalidInput("--line needs to know how many channels lie on it: --channels 2000.")
    return ChannelTable.line((west, south), (east, north), channels)


def _tell(voice: Voice, made: Any) -> None:
    voice.say(made)
    voice.fact(
        out=str(made.path),
        to=made.to,
        picks=made.picks,
        read=made.read,
        left_out=made.left_out,
        files=list(made.files),
    )
