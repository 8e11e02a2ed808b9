"""The demo as functions: make an archive, pick it on a cluster, compare with the truth."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xdas

import dasdist
from dasdist.synthetic.section import write_archive

if TYPE_CHECKING:
    from distributed import Client

Counting = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

TOLERANCE = 0.5  # s
MIN_SNR = 4.0


@dataclass(frozen=True)
class Score:
    """Picks compared with the true arrivals.

    Parameters
    ----------
    events : DataFrame
        A row per event and phase: ``event``, ``phase``, ``time`` (first true arrival),
        ``channels`` (that should have a pick: the signal is strong enough), ``found`` (that
        have one) and ``error`` (median absolute time difference in seconds).
    false_picks : DataFrame
        The picks that are near no true arrival of their phase, however weak.
    """

    events: pd.DataFrame
    false_picks: pd.DataFrame

    def recall(self, phase: str | None = None) -> float:
        """Share of the expected arrivals with a pick, of one phase or of all; NaN of none."""
        events = self.events if phase is None else self.events[self.events["phase"] == phase]
        expected = int(events["channels"].sum())
        return float(events["found"].sum()) / expected if expected else float("nan")


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


def score(
    picks: pd.DataFrame,
    truth: pd.DataFrame,
    tolerance: float = TOLERANCE,
    *,
    min_snr: float = MIN_SNR,
) -> Score:
    """Compare picks with true arrivals, channel by channel.

    Parameters
    ----------
    picks : DataFrame
        With ``time``, ``channel_index`` and ``phase``.
    truth : DataFrame
        With ``event``, ``time``, ``channel``, ``phase`` and ``snr``.
    tolerance : float
        Largest time difference of a match, in seconds.
    min_snr : float
        Signal-to-noise ratio from which an arrival is expected to be found.

    Examples
    --------
    >>> time = pd.to_datetime(["2025-06-01T00:00:10.0"])
    >>> truth = pd.DataFrame({"event": 0, "time": time, "channel": 3, "phase": "P", "snr": 9.0})
    >>> late = time + pd.Timedelta("100ms")
    >>> picks = pd.DataFrame({"time": late, "channel_index": 3, "phase": "P"})
    >>> score(picks, truth).recall()
    1.0
    """
    found = _times(picks.rename(columns={"channel_index": "channel"}))
    known = _times(truth)
    options: dict[str, Any] = {
        "on": "time",
        "by": ["phase", "channel"],
        "direction": "nearest",
        "tolerance": pd.Timedelta(tolerance, "s"),
    }
    nearest = found[["time", "phase", "channel"]].assign(picked=found["time"])
    matched = pd.merge_asof(known, nearest, **options)
    matched = matched.assign(off=(matched["picked"] - matched["time"]).abs().dt.total_seconds())
    rows = []
    for (event, phase), arrivals in matched.groupby(["event", "phase"]):
        expected = arrivals[arrivals["snr"] >= min_snr]
        rows.append(
            {
                "event": int(event),
                "phase": str(phase),
                "time": arrivals["time"].min(),
                "channels": len(expected),
                "found": int(expected["picked"].notna().sum()),
                "error": float(expected["off"].median()) if len(expected) else np.nan,
            }
        )
    arrivals = known[["time", "phase", "channel"]].assign(true=known["time"])
    explained = pd.merge_asof(found, arrivals, **options)["true"].notna()
    columns = ["event", "phase", "time", "channels", "found", "error"]
    return Score(
        pd.DataFrame(rows, columns=columns), found[~explained.to_numpy()].reset_index(drop=True)
    )


def _times(table: pd.DataFrame) -> pd.DataFrame:
    """Sort by time, with the column types that a join asks for."""
    table = table.assign(
        time=table["time"].astype("datetime64[ns]"),
        phase=table["phase"].astype(str),
        channel=table["channel"].astype("int64"),
    )
    return table.sort_values("time", ignore_index=True)


def draw_picture(data: Any, picks: pd.DataFrame, truth: pd.DataFrame, path: Path) -> None:
    """Draw the whole archive above a clear and a middling earthquake, and save it as a PNG."""
    from matplotlib.figure import Figure

    from dasdist.plotting import waterfall

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
        waterfall(near, picks, ax=ax, clip=95.0, title=f"Earthquake {event}")
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
