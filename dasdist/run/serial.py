"""The serial executor: the specification of what a run is."""

from collections.abc import Generator, Iterable

from dasdist.run.report import Done, Failure
from dasdist.run.stopping import Stop
from dasdist.run.work import Work, run_block
from dasdist.sources import Part

__all__ = ["run_serially"]


def run_serially(
    tasks: Iterable[tuple[Part, Work]],
    *,
    stop: Stop | None = None,
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run one block after the other in this process.

    Parameters
    ----------
    tasks : iterable of (Part, Work)
        The blocks.
    stop : Stop, optional
        Ends the run before its last block.

    Yields
    ------
    Work, Done or Failure
        The block's work and what became of it.

    Raises
    ------
    RunInterrupted
        If the run was told to stop.
    """
    stop = stop or Stop()
    for part, work in tasks:
        if stop.requested:
            raise stop.interrupted()
        with stop.interruptible():
            result = run_block(part, work)
        yield work, result
