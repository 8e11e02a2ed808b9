"""``dasdist plan``, ``classify`` and ``annotate``."""

from pathlib import Path
from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.asked import Asked, merged
from dasdist.cli.asked_before import remember, said_so
from dasdist.cli.channels import mask_of
from dasdist.cli.groups import Failing, Period, Queue, Where, grouped
from dasdist.cli.parsing import parse_block, parse_engine_options
from dasdist.cli.running import conclude, counted, ready
from dasdist.cli.voice import speaking

__all__ = ["annotate", "classify", "plan"]


@app.command(
    epilog=examples(
        "dasdist plan 2024.nc --model seisbench:PhaseNet/original",
        "dasdist plan 2024.nc --model demo --workers 4 --memory 8GB --json",
    )
)
@grouped
def plan(
    data: opt.Data,
    model: opt.Model,
    threshold: opt.Threshold = None,
    columns: opt.Columns = None,
    settings: opt.Settings = None,
    batch_size: opt.BatchSize = None,
    pad: opt.Pad = False,
    block: opt.Block = None,
    engine: opt.Engine = None,
    engine_option: opt.EngineOption = None,
    variable: opt.Variable = None,
    mask: opt.Mask = None,
    *,
    period: Period,
    where: Where,
    verbose: opt.Verbose = False,
    as_json: opt.Json = False,
) -> None:
    """Show what a run would do: its blocks, what is read or computed twice, and its memory."""
    asked = Asked(
        data,
        model,
        engine,
        variable,
        merged(settings, batch_size, threshold, columns, pad=pad),
        parse_block(block),
        period,
        where,
        engine_options=parse_engine_options(engine_option),
        mask=mask,
    )
    with (
        speaking("plan", as_json=as_json, verbose=verbose) as voice,
        ready(voice, asked) as (network, recording, client),
    ):
        import dasdist

        with voice.patience("Planning ..."):
            found = dasdist.plan(
                network,
                recording,
                client=client,
                block=asked.block,
                mask=mask_of(asked),
                **asked.settings,
            )
        voice.say(repr(found))
        voice.fact(
            model=found.model,
            blocks=len(found),
            segments=len(found.grids),
            too_short=len(found.skipped),
            padded=len(found.padded),
            data_seconds=found.data_seconds,
            unreached_seconds=found.unreached_seconds,
            archive_bytes=found.archive_bytes,
            read_bytes=found.read_bytes,
            recompute_factor=found.recompute_factor,
            peak_bytes=found.peak_bytes,
            facts=found.facts,
            notes=list(found.notes),
        )


@app.command(
    epilog=examples(
        "dasdist classify 2024.nc --model seisbench:PhaseNet/original -o picks.parquet",
        "dasdist classify '2024/*.h5' --model demo -o picks.parquet --workers 4 --threshold 0.3",
        "dasdist classify 2024.nc --model my_models:build -o picks.parquet --annotations prob.zarr "
        "--scheduler tcp://10.0.0.1:8786 --json",
        "dasdist classify 2024.nc --model demo -o may.parquet --from 2024-05-01 --to 2024-06-01",
        "dasdist classify 2024.nc --model demo -o picks.parquet --cluster slurm --jobs 8 "
        "--gpus-per-job 4 --partition gpu --walltime 04:00:00",
    )
)
@grouped
def classify(
    data: opt.Data,
    model: opt.Model,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for the picks, a Parquet dataset with a file per block."
        ),
    ],
    by_date: opt.ByDate = False,
    annotations: Annotated[
        str | None,
        typer.Option(help="Also write the probabilities, to this Zarr store, in the same pass."),
    ] = None,
    threshold: opt.Threshold = None,
    columns: opt.Columns = None,
    settings: opt.Settings = None,
    batch_size: opt.BatchSize = None,
    pad: opt.Pad = False,
    block: opt.Block = None,
    engine: opt.Engine = None,
    engine_option: opt.EngineOption = None,
    variable: opt.Variable = None,
    mask: opt.Mask = None,
    *,
    period: Period,
    where: Where,
    queue: Queue,
    failing: Failing,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    as_json: opt.Json = False,
) -> None:
    """Pick phases in a recording. Run the same command again to resume it."""
    asked = Asked(
        data,
        model,
        engine,
        variable,
        merged(settings, batch_size, threshold, columns, pad=pad, by_date=by_date),
        parse_block(block),
        period,
        where,
        queue,
        failing,
        outputs=(out,) if annotations is None else (out, annotations),
        picks=True,
        engine_options=parse_engine_options(engine_option),
        mask=mask,
    )
    with speaking("classify", quiet=quiet, as_json=as_json, verbose=verbose) as voice:
        voice.fact(out=str(out))
        if said_so(voice, asked):
            return
        with (
            ready(voice, asked, "PicksWriterCallback") as (network, recording, client),
            counted(voice, out),
        ):
            import dasdist

            result = dasdist.classify(
                network,
                recording,
                out=out,
                annotations=annotations,
                client=client,
                block=asked.block,
                mask=mask_of(asked),
                pbar=voice.view(),
                on_event=voice.waiting,
                **failing.arguments(),
                **asked.settings,
            )
        remember(asked)
        conclude(voice, out, result.report)


@app.command(
    epilog=examples(
        "dasdist annotate 2024.nc --model weights/my_model.json -o prob.zarr --workers 4",
        "dasdist annotate 2024.nc --model demo -o s3://bucket/prob.zarr --set stacking=max",
    )
)
@grouped
def annotate(
    data: opt.Data,
    model: opt.Model,
    out: Annotated[str, typer.Option("--out", "-o", help="Zarr store, a path or a URL.")],
    settings: opt.Settings = None,
    batch_size: opt.BatchSize = None,
    pad: opt.Pad = False,
    block: opt.Block = None,
    engine: opt.Engine = None,
    engine_option: opt.EngineOption = None,
    variable: opt.Variable = None,
    mask: opt.Mask = None,
    *,
    period: Period,
    where: Where,
    queue: Queue,
    failing: Failing,
    quiet: opt.Quiet = False,
    verbose: opt.Verbose = False,
    as_json: opt.Json = False,
) -> None:
    """Write a model's probabilities to Zarr. Run the same command again to resume it."""
    asked = Asked(
        data,
        model,
        engine,
        variable,
        merged(settings, batch_size, pad=pad),
        parse_block(block),
        period,
        where,
        queue,
        failing,
        outputs=(out,),
        engine_options=parse_engine_options(engine_option),
        mask=mask,
    )
    with speaking("annotate", quiet=quiet, as_json=as_json, verbose=verbose) as voice:
        voice.fact(out=out)
        if said_so(voice, asked):
            return
        of_writer = {"stacking"} & set(asked.settings)
        with (
            ready(voice, asked, "WriterCallback") as (network, recording, client),
            counted(voice, out),
        ):
            import dasdist

            report = dasdist.annotate(
                network,
                recording,
                dasdist.WriterCallback(out, **{k: asked.settings[k] for k in of_writer}),
                client=client,
                block=asked.block,
                mask=mask_of(asked),
                pbar=voice.view(),
                on_event=voice.waiting,
                **failing.arguments(),
                **{k: v for k, v in asked.settings.items() if k not in of_writer},
            )
        remember(asked)
        conclude(voice, out, report)
