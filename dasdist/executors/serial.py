"""The executor of this process: one block after the other, the specification of what a run is.

With a GPU several threads work on consecutive blocks, so that one reads while another computes;
results come in the same order.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from dasdist.block_events import Listener
from dasdist.executors.block_task import BlockTask, Outcome, RunSpec, run_block
from dasdist.executors.stopping import Stop
from dasdist.executors.telemetry import BlockTelemetry
from dasdist.inference.prefetch import a_core_each, in_order
from dasdist.inference.replica import remember

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Runs one block after the other in this process, or a few at once.

    Parameters
    ----------
    threads : int
        Blocks at a time.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads

    def run(
        self, spec: RunSpec, tasks: Iterable[BlockTask], stop: Stop, listen: Listener
    ) -> Generator[Outcome, None, None]:
        """Compute blocks, as :class:`~dasdist.executors.protocol.Executor` says."""
        remember(spec.payload)

        def compute(task: BlockTask) -> Outcome:
            telemetry = BlockTelemetry(task.block, listen)
            return run_block(task.selection, task.block, spec, telemetry)

        with a_core_each(max(recipe.batching.cores for recipe in spec.recipes)):
            if self._threads > 1:
                yield from _side_by_side(compute, tasks, self._threads, stop)
                return
            for task in tasks:
                if stop.requested:
                    raise stop.interrupted()
                with stop.interruptible():
                    outcome = compute(task)
                yield outcome


def _side_by_side(
    compute: Callable[[BlockTask], Outcome], tasks: Iterable[BlockTask], threads: int, stop: Stop
) -> Generator[Outcome, None, None]:
    """Run blocks in threads; yield their results in order.

    As many wait as run, so that no thread is idle while the first of them takes long.
    """
    pool = ThreadPoolExecutor(threads, "dasdist-blocks")
    left_out = False

    def until_stopped() -> Iterator[BlockTask]:
        nonlocal left_out
        for task in tasks:
            if stop.requested:  # what runs may finish
                left_out = True
                return
            yield task

    def begun(task: BlockTask) -> Outcome | None:
        return None if stop.requested else compute(task)

    def landed(outcome: Future[Outcome | None]) -> Outcome | None:
        if stop.over:
            raise stop.interrupted()
        with stop.interruptible():
            return outcome.result()

    try:
        for outcome in in_order(
            lambda task: pool.submit(begun, task),
            until_stopped(),
            2 * threads,
            take=landed,
            abandoned=lambda: stop.over,
        ):
            if outcome is None:
                left_out = True
            else:
                yield outcome
        if left_out:
            raise stop.interrupted()
    finally:
        pool.shutdown(wait=not stop.over, cancel_futures=True)
