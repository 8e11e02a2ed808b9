"""Two ways to find earthquakes among picks, on the same hours with truth.

The first is `dasdist.events`.  The other is what one writes first: P and S of a channel name an
origin time, these make a histogram, and three picks at a time of each peak define a parabola of
squared travel times, of which the one is taken that most picks lie near (RANSAC: Fischler and
Bolles 1981, https://doi.org/10.1145/358669.358692).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from dasdist.events import detect
from tests.benchmarks.harness import Contest, benchmark
from tests.pick_archive import START, pick_archive

RATIO = 1.73
BIN, NEAR, LEAST = 0.5, 0.3, 100  # seconds, seconds, channels
TRIALS = 200

Result = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # event of each pick; origin of each


def by_curves(picks: pd.DataFrame) -> Result:
    """Find events with the package."""
    found = detect(picks)
    origins = (found.events["time"].to_numpy() - START) / np.timedelta64(1, "s")
    return found.picks["event"].to_numpy(), origins


def by_histogram(picks: pd.DataFrame) -> Result:
    """Find events by a histogram of origin times, and RANSAC."""
    rng = np.random.default_rng(0)
    time = (picks["time"].to_numpy() - START) / np.timedelta64(1, "s")
    along, channel = picks["distance"].to_numpy(), picks["channel_index"].to_numpy()
    is_p = (picks["phase"] == "P").to_numpy()
    event, origins = np.full(time.size, -1), []
    for start in np.arange(0, time.max() + 1, 120.0):
        low, high = np.searchsorted(time, [start, start + 180])
        spent: set[int] = set()
        while True:
            rows = np.arange(low, high)[event[low:high] < 0]
            votes, p, s = paired(rows, time, channel, is_p)
            counts = np.bincount(((votes - start + 60) / BIN).astype(int)) if votes.size else []
            peaks = [b for b in np.argsort(counts)[::-1] if b not in spent]
            if not peaks or counts[peaks[0]] < LEAST / 3:
                break
            spent.add(peaks[0])
            inside = ((votes - start + 60) / BIN).astype(int) == peaks[0]
            found = agreed(rng, rows, time, along, is_p, votes[inside], p[inside], s[inside])
            if found is None or np.unique(channel[found[1]]).size < LEAST:
                continue
            if time[found[1]].min() < start + 120:
                event[found[1]] = len(origins)
                origins.append(found[0])
    return event, np.array(origins)


def paired(rows: Any, time: Any, channel: Any, is_p: Any) -> Any:
    """Return the origin times of all pairs on a channel, and their picks."""
    table = pd.DataFrame({"channel": channel[rows], "row": rows})
    both = table[is_p[rows]].merge(table[~is_p[rows]], on="channel", suffixes=("_p", "_s"))
    p, s = both["row_p"].to_numpy(), both["row_s"].to_numpy()
    apart = time[s] - time[p]
    kept = (apart > 0.2) & (apart < 20)
    p, s = p[kept], s[kept]
    return time[p] - apart[kept] / (RATIO - 1), p, s


def agreed(
    rng: Any, rows: Any, time: Any, along: Any, is_p: Any, votes: Any, p: Any, s: Any
) -> tuple[float, Any] | None:
    """Return the origin time and the picks of the parabola that most picks lie near."""
    origin = float(np.median(votes))
    travel = np.where(is_p[rows], 1, 1 / RATIO) * (time[rows] - origin)
    x, from_p = along[rows] / 1000, np.unique(p)
    best = np.zeros(rows.size, dtype=bool)
    for _ in range(TRIALS):
        three = rng.choice(from_p, 3, replace=False) if from_p.size > 3 else from_p
        if np.unique(along[three]).size < 3:
            continue
        parabola = np.polyfit(along[three] / 1000, (time[three] - origin) ** 2, 2)
        expected = np.sqrt(np.maximum(np.polyval(parabola, x), 1e-4))
        near = (travel > 0) & (np.abs(travel - expected) <= NEAR)
        if near.sum() > best.sum():
            best = near
    return (origin, rows[best]) if best.any() else None


def quality(archive: Any, result: Result) -> dict[str, float]:
    """Return recall, precision and origins of what was found, against the truth."""
    event, origins = result
    truth = archive.picks["truth"].to_numpy()
    times = (archive.quakes["time"].to_numpy() - START) / np.timedelta64(1, "s")
    match: dict[int, int] = {}
    for number in range(len(origins)):
        mine = truth[(event == number) & (truth >= 0)]
        if mine.size > np.sum(event == number) / 2:
            match.setdefault(int(np.bincount(mine).argmax()), number)
    shown = np.flatnonzero(archive.quakes["shown"] >= 0.3)
    off = [abs(origins[match[i]] - times[i]) for i in shown if i in match]
    return {
        "recall": float(np.mean([i in match for i in shown])),
        "precision": len(match) / max(1, len(origins)),
        "origin, median s": float(np.median(off)) if off else np.nan,
        "true picks in events": float(np.mean(event[np.isin(truth, shown)] >= 0)),
        "false picks outside": float(np.mean(event[truth < 0] < 0)),
    }


@benchmark("events")
def events(quick: bool) -> Iterator[Contest]:
    """Find earthquakes among hours of picks: seconds, and how well."""
    archive = pick_archive(0.5 if quick else 6.0, seed=11)
    picks = archive.picks.drop(columns="truth")
    sides = {"events": lambda: by_curves(picks), "histogram": lambda: by_histogram(picks)}
    told = {
        f"{side}: {name}": value
        for side, find in sides.items()
        for name, value in quality(archive, find()).items()
    }
    yield Contest(
        sides, lambda a, b: None, {"picks": len(picks)}, turns=3, facts=lambda seconds: told
    )
