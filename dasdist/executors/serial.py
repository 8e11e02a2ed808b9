"""The executor of this process: one block after the other, the specification of what a run is.

With a GPU several threads work on consecutive blocks, so that one reads while another computes;
results come in the same order.
"""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from dasdist.executors.block_task import Work, run_block
from dasdist.executors.stopping import Stop
from dasdist.report import Done, Failure
from dasdist.sources import Selection

__all__ = ["run_serially"]


def run_serially(
    tasks: Iterable[tuple[Selection, Work]],
    *,
    threads: int = 1,
    stop: Stop | None = None,
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run one block after the other in this process, or a few at once.

    Parameters
    ----------
    tasks : iterable of (Selection, Work)
        The blocks.
    threads : int
        Blocks at a time.
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
    if threads > 1:
        yield from _side_by_side(tasks, threads, stop)
        return
    for part, work in tasks:
        if stop.requested:
            raise stop.interrupted()
        with stop.interruptible():
            result = run_block(part, work)
        yield work, result


def _side_by_side(
    tasks: Iterable[tuple[Selection, Work]], threads: int, stop: Stop
) -> Generator[tuple[Work, Done | Failure], None, None]:
    """Run blocks in threads; yield their results in order."""
    pool = ThreadPoolExecutor(threads, "dasdist-blocks")
    flight: deque[tuple[Work, Future[Done | Failure]]] = deque()

    def landed() -> tuple[Work, Done | Failure]:
        if stop.over:
            raise stop.interrupted()
        work, future = flight.popleft()
        with stop.interruptible():
            return work, future.result()

    try:
        for part, work in tasks:
            if stop.requested:  # what runs may finish
                while flight:
                    yield landed()
                raise stop.interrupted()
            flight.append((work, pool.submit(run_block, part, work)))
            if len(flight) == threads:
                yield landed()
        while flight:
            yield landed()
    finally:
        pool.shutdown(wait=not stop.over, cancel_futures=True)
