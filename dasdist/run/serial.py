"""The serial executor: the specification of what a run is."""

from collections.abc import Generator, Iterable
from typing import Any

from dasdist.run.work import Work, run_block
from dasdist.sources import Part

__all__ = ["run_serially"]


def run_serially(tasks: Iterable[tuple[Part, Work]]) -> Generator[tuple[Work, Any], None, None]:
    """Run one block after the other in this process.

    Parameters
    ----------
    tasks : iterable of (Part, Work)
        The blocks.

    Yields
    ------
    Work, object
        The block's work and its part or :class:`~dasdist.run.report.Failure`.
    """
    for part, work in tasks:
        yield work, run_block(part, work)
