"""How long the stages of a block take, told to a listener as they begin."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from dasdist.block_events import StageListener
from dasdist.inference.cuda import Mark, mark, reached, seconds_between

__all__ = ["STAGES", "Stopwatch"]

STAGES = ("read", "preprocess", "model", "reduce", "write")


class Stopwatch:
    """A stopwatch with a hand for every stage of a block.

    Within a stream of a GPU a stage begins and ends when the GPU gets there: it is only told what
    to do, and works it off later.

    Parameters
    ----------
    listen : callable
        Takes the stage that begins, and the share of the block's patches that are computed.
    patches : int
        Patches of the block.
    """

    def __init__(self, listen: StageListener, patches: int) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)
        self._pending: deque[tuple[str, Mark, Mark]] = deque()
        self._listen = listen
        self._patches = max(1, patches)
        self._computed = 0

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds so far, by stage; waits until the GPU is done with them."""
        self._count(wait=True)
        return dict(self._seconds)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        self._listen(stage, self._computed / self._patches)
        started = mark()
        yield
        self._pending.append((stage, started, mark()))
        self._count(wait=False)

    def _count(self, *, wait: bool) -> None:
        """Count the stages whose end is reached, or wait for those of all."""
        while self._pending and (wait or reached(self._pending[0][2])):
            stage, started, ended = self._pending.popleft()
            self._seconds[stage] += seconds_between(started, ended)

    def count_patch(self) -> None:
        """Count a patch that is computed."""
        self._computed += 1

    def begin_anew(self) -> None:
        """Count patches from the beginning: they are computed once more."""
        self._computed = 0
