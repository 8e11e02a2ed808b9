"""``dasdist demo``: from nothing to a picture of picks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dasdist.cli.application import app, examples

if TYPE_CHECKING:
    from rich.table import Table

    from dasdist.demo.run import Score

__all__ = ["demo", "score_table"]


@app.command(epilog=examples("dasdist demo --minutes 5 --out /tmp/dasdist-demo"))
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path(
        "dasdist-demo"
    ),
    minutes: Annotated[float, typer.Option(min=1.0, help="Length of the archive.")] = 10.0,
    channels: Annotated[int, typer.Option(min=2, help="Channels of the fibre.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other earthquakes.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the local cluster.")] = 2,
    threshold: Annotated[float, typer.Option(min=0.0, max=1.0, help="Confidence of a pick.")] = 0.3,
) -> None:
    """Make a synthetic archive, pick it on a local cluster and compare with the truth."""
    from rich.console import Console

    from dasdist.cluster.local import local_client
    from dasdist.demo.run import run_demo

    console = Console(highlight=False, soft_wrap=True)

    def say(message: object) -> None:
        console.print(str(message), markup=False)

    with local_client(workers) as client:
        if client.dashboard_link.startswith("http"):
            say(f"Dashboard of the cluster: {client.dashboard_link}")
        result = run_demo(
            out,
            minutes=minutes,
            channels=channels,
            seed=seed,
            threshold=threshold,
            client=client,
            say=say,
        )
    say(f"\n{len(result.picks)} picks, the first of them:")
    say(result.picks.head(5).to_string(index=False))
    console.print(score_table(result.score))
    say(f"False picks: {len(result.score.false_picks)} of {len(result.picks)}")
    say("Seconds: " + ", ".join(f"{step} {s:.1f}" for step, s in result.seconds.items()))
    say(f"Pick table: {result.picks_file}\nPicture:    {result.picture}")


def score_table(score: "Score") -> "Table":
    """Lay out a demo's score, one row an earthquake."""
    from rich.table import Table

    table = Table(title="Found / expected channels, median time error")
    for column in ("event", "first arrival", "P", "P error", "S", "S error"):
        table.add_column(column, justify="right")
    for event, phases in score.events.groupby("event"):
        cells = [str(event), f"{phases['time'].min():%H:%M:%S}"]
        by_phase = phases.set_index("phase")
        for phase in ("P", "S"):
            if phase not in by_phase.index or not by_phase.loc[phase, "channels"]:
                cells += ["too weak", ""]
                continue
            row = by_phase.loc[phase]
            error = f"{1000 * row['error']:.0f} ms" if row["found"] else ""
            cells += [f"{row['found']} / {row['channels']}", error]
        table.add_row(*cells)
    return table
