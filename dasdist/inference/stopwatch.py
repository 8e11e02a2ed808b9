"""How long the stages of a block take, told to a listener as they begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from dasdist.block_events import StageListener

__all__ = ["STAGES", "Stopwatch"]

STAGES = ("read", "preprocess", "model", "reduce", "write")


class Stopwatch:
    """A stopwatch with a hand for every stage of a block.

    Parameters
    ----------
    listen : callable
        Takes the stage that begins, and the share of the block's patches that are computed.
    patches : int
        Patches of the block.

    Attributes
    ----------
    seconds : dict of str to float
        Seconds so far, by stage.
    """

    def __init__(self, listen: StageListener, patches: int) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._listen = listen
        self._patches = max(1, patches)
        self._computed = 0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time a stage."""
        self._listen(stage, self._computed / self._patches)
        started = perf_counter()
        yield
        self.seconds[stage] += perf_counter() - started

    def count_patch(self) -> None:
        """Count a patch that is computed."""
        self._computed += 1

    def begin_anew(self) -> None:
        """Count patches from the beginning: they are computed once more."""
        self._computed = 0
