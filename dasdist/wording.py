"""Sentences that several modules say alike."""

import difflib
from collections.abc import Sequence

__all__ = ["unknown"]


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, and which known one is nearest.

    Examples
    --------
    >>> unknown("stacking", "mean", ["avg", "max"])
    "Unknown stacking 'mean'. Known are 'avg', 'max'."
    >>> unknown("stacking", "weigthed", ["avg", "weighted"])
    "Unknown stacking 'weigthed', did you mean 'weighted'? Known are 'avg', 'weighted'."
    """
    by_lower = {k.lower(): k for k in known}
    nearest = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f", did you mean {by_lower[nearest[0]]!r}?" if nearest else "."
    return f"Unknown {kind} {name!r}{hint} Known are {', '.join(map(repr, known))}."
