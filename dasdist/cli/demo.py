"""``dasdist demo``: from nothing to a picture of picks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dasdist.cli.application import app, examples
from dasdist.cli.beforehand import check_folder
from dasdist.cli.compute import local
from dasdist.cli.voice import speaking
from dasdist.units import count_of

if TYPE_CHECKING:
    from rich.table import Table

    from dasdist.comparison.truth import Score

__all__ = ["demo", "score_table"]


@app.command(epilog=examples("dasdist demo --minutes 5 --out /tmp/dasdist-demo"))
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path(
        "dasdist-demo"
    ),
    minutes: Annotated[float, typer.Option(min=1.0, help="Length of the archive.")] = 10.0,
    channels: Annotated[int, typer.Option(min=2, help="Number of channels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other earthquakes.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes of the local cluster.")] = 2,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Smallest confidence of a pick.")
    ] = 0.3,
) -> None:
    """Make a synthetic archive, pick it on a local cluster and compare with the truth."""
    with speaking("demo") as voice:
        check_folder(out)
        voice.say(
            f"Making {minutes:g} minutes of a synthetic recording in {out}, picking it with worker "
            f"processes ({workers}), and comparing the picks with the true arrivals.\n"
            "Loading libraries and starting the workers takes some seconds ..."
        )
        from dasdist.comparison.truth import TOLERANCE
        from dasdist.demo.run import run_demo

        with local(voice, workers, threads=1, memory="auto") as client:
            result = run_demo(
                out,
                minutes=minutes,
                channels=channels,
                seed=seed,
                threshold=threshold,
                client=client,
                say=voice.say,
                counting=voice.counting,
                pbar=voice.view(),
            )
        voice.say(f"\n{count_of(len(result.picks), 'pick')}, the first of them:")
        voice.say(result.picks.head(5).to_string(index=False))
        voice.out.print(score_table(result.score))
        voice.say(
            f"False picks: {len(result.score.false_picks):,} of {len(result.picks):,} (more than "
            f"{TOLERANCE:g} s from every true arrival of their phase on their channel)"
        )
        voice.say("Seconds: " + ", ".join(f"{step} {s:.1f}" for step, s in result.seconds.items()))
        voice.say(f"Pick table: {result.picks_file}\nPicture:    {result.picture}")


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
