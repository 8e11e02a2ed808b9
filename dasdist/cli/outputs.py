"""``dasdist status`` and ``verify``: how complete an output is, and whether it is undamaged."""

from typing import Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.voice import speaking

__all__ = ["status", "verify"]


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


@app.command(
    epilog=examples("dasdist verify picks.parquet", "dasdist verify prob.zarr --json"),
)
def verify(
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="The output of a run, what was given as -o.")
    ],
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Read all of an output again; what is damaged is marked, for the same command to do again."""
    with speaking("verify", quiet=quiet, as_json=as_json) as voice:
        import dasdist

        with voice.counting("MB") as count:
            found = dasdist.verify(
                out, progress=lambda done, total: count(done // 10**6, total // 10**6)
            )
        voice.event("verified", **found.to_dict())
        if found.intact:
            voice.say(found)
        else:
            voice.wrong(found)
            voice.end(2)
