"""Units in which files and arrays state where channels lie.

Exact where the unit is defined exactly: the international foot is 0.3048 m, the survey foot of the
United States 1200/3937 m (NIST Special Publication 811, appendix B.6).
"""

import re
from fractions import Fraction
from functools import cache

__all__ = ["METRE", "NUMBER", "is_number", "metres"]

METRE = "m"
"""Unit of positions that are, or were converted to, metres."""

NUMBER = "1"
"""Unit of positions that only count channels."""

_PREFIXES = {
    "n nano": Fraction(1, 10**9),
    "u micro": Fraction(1, 10**6),
    "m milli": Fraction(1, 1000),
    "c centi": Fraction(1, 100),
    "d deci": Fraction(1, 10),
    "da deca": Fraction(10),
    "h hecto": Fraction(100),
    "k kilo": Fraction(1000),
}

_FOOT, _SURVEY_FOOT = Fraction(3048, 10000), Fraction(1200, 3937)

_NAMES = {
    "m, metre, meter": Fraction(1),
    "micron": Fraction(1, 10**6),
    "ft, foot, feet, international foot, international feet": _FOOT,
    "survey foot, survey feet, survey ft, us foot, us feet, us ft, ft us, ftus, sft": _SURVEY_FOOT,
    "in, inch, inches": _FOOT / 12,
    "yd, yard": _FOOT * 3,
    "fathom": _FOOT * 6,
    "mi, mile, statute mile": _FOOT * 5280,
    "survey mile": _SURVEY_FOOT * 5280,
    "nmi, nautical mile": Fraction(1852),
}
"""Metres of units; a plural in -s goes without saying."""

_NUMBERS = {"1", "count", "channel", "number", "index", "locus", "trace", "dimensionless"}


def metres(unit: str) -> Fraction | None:
    """Return the metres of a unit of length; None if it is not known.

    Parameters
    ----------
    unit : str
        A symbol or a name, as CF, UDUNITS, pint and vendors write them, in upper or lower case,
        perhaps with a factor before it.

    Examples
    --------
    >>> [str(metres(unit)) for unit in ("m", "KM", "feet", "US_survey_foot", "10 cm", "furlong")]
    ['1', '1000', '381/1250', '1200/3937', '1/10', 'None']
    """
    number, name = _parted(unit)
    factor = _table().get(name, _table().get(name.removesuffix("s")))
    return None if factor is None or number <= 0 else factor * number


def is_number(unit: str) -> bool:
    """Return whether a unit says that positions only count channels.

    Examples
    --------
    >>> is_number("1"), is_number("channel"), is_number("m")
    (True, True, False)
    """
    name = _plain(unit)
    return name in _NUMBERS or name.removesuffix("s") in _NUMBERS


def _parted(unit: str) -> tuple[Fraction, str]:
    """Return the number that a unit begins with, and the rest."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?) ?\*? ?(\D.*)", _plain(unit))
    return (Fraction(found[1]), found[2]) if found else (Fraction(1), _plain(unit))


def _plain(unit: str) -> str:
    """Return a unit without case, brackets, and signs that are only a way of writing it."""
    words = re.sub(r"(?<!\d)\.|\.(?!\d)|[_\-\s]+", " ", unit.casefold().replace("u.s.", "us"))
    return " ".join(words.strip(" []()").replace("μ", "u").split()).replace("us survey", "survey")


@cache
def _table() -> dict[str, Fraction]:
    table = {name: value for names, value in _NAMES.items() for name in names.split(", ")}
    for prefixes, factor in _PREFIXES.items():
        symbol, prefix = prefixes.split()
        table |= {f"{symbol}m": factor, f"{prefix}metre": factor, f"{prefix}meter": factor}
    return table
