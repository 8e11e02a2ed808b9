"""Options that several commands share, with their help."""

from typing import Annotated

import typer

_WHERE = "Where to compute"
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

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="A Dask scheduler that runs: its address, or its file.",
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
        help="Memory of each of these, such as 4GB; else their share of this machine's.",
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
        help="Give a block up that takes longer; needs --workers or --scheduler.",
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
