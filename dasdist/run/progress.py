"""How far a run is: the first listener to its events.

Progress counts output samples, those of running blocks included, so that it moves within a block::

    blocks     0 done   1 computing, 40%   2 waiting        share = (1 + 0.4) / 3
"""

import time
from dataclasses import dataclass
from math import inf
from types import TracebackType
from typing import Protocol, runtime_checkable

import numpy as np

from dasdist.block_events import BlockEvent
from dasdist.errors import InvalidInput
from dasdist.planning.plan import Plan
from dasdist.safe_text import logger

__all__ = ["NoView", "Progress", "ProgressView", "RunProgress", "progress_view"]

_log = logger()

_SURE = 0.02
"""Share of the outputs after which the time left is told: the first say little of it."""

_SHORTEST = 0.05
"""Seconds between two looks of a view at the progress: blocks may take milliseconds."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    Parameters
    ----------
    blocks : int
        Blocks of the run.
    ended : int
        Those that are done or have failed, now or in an earlier run.
    failed : int
        Those of them that have failed in this run.
    share : float
        Share of all outputs that are behind the run, from 0 to 1; running blocks count in part.
    data_seconds : float
        Seconds of data in all blocks.
    seconds : float
        Since this run began.
    speed : float
        Seconds of data per second, of this run: how many times real time.
    seconds_left : float or None
        What the rest will take at this speed; None before there is anything to go by.
    """

    blocks: int
    ended: int
    failed: int
    share: float
    data_seconds: float
    seconds: float
    speed: float
    seconds_left: float | None


@runtime_checkable
class ProgressView(Protocol):
    """Shows how far a run is; ``pbar`` takes one in place of True and False."""

    def start(self, progress: Progress) -> None:
        """Begin to show a run."""

    def update(self, progress: Progress) -> None:
        """Show how far it is; called several times a second."""

    def close(self) -> None:
        """Leave; also when the run was stopped."""


class RunProgress:
    """Listens to the events of a run and, within its context, shows how far it is.

    Parameters
    ----------
    plan : Plan
        The blocks.
    *views : ProgressView
        Where to show it.
    """

    def __init__(self, plan: Plan, *views: ProgressView) -> None:
        self._plan, self._views = plan, views
        self._sizes = np.concatenate([grid.areas().ravel() for grid in plan.grids])
        self._total = int(self._sizes.sum())
        self._ended = np.zeros(len(plan), dtype=bool)
        self._count = 0
        self._behind = 0
        self._before = 0
        self._failed = 0
        self._running: dict[int, int] = {}
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._shown = inf  # nothing before the view has started

    def __enter__(self) -> "RunProgress":
        self._began = time.monotonic()
        self._shown = 0.0
        for view in self._views:
            view.start(self._progress())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for view in self._views:
            try:
                view.update(self._progress())
            except Exception:  # noqa: BLE001 -- what a view does wrong costs no results
                _log.exception("The view of the progress raised an error at the end of the run.")
            finally:
                view.close()

    def __call__(self, event: BlockEvent) -> None:
        """Take an event."""
        if self._ended[event.block]:
            return  # what a worker told late
        if event.ended:
            self._end(event)
        else:
            self._running[event.block] = event.samples
            self._note_first()
        now = time.monotonic()
        if now - self._shown >= _SHORTEST:
            self._shown = now
            for view in self._views:
                view.update(self._progress())

    def _end(self, event: BlockEvent) -> None:
        size = int(self._sizes[event.block])
        self._running.pop(event.block, None)
        self._ended[event.block] = True
        self._count += 1
        self._behind += size
        self._failed += event.state == "failed"
        if event.state == "skipped":
            self._before += size
        else:
            self._note_first()

    def _note_first(self) -> None:
        """Note when the first outputs were there: before, workers load what they need."""
        computed = self._computed()
        if self._first is None and computed:
            self._first = (time.monotonic(), computed)

    def _computed(self) -> int:
        return self._behind + sum(self._running.values()) - self._before

    def _progress(self) -> Progress:
        now = time.monotonic()
        computed = self._computed()
        left = self._total - self._before - computed
        return Progress(
            blocks=len(self._plan),
            ended=self._count,
            failed=self._failed,
            share=(self._before + computed) / self._total,
            data_seconds=self._plan.data_seconds,
            seconds=now - self._began,
            speed=computed / self._total * self._plan.data_seconds / max(now - self._began, 1e-9),
            seconds_left=self._seconds_for(left, computed, now),
        )

    def _seconds_for(self, left: int, computed: int, now: float) -> float | None:
        if left <= 0:
            return 0.0
        if self._first is None or computed - self._first[1] < _SURE * self._total:
            return None
        return left * (now - self._first[0]) / (computed - self._first[1])


class NoView:
    """Shows nothing."""

    def start(self, progress: Progress) -> None:
        """Show nothing."""

    def update(self, progress: Progress) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def progress_view(pbar: object) -> ProgressView:
    """Return what ``pbar`` asks for: a bar for True, nothing for False, or itself."""
    if pbar is None or isinstance(pbar, bool | np.bool_):
        if not pbar:
            return NoView()
    elif isinstance(pbar, ProgressView) and not isinstance(pbar, type):
        return pbar
    else:
        raise InvalidInput(
            f"pbar is {pbar!r}; pass True, False, or an object with the methods start(progress), "
            "update(progress) and close()."
        )
    from dasdist.run.progress_bar import ProgressBar  # with rich, which is slow to import

    return ProgressBar()
