"""What a user may ask of a run that does not change its results."""

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from dasdist.errors import InvalidInput

__all__ = ["RunOptions"]

DEFAULT_FAILURES = 100
"""Blocks that may fail in a run whose results last."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run starts, goes on and gives up.

    Parameters
    ----------
    overwrite : bool
        Whether to replace what the output holds, instead of going on with it.
    max_failures : int or None
        Blocks that may fail before the run stops; None is 0 for results in memory, and
        ``DEFAULT_FAILURES`` for those that last.
    retry_failed : bool
        Whether to try blocks again that earlier runs gave up.
    block_timeout : float or None
        Seconds after which a block counts as hanging; None is never.
    """

    overwrite: bool = False
    max_failures: int | None = None
    retry_failed: bool = False
    block_timeout: float | None = None

    def __post_init__(self) -> None:
        most: Any = self.max_failures
        timeout: Any = self.block_timeout
        if most is not None and (not isinstance(most, int | np.integer) or most < 0):
            raise InvalidInput(
                f"max_failures is {most!r}; give the number of blocks that may fail, from 0 up."
            )
        if timeout is not None and (
            not isinstance(timeout, int | float | np.number) or not 0 < timeout < inf
        ):
            raise InvalidInput(f"block_timeout is {timeout!r}; give seconds, more than 0.")
