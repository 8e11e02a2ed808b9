"""Options that several commands share, with their help."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_WHERE = "Where to compute"
_QUEUE = "Jobs of a queue"
_OUTPUT = "Output"
_FAILURES = "Failures"
_MODEL = "Model"
_SPEECH = "Messages"

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="The recording: an index made by `dasdist index`, a Zarr store, one file that xdas or "
        "xarray opens, or a pattern of files in quotation marks.",
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="demo, seisbench:CLASS/WEIGHTS, the path or URL of a .json or .pt file, a model in a "
        "pack (pack.zip/FOLDER/WEIGHTS) or in a repository that DASDIST_MODELS names "
        "(FOLDER/WEIGHTS), or package.module:factory.",
        rich_help_panel=_MODEL,
    ),
]
Threshold = Annotated[
    list[str] | None,
    typer.Option(
        help="Smallest confidence of a pick, from 0 to 1, 0.2 by default: one number, or one for "
        "each phase, --threshold P=0.3 --threshold S=0.2.",
        rich_help_panel=_MODEL,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,NAME",
        help="More columns of picks: amplitude, snr, peak_width. Default: none.",
        rich_help_panel=_MODEL,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any other argument; may be repeated. Of the model: overlap_samples=0.25, "
        "overlap_channels, optimize=compile, precision=bf16, tolerance, channel_coord_name; of "
        "picking: min_time_separation=0.5, blinding=[50,50]; of writing: stacking=max.",
        rich_help_panel=_MODEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Patches per batch. Default: chosen for the device.", rich_help_panel=_MODEL
    ),
]
Pad = Annotated[
    bool,
    typer.Option(
        "--pad",
        help="Extend recordings that are shorter than the model's window, instead of leaving them "
        "out.",
        rich_help_panel=_MODEL,
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        help="The file format: as xdas calls it, dascore, as a package that adds one does, or the "
        "function that opens a file, package.module:function. Default: recognised automatically."
    ),
]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--engine-option",
        metavar="NAME=VALUE",
        help="An option of --engine, such as overlaps=25,25 of febus, swapped_dims=true of prodml, "
        "format=SEGY of dascore; may be repeated.",
    ),
]
Variable = Annotated[
    str | None, typer.Option(help="Which variable, if a Zarr store or NetCDF file has several.")
]

Since = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TIME",
        help="Use only samples from this time on: ISO 8601, UTC or with a zone.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TIME",
        help="Use only samples before this time. Samples outside are treated as not recorded, so "
        "that no window of the model reaches across.",
    ),
]

Channels = Annotated[
    str | None,
    typer.Option(
        metavar="FIRST:END",
        help="Use only these channels of the recording, the second number excluded, such as "
        "100:900; the first of them counts as channel 0, distances stay what they are.",
    ),
]

Mask = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Leave channels out: those that have flags in half of their hours in a table of "
        "`dasdist quality`, or those of a text file, a number or FIRST:END in each line and "
        "perhaps why. Numbers are those of the whole recording, also with --channels.",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Use a Dask cluster that is running: the address of its scheduler, or its scheduler "
        "file with the certificates beside it.",
        metavar="TCP://HOST:PORT",
        rich_help_panel=_WHERE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Start a cluster of this many processes on this machine. Default: compute in this "
        "one process.",
        rich_help_panel=_WHERE,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Blocks that each of these works on at once. Default: 1.",
        rich_help_panel=_WHERE,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory of each of these, or of each job with --cluster, such as 4GB. Default: an "
        "equal share of this machine's memory.",
        rich_help_panel=_WHERE,
    ),
]
Block = Annotated[
    str | None,
    typer.Option(
        metavar="time=N,distance=N",
        help="Size of a block, in samples and channels of the output. Default: the plan chooses; "
        "results do not depend on it.",
        rich_help_panel=_WHERE,
    ),
]

Cluster = Annotated[
    Literal["slurm"] | None,
    typer.Option(
        help="Compute in jobs of this queue, which are submitted now; those of a run end with it.",
        rich_help_panel=_QUEUE,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of jobs; those that end early are replaced. Default: 1.",
        rich_help_panel=_QUEUE,
    ),
]
Adapt = Annotated[
    str | None,
    typer.Option(
        metavar="FEWEST:MOST",
        help="As many jobs as there is work for, between these two numbers; instead of --jobs.",
        rich_help_panel=_QUEUE,
    ),
]
GpusPerJob = Annotated[
    int | None,
    typer.Option(
        min=0, help="GPUs of each job; each GPU gets a worker process.", rich_help_panel=_QUEUE
    ),
]
Cores = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="CPU cores of each job. Default: 4, or 4 per GPU, if nodes have them.",
        rich_help_panel=_QUEUE,
    ),
]
Partition = Annotated[
    str | None,
    typer.Option("--partition", "-p", help="Partition, as for sbatch.", rich_help_panel=_QUEUE),
]
Walltime = Annotated[
    str | None,
    typer.Option(
        metavar="HH:MM:SS",
        help="Time limit of each job; workers hand over their work before it ends.",
        rich_help_panel=_QUEUE,
    ),
]
Account = Annotated[
    str | None,
    typer.Option("--account", "-A", help="Account, as for sbatch.", rich_help_panel=_QUEUE),
]
Interface = Annotated[
    str | None,
    typer.Option(
        help="Network interface, such as ib0. Default: the one that leads to the nodes.",
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
        help="Folder for certificates, logs and the scheduler file, which all nodes must see. "
        "Default: a new one in ~/.dasdist.",
        rich_help_panel=_QUEUE,
    ),
]

ByDate = Annotated[
    bool,
    typer.Option(
        "--by-date",
        help="Put picks into a folder for each date, date=2024-05-01, for datasets of years.",
        rich_help_panel=_OUTPUT,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace results that are there, instead of resuming.",
        rich_help_panel=_OUTPUT,
    ),
]
MaxFailures = Annotated[
    str | None,
    typer.Option(
        metavar="N|any",
        help="Stop the run when more than N blocks have failed, wholly or in part; any never stops "
        "it, 0 takes nothing that is missing. Default: 100.",
        rich_help_panel=_FAILURES,
    ),
]
RetryFailed = Annotated[
    bool,
    typer.Option(
        "--retry-failed",
        help="Try again the blocks that failed in an earlier run, wholly or in part.",
        rich_help_panel=_FAILURES,
    ),
]
BlockTimeout = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Give up a block that takes longer. Needs --workers, --cluster or --scheduler.",
        rich_help_panel=_FAILURES,
    ),
]

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Only print warnings and errors.", rich_help_panel=_SPEECH),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say all that there is to say of what is wrong, such as what each engine said of a "
        "file that none reads.",
        rich_help_panel=_SPEECH,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print JSON, one object per line, for programs.", rich_help_panel=_SPEECH
    ),
]
