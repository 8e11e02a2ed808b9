"""A progress bar for terminals and notebooks."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from dasdist.run.progress import Progress as RunProgress
from dasdist.units import count_of, duration, times_real_time

__all__ = ["ProgressBar", "note_of"]


def note_of(progress: RunProgress) -> str:
    """Return blocks, speed, time left and failures as text."""
    left = progress.seconds_left
    words = [f"{progress.ended:,} of {count_of(progress.blocks, 'block')}"]
    if progress.speed:
        words.append(times_real_time(progress.speed))
    elif progress.ended < progress.blocks:
        words.append("loading the model")
    if left is not None:
        words.append(f"{duration(left)} left")
    if progress.failed:
        words.append(f"{progress.failed} failed")
    return ", ".join(words)


class ProgressBar:
    """Shows a bar that moves with the outputs that are computed.

    Parameters
    ----------
    console : Console, optional
        The terminal; by default stderr, or the notebook.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            console=console or Console(stderr=True, highlight=False, soft_wrap=True),
        )
        self._task: Any = None

    def start(self, progress: RunProgress) -> None:
        """Draw the bar."""
        self._task = self._progress.add_task("", total=1.0, note="")
        self.update(progress)
        self._progress.start()

    def update(self, progress: RunProgress) -> None:
        """Move it."""
        self._progress.update(self._task, completed=progress.share, note=note_of(progress))

    def close(self) -> None:
        """Leave it as it is."""
        self._progress.stop()
