"""``dasdist doctor``: what is to be fixed before a run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dasdist.cli import options as opt
from dasdist.cli.application import app, examples
from dasdist.cli.compute import computing
from dasdist.cli.groups import Queue, Where, grouped
from dasdist.cli.voice import Voice, speaking
from dasdist.errors import DasdistError, InvalidInput
from dasdist.safe_text import shown

if TYPE_CHECKING:
    from rich.table import Table

    from dasdist.doctor import Finding

__all__ = ["doctor"]

COLOURS = {"ok": "green", "warning": "yellow", "wrong": "bold red", "not checked": "dim"}


@app.command(
    epilog=examples(
        "dasdist doctor",
        "dasdist doctor --workers 2 --folder /scratch/ana",
        "dasdist doctor --scheduler scheduler.json --folder /scratch/ana --json",
        "dasdist doctor --cluster slurm --jobs 4 --gpus-per-job 4 --partition gpu --walltime "
        "00:10:00 --folder /scratch/ana",
        "Exit codes: 0 nothing is wrong, 1 something is.",
    )
)
@grouped
def doctor(
    folder: Annotated[
        Path, typer.Option(help="Folder for outputs, on a file system that all nodes share.")
    ] = Path(),
    start: Annotated[
        bool,
        typer.Option(
            "--start/--no-start", help="Start the jobs, or only check what they would ask for."
        ),
    ] = True,
    wait: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait for workers.")
    ] = 300.0,
    *,
    where: Where,
    queue: Queue,
    quiet: opt.Quiet = False,
    as_json: opt.Json = False,
) -> None:
    """Check this machine, a queue, a cluster and their shared folder, and say what to fix.

    It removes its own jobs and files.
    """
    with speaking("doctor", quiet=quiet, as_json=as_json) as voice:
        queue.check()
        where.check(queued=queue.cluster is not None)
        if queue.adapt is not None:
            raise InvalidInput(
                "--adapt starts jobs when there is work, and a check has none; use --jobs."
            )
        found: list[Finding] = []
        with voice.err.status("Checking") if voice.err.is_terminal else nullcontext():
            for finding in _all_findings(voice, folder, wait, where, queue, start=start):
                found.append(finding)
                voice.event(
                    "finding",
                    check=finding.name,
                    state=finding.state,
                    fact=finding.fact,
                    remedy=finding.remedy,
                )
        _show(voice, found)
        counts = Counter[str](finding.state for finding in found)
        voice.fact(**{state.replace(" ", "_"): counts[state] for state in COLOURS})
        if counts["wrong"]:
            voice.end(1)


def _all_findings(
    voice: Voice, folder: Path, wait: float, where: Where, queue: Queue, *, start: bool
) -> Iterator["Finding"]:
    from dasdist.doctor import Finding, findings_here, findings_of_cluster

    bad = False
    for finding in findings_here(queue.arguments(where.memory) if queue.cluster else None):
        bad = bad or finding.state == "wrong"
        yield finding
    if queue.cluster is not None and (bad or not start):
        reason = "Fix the above first." if bad else "Jobs were not started (--no-start)."
        yield Finding("Cluster", "not checked", reason)
        yield from findings_of_cluster(None, folder, wait)
        return
    hint = f"squeue --me, sinfo -R, and the logs of the {queue.cluster} jobs say why."
    try:
        with computing(voice, where, queue) as client:
            yield from findings_of_cluster(client, folder, wait, hint if queue.cluster else "")
    except DasdistError as error:
        yield Finding("Cluster", "wrong", str(error), "Fix this, and check again.")


def _show(voice: Voice, found: Iterable["Finding"]) -> None:
    """Show a table of what was found; if it is to be quiet, of what should not be so."""
    if voice.as_json:
        return
    shown = [f for f in found if not voice.quiet or f.state in ("warning", "wrong")]
    if shown:
        console = voice.err if voice.quiet else voice.out
        console.print(finding_table(shown), soft_wrap=False)


def finding_table(found: Iterable["Finding"]) -> "Table":
    """Lay findings out, one a row, with the remedy below the fact."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    table.add_column("check", min_width=12)
    table.add_column("state", min_width=7)
    table.add_column("finding, and what to do", overflow="fold")
    for finding in found:
        told = Text(shown(finding.fact))
        if finding.remedy:
            told.append(f"\n{shown(finding.remedy)}", style="bold")
        state = Text(finding.state, style=COLOURS[finding.state])
        table.add_row(Text(finding.name), state, told)
    return table
