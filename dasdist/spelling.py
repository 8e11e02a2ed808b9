"""Names that are spelt almost like a known one."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = ["nearest", "unknown"]


def nearest(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the known names that are spelt most alike, whatever the case; none if none is.

    Examples
    --------
    >>> nearest("Phasenet", ["PhaseNet", "EQTransformer"]), nearest("mean", ["avg", "max"])
    (['PhaseNet'], [])
    """
    folded = {one.casefold(): one for one in known}
    return [folded[one] for one in get_close_matches(str(name).casefold(), folded, n=most)]


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Say that a name is unknown, and which known one is nearest.

    Examples
    --------
    >>> unknown("stacking", "mean", ["avg", "max"])
    "Unknown stacking 'mean'. Known are 'avg', 'max'."
    >>> unknown("stacking", "weigthed", ["avg", "weighted"])
    "Unknown stacking 'weigthed', did you mean 'weighted'? Known are 'avg', 'weighted'."
    """
    near = nearest(name, known)
    hint = f", did you mean {near[0]!r}?" if near else "."
    return f"Unknown {kind} {name!r}{hint} Known are {', '.join(map(repr, known))}."
