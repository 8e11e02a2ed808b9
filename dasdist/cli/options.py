"""Options that several commands share, with their help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_WHERE = "Where to compute"
_QUEUE = "Jobs of a queue"
_OUTPUT = "Output"
_FAILURES = "Failures"
_MODEL = "Model"
_SPEECH = "Speech"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="An index of `dasdist index`, a Zarr store, a file that xdas or xarray opens, or a "
        "pattern of files in quotation marks.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="demo, seisbench:CLASS/WEIGHTS, the path of a .json or .pt file, or "
        "package.module:factory.",
        rich_help_panel=_MODEL,
    ),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        help="Confidence from which a peak is a pick: 0.3, or P=0.3 and S=0.2 in two options.",
        rich_help_panel=_MODEL,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other argument of the model or of what takes its output; may be repeated.",
        rich_help_panel=_MODEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Patches per batch; else chosen.", rich_help_panel=_MODEL),
]
Engine = Annotated[str | None, typer.Option(help="Engine of xdas; else found.")]
Variable = Annotated[
    str | None, typer.Option(help="Variable of a Zarr store or NetCDF file with several.")
]

Since = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="Use samples from this time (UTC) on only."),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="Use samples before this time only. What lies outside is as if it had not been "
        "recorded: windows end there.",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="A Dask scheduler that runs: its address, or its file, with certificates beside it.",
        metavar="TCP://HOST:PORT",
        rich_help_panel=_WHERE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes of a cluster on this machine; else all is done in this one process.",
        rich_help_panel=_WHERE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="Task threads of each of these, 1 if not said.", rich_help_panel=_WHERE
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory of each of these, such as 4GB, else their share of this machine's; of each "
        "job with --cluster.",
        rich_help_panel=_WHERE,
    ),
]
Block = Annotated[
    str | None,
    typer.Option(
        metavar="time=N,distance=N",
        help="Output samples and channels that one task owns; else the plan chooses.",
        rich_help_panel=_WHERE,
    ),
]

Cluster = Annotated[
    Literal["slurm"] | None,
    typer.Option(
        help="Compute in jobs of this queue, which are asked for now and end with the run.",
        rich_help_panel=_QUEUE,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many, 1 if not said; those that end early are replaced.",
        rich_help_panel=_QUEUE,
    ),
]
Adapt = Annotated[
    str | None,
    typer.Option(
        metavar="FEWEST:MOST",
        help="As many as there is work for, instead of --jobs.",
        rich_help_panel=_QUEUE,
    ),
]
GpusPerJob = Annotated[
    int | None,
    typer.Option(min=0, help="One worker process each.", rich_help_panel=_QUEUE),
]
Cores = Annotated[
    int | None,
    typer.Option(min=1, help="Of a job; else 4, or 4 per GPU.", rich_help_panel=_QUEUE),
]
Partition = Annotated[
    str | None, typer.Option("--partition", "-p", help="As for sbatch.", rich_help_panel=_QUEUE)
]
Walltime = Annotated[
    str | None,
    typer.Option(
        metavar="HH:MM:SS",
        help="Of a job; workers leave in order before.",
        rich_help_panel=_QUEUE,
    ),
]
Account = Annotated[
    str | None, typer.Option("--account", "-A", help="As for sbatch.", rich_help_panel=_QUEUE)
]
Interface = Annotated[
    str | None,
    typer.Option(
        help="Network interface, such as ib0; else that which leads to the nodes.",
        rich_help_panel=_QUEUE,
    ),
]
JobExtra = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OPTION",
        help="Any other option of sbatch, such as --job-extra=--qos=long; may be repeated.",
        rich_help_panel=_QUEUE,
    ),
]
ClusterFolder = Annotated[
    Path | None,
    typer.Option(
        help="For certificates, logs and the scheduler file; nodes must see it. Else in "
        "~/.dasdist.",
        rich_help_panel=_QUEUE,
    ),
]

Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace what is there.", rich_help_panel=_OUTPUT),
]
MaxFailures = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Blocks that may fail before the run stops, 100 if not said.",
        rich_help_panel=_FAILURES,
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Try blocks again that an earlier run gave up.",
        rich_help_panel=_FAILURES,
    ),
]
BlockTimeout = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Give a block up that takes longer; needs --workers, --cluster or --scheduler.",
        rich_help_panel=_FAILURES,
    ),
]

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Say nothing unless it is wrong.", rich_help_panel=_SPEECH),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Speak in JSON, an object a line.", rich_help_panel=_SPEECH),
]
