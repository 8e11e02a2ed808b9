"""Draw what two tables of picks have in common, and what each has alone."""

from pathlib import Path
from typing import Any

import pandas as pd

from dasdist.comparison.agreement import Comparison
from dasdist.plot.libraries import new_figure
from dasdist.safe_text import one_line

__all__ = ["draw_comparison"]

_COLOURS = {"both": "#8a8a8a", "only_a": "#d1495b", "only_b": "#00798c"}


def draw_comparison(found: Comparison, path: str | Path) -> None:
    """Draw a row per phase, with picks by time to the left and along the fibre to the right.

    Parameters
    ----------
    found : Comparison
        What `dasdist.compare` returned.
    path : path
        A picture, of the kind that its ending says: .png, .pdf, .svg.

    Raises
    ------
    InvalidInput
        If matplotlib is not installed.
    """
    phases = found.phases["phase"].tolist() or ["no picks"]
    figure = new_figure(12, 1.2 + 2.6 * len(phases))
    axes = figure.subplots(len(phases), 2, squeeze=False)
    where = found.by_distance.columns[1]
    for row, phase in zip(axes, phases, strict=True):
        _stack(row[0], found.by_time, phase, "time")
        _stack(row[1], found.by_distance, phase, where)
        row[0].set_ylabel(f"picks of {phase}")
    axes[-1][1].set_xlabel("distance (m)" if where == "distance" else "channel")
    names = {"only_a": one_line(found.names[0]), "only_b": one_line(found.names[1])}
    texts = ["both", *(f"only {name}" for name in names.values())]
    figure.legend(*_handles(texts), loc="outside upper center", ncols=3)
    figure.savefig(path, dpi=110)


def _stack(ax: Any, table: pd.DataFrame, phase: str, column: str) -> None:
    rows = table[table["phase"] == phase]
    steps = rows[column].drop_duplicates().sort_values().diff().dropna()
    width = steps.min() if len(steps) else pd.Timedelta(1, "s") if column == "time" else 1.0
    below = 0
    for name, colour in _COLOURS.items():
        heights = rows[name].to_numpy()
        ax.bar(rows[column], heights, width, bottom=below, align="edge", color=colour)
        below = below + heights
    if column == "time":
        ax.tick_params("x", rotation=20)


def _handles(texts: list[str]) -> tuple[list[Any], list[str]]:
    from matplotlib.patches import Patch

    return [Patch(color=colour) for colour in _COLOURS.values()], texts
