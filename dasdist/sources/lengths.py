"""Units in which files and arrays state where channels lie.

Exact where the unit is defined exactly: the international foot is 0.3048 m, the survey foot of the
United States 1200/3937 m (NIST Special Publication 811, appendix B.6).
"""

import re
from fractions import Fraction
from functools import cache
from itertools import product

__all__ = ["METRE", "NUMBER", "is_number", "metres"]

METRE = "m"
"""Unit of positions that are, or were converted to, metres."""

NUMBER = "1"
"""Unit of positions that only count channels."""

_METRE = ("m", "metre", "meter", "metres", "meters", "mtr", "mtrs")

_PREFIXES = {
    ("n", "nano"): Fraction(1, 10**9),
    ("u", "µ", "μ", "micro"): Fraction(1, 10**6),
    ("m", "milli"): Fraction(1, 1000),
    ("c", "centi"): Fraction(1, 100),
    ("d", "deci"): Fraction(1, 10),
    ("da", "deca", "deka"): Fraction(10),
    ("h", "hecto"): Fraction(100),
    ("k", "kilo"): Fraction(1000),
}

_FOOT, _SURVEY_FOOT = Fraction(3048, 10000), Fraction(1200, 3937)

_OTHERS = {
    ("ft", "foot", "feet", "foots", "international foot", "international feet", "'"): _FOOT,
    (
        *(
            f"{us}{foot}"
            for us, foot in product(("us ", "u s ", ""), ("survey foot", "survey feet"))
        ),
        *("us ft", "ft us", "ftus", "usft", "us foot", "us feet", "foot us", "sft", "survey ft"),
        "us survey ft",
    ): _SURVEY_FOOT,
    ("in", "inch", "inches", '"'): _FOOT / 12,
    ("yd", "yds", "yard", "yards"): _FOOT * 3,
    ("fathom", "fathoms", "ftm"): _FOOT * 6,
    ("mi", "mile", "miles", "statute mile", "statute miles"): _FOOT * 5280,
    ("us survey mile", "us survey miles", "survey mile", "survey miles"): _SURVEY_FOOT * 5280,
    ("nmi", "nautical mile", "nautical miles"): Fraction(1852),
}

_NUMBERS = {
    *("1", "count", "counts", "channel", "channels", "number", "index", "none", "dimensionless"),
    *("sample", "samples", "trace", "traces", "locus", "loci", "unitless"),
}


def metres(unit: str) -> Fraction | None:
    """Return the metres of a unit of length; None if it is not known.

    Parameters
    ----------
    unit : str
        A symbol or a name, as CF, UDUNITS, pint and vendors write them, upper or lower case, perhaps
        with a factor before it.

    Examples
    --------
    >>> [str(metres(unit)) for unit in ("m", "KM", "feet", "US_survey_foot", "10 cm", "furlong")]
    ['1', '1000', '381/1250', '1200/3937', '1/10', 'None']
    """
    number, name = _parted(unit)
    factor = _table().get(name)
    return None if factor is None or number <= 0 else factor * number


def is_number(unit: str) -> bool:
    """Return whether a unit says that positions only count channels.

    Examples
    --------
    >>> is_number("1"), is_number("channel"), is_number("m")
    (True, True, False)
    """
    return _plain(unit) in _NUMBERS


def _parted(unit: str) -> tuple[Fraction, str]:
    """Return the number that a unit begins with, and the rest."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?) ?\*? ?(\D.*)", _plain(unit))
    return (Fraction(found[1]), found[2]) if found else (Fraction(1), _plain(unit))


def _plain(unit: str) -> str:
    """Return a unit without case, brackets and what else is only a way of writing it."""
    words = re.sub(r"[_\-\s]+", " ", unit.strip().strip("[]()").casefold())
    return re.sub(r"\.(?!\d)", " ", words).strip().replace("  ", " ")


@cache
def _table() -> dict[str, Fraction]:
    table = dict.fromkeys(_METRE, Fraction(1))
    for (symbol, *names), factor in _PREFIXES.items():
        names = [name for name in names if len(name) > 1]
        table |= {f"{symbol}m": factor}
        table |= {f"{prefix}{metre}": factor for prefix in names for metre in _METRE[1:5]}
    table |= {"µm": Fraction(1, 10**6), "μm": Fraction(1, 10**6), "micron": Fraction(1, 10**6)}
    for names_of_one, factor in _OTHERS.items():
        table |= dict.fromkeys(names_of_one, factor)
    return table
