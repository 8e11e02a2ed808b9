"""The serial executor: the specification of what a run is."""

from collections.abc import Generator, Iterable

from dasdist.run.report import Done, Failure
from dasdist.run.work import Work, run_block
from dasdist.sources import Part

__all__ = ["run_serially"]


def run_serially(
    tasks: Iterable[tuple[Part, Work]],
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run one block after the other in this process.

    Parameters
    ----------
    tasks : iterable of (Part, Work)
        The blocks.

    Yields
    ------
    Work, Done or Failure
        The block's work and what became of it.
    """
    for part, work in tasks:
        yield work, run_block(part, work)
