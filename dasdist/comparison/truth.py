"""Picks against a table of true arrivals: an analyst's, or those of a synthetic archive."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.comparison.agreement import rows_of
from dasdist.comparison.tables import Between, columns_of, known_as, paired, spread_of
from dasdist.safe_text import one_line, shown

__all__ = ["MIN_SNR", "TOLERANCE", "Score", "score"]

TOLERANCE = 0.5  # s
MIN_SNR = 4.0
_SNR_EDGES = np.array([0.0, 1, 2, 4, 8, 16, 32, 64, np.inf])


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Score:
    """Picks compared with the true arrivals.

    Parameters
    ----------
    name : str
        What the picks are called.
    tolerance : float
        Largest time difference of a pick and its arrival, in seconds.
    min_snr : float
        Signal-to-noise ratio from which an arrival is expected to be found.
    phases : DataFrame
        A row per phase: ``arrivals`` (that are expected), ``found`` (of these), ``recall``,
        ``picks``, ``false_picks``, ``precision`` (picks that are not false over all), ``median``
        and ``spread`` (of pick minus arrival, in seconds, over those that are expected; the latter
        is 1.4826 times the median absolute deviation).
    by_snr : DataFrame
        The same of all arrivals, weak ones as well, by their signal-to-noise ratio: ``phase``,
        ``snr`` (from here to twice as much), ``arrivals``, ``found``, ``recall``, ``median``,
        ``spread``.  Without rows if the truth has no ``snr``.
    events : DataFrame
        A row per event and phase: ``event``, ``phase``, ``time`` (first true arrival),
        ``channels`` (that should have a pick: the signal is strong enough), ``found`` (that
        have one) and ``error`` (median absolute time difference in seconds).  Without rows if the
        truth has no ``event``.
    pairs : DataFrame
        The arrivals that have a pick, with ``residual``, pick minus arrival in seconds.
    missed : DataFrame
        The arrivals that are expected and have no pick.
    false_picks : DataFrame
        The picks that belong to no true arrival of their phase, however weak.
    """

    name: str
    tolerance: float
    min_snr: float
    phases: pd.DataFrame
    by_snr: pd.DataFrame
    events: pd.DataFrame
    pairs: pd.DataFrame
    missed: pd.DataFrame
    false_picks: pd.DataFrame

    def recall(self, phase: str | None = None) -> float:
        """Share of the expected arrivals with a pick, of one phase or of all; NaN of none."""
        return self._share("found", "arrivals", phase)

    def precision(self, phase: str | None = None) -> float:
        """Share of the picks that belong to an arrival, of one phase or of all; NaN of none."""
        return 1 - self._share("false_picks", "picks", phase)

    def _share(self, part: str, whole: str, phase: str | None) -> float:
        rows = self.phases if phase is None else self.phases[self.phases["phase"] == phase]
        expected = int(rows[whole].sum())
        return float(rows[part].sum()) / expected if expected else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return all but single picks and arrivals as plain JSON."""
        return {
            "picks": self.name,
            "tolerance": self.tolerance,
            "min_snr": self.min_snr,
            **{name: rows_of(getattr(self, name)) for name in ("phases", "by_snr", "events")},
        }

    def __repr__(self) -> str:
        formats = {
            **dict.fromkeys(("recall", "precision"), "{:.1%}".format),
            **dict.fromkeys(("median", "spread"), "{:+.3f} s".format),
        }
        text = [f"{one_line(self.name)}", self.phases.to_string(index=False, formatters=formats)]
        if len(self.by_snr):
            text += ["", self.by_snr.to_string(index=False, formatters=formats)]
        text.append(
            f"Picks and arrivals belong together within {self.tolerance:g} s on their channel, "
            "one to one."
            + f" Arrivals below a signal-to-noise ratio of {self.min_snr:g} are not expected, and "
            "picks of them are not false." * bool(len(self.by_snr))
        )
        return shown("\n".join(text))


def score(
    picks: Any,
    truth: Any,
    tolerance: float = TOLERANCE,
    *,
    min_snr: float = MIN_SNR,
    between: Between = None,
) -> Score:
    """Compare picks with true arrivals, channel by channel.

    Parameters
    ----------
    picks : path, DataFrame, or what `classify` returned
        With ``time``, ``channel_index`` and ``phase``; a path is that of a run's output, a Parquet
        file or a CSV file.
    truth : path or DataFrame
        With ``time``, ``channel`` (the index of the picks) and ``phase``; and, if known, ``event``
        and ``snr``, the signal-to-noise ratio.
    tolerance : float
        Largest time difference of a pick and its arrival, in seconds.
    min_snr : float
        Signal-to-noise ratio from which an arrival is expected to be found; all are if the truth
        has no ``snr``.
    between : (time, time), optional
        Use picks and arrivals from one time on and before another, in UTC; None for the first or
        the last.

    Returns
    -------
    Score

    Raises
    ------
    InvalidInput, UnreadableData
        If a table lacks a column, or cannot be read.

    Notes
    -----
    Picks and arrivals pair as those of :func:`dasdist.compare`: a second pick of an arrival is
    false.  So is every pick outside of what the analyst looked at: say `between` which times
    that was.

    Examples
    --------
    >>> time = pd.to_datetime(["2025-06-01T00:00:10.0"])
    >>> truth = pd.DataFrame({"event": 0, "time": time, "channel": 3, "phase": "P", "snr": 9.0})
    >>> late = time + pd.Timedelta("100ms")
    >>> picks = pd.DataFrame({"time": late, "channel_index": 3, "phase": "P"})
    >>> score(picks, truth).recall()
    1.0
    """
    name = known_as(picks, "picks")
    found, known = columns_of(picks, "picks", between), columns_of(truth, "truth", between)
    with_pick, with_arrival = paired(known, found, tolerance)
    residual = np.full(len(known), np.nan)
    picked = found["time"].to_numpy()[with_arrival]
    residual[with_pick] = (picked - known["time"].to_numpy()[with_pick]) / np.timedelta64(1, "s")
    expected = known["snr"].to_numpy() >= min_snr if "snr" in known else np.ones(len(known), bool)
    false = np.ones(len(found), dtype=np.bool_)
    false[with_arrival] = False
    return Score(
        name,
        tolerance,
        min_snr,
        _by_phase(found, known, residual, expected, false),
        _by_snr(known, residual),
        _by_event(known, residual, expected),
        known.assign(residual=residual).iloc[np.sort(with_pick)].reset_index(drop=True),
        known[expected & np.isnan(residual)].reset_index(drop=True),
        found[false].reset_index(drop=True),
    )


def _by_phase(
    found: pd.DataFrame,
    known: pd.DataFrame,
    residual: NDArray[np.float64],
    expected: NDArray[np.bool_],
    false: NDArray[np.bool_],
) -> pd.DataFrame:
    rows = []
    for phase in sorted({*found["phase"].unique(), *known["phase"].unique()}):
        of_truth = (known["phase"] == phase).to_numpy() & expected
        of_picks = (found["phase"] == phase).to_numpy()
        picks, wrong = int(of_picks.sum()), int((of_picks & false).sum())
        rows.append(
            {
                "phase": phase,
                **_found(residual[of_truth]),
                "picks": picks,
                "false_picks": wrong,
                "precision": 1 - wrong / picks if picks else np.nan,
            }
        )
    columns = ["phase", "arrivals", "found", "recall", "picks", "false_picks", "precision"]
    return pd.DataFrame(rows, columns=[*columns, "median", "spread"])


def _by_snr(known: pd.DataFrame, residual: NDArray[np.float64]) -> pd.DataFrame:
    columns = ["phase", "snr", "arrivals", "found", "recall", "median", "spread"]
    rows = []
    if "snr" in known:
        bins = np.searchsorted(_SNR_EDGES, known["snr"].to_numpy(), side="right") - 1
        for phase in sorted(known["phase"].unique()):
            of_phase = (known["phase"] == phase).to_numpy()
            for number in np.unique(bins[of_phase]):
                chosen = residual[of_phase & (bins == number)]
                edge = _SNR_EDGES[max(number, 0)]
                rows.append({"phase": phase, "snr": float(edge), **_found(chosen)})
    return pd.DataFrame(rows, columns=columns)


def _found(residual: NDArray[np.float64]) -> dict[str, Any]:
    """Count arrivals, of which those without a pick have no residual."""
    off = residual[~np.isnan(residual)]
    middle, spread = spread_of(off)
    recall = off.size / residual.size if residual.size else np.nan
    counts = {"arrivals": residual.size, "found": off.size, "recall": recall}
    return {**counts, "median": middle, "spread": spread}


def _by_event(
    known: pd.DataFrame, residual: NDArray[np.float64], expected: NDArray[np.bool_]
) -> pd.DataFrame:
    columns = ["event", "phase", "time", "channels", "found", "error"]
    rows: list[dict[str, Any]] = []
    if "event" in known:
        table = known.assign(off=np.abs(residual), expected=expected)
        for (event, phase), arrivals in table.groupby(["event", "phase"], observed=True):
            wanted = arrivals.loc[arrivals["expected"], "off"]
            counts = {"channels": len(wanted), "found": int(wanted.notna().sum())}
            first = {"event": event, "phase": str(phase), "time": arrivals["time"].min()}
            rows.append({**first, **counts, "error": float(wanted.median())})
    return pd.DataFrame(rows, columns=columns)
