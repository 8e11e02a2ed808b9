"""The application that the commands belong to."""

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

__all__ = ["Commands", "app", "examples"]

_USAGE_ERROR: Any = typer.BadParameter.__base__


_ORDER = (
    *("demo", "synth", "index", "plan", "classify", "annotate", "status", "verify"),
    *("events", "compare", "export", "quality", "models", "cluster", "doctor"),
)


class Commands(TyperGroup):
    """Commands whose usage errors end with 1; 2 says that a run left blocks out."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the options that stand before a command."""
        try:
            return super().make_context(*args, **kwargs)
        except _USAGE_ERROR as error:
            error.exit_code = 1
            raise

    def invoke(self, ctx: Any) -> Any:
        """Read the options of a command, and run it."""
        try:
            return super().invoke(ctx)
        except _USAGE_ERROR as error:
            error.exit_code = 1
            raise


class InOrder(Commands):
    """The commands of dasdist."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the commands in the order in which one needs them."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)


def examples(*lines: str) -> str:
    """Return what stands below a command's options."""
    return "\n\n".join(["Examples:", *lines])


app = typer.Typer(
    cls=InOrder,
    help="Deep learning on fibre-optic recordings, on one core or a cluster.",
    epilog=examples(
        "dasdist synth /scratch/fibre --hours 2",
        "dasdist index /scratch/fibre -o fibre.nc",
        "dasdist plan fibre.nc --model demo",
        "dasdist classify fibre.nc --model demo -o picks.parquet --workers 4",
        "dasdist status picks.parquet",
        "Exit codes: 0 all done, 1 bad usage or input, 2 finished with failed blocks or stopped "
        "for too many of them, or (verify) found damage, 130 interrupted.",
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        import dasdist

        typer.echo(f"dasdist {dasdist.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""
    # processes that a command starts import nothing from the folder that it runs in: data lie there
    os.environ.setdefault("PYTHONSAFEPATH", "1")
