"""How fast a run is, and was."""

from typing import Any

from bokeh.models import ColumnDataSource, Range1d
from bokeh.plotting import figure

from dasdist.dashboard.board import Board
from dasdist.dashboard.looks import STATES

__all__ = ["SpeedHistory", "rates"]

_MOST = 2_048
"""Points that a browser keeps."""


def rates(board: Board, after: float) -> dict[str, list[float]]:
    """Return clock (ms), data-hours an hour and GB/s between moments that are later than this."""
    moments = board.history
    first = next((i for i, one in enumerate(moments) if one.seconds > after), len(moments))
    pairs = [(moments[i - 1], moments[i]) for i in range(max(first, 1), len(moments))]
    shares = [(new.share - old.share) / (new.seconds - old.seconds) for old, new in pairs]
    # estimates of what runs are corrected when it ends: a rate is never below nothing
    shares = [max(0.0, share) for share in shares]
    return {
        "clock": [1000 * new.clock for _, new in pairs],
        "hours": [share * board.facts["data_seconds"] for share in shares],
        "gigabytes": [share * board.facts["archive_bytes"] / 1e9 for share in shares],
    }


class SpeedHistory:
    """Shows the speed since the run began."""

    def __init__(self) -> None:
        self._source = ColumnDataSource(_nothing(), name="das-speed")
        self._told = 0.0
        self._times = Range1d(0.0, 1.0)
        self._highest = {"hours": 0.0, "gigabytes": 0.0}
        self.roots: list[Any] = [
            self._plot("hours", "data-hours an hour", STATES["done"]),
            self._plot("gigabytes", "GB/s of the archive", STATES["reading"]),
        ]

    def _plot(self, name: str, title: str, colour: str) -> Any:
        plot = figure(
            title=title,
            height=170,
            min_width=200,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            x_range=self._times,
            y_range=Range1d(0.0, 1.0),
            tools="",
            toolbar_location=None,
        )
        plot.varea("clock", 0, name, source=self._source, fill_color=colour, fill_alpha=0.25)
        plot.line("clock", name, source=self._source, line_color=colour, line_width=2)
        plot.xgrid.visible = False
        return plot

    def begin(self, board: Board) -> None:
        """Show another run."""
        self._source.data = _nothing()
        self._told = 0.0
        self._highest = dict.fromkeys(self._highest, 0.0)
        self._times.update(start=1000 * board.began, end=1000 * (board.began + 10))
        self.update(board)

    def update(self, board: Board) -> None:
        """Show what has come."""
        if not board.history or board.history[-1].seconds <= self._told:
            return
        new = rates(board, self._told)
        self._told = board.history[-1].seconds
        self._source.stream(new, rollover=_MOST)
        self._times.end = max(self._times.end, 1000 * board.history[-1].clock)
        for plot, (name, highest) in zip(self.roots, self._highest.items(), strict=True):
            self._highest[name] = max(highest, *new[name], 0.0)
            plot.y_range.end = 1.1 * self._highest[name] or 1.0


def _nothing() -> dict[str, list[float]]:
    return {"clock": [], "hours": [], "gigabytes": []}
