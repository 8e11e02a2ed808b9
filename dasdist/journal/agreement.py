"""What the ledgers of several outputs agree on: a block is done where it is done in all of them."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from dasdist.journal.following import Followed
from dasdist.journal.ledger import History

__all__ = ["agreed", "let_go", "standing"]


def agreed(each: Sequence[History]) -> History:
    """Return what all ledgers agree on; a block is given up if any says so."""
    done = [block for block in each[0].parts if all(block in h.parts for h in each)]
    agreed = frozenset(done)
    return History(
        parts={block: tuple(h.parts[block] for h in each) for block in done},
        failures={block: failure for h in each for block, failure in h.failures.items()},
        partial={b: lacking for h in each for b, lacking in h.partial.items() if b in agreed},
    )


def let_go(followed: Followed, told: History, kept: Collection[int]) -> list[int]:
    """Return the numbers in a ledger whose blocks are computed again, or are no more."""
    numbers = {followed.numbers[block] for block in kept}
    return sorted({*told.parts, *told.failures} - numbers)


def standing(each: Sequence[Followed]) -> NDArray[np.bool_] | None:
    """Tell for each block whether what it wrote earlier, if anything, is still right."""
    found = [f.carried.same >= 0 for f in each if f.carried is not None]
    stands: NDArray[np.bool_] | None = np.logical_and.reduce(found) if found else None
    return stands
