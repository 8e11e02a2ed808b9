"""Events of a run: a callback around the one that picks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dasdist.callbacks.base import Context, Mapper
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.parquet import PicksWriterCallback
from dasdist.callbacks.picking import DASPickingCallback
from dasdist.callbacks.sink import Output, SinkCallback
from dasdist.errors import DasdistError, InvalidInput
from dasdist.events.files import detect_files
from dasdist.events.functions import detect
from dasdist.events.options import EventOptions
from dasdist.events.result import check_replaceable

__all__ = ["EventsCallback"]


class EventsCallback(SinkCallback):
    """Pick, and find the earthquakes that the picks line up to.

    Parameters
    ----------
    picking : DASPickingCallback or PicksWriterCallback
        What picks, in memory or to a Parquet dataset.
    path : path, optional
        Where the events go as well, a Parquet file.
    channels : int, optional
        Channels of the fibre; by default from the first to the last that has a pick.
    **options
        As of :class:`dasdist.events.EventOptions`.

    Attributes
    ----------
    events : pandas.DataFrame
        After the run, as of :class:`dasdist.events.Events`.
    picks : pandas.DataFrame
        The picks; those in memory with their event.

    Raises
    ------
    InvalidInput
        If `picking` is no such callback, or an option is out of range.
    OutputExists
        In :meth:`setup`, if `path` is something else than events.

    Notes
    -----
    Events are found on the client when all blocks are done, from all picks in the order of time:
    they do not depend on blocks, workers, kills or resumes, and `dasdist.events.detect` finds the
    same in the stored picks.  A dataset is read back part by part, so that memory holds minutes of
    picks.  Parameters of events are not part of a run's identity: the same call with others finds
    other events in the picks that are there.

    Examples
    --------
    >>> from dasdist import PicksWriterCallback
    >>> picking = PicksWriterCallback("picks.parquet", thresholds=0.3)
    >>> callback = EventsCallback(picking, "events.parquet", vp_vs=1.75)
    >>> model.annotate(data, callback)  # doctest: +SKIP
    >>> callback.events  # doctest: +SKIP
    """

    def __init__(
        self,
        picking: DASPickingCallback | PicksWriterCallback,
        path: str | Path | None = None,
        *,
        channels: int | None = None,
        **options: Any,
    ):
        if not isinstance(picking, DASPickingCallback | PicksWriterCallback):
            raise InvalidInput(
                f"EventsCallback was given {type(picking).__name__}, and finds events among picks: "
                "pass a DASPickingCallback or a PicksWriterCallback."
            )
        self.picking = picking
        self.path = None if path is None else Path(path).absolute()
        self.channels = channels
        self.options = EventOptions(**options)
        self._events: pd.DataFrame | None = None
        self._picks: pd.DataFrame | None = None

    @property
    def events(self) -> pd.DataFrame:
        """The events of the last run."""
        if self._events is None:
            raise DasdistError("There are no events yet: pass the callback to annotate first.")
        return self._events

    @property
    def picks(self) -> pd.DataFrame:
        """The picks of the last run."""
        return self.picking.picks if self._picks is None else self._picks

    def setup(self, context: Context) -> None:
        """Set the picking up, and refuse a path that holds something else."""
        super().setup(context)
        if self.path is not None:
            check_replaceable(self.path)
        self._events = self._picks = None
        self.picking.setup(context)

    def finalize(self, part: Any) -> None:
        """Finish the picks, and find the events."""
        self.picking.finalize(part)
        if isinstance(self.picking, PicksWriterCallback):
            self._events = detect_files(
                self.picking.path,
                self.path,
                options=self.options,
                channels=self.channels,
                empty=True,
            ).events
            return
        found = detect(self.picking.picks, channels=self.channels, **self.options.to_dict())
        self._events, self._picks = found.events, found.picks
        if self.path is not None:
            found.to_parquet(self.path)

    def get_results_dict(self) -> dict[str, Any]:
        """Return what the picking does, and the table as ``"events"``."""
        results = self.picking.get_results_dict()
        if self._picks is not None:
            results["picks"] = self._picks
        return {**results, "events": self.events}

    # ------------------------------------------------------------ all else is the picking's

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """What the picking needs."""
        return self.picking.needs

    @property
    def overwrite(self) -> bool:  # type: ignore[override]
        """Whether picks that are there are replaced."""
        return getattr(self.picking, "overwrite", False)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The dataset of picks, if there is one: events come from it."""
        return self.picking.outputs if isinstance(self.picking, SinkCallback) else ()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options of the picking."""
        return self.picking.settings

    @property
    def follows_changes(self) -> bool:
        """Whether picks follow a change of the archive."""
        return isinstance(self.picking, SinkCallback) and self.picking.follows_changes

    def lost(self, parts: Mapping[int, Any]) -> list[int]:
        """Return the blocks whose picks are missing."""
        return self.picking.lost(parts) if isinstance(self.picking, SinkCallback) else []

    def retain(self, blocks: Sequence[int]) -> None:
        """Remove the picks of all other blocks."""
        if isinstance(self.picking, SinkCallback):
            self.picking.retain(blocks)

    def mapper(self) -> Mapper:
        """Return the half that picks a block."""
        return self.picking.mapper()

    def combine(self, parts: Sequence[Any]) -> Any:
        """Combine as the picking does."""
        return self.picking.combine(parts)
