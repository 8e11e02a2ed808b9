"""Two tables of picks at a matched budget: what both have, and what only one has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.comparison.tables import Between, columns_of, known_as, paired, spread_of
from dasdist.errors import InvalidInput
from dasdist.safe_text import one_line, shown

__all__ = ["Comparison", "compare"]

_MOST_BINS = 100
_STEPS = (1, 2, 5)
_TIMES = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86_400  # s


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Comparison:
    """How far two tables of picks agree.

    Parameters
    ----------
    names : tuple of (str, str)
        What the two are called.
    tolerance : float
        Largest time difference of a pair, in seconds.
    phases : DataFrame
        A row per phase: ``of_a`` and ``of_b`` (picks there are), ``threshold_a`` and
        ``threshold_b`` (least confidence of those that are compared), ``a`` and ``b`` (picks that
        are compared), ``both``, ``only_a``, ``only_b``, ``agreement`` (both over all different
        picks), ``median`` and ``spread`` (of b minus a, in seconds; the latter is 1.4826 times the
        median absolute deviation).
    by_time : DataFrame
        A row per phase and stretch of time that has picks: ``phase``, ``time`` (its start),
        ``both`` (counted where a's pick is), ``only_a``, ``only_b``.
    by_distance : DataFrame
        Likewise along the fibre, with ``distance`` (start of the stretch, in metres) if both tables
        have it, else ``channel``.
    picks : tuple of (DataFrame, DataFrame)
        The picks of a and of b that are compared.
    only_a, only_b : DataFrame
        Those that the other lacks: ``time``, ``channel``, ``phase``, and what else there was.
    """

    names: tuple[str, str]
    tolerance: float
    phases: pd.DataFrame
    by_time: pd.DataFrame
    by_distance: pd.DataFrame
    picks: tuple[pd.DataFrame, pd.DataFrame]
    only_a: pd.DataFrame
    only_b: pd.DataFrame

    def to_dict(self) -> dict[str, Any]:
        """Return all but single picks as plain JSON."""
        tables = {name: getattr(self, name) for name in ("phases", "by_time", "by_distance")}
        return {
            "a": self.names[0],
            "b": self.names[1],
            "tolerance": self.tolerance,
            **{name: rows_of(table) for name, table in tables.items()},
        }

    def __repr__(self) -> str:
        text = self.phases.to_string(
            index=False,
            na_rep="-",
            formatters={
                **dict.fromkeys(("threshold_a", "threshold_b"), "{:.3f}".format),
                "agreement": "{:.1%}".format,
                **dict.fromkeys(("median", "spread"), "{:+.3f} s".format),
            },
        )
        a, b = map(one_line, self.names)
        return shown(
            f"a: {a}\nb: {b}\n{text}\nPairs are of one channel and phase, within "
            f"{self.tolerance:g} s, one to one; median and spread are of b - a."
        )


def compare(
    a: Any,
    b: Any,
    *,
    tolerance: float = 0.5,
    budget: int | Literal["smaller", "all"] = "smaller",
    between: Between = None,
) -> Comparison:
    """Compare two tables of picks of the same recording, of two runs or two models.

    Confidences of two models are not on one scale: at the same threshold the one that picks more
    seems to find more.  So the thresholds are moved, phase by phase, until both have as many picks.

    Parameters
    ----------
    a, b : path, DataFrame, or what `classify` returned
        Picks, with ``time``, ``channel_index``, ``phase`` and ``confidence``; a path is that of a
        run's output, a Parquet file or a CSV file.
    tolerance : float
        Largest time difference of a pair, in seconds.
    budget : int, "smaller" or "all"
        How many picks of each phase to keep of each table, the most confident ones: a number; as
        many as the one with fewer has; or all, with thresholds as they were.  Picks as confident as
        the last one kept stay as well, since no threshold parts them.  A phase that one of the
        two lacks is left as it is.
    between : (time, time), optional
        Compare picks from one time on and before another, in UTC; None for the first or the last.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidInput, UnreadableData
        If a table is none of picks, or cannot be read.

    Notes
    -----
    Picks pair within their channel and phase, one to one: as many pairs as possible, and of all
    ways to have that many one with the least sum of time differences.  Channels are told apart by
    their index in the recording, so both runs must have had the same channels.

    All picks are held in memory: 3 GB for two tables of 10 million each.

    Examples
    --------
    >>> time = pd.to_datetime(["2025-06-01T00:00:10.0", "2025-06-01T00:00:20.0"])
    >>> a = pd.DataFrame({"time": time, "channel_index": 3, "phase": "P", "confidence": [0.9, 0.4]})
    >>> b = a.assign(time=time + pd.to_timedelta([0.1, 3.0], unit="s"))
    >>> found = compare(a, b)
    >>> found.phases[["both", "only_a", "only_b"]].to_dict("records")
    [{'both': 1, 'only_a': 1, 'only_b': 1}]
    """
    names = (known_as(a, "a"), known_as(b, "b"))
    tables = (columns_of(a, "a", between), columns_of(b, "b", between))
    rows = []
    for phase in sorted({phase for table in tables for phase in table["phase"].unique()}):
        of_a, of_b = (table[table["phase"] == phase] for table in tables)
        row = {"phase": phase, "of_a": len(of_a), "of_b": len(of_b)}
        row["threshold_a"] = _threshold(of_a, len(of_b), budget, names[0])
        row["threshold_b"] = _threshold(of_b, len(of_a), budget, names[1])
        rows.append(row)
    kept = [
        _above(table, {row["phase"]: row[f"threshold_{side}"] for row in rows})
        for side, table in zip("ab", tables, strict=True)
    ]
    return _compared(names, tolerance, rows, kept)


def _threshold(part: pd.DataFrame, others: int, budget: int | str, name: str) -> float:
    """Return the highest confidence from which at least the budget of picks remains; or NaN."""
    if isinstance(budget, str) and budget not in ("smaller", "all"):
        raise InvalidInput(f"budget={budget!r} is neither a number, nor 'smaller', nor 'all'.")
    if budget == "all" or not others:
        return _least(part)
    most = others if isinstance(budget, str) else budget
    if most < 1:
        raise InvalidInput(f"A budget of {most} leaves no picks; give at least 1.")
    if len(part) <= most:
        return _least(part)
    if "confidence" not in part:
        raise InvalidInput(
            f"{name} has no column confidence, by which to choose the {most:,} best of its "
            f"{len(part):,} picks. Compare all of them: --budget all (budget='all')."
        )
    confidence = part["confidence"].to_numpy()
    return float(np.partition(confidence, len(part) - most)[len(part) - most])


def _least(part: pd.DataFrame) -> float:
    return float(part["confidence"].min()) if "confidence" in part and len(part) else float("nan")


def _above(table: pd.DataFrame, thresholds: dict[str, float]) -> pd.DataFrame:
    """Return the picks that reach the threshold of their phase; all, where there is none."""
    if "confidence" not in table:
        return table
    phases = table["phase"].cat
    of_phase = np.array([thresholds.get(p, np.nan) for p in phases.categories], dtype=np.float64)
    least = of_phase[phases.codes] if len(table) else of_phase[:0]
    return table[~(table["confidence"].to_numpy() < least)].reset_index(drop=True)


def _compared(
    names: tuple[str, str],
    tolerance: float,
    rows: list[dict[str, Any]],
    tables: Sequence[pd.DataFrame],
) -> Comparison:
    a, b = tables
    with_a, with_b = paired(a, b, tolerance)
    off = (b["time"].to_numpy()[with_b] - a["time"].to_numpy()[with_a]) / np.timedelta64(1, "s")
    both = a.iloc[with_a]
    only_a, only_b = _others(a, with_a), _others(b, with_b)
    for row in rows:
        phase = row["phase"]
        of_phase = (both["phase"] == phase).to_numpy()
        counts = {
            "both": int(of_phase.sum()),
            "only_a": int((only_a["phase"] == phase).sum()),
            "only_b": int((only_b["phase"] == phase).sum()),
        }
        middle, spread = spread_of(off[of_phase])
        row.update(
            a=counts["both"] + counts["only_a"],
            b=counts["both"] + counts["only_b"],
            **counts,
            agreement=counts["both"] / max(1, sum(counts.values())),
            median=middle,
            spread=spread,
        )
    columns = ["phase", "of_a", "of_b", "threshold_a", "threshold_b", "a", "b"]
    columns += ["both", "only_a", "only_b", "agreement", "median", "spread"]
    parts = {"both": both, "only_a": only_a, "only_b": only_b}
    where = "distance" if all("distance" in table for table in tables) else "channel"
    return Comparison(
        names,
        tolerance,
        pd.DataFrame(rows, columns=columns),
        _binned(parts, "time", _time_step),
        _binned(parts, where, _step),
        (a, b),
        only_a,
        only_b,
    )


def _others(table: pd.DataFrame, paired: NDArray[np.intp]) -> pd.DataFrame:
    alone = np.ones(len(table), dtype=np.bool_)
    alone[paired] = False
    return table[alone].reset_index(drop=True)


def _binned(parts: dict[str, pd.DataFrame], column: str, step_of: Any) -> pd.DataFrame:
    """Count the rows of each part by phase and by equal stretches of a column."""
    values = pd.concat([part[column] for part in parts.values()])
    step = step_of(values.max() - values.min()) if len(values) else 1
    counts = {}
    for name, part in parts.items():
        whole = part[column].to_numpy()
        if column == "time":
            starts = whole.astype(np.int64) // (step * 10**9) * (step * 10**9)
            starts = starts.astype("datetime64[ns]")
        else:
            starts = np.floor(whole / step) * step
        keys = [part["phase"].astype(str).to_numpy(), starts]
        counts[name] = (
            pd.Series(1, index=pd.MultiIndex.from_arrays(keys)).groupby(level=[0, 1]).size()
        )
    found = pd.DataFrame(counts).fillna(0).astype("int64")
    return found.rename_axis(["phase", column]).reset_index()


def _time_step(extent: Any) -> int:
    """Return seconds such that there are a hundred stretches at the most."""
    seconds = extent / pd.Timedelta(1, "s")
    for step in _TIMES:
        if seconds / step < _MOST_BINS:
            return step
    return _DAY * int(_step(seconds / _DAY))


def _step(extent: float) -> float:
    """Return 1, 2 or 5 times a power of ten such that there are a hundred stretches at the most."""
    power = 1.0
    while extent / power >= _MOST_BINS:
        for factor in _STEPS:
            if extent / (factor * power) < _MOST_BINS:
                return factor * power
        power *= 10
    return power


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows as plain JSON, with null where there is no number."""
    return [
        {
            name: None if value is None or value != value else _plain(value)
            for name, value in row.items()
        }
        for row in table.astype(object).to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value
