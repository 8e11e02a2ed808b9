"""The map: every block in its place and colour, and above it the picks as they come."""

from typing import Any

import numpy as np
from bokeh.models import (
    ColumnDataSource,
    DatetimeTickFormatter,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.plotting import figure
from numpy.typing import NDArray

from dasdist.dashboard.board import Board
from dasdist.dashboard.looks import GAP, INK, SHADES, STATES, colour_of_phase, plain
from dasdist.safe_text import one_line

__all__ = ["ArchiveMap"]

_BINS = 400
"""Bins of the picks along the time that the map shows."""

_FEW = 2_000
"""Cells between which lines are drawn."""

_HOVER = f"""
<div style="max-width: 460px; font-size: 13px; color: {INK}">
<b>@what</b>: @words<br>
@left{{%F %T}} to @right{{%F %T}}<br>@where<br>
<span style="color: {STATES["failed"]}; overflow-wrap: anywhere">@why</span></div>
"""


class ArchiveMap:
    """Shows the cells of a board."""

    def __init__(self) -> None:
        self._times, self._places = Range1d(0.0, 1.0), Range1d(0.0, 1.0)
        self._cells = ColumnDataSource(_no_cells(), name="das-cells")
        self._failed = ColumnDataSource({"x": [], "y": []})
        self._extent = ColumnDataSource({"left": [], "right": [], "bottom": [], "top": []})
        self._picks = ColumnDataSource({"x": [], "rates": [], "colours": [], "phase": []})
        self._stamp = 0
        self._edges: NDArray[np.float64] = np.zeros(0)
        self.map = self._figure()
        self.picks = self._strip()
        self.roots: list[Any] = [self.picks, self.map]

    def _figure(self) -> Any:
        plot = figure(
            name="das-map",
            height=400,
            min_width=400,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            x_axis_label="time in the archive (UTC)",
            x_range=self._times,
            y_range=self._places,
            tools="pan,box_zoom,wheel_zoom,reset",
            toolbar_location="right",
        )
        edges = {"left": "left", "right": "right", "bottom": "bottom", "top": "top"}
        plot.quad(
            **edges, source=self._extent, fill_color="#f7f8f9", line_color=GAP,
            hatch_pattern="right_diagonal_line", hatch_color=GAP, hatch_scale=8, hatch_weight=0.6,
        )  # fmt: skip
        palette = LinearColorMapper(palette=SHADES, low=-0.5, high=len(SHADES) - 0.5)
        self._colours = {"field": "shade", "transform": palette}
        cells = plot.quad(**edges, source=self._cells, fill_color=self._colours)
        self._glyphs = cells.glyph
        plot.scatter(
            "x", "y", source=self._failed, marker="x", size=9, line_width=2, line_color="#5c2500",
            name="das-failed",
        )  # fmt: skip
        times = {"@left": "datetime", "@right": "datetime"}
        plot.add_tools(HoverTool(renderers=[cells], tooltips=_HOVER, formatters=times))
        plot.xaxis.formatter = _times()
        plot.grid.visible = False
        plot.axis.axis_label_text_font_style = "normal"
        return plot

    def _strip(self) -> Any:
        plot = figure(
            name="das-picks",
            height=130,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            x_range=self._times,
            y_range=Range1d(0.0, 1.0),
            y_axis_label="picks a minute",
            tools="",
            toolbar_location=None,
            visible=False,
        )
        plot.multi_line(
            "x", "rates", source=self._picks, line_color="colours", line_width=1.6,
            legend_field="phase",
        )  # fmt: skip
        plot.xaxis.visible = False
        plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
        plot.xgrid.visible = False
        plot.axis.axis_label_text_font_style = "normal"
        plot.legend.orientation = "horizontal"
        plot.legend.location = "top_right"
        plot.legend.padding = 2
        plot.legend.background_fill_alpha = 0.7
        return plot

    def begin(self, board: Board) -> None:
        """Show another run."""
        cells = board.cells
        left, right = float(cells.left.min()), float(cells.right.max())
        low, high = float(cells.bottom.min()), float(cells.top.max())
        _move(self._times, left, right)
        _move(self._places, low, high)
        unit = plain(cells.unit)
        self.map.yaxis.axis_label = "channel" if unit == "channel" else f"distance ({unit})"
        self._edges = np.linspace(left, right, _BINS + 1)
        self._extent.data = {"left": [left], "right": [right], "bottom": [low], "top": [high]}
        every = np.arange(len(cells))
        self._cells.data = {
            "left": cells.left,
            "right": cells.right,
            "bottom": cells.bottom,
            "top": cells.top,
            "what": _names(board),
            "where": [
                f"{a:,.5g} to {b:,.5g} {unit}" for a, b in zip(cells.bottom, cells.top, strict=True)
            ],
            **_columns(board, every),
        }
        # of many cells, lines between them would be all that is seen
        lines = {"line_color": "white", "line_width": 0.6}
        if len(cells) > _FEW:
            lines = {"line_color": self._colours, "line_width": 1}
        self._glyphs.update(**lines)
        self._stamp = board.stamp
        self._show_failed(board)
        self._show_picks(board)

    def update(self, board: Board) -> None:
        """Show what has changed."""
        if board.stamp == self._stamp:
            return
        changed = board.changed_since(self._stamp)
        self._stamp = board.stamp
        index = changed.tolist()
        columns = _columns(board, changed)
        self._cells.patch(
            {name: list(zip(index, values, strict=True)) for name, values in columns.items()}
        )
        if len(self._failed.data["x"]) != len(board.reasons):
            self._show_failed(board)
        self._show_picks(board)

    def _show_failed(self, board: Board) -> None:
        at = board.cells.of_block[list(board.reasons)]
        cells = board.cells
        self._failed.data = {
            "x": (cells.left[at] + cells.right[at]) / 2,
            "y": (cells.bottom[at] + cells.top[at]) / 2,
        }

    def _show_picks(self, board: Board) -> None:
        found = np.flatnonzero(board.picks.sum(axis=0))
        self.picks.visible = bool(found.size)
        if not found.size:
            return
        rates = board.picks_a_minute(self._edges)
        self.picks.y_range.end = 1.15 * float(np.nanmax(rates)) or 1.0
        x = np.repeat(self._edges, 2)[1:-1]
        self._picks.data = {
            "x": [x] * found.size,
            "rates": [np.repeat(rates[:, phase], 2) for phase in found],
            "colours": [colour_of_phase(int(phase)) for phase in found],
            "phase": [plain(board.phases[phase]) for phase in found],
        }


def _times() -> DatetimeTickFormatter:
    """Return how times of the archive are written: the day once, on the left."""
    return DatetimeTickFormatter(
        seconds="%H:%M:%S",
        minsec="%H:%M:%S",
        minutes="%H:%M",
        hourmin="%H:%M",
        hours="%H:%M",
        days="%d %b",
        months="%b %Y",
        years="%Y",
        context="%Y-%m-%d",
        context_which="start",
    )


def _move(span: Range1d, start: float, end: float) -> None:
    """Let a range show this, at first and after a reset."""
    span.update(start=start, end=end, reset_start=start, reset_end=end)


def _no_cells() -> dict[str, list[Any]]:
    names = ("left", "right", "bottom", "top", "what", "where", "shade", "words", "why")
    return {name: [] for name in names}


def _names(board: Board) -> list[str]:
    if board.cells.merged:
        return [f"{count:,} blocks" for count in board.cells.blocks.tolist()]
    return [f"block {block:,}" for block in range(len(board.cells))]


def _columns(board: Board, cells: NDArray[np.int64]) -> dict[str, list[Any]]:
    """Return the columns that change, of these cells."""
    whys = _whys(board)
    return {
        "shade": board.shades(cells).tolist(),
        "words": board.words(cells),
        "why": [whys.get(cell, "") for cell in cells.tolist()],
    }


def _whys(board: Board) -> dict[int, str]:
    """Return the first reason why a block of a cell failed, by cell; bokeh escapes it."""
    found: dict[int, str] = {}
    for block, reason in board.reasons.items():
        where = f" (on {reason.worker})" if reason.worker else ""
        found.setdefault(int(board.cells.of_block[block]), one_line(reason.error + where))
    return found
