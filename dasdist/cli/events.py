"""``dasdist events``: earthquakes among the picks of a fibre."""

from pathlib import Path
from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.parsing import parse_settings
from dasdist.cli.voice import Voice, speaking
from dasdist.errors import InvalidArgument, OutputExists

__all__ = ["events"]


@app.command(
    epilog=examples(
        "dasdist events picks.parquet -o events.parquet",
        "dasdist events picks.parquet -o events.parquet --picks picks_with_events.parquet",
        "dasdist events picks.csv -o events.parquet --vp-vs 1.78 --set aperture=200",
    ),
)
def events(
    picks: Annotated[
        str,
        typer.Argument(
            metavar="PICKS", help="Picks: the output of a run, a Parquet file, or a CSV file."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The events, a Parquet file.")],
    picks_out: Annotated[
        Path | None,
        typer.Option(
            "--picks",
            metavar="FILE",
            help="Write all picks here with the event of each, -1 for none.",
        ),
    ] = None,
    vp_vs: Annotated[
        float, typer.Option(help="Speed of P over that of S, for origin times.")
    ] = 1.73,
    channels: Annotated[
        int | None,
        typer.Option(
            min=1, help="Channels of the fibre. Default: from the first to the last with a pick."
        ),
    ] = None,
    min_channels: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Least channels of an event. Default: a tenth of the fibre's, 10 to 100.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any other parameter; may be repeated: max_slowness (s/m), tolerance (s), "
            "aperture (m), min_neighbours, max_s_minus_p (s), duration (s), spacing (m), "
            "vp_vs_spread.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Find earthquakes: picks that line up along the fibre, P with S."""
    others = parse_settings(settings or [])
    with speaking("events", quiet=quiet, as_json=as_json) as voice:
        _check_free([path for path in (out, picks_out) if path is not None], overwrite=overwrite)
        from dasdist.events.files import detect_files
        from dasdist.events.options import EventOptions

        try:
            options = EventOptions(vp_vs=vp_vs, min_channels=min_channels, **others)
        except TypeError as error:
            raise InvalidArgument(f"--set: the detector of events has no such: {error}.") from error
        _warn_if_unfinished(voice, picks)
        with voice.counting("picks") as count:
            found = detect_files(
                picks, out, picks_out, options=options, channels=channels, progress=count
            )
        voice.say(f"{found}\n{out}")
        voice.fact(
            out=str(out),
            picks_out=None if picks_out is None else str(picks_out),
            events=len(found),
            picks=found.picks,
            incoherent=found.picks - found.inside,
            channels=found.fibre,
        )


def _check_free(paths: list[Path], *, overwrite: bool) -> None:
    """Refuse, before anything is read, files that are there and folders that are not."""
    if len({path.absolute() for path in paths}) < len(paths):
        raise OutputExists("--out and --picks name the same file; choose another for one of them.")
    for path in paths:
        if path.is_dir() or (path.exists() and not overwrite):
            remedy = "" if path.is_dir() else ", or replace it with --overwrite"
            raise OutputExists(f"{path} is there already; choose another path{remedy}.")


def _warn_if_unfinished(voice: Voice, picks: str) -> None:
    """Say so if a run has not written all picks: what is missing looks like silence."""
    from dasdist.storage.staging import journal_of

    if not journal_of(Path(picks)).is_dir():
        return
    import dasdist

    told = dasdist.status(picks)
    if told.state != "complete":
        voice.wrong(
            f"Warning: {picks} is not complete ({told.done:,} of {told.blocks:,} blocks are done), "
            f"and where picks are missing there are no events: see dasdist status {picks}."
        )
