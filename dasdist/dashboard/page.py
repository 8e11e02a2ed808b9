"""The pages: documents of bokeh's that follow the board of the run that goes on.

Each browser has its own document, and is sent what changed since it looked last.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bokeh.layouts import column, row
from bokeh.models import Div

from dasdist.dashboard.archive_map import ArchiveMap
from dasdist.dashboard.board import Board
from dasdist.dashboard.speed import SpeedHistory
from dasdist.dashboard.words import EMPTY, headline, legend, stages
from dasdist.dashboard.workers import Workers

if TYPE_CHECKING:
    from dasdist.dashboard.install import Boards

__all__ = ["pages"]

_PERIOD = 500
"""Milliseconds between two looks at the board."""

_PARTS = ("head", "map", "speed", "workers")

Show = Callable[["Boards", Any, Mapping[str, Any]], None]


# Dask's own frame for a page lets bokeh put all roots into one place, which is empty once Panel is
# imported in the scheduler's process, as HoloViews does in a notebook's
_FRAME = """{% extends "base.html" %}
{% block content %}
{% from macros import embed %}
{% for root in roots %}{{ embed(root) }}{% endfor %}
{{ plot_script }}
{% endblock %}
"""


def pages() -> dict[str, Show]:
    """Return the pages by their paths: the whole one, and parts of it for JupyterLab."""
    return {
        "/das": _framed,
        "/individual-das": lambda boards, document, _: _fill(boards, document, _PARTS),
        "/individual-das-map": lambda boards, document, _: _fill(boards, document, ("map",)),
        "/individual-das-speed": lambda boards, document, _: _fill(boards, document, _PARTS[::2]),
        "/individual-das-workers": lambda boards, document, _: _fill(
            boards, document, ("workers",)
        ),
    }


def _framed(boards: "Boards", document: Any, extra: Mapping[str, Any]) -> None:
    """Fill a document within Dask's frame, with its menu."""
    from distributed.dashboard.components.scheduler import env

    _fill(boards, document, _PARTS)
    document.template = env.from_string(_FRAME)
    document.template_variables.update(extra)


def _fill(boards: "Boards", document: Any, parts: tuple[str, ...]) -> None:
    from distributed.dashboard.components.scheduler import BOKEH_THEME

    page = _Page(boards, parts)
    page.update()
    document.title = "Dask: DAS"
    document.theme = BOKEH_THEME
    document.add_root(page.root)
    document.add_periodic_callback(page.update, _PERIOD)  # ends with the browser's session


class _Page:
    """What one browser shows."""

    def __init__(self, boards: "Boards", parts: tuple[str, ...]) -> None:
        self._boards = boards
        self._run: str | None = None
        self._head, self._legend = _text("das-head"), _text("das-legend")
        self._empty = _text("das-empty", EMPTY)
        self._map, self._speed = ArchiveMap(), SpeedHistory()
        self._workers = Workers(boards.scheduler)
        wide = {"sizing_mode": "stretch_width"}
        drawn = {
            "head": [self._head],
            "map": [*self._map.roots, self._legend],
            "speed": [row(*self._speed.roots, **wide)],
            "workers": [row(*self._workers.roots, **wide), _text("das-stages", stages())],
        }
        self._content = column(*(root for part in parts for root in drawn[part]), **wide)
        self.root = column(self._empty, self._content, name="das", **wide)

    def update(self) -> None:
        """Show what the board shows now."""
        board = self._boards.current
        self._empty.visible = board is None
        self._content.visible = board is not None
        if board is None:
            return
        self._say(board)
        views = (self._map, self._speed, self._workers)
        if board.run != self._run:
            self._run = board.run
            for view in views:
                view.begin(board)
        else:
            for view in views:
                view.update(board)

    def _say(self, board: Board) -> None:
        self._head.text = headline(board)
        self._legend.text = legend(board)


def _text(name: str, html: str = "") -> Div:
    # mathematics would be set by what bokeh fetches from elsewhere
    return Div(text=html, name=name, disable_math=True, sizing_mode="stretch_width")
