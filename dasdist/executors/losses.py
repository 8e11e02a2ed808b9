"""What a run says of workers that it loses: a line in the log at once, and a note in its report."""

from dataclasses import replace
from urllib.parse import urlsplit

from dasdist.executors.block_task import Outcome
from dasdist.executors.worker_events import Died
from dasdist.report import BlockResult
from dasdist.safe_text import logger
from dasdist.units import count_of

__all__ = ["Losses"]

_log = logger()


class Losses:
    """Workers that are gone with blocks of the run."""

    def __init__(self) -> None:
        self._notes: list[str] = []

    def add(self, event: Died) -> None:
        """Take note of a worker that is gone, and tell it if that costs anything."""
        if not event.blocks:
            return
        _log.warning(
            "The worker %s is lost: its process has ended, or its link is down. What it held, %s, "
            "is computed again.",
            event.worker,
            count_of(len(event.blocks), "block"),
        )
        host = urlsplit(event.worker).hostname or event.worker
        self._notes.append(  # alike for all workers of a host, so that they are few
            f"A worker on {host} was lost, with its process or its link, while it held blocks; "
            "they were computed again."
        )

    def noted(self, outcome: Outcome) -> Outcome:
        """Pass the notes on with what comes next, such as a block that is computed again."""
        if not self._notes or not isinstance(outcome, BlockResult):
            return outcome
        notes, self._notes = self._notes, []
        return replace(outcome, notes=(*outcome.notes, *notes))
