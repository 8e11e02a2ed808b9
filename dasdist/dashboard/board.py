"""What a scheduler knows of a run: the state of every block, why some failed, how fast it goes.

It is small whatever the archive: a byte a block, a few numbers a cell, the first of the failures,
and a history that is thinned as it grows.  Whoever shows it asks for the cells that have changed
since a stamp that it was given.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from dasdist.block_events import ENDS, BlockState
from dasdist.dashboard.cells import Cells
from dasdist.dashboard.lanes import Lanes

__all__ = ["CODES", "PARTS", "Board", "Moment", "Reason"]

CODES: tuple[str, ...] = get_args(BlockState)
"""The states of blocks; their positions are what is kept and sent."""

PARTS = 8
"""Shades between nothing and all of a cell's blocks being done: the one of ``k`` in `PARTS` parts
has the number ``len(CODES) + k - 1``."""

_WAITING, _READING, _COMPUTING, _WRITING, _DONE, _FAILED, _SKIPPED = range(len(CODES))

_MOST_REASONS = 1_000
"""Failures that are kept with their reasons; all are counted."""

_MOMENTS = 1_024
"""Moments after which every other one of the history is dropped."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a block failed, and on which worker; texts as they came."""

    error: str
    worker: str


@dataclass(frozen=True, slots=True)
class Moment:
    """How far the run was: `seconds` after it began, at `clock` seconds since 1970."""

    clock: float
    seconds: float
    share: float


@dataclass(slots=True)
class _Running:
    worker: str
    state: int
    share: float


@dataclass(slots=True)
class Board:
    """The state of a run; everything that is told of it ends here.

    Parameters
    ----------
    run : str
        Names it.
    facts : mapping
        What does not change: ``model``, ``data_seconds``, ``archive_bytes``, ``phases``.
    cells : Cells
        The map.
    began : float
        Seconds since 1970.
    """

    run: str
    facts: Mapping[str, Any]
    cells: Cells
    began: float
    stamp: int = 0
    over: str = ""
    why: str = ""
    waits_for: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    history: list[Moment] = field(default_factory=list)
    reasons: dict[int, Reason] = field(default_factory=dict)
    lanes: Lanes = field(default_factory=Lanes)

    state: NDArray[np.uint8] = field(init=False)
    tally: NDArray[np.int32] = field(init=False)
    picks: NDArray[np.int64] = field(init=False)
    seconds: NDArray[np.float32] = field(init=False)
    _changed: NDArray[np.int64] = field(init=False)
    _running: dict[int, _Running] = field(default_factory=dict)
    _spacing: float = 1.0

    def __post_init__(self) -> None:
        blocks, cells = self.cells.of_block.size, len(self.cells)
        self.state = np.zeros(blocks, np.uint8)
        self.tally = np.zeros((cells, len(CODES)), np.int32)
        self.tally[:, _WAITING] = self.cells.blocks
        self.picks = np.zeros((cells, len(self.phases)), np.int64)
        self.seconds = np.zeros(cells, np.float32)
        self._changed = np.zeros(cells, np.int64)

    @property
    def phases(self) -> tuple[str, ...]:
        """What is picked; empty where nothing is."""
        return tuple(self.facts.get("phases", ()))

    @property
    def counts(self) -> dict[str, int]:
        """How many blocks are in each state."""
        return dict(zip(CODES, self.tally.sum(axis=0).tolist(), strict=True))

    # ------------------------------------------------------------ what is told

    def runs(self, worker: str, running: tuple[Any, ...], now: float) -> None:
        """Take what a worker tells of a block: number, state, stage, share and seconds."""
        block, state, stage, share, _ = running
        if not 0 <= block < self.state.size or CODES[self.state[block]] in ENDS:
            return  # late news
        code = CODES.index(state)
        self._running[block] = _Running(worker, code, float(share))
        self.lanes.tell(worker, block, stage, now)
        self._set(np.array([block]), np.array([code], np.uint8))

    def ended(self, news: Mapping[str, Any], now: float) -> None:
        """Take which blocks have ended, and how far the run is."""
        blocks = np.frombuffer(news["blocks"], "<i4")
        self._set(blocks, np.frombuffer(news["states"], "u1"))
        at = self.cells.of_block[blocks]
        np.add.at(self.seconds, at, np.frombuffer(news["seconds"], "<f4"))
        picks = np.frombuffer(news["picks"], "<i4")
        np.add.at(self.picks, at, picks.reshape(blocks.size, len(self.phases)))
        for block in blocks.tolist():
            self._running.pop(block, None)
            self.lanes.end(block, now)
        for block, error, worker in news["failed"]:
            if len(self.reasons) < _MOST_REASONS:
                self.reasons[block] = Reason(str(error), str(worker))
        self.waits_for = str(news.get("waits_for", ""))
        if progress := news.get("progress"):
            self.progress = progress
            self._remember(Moment(now, progress["seconds"], progress["share"]))

    def worker_left(self, worker: str, now: float) -> None:
        """Let the blocks of a worker wait again."""
        lost = [block for block, one in self._running.items() if one.worker == worker]
        for block in lost:
            del self._running[block]
        self.lanes.drop(worker, now)
        self._set(np.array(lost, np.int64), np.full(len(lost), _WAITING, np.uint8))

    def end(self, how: str, why: str, now: float) -> None:
        """Take that the run is over: nothing runs any more."""
        self.over, self.why, self.waits_for = how, why, ""
        for worker in {one.worker for one in self._running.values()}:
            self.worker_left(worker, now)
        self.lanes.clear(now)

    # ------------------------------------------------------------ what is asked for

    def changed_since(self, stamp: int) -> NDArray[np.int64]:
        """Return the cells that have changed since the board had this stamp."""
        return np.flatnonzero(self._changed > stamp)

    def shades(self, cells: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return how to show cells: the number of a state, or of a part that is done.

        A failure shows whatever surrounds it; then what runs; then how much is behind.
        """
        tally = self.tally[cells]
        total, behind = tally.sum(axis=1), tally[:, _DONE] + tally[:, _SKIPPED]
        part = np.clip(behind * PARTS // np.maximum(total, 1), 1, PARTS - 1)
        shade = np.where(behind > 0, len(CODES) + part - 1, _WAITING)
        settled = np.where(tally[:, _DONE] > 0, _DONE, _SKIPPED)
        shade = np.where(behind == total, settled, shade)
        runs = tally[:, _READING : _WRITING + 1]
        shade = np.where(runs.any(axis=1), _READING + runs.argmax(axis=1), shade)
        shade = np.where(tally[:, _FAILED] > 0, _FAILED, shade)
        return shade.astype(np.uint8)

    def words(self, cells: NDArray[np.int64]) -> list[str]:
        """Return the states of cells as words."""
        if not self.cells.merged:
            return [self._word(int(block)) for block in cells]
        return [
            ", ".join(
                f"{count:,} {state}" for state, count in zip(CODES, row, strict=True) if count
            )
            for row in self.tally[cells].tolist()
        ]

    def _word(self, block: int) -> str:
        state = CODES[self.state[block]]
        running = self._running.get(block)
        return state if running is None else f"{state}, {running.share:.0%} computed"

    def picks_a_minute(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the picks a minute of data, shape (bins, phases), between times in milliseconds.

        The picks of a cell are spread evenly over its time; NaN where no block has ended yet.
        """
        times = np.concatenate([self.cells.left, self.cells.right])
        order = np.argsort(times, kind="stable")
        times = times[order]
        length = np.maximum(self.cells.right - self.cells.left, 1e-9)

        def between(weights: NDArray[Any]) -> NDArray[np.float64]:
            """Return how much of what cells hold lies in each bin."""
            steps = np.concatenate([weights / length, -weights / length])[order]
            up_to = np.cumsum(np.cumsum(steps)[:-1] * np.diff(times))
            total: NDArray[np.float64] = np.interp(edges, times, np.concatenate([[0.0], up_to]))
            return np.diff(total)

        covered = between((self.tally[:, _DONE:].sum(axis=1) > 0) * length) > 1e-6
        rates = np.array([between(picks) for picks in self.picks.T]).reshape(-1, edges.size - 1)
        minutes = np.diff(edges) / 60_000
        return np.where(covered, np.maximum(rates, 0.0) / minutes, np.nan).T

    # ------------------------------------------------------------ inside

    def _set(self, blocks: NDArray[Any], states: NDArray[np.uint8]) -> None:
        if not blocks.size:
            return
        self.stamp += 1
        at = self.cells.of_block[blocks]
        np.subtract.at(self.tally, (at, self.state[blocks]), 1)
        np.add.at(self.tally, (at, states), 1)
        self.state[blocks] = states
        self._changed[at] = self.stamp

    def _remember(self, moment: Moment) -> None:
        if self.history and moment.seconds - self.history[-1].seconds < self._spacing:
            return
        self.history.append(moment)
        if len(self.history) >= _MOMENTS:
            del self.history[1::2]
            self._spacing *= 2
