"""What an executor is: it computes the blocks of a run somewhere, and yields what comes of them."""

from collections.abc import Generator, Iterable
from typing import Protocol

from dasdist.block_events import Listener
from dasdist.executors.block_task import BlockTask, Outcome, RunSpec
from dasdist.executors.stopping import Stop

__all__ = ["Executor"]


class Executor(Protocol):
    """Computes blocks; the serial one is the specification of all others.

    See Also
    --------
    dasdist.testing.check_executor : checks an executor against the serial one.
    """

    def run(
        self, spec: RunSpec, tasks: Iterable[BlockTask], stop: Stop, listen: Listener
    ) -> Generator[Outcome, None, None]:
        """Compute blocks.

        Parameters
        ----------
        spec : RunSpec
            What all blocks share.
        tasks : iterable of BlockTask
            The blocks; consumed only as far as they are about to run, for there may be many.
        stop : Stop
            Says when no more are to begin, and when those that run are to be given up.
        listen : callable
            Takes events of blocks that wait or run, in the caller's process, from any thread.

        Yields
        ------
        BlockResult or Failure
            Once for every block: in the order of the tasks if ``spec.needs.in_order``, else in any.

        Raises
        ------
        RunInterrupted
            If it was told to stop before all blocks were done.
        Exception
            The error of a block, unless ``spec.keep_going``; what is about the run, in any case.
        """
