"""Positions along the fibre, in metres."""

from typing import Any

from numpy.typing import NDArray

from dasdist.sources.lengths import is_number, metres
from dasdist.sources.unopened import Refused

__all__ = ["in_metres"]


def in_metres(values: NDArray[Any], unit: str | None) -> NDArray[Any]:
    """Return positions along the fibre in metres; numbers of channels stay what they are.

    Raises
    ------
    Refused
        If the unit is none of length that is known.
    """
    if not unit or is_number(unit):
        return values
    factor = metres(unit)
    if factor is None:
        raise Refused(
            f"its channels lie at positions in {unit!r}, which is no known unit of length"
        )
    return values if factor == 1 else values * float(factor)
