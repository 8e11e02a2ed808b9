"""Colours that people with any colour vision tell apart.

Those of phases are from Okabe and Ito (2008, https://jfly.uni-koeln.de/color/).
"""

from collections.abc import Iterable
from typing import Any

__all__ = ["GAP", "GAP_LINES", "MAPS", "cycle", "phase_colours"]

_PHASES = {"P": "#E69F00", "S": "#009E73"}
_OTHERS = ("#CC79A7", "#56B4E9", "#F0E442", "#0072B2", "#D55E00")

GAP, GAP_LINES = "#ECECEC", "#C9C9C9"
"""Colours of where nothing was recorded."""

MAPS = {"samples": "RdBu_r", "rms": "cividis"}
"""Colour maps: diverging for what has a sign, else of rising lightness."""


def phase_colours(phases: Iterable[str]) -> dict[str, str]:
    """Return a colour for each phase, always the same for P and S.

    Examples
    --------
    >>> phase_colours(["S", "P", "S", "Pn"])
    {'P': '#E69F00', 'Pn': '#CC79A7', 'S': '#009E73'}
    """
    known = sorted(set(phases))
    others = [phase for phase in known if phase not in _PHASES]
    spare = {phase: _OTHERS[i % len(_OTHERS)] for i, phase in enumerate(others)}
    return {phase: _PHASES.get(phase) or spare[phase] for phase in known}


def cycle(things: Iterable[Any]) -> dict[Any, str]:
    """Return a colour for each of any number of things; neighbours in order differ."""
    colours = (*_PHASES.values(), *_OTHERS)
    return {one: colours[i % len(colours)] for i, one in enumerate(sorted(set(things)))}
