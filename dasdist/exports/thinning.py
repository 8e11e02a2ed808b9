"""Fewer picks, of fewer channels: associators take some hundreds of stations, not ten thousand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidInput

__all__ = ["Thinning"]


@dataclass(frozen=True, slots=True)
class Thinning:
    """Which picks are exported.

    Parameters
    ----------
    every : int
        Only picks of every n-th channel, from channel 0 on.
    best_of : float, optional
        Cut the fibre into windows of so many metres, and keep a pick only if no pick of the same
        phase (and event, where picks have one) has a larger confidence in its window within
        `within` seconds of it. Of equal ones the earlier stays, then that of the lower channel.
        Associators get one station a window, the channel nearest to its middle: else P and S of an
        event were at different stations, and most stations without any.
    within : float
        Seconds.
    events_only : bool
        Only picks that belong to an event. With `best_of` or `every` these sample the event's
        arrival-time curve along the fibre.

    Raises
    ------
    InvalidInput
        If a number is out of range, or both `every` and `best_of` are given.

    Examples
    --------
    >>> table = pd.DataFrame({"channel_index": [0, 1, 2, 3, 4], "phase": "P"})
    >>> [part["channel_index"].tolist() for part in Thinning(every=2)([table])]
    [[0, 2, 4]]
    """

    every: int = 1
    best_of: float | None = None
    within: float = 1.0
    events_only: bool = False

    def __post_init__(self) -> None:
        if self.every < 1:
            raise InvalidInput(f"every={self.every}: give 1 or more; 10 keeps every tenth channel.")
        if self.best_of is not None and not self.best_of > 0:
            raise InvalidInput(f"best_of={self.best_of}: give the metres of a window, such as 500.")
        if self.best_of is not None and self.every > 1:
            raise InvalidInput("every and best_of exclude each other; give one of them.")
        if not self.within > 0:
            raise InvalidInput(f"within={self.within}: give seconds, such as 1.")

    def check(self, columns: Iterable[str]) -> None:
        """Refuse what the picks have no column for."""
        if self.best_of is not None and "distance" not in columns:
            raise InvalidInput(
                "The best pick of a window of metres needs picks with a distance, and these have "
                "only numbers of channels; take every n-th channel instead (every, --every)."
            )
        if self.events_only and "event" not in columns:
            raise InvalidInput(
                "Only picks of events are wanted, and these picks belong to none: they have no "
                "column event. Find events first."
            )

    def __call__(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Yield what is left of tables of picks in the order of time."""
        if self.events_only:
            batches = (batch[batch["event"] >= 0] for batch in batches)
        if self.best_of is not None:
            return self._best(batches)
        return (batch[batch["channel_index"] % self.every == 0] for batch in batches)

    def stations(self, picks: Iterable[pd.DataFrame]) -> Mapping[int, int]:
        """Return the channel that stands for each channel of picks, where windows have one."""
        if self.best_of is None:
            return {}
        found: dict[int, float] = {}
        for batch in picks:
            places = batch.drop_duplicates("channel_index")
            found.update(zip(places["channel_index"], places["distance"], strict=True))
        size, middle = self.best_of, dict[int, int]()
        for channel in sorted(found, key=lambda one: (abs(found[one] % size - size / 2), one)):
            middle.setdefault(int(found[channel] // size), channel)
        return {channel: middle[int(place // size)] for channel, place in found.items()}

    def _best(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        reach = round(self.within * 1e9)
        done, held = np.iinfo(np.int64).min, None
        for batch in batches:
            if not len(batch):
                yield batch
                continue
            held = batch if held is None else pd.concat([held, batch], ignore_index=True)
            time = _nanoseconds(held)
            # what comes next may still beat what is nearer than this to its first pick
            until = int(time[-1]) - reach
            yield held[self._stays(held, reach) & (time >= done) & (time < until)]
            done = max(done, until)
            held = held[time >= done - reach]
        if held is not None:
            yield held[self._stays(held, reach) & (_nanoseconds(held) >= done)]

    def _stays(self, table: pd.DataFrame, reach: int) -> NDArray[np.bool_]:
        """Tell for each pick that no better one is near."""
        assert self.best_of is not None
        time = _nanoseconds(table)
        window = np.floor(table["distance"].to_numpy() / self.best_of).astype(np.int64)
        group = _groups(window, table)
        best_first = np.lexsort((table["channel_index"], time, -table["confidence"].to_numpy()))
        rank = np.empty(len(table), dtype=np.int64)
        rank[best_first] = np.arange(len(table))
        rows = np.lexsort((time, group))
        time, group, rank = time[rows], group[rows], rank[rows]
        stays = np.ones(len(table), dtype=bool)
        for step in range(1, len(table)):
            near = (group[step:] == group[:-step]) & (time[step:] - time[:-step] <= reach)
            if not near.any():
                break
            later_wins = rank[step:] < rank[:-step]
            stays[:-step] &= ~(near & later_wins)
            stays[step:] &= ~(near & ~later_wins)
        back = np.empty_like(stays)
        back[rows] = stays
        return back


def _nanoseconds(table: pd.DataFrame) -> NDArray[np.int64]:
    found: NDArray[np.int64] = table["time"].to_numpy().astype(np.int64)
    return found


def _groups(window: NDArray[np.int64], table: pd.DataFrame) -> NDArray[np.int64]:
    """Number what competes: picks of a window, of a phase and of an event."""
    keys = pd.DataFrame({"window": window, "phase": table["phase"].to_numpy()})
    if "event" in table:
        keys["event"] = table["event"].to_numpy()
    found: NDArray[np.int64] = keys.groupby(list(keys), sort=False).ngroup().to_numpy()
    return found
