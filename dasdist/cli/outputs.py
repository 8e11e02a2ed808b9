"""``dasdist status``: how complete an output is."""

from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.voice import speaking

__all__ = ["status"]


@app.command(
    epilog=examples("dasdist status picks.parquet", "dasdist status prob.zarr --json"),
)
def status(
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="The output of a run, what was given as -o.")
    ],
    as_json: opt.Json = False,
) -> None:
    """Show how complete an output is, during a run or after it stopped."""
    with speaking("status", as_json=as_json) as voice:
        import dasdist

        found = dasdist.status(out)
        voice.event("status", **found.to_dict())
        voice.say(found)
