"""A lane for every worker, with the stages it goes through, and gauges of its memory and GPU."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Range1d
from bokeh.plotting import figure

from dasdist.dashboard.board import Board
from dasdist.dashboard.lanes import Stretch
from dasdist.dashboard.looks import INK, STAGES, STATES, plain
from dasdist.units import count_of, readable_bytes

__all__ = ["Gauge", "Workers", "gauges"]

_SHOWN = 60.0
"""Seconds that lanes show."""

_MOST = 48
"""Workers that are drawn."""

_STRETCHES = 2_000
"""Stretches that a browser keeps."""

_Rows = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Gauge:
    """What a worker last told of itself.

    Parameters
    ----------
    worker : str
        Its address.
    threads : int
        Blocks that it may work on at a time.
    memory, limit : float
        Bytes that its process has, and may have; a limit of 0 is none.
    gpu, gpu_memory, gpu_total : float
        How busy its GPU is, in percent; bytes of the GPU's memory that are taken, and that there
        are: 0 without a GPU.
    """

    worker: str
    threads: int
    memory: float
    limit: float
    gpu: float = 0.0
    gpu_memory: float = 0.0
    gpu_total: float = 0.0


def gauges(workers: Mapping[str, Any]) -> list[Gauge]:
    """Return what the workers of a scheduler told last."""
    found = []
    for address, worker in sorted(workers.items()):
        metrics, gpu = worker.metrics, worker.metrics.get("gpu") or {}
        found.append(
            Gauge(
                address,
                worker.nthreads,
                metrics.get("memory", 0.0),
                worker.memory_limit or 0.0,
                gpu.get("utilization", 0.0),
                gpu.get("memory-used", 0.0),
                (worker.extra.get("gpu") or {}).get("memory-total", 0.0),
            )
        )
    return found


class Workers:
    """Shows the lanes of a board and the gauges of a scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._rows: list[tuple[str, int]] = []
        self._count = 0
        self._times = Range1d(0.0, 1.0)
        self._places = Range1d(0.0, 1.0)
        self._past = ColumnDataSource(_stretches({}, [], 0.0), name="das-lanes")
        self._now = ColumnDataSource(_stretches({}, [], 0.0), name="das-lanes-now")
        self._memory = ColumnDataSource(_bars([], [], []), name="das-memory")
        self._gpu = ColumnDataSource(_bars([], [], []), name="das-gpu")
        self.lanes = self._lanes()
        self.memory = self._gauge("memory", self._memory, STATES["skipped"])
        self.gpu = self._gauge("GPU", self._gpu, STATES["done"])
        self.roots: list[Any] = [self.lanes, self.memory, self.gpu]

    def _lanes(self) -> Any:
        plot = figure(
            title="what workers do",
            height=200,
            min_width=300,
            sizing_mode="stretch_width",
            x_axis_type="datetime",
            x_range=self._times,
            y_range=self._places,
            tools="",
            toolbar_location=None,
        )
        drawn = [
            plot.quad(
                left="left",
                right="right",
                bottom="bottom",
                top="top",
                source=source,
                fill_color="colour",
                line_color=None,
            )
            for source in (self._past, self._now)
        ]
        plot.add_tools(HoverTool(renderers=drawn, tooltips="@what"))
        plot.ygrid.visible = False
        return plot

    def _gauge(self, title: str, source: ColumnDataSource, colour: str) -> Any:
        plot = figure(
            title=title,
            width=230,
            height=200,
            x_range=Range1d(0, 100),
            y_range=self._places,
            tools="",
            toolbar_location=None,
        )
        plot.hbar(
            "y", right="full", height=0.7, source=source, fill_color="#eef1f3", line_color=None
        )
        plot.hbar(
            "y", right="percent", height=0.7, source=source, fill_color=colour, line_color=None
        )
        plot.text(
            "at", "y", "text", source=source, text_baseline="middle", text_font_size="11px",
            text_color=INK,
        )  # fmt: skip
        plot.xaxis.axis_label = "% of what there is"
        plot.axis.axis_label_text_font_style = "normal"
        plot.yaxis.visible = False
        plot.grid.visible = False
        return plot

    def begin(self, board: Board) -> None:
        """Show another run."""
        self._rows = []
        self.update(board)

    def update(self, board: Board) -> None:
        """Show what workers do now."""
        found = gauges(self._scheduler.workers)
        shown, now = found[:_MOST], time.time()
        rows = [(one.worker, one.threads) for one in shown]
        if rows != self._rows:
            self._rows = rows
            self._lay_out(shown, len(found) - len(shown))
            self._count = 0
            self._past.data = _stretches({}, [], now)
        bands = _bands(rows)
        if new := board.lanes.since(self._count):
            self._past.stream(_stretches(bands, new, now), rollover=_STRETCHES)
        self._count = board.lanes.count
        self._now.data = _stretches(bands, board.lanes.open, now)
        latest = max((s.stop or now for s in board.lanes.past), default=now) if board.over else now
        self._times.update(start=1000 * (latest - _SHOWN), end=1000 * latest)
        self._show(shown)

    def _lay_out(self, shown: Sequence[Gauge], more: int) -> None:
        count = max(1, len(shown))
        self._places.update(start=count, end=0)
        height = 90 + max(2, min(count, _MOST)) * (26 if count <= 12 else 14)
        for plot in self.roots:
            plot.height = height
        names = {i + 0.5: plain(one.worker.partition("://")[2]) for i, one in enumerate(shown)}
        self.lanes.yaxis.ticker = FixedTicker(ticks=list(names))
        self.lanes.yaxis.major_label_overrides = names
        rest = (
            f" ({count_of(more, 'more worker is', 'more workers are')} not shown)" if more else ""
        )
        self.lanes.title.text = f"what workers do, the last {_SHOWN:.0f} s{rest}"

    def _show(self, shown: Sequence[Gauge]) -> None:
        memory = [100 * one.memory / one.limit if one.limit else 0.0 for one in shown]
        texts = [
            readable_bytes(one.memory) + (f" of {readable_bytes(one.limit)}" if one.limit else "")
            for one in shown
        ]
        self._memory.data = _bars(memory, texts, shown)
        self.gpu.visible = any(one.gpu_total for one in shown)
        if self.gpu.visible:
            texts = [_gpu_text(one) if one.gpu_total else "none" for one in shown]
            self._gpu.data = _bars([one.gpu for one in shown], texts, shown)


def _gpu_text(one: Gauge) -> str:
    memory = f"{readable_bytes(one.gpu_memory)} of {readable_bytes(one.gpu_total)}"
    return f"{one.gpu:.0f}%, {memory}"


def _bars(percent: Sequence[float], texts: Sequence[str], shown: Sequence[Gauge]) -> _Rows:
    count = len(shown)
    return {
        "y": [i + 0.5 for i in range(count)],
        "percent": [min(100.0, one) for one in percent],
        "full": [100.0] * count,
        "at": [3.0] * count,
        "text": list(texts),
    }


def _bands(rows: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[float, float]]:
    """Return where each lane lies."""
    return {
        (worker, lane): (row + 0.1 + 0.8 * lane / threads, row + 0.1 + 0.8 * (lane + 1) / threads)
        for row, (worker, threads) in enumerate(rows)
        for lane in range(threads)
    }


def _stretches(
    bands: Mapping[tuple[str, int], tuple[float, float]], found: Sequence[Stretch], now: float
) -> _Rows:
    seen = [(bands[one.lane], one) for one in found if one.lane in bands]
    return {
        "left": [1000 * one.start for _, one in seen],
        "right": [1000 * (one.stop or now) for _, one in seen],
        "bottom": [band[0] for band, _ in seen],
        "top": [band[1] for band, _ in seen],
        "colour": [STAGES.get(one.stage, INK) for _, one in seen],
        "what": [f"block {one.block:,}: {plain(one.stage)}" for _, one in seen],
    }
