"""Colours, and text from outside, of the pages.

The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which differ for all
kinds of colour vision; a failure has a cross besides.
"""

import re
from collections.abc import Mapping

from dasdist.dashboard.board import CODES, PARTS

__all__ = ["GAP", "INK", "PHASES", "SHADES", "STAGES", "STATES", "colour_of_phase", "plain"]

INK = "#34424d"
GAP = "#b4bcc2"

STATES: Mapping[str, str] = {
    "waiting": "#e8ecef",
    "reading": "#56b4e9",
    "computing": "#e69f00",
    "writing": "#cc79a7",
    "done": "#009e73",
    "failed": "#d55e00",
    "skipped": "#6f8a9c",
}
"""Colours of blocks by state."""

STAGES: Mapping[str, str] = {
    "read": STATES["reading"],
    "preprocess": "#f0e442",
    "model": STATES["computing"],
    "reduce": "#a3cfa0",
    "write": STATES["writing"],
}
"""Colours of what a worker does."""

PHASES = ("#0072b2", "#222222", "#cc79a7", "#e69f00")
"""Colours of phases, in their order."""


def colour_of_phase(number: int) -> str:
    """Return the colour of a phase."""
    return PHASES[number % len(PHASES)]


def _mixed(first: str, second: str, share: float) -> str:
    pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


SHADES = (
    *(STATES[state] for state in CODES),
    *(_mixed(STATES["waiting"], STATES["done"], part / PARTS) for part in range(1, PARTS)),
)
"""Colours of cells by the number that a board gives them."""


def plain(text: str, most: int = 40) -> str:
    r"""Return a short text without what plots or templates would obey, such as markup or TeX.

    Examples
    --------
    >>> plain("tcp://10.0.0.1:4711"), plain("<b>m</b>$$\\frac{1}{2}$$@x")
    ('tcp://10.0.0.1:4711', 'bm/bfrac12x')
    """
    return re.sub(r"[^\w .,:/°µ+\-]", "", text)[:most]
