"""``dasdist synth`` and ``index``: archives, made and read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.beforehand import check_folder
from dasdist.cli.compute import computing
from dasdist.cli.groups import Where
from dasdist.cli.parsing import parse_engine_options
from dasdist.cli.voice import speaking
from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["index", "synth"]


@app.command(
    epilog=examples(
        "dasdist synth /scratch/fibre --hours 2",
        "dasdist synth /scratch/big --hours 240 --channels 2000 --rate 200 --dtype int16",
        "dasdist synth /scratch/holes --hours 1 --gap 10-15 --gap 40-41",
    )
)
def synth(
    out: Annotated[Path, typer.Argument(help="Folder for the files.")],
    hours: Annotated[float, typer.Option(help="Length of the recording in hours, gaps included.")],
    channels: Annotated[int, typer.Option(help="Number of channels.")] = 128,
    rate: Annotated[float, typer.Option(help="Sampling rate in Hz.")] = 100.0,
    dx: Annotated[float, typer.Option(help="Channel spacing in metres.")] = 10.0,
    events_per_hour: Annotated[float, typer.Option(help="Number of earthquakes per hour.")] = 36.0,
    seed: Annotated[
        int, typer.Option(help="Seed of the random numbers; another one makes another archive.")
    ] = 0,
    dtype: Annotated[
        Literal["float32", "int16"],
        typer.Option(help="Samples in nanostrain/s, or in counts of 0.05 nanostrain/s."),
    ] = "float32",
    gap: Annotated[
        list[str] | None,
        typer.Option(metavar="FROM-TO", help="Leave these minutes out; may be repeated."),
    ] = None,
    overwrite: opt.Overwrite = False,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Write a synthetic archive of one-minute files, and its true arrivals.

    The arrivals are in OUT.truth.parquet. Run the command again to write files that are missing, or
    with more hours to make the archive longer.
    """
    gaps = [minutes(word) for word in gap or ()]
    with speaking("synth", quiet=quiet, as_json=as_json) as voice:
        check_folder(out)
        from dasdist.synthetic.archive import write_minutes
        from dasdist.synthetic.endless import Endless

        recording = Endless(channels, dx, rate, events_per_hour, seed, dtype)
        with voice.counting("files") as count:
            made = write_minutes(
                out, hours, recording, gaps=gaps, overwrite=overwrite, progress=count
            )
        voice.say(
            f"{made.folder}: {count_of(made.files, 'file')}, {made.written:,} of them new "
            f"({made.bytes / 1e6:,.1f} MB)\n{made.truth}: the true arrivals"
        )
        voice.fact(
            out=str(made.folder),
            truth=str(made.truth),
            files=made.files,
            written=made.written,
            bytes=made.bytes,
        )


def minutes(word: str) -> tuple[int, int]:
    """Read from which minute to which.

    Examples
    --------
    >>> minutes("10-15")
    (10, 15)
    """
    start, _, stop = word.partition("-")
    if not (start.isdigit() and stop.isdigit()):
        raise typer.BadParameter(f"{word!r} is not FROM-TO, such as 10-15.", param_hint="--gap")
    return int(start), int(stop)


@app.command(
    epilog=examples(
        "dasdist index /archive/2024 -o 2024.nc",
        "dasdist index '/archive/2024/*/*.hdf5' -o 2024.nc --engine asn --workers 8",
        "dasdist index /archive/febus -o febus.nc --engine febus --engine-option overlaps=25,25 "
        "--engine-option offset=525",
    )
)
def index(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Folders, files, or patterns in quotation marks."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The index to write, a NetCDF file.")],
    engine: opt.Engine = None,
    engine_option: opt.EngineOption = None,
    scheduler: opt.Scheduler = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes on this machine. Default: one per core.")
    ] = None,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    as_json: opt.Json = False,
) -> None:
    """List the files of an archive in an index. Later runs read only new or changed files."""
    options = parse_engine_options(engine_option)
    with speaking("index", quiet=quiet, as_json=as_json, verbose=verbose) as voice:
        if scheduler is not None and workers is not None:
            raise InvalidInput("--scheduler and --workers exclude each other; give one of them.")
        import dasdist

        with computing(voice, Where(scheduler)) as client, voice.counting("files") as count:
            found = dasdist.index_archive(
                paths,
                out,
                engine=engine,
                engine_options=options,
                client=client,
                processes=workers,
                progress=count,
            )
        rows = [(p.kind, p.path, p.reason) for p in found.problems.itertuples()]
        for kind, path, reason in rows:
            voice.event("problem", kind=kind, path=path, reason=reason)
        voice.table("Listed files", ("kind", "path", "reason"), rows, f"they are kept in {out}")
        for path, text in found.details.items():
            voice.details(text, f"{path}, by the engines that were tried:")
        voice.say(found)
        voice.fact(
            out=str(out),
            files=found.files,
            arrays=found.members,
            scanned=found.scanned,
            problems=len(rows),
            unlooked=dict(found.unlooked),
        )
        if not found.files:
            raise InvalidInput(
                f"No recording is in {out}: none of the files could be used, for the reasons that "
                "are listed. If they are of another format, name it (--engine)."
            )
