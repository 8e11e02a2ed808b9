"""The demo as functions: make an archive, pick it on a cluster, compare with the truth."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import xdas

import dasdist
from dasdist.comparison.truth import Score, score
from dasdist.synthetic.section import write_archive

if TYPE_CHECKING:
    from distributed import Client

Counting = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True)
class DemoResult:
    """What a run of the demo leaves.

    Parameters
    ----------
    folder, archive, picks_file, picture : Path
        Where it is: the folder of all, the archive's, the pick table and the waterfall.
    picks, truth : DataFrame
        The picks, and the true arrivals as `write_archive` returns them.
    score : Score
        The former against the latter.
    seconds : dict of str to float
        Wall time of each step.
    """

    folder: Path
    archive: Path
    picks_file: Path
    picture: Path
    picks: pd.DataFrame
    truth: pd.DataFrame
    score: Score
    seconds: dict[str, float]


def draw_picture(data: Any, picks: pd.DataFrame, truth: pd.DataFrame, path: Path) -> None:
    """Draw the whole archive above a clear and a middling earthquake, and save it as a PNG."""
    from matplotlib.figure import Figure

    from dasdist.plot import waterfall

    figure = Figure(figsize=(12, 8.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.1))
    whole = figure.add_subplot(grid[0, :])
    waterfall(data, picks, ax=whole, title="The archive and its picks")
    onsets = truth[truth["phase"] == "P"].groupby("event")
    ranked = onsets["snr"].median().sort_values(ascending=False).index
    shown = sorted({*ranked[:1], *ranked[len(ranked) // 2 :][:1]})
    for column, event in enumerate(shown):
        times = truth.loc[truth["event"] == event, "time"]
        start = times.min() - pd.Timedelta("1.5s")
        stop = times.max() + pd.Timedelta("3s")
        near = data.sel(time=slice(start.to_datetime64(), stop.to_datetime64()))
        ax = figure.add_subplot(grid[1, column])
        true = truth[truth["event"] == event]
        waterfall(near, picks, truth=true, ax=ax, clip=95.0, title=f"Earthquake {event}")
    figure.savefig(path, dpi=110)


@contextmanager
def silently(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show nothing of how many of some things are done."""
    yield lambda done, total: None


def run_demo(
    folder: str | Path,
    *,
    minutes: float = 10.0,
    channels: int = 128,
    seed: int = 0,
    threshold: float = 0.3,
    client: "Client | None" = None,
    say: Callable[[object], None] = print,
    counting: Counting = silently,
    pbar: object = False,
) -> DemoResult:
    """Make an archive, pick it with the demo's picker, score the picks, draw them.

    Parameters
    ----------
    folder : path
        Receives ``archive-…/``, ``picks.parquet`` and ``waterfall.png``.
    minutes, channels, seed
        Of the archive, see `write_archive`.
    threshold : float
        Confidence from which a peak is a pick.
    client : distributed.Client, optional
        Where to compute; by default in this process.
    say : callable
        Is told what happens, step by step; receives the plan itself, too.
    counting : callable
        Takes a unit, ``"files"``, and returns a context that shows how many of them are written:
        its value is called with the number of those that are done and of all.
    pbar : bool or ProgressView
        Shows how far the picking is, as for `dasdist.classify`.
    """
    folder = Path(folder)
    archive = folder / f"archive-{seed}-{minutes:g}min-{channels}ch"
    clock: dict[str, float] = {}

    say(f"Writing {minutes:g} minutes of {channels} channels to {archive}")
    with timed(clock, "archive"), counting("files") as count:
        truth = write_archive(
            archive, seed=seed, minutes=minutes, channels=channels, progress=count
        )

    with timed(clock, "plan"):
        data = xdas.open_mfdataarray(f"{archive}/*.nc", engine="xdas", vtype="tiles")
        model = dasdist.from_pretrained("demo")
        say(dasdist.plan(model, data, client=client, thresholds=threshold))

    with timed(clock, "classify"):
        result = dasdist.classify(model, data, client=client, thresholds=threshold, pbar=pbar)
    picks: pd.DataFrame = result.picks
    say(result.report)

    with timed(clock, "picture"):
        found = score(picks, truth)
        picks_file, picture = folder / "picks.parquet", folder / "waterfall.png"
        picks.to_parquet(picks_file)
        draw_picture(data, picks, truth, picture)
    return DemoResult(folder, archive, picks_file, picture, picks, truth, found, clock)


@contextmanager
def timed(clock: dict[str, float], step: str) -> Iterator[None]:
    """Put the wall time of a with-block into `clock`."""
    begin = perf_counter()
    yield
    clock[step] = perf_counter() - begin
