"""In the scheduler's process: a plugin that keeps the boards of runs, and the pages that show them.

A run installs it with :func:`install`; a scheduler that is to show the page before its first run
is started with ``--preload dasdist.dashboard.install``.
"""

import time
from collections.abc import Mapping
from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

from dasdist.dashboard.board import Board
from dasdist.dashboard.cells import Cells
from dasdist.executors.names import TOPIC
from dasdist.safe_text import logger

__all__ = ["HANDLER", "Boards", "boards_of", "dask_setup", "install"]

_log = logger()

HANDLER = "dasdist_board"
"""Name of the scheduler's handler that takes what a run tells."""

_PLUGIN = "dasdist-boards"

_MOST_RUNS = 4
"""Runs at a time that are shown, one after the other has ended."""


class Boards(SchedulerPlugin):
    """Keeps the boards of the runs that go on, or of the last one.

    Attributes
    ----------
    current : Board or None
        The one to show: of the run that began last, of those that go on.
    scheduler : Scheduler
        Whose workers are shown.
    """

    name = _PLUGIN

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._boards: dict[str, Board] = {}
        self._clients: dict[str, str] = {}

    @property
    def current(self) -> Board | None:
        """The board to show, if there is one."""
        found = list(self._boards.values())
        going_on = [board for board in found if not board.over]
        return next(reversed(going_on or found), None)

    def hear(self, message: Mapping[str, Any]) -> bool:
        """Take what a run tells; return whether it is to tell more."""
        try:
            return self._heard(message)
        except Exception as error:  # noqa: BLE001 -- a run of another version may tell what it likes
            _log.debug("The dashboard cannot show what a run tells: %r", error)
            return False

    def _heard(self, message: Mapping[str, Any]) -> bool:
        run, kind = message["run"], message["kind"]
        if kind == "begin":
            self._begin(run, message)
            return True
        board = self._boards.get(run)
        if board is None:
            return False
        if kind == "news":
            board.ended(message, time.time())
        else:
            board.end(message["how"], message["why"], time.time())
            self._clients.pop(run, None)
        return True

    def _begin(self, run: str, message: Mapping[str, Any]) -> None:
        kept = {name: board for name, board in self._boards.items() if not board.over}
        while len(kept) >= _MOST_RUNS:
            del kept[next(iter(kept))]
        self._clients = {name: client for name, client in self._clients.items() if name in kept}
        cells = Cells.unpacked(message["cells"])
        self._boards = {**kept, run: Board(run, message["facts"], cells, time.time())}
        self._clients[run] = message["client"]

    def log_event(self, topic: str, msg: Any) -> None:
        """Take what workers tell of blocks."""
        if topic == TOPIC and "running" in msg and (board := self._boards.get(msg["run"])):
            board.runs(msg["worker"], tuple(msg["running"]), time.time())

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        """Let what a worker did wait again."""
        for board in self._boards.values():
            board.worker_left(worker, time.time())

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """End runs whose process is gone."""
        for run in [run for run, name in self._clients.items() if name == client]:
            del self._clients[run]
            self._boards[run].end("stopped", "The process that asked for it has left.", time.time())


def boards_of(scheduler: Scheduler) -> Boards | None:
    """Return the boards of a scheduler, if it has any."""
    found = scheduler.plugins.get(_PLUGIN)
    return found if isinstance(found, Boards) else None


def install(scheduler: Scheduler) -> str:
    """Add the pages to a scheduler's dashboard, once; return why that cannot be, else nothing."""
    if boards_of(scheduler) is not None:
        return ""
    boards = Boards(scheduler)
    from dasdist.dashboard.serving import serve

    if why := serve(scheduler, boards):
        return why
    scheduler.add_plugin(boards)
    scheduler.handlers[HANDLER] = boards.hear
    return ""


async def dask_setup(scheduler: Scheduler) -> None:
    """Do so when a scheduler starts: its preload."""
    install(scheduler)
