"""What ``classify`` returns."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dasdist.callbacks.parquet import StoredPicks
from dasdist.report import RunReport
from dasdist.safe_text import as_html, shown
from dasdist.units import count_of

__all__ = ["ClassifyOutput"]


class ClassifyOutput:
    """Results of ``classify``.

    Parameters
    ----------
    creator : str
        Name of the model.
    report : RunReport
        What was processed and what was left out.
    results : mapping
        Results of the callback by name; each becomes an attribute.

    Attributes
    ----------
    picks : pandas.DataFrame
        For picking models, one row per pick: ``time`` (datetime64[ns]), ``distance`` (float64,
        metres; of another name where channels have but numbers, and ``picks.attrs["units"]`` says
        which), ``channel_index`` (int64), ``phase`` (str),
        ``confidence`` (float32), ``sample_index`` (int64) and ``segment`` (int64), sorted by time,
        then channel.  The indices point at the nearest sample and channel of the data.
        Where they were written to a dataset, they are read from it whenever this is asked for.
    P, S, ... : sequence of DASPick
        The picks of one phase, as in SeisBench; not of a dataset.
    """

    def __init__(self, creator: str, report: RunReport, results: Mapping[str, Any]) -> None:
        self.creator = creator
        self.report = report
        self._results = dict(results)

    def __getattr__(self, name: str) -> Any:
        results = self.__dict__.get("_results", {})
        if name in results:
            value = results[name]
            return value.read() if isinstance(value, StoredPicks) else value
        raise AttributeError(f"There is no result {name!r}; the results are {sorted(results)}.")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._results]

    def __repr__(self) -> str:
        picks = self._results.get("picks")
        if isinstance(picks, StoredPicks):
            return shown(f"{picks}\n{self.report}")
        if not isinstance(picks, pd.DataFrame):
            return shown(f"{self.creator}: {', '.join(self._results)}\n{self.report}")
        counts = picks["phase"].value_counts().sort_index()
        phases = ", ".join(f"{n:,} {phase}" for phase, n in counts.items()) or "none"
        return shown(
            f"{count_of(len(picks), 'pick')} "
            f"({phases})\n{picks.to_string(max_rows=10)}\n{self.report}"
        )

    def _repr_html_(self) -> str:
        picks = self._results.get("picks")
        table = picks.to_html(max_rows=10) if isinstance(picks, pd.DataFrame) else ""
        if isinstance(picks, StoredPicks):
            table = f"<pre>{as_html(picks)}</pre>"
        return f"{table}<pre>{as_html(self.report)}</pre>"
