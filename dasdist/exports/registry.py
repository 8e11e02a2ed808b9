"""The formats by their names; a module is loaded when its format is used."""

from collections.abc import Mapping
from importlib import import_module

from dasdist.errors import InvalidInput
from dasdist.exports.format import Format
from dasdist.spelling import unknown

__all__ = ["FORMATS", "format_named"]

FORMATS: Mapping[str, str] = {
    "phasenet-das": "phasenet_das:CSV",
    "phasenet-das-parquet": "phasenet_das:PARQUET",
    "quakescope": "quakescope:QUAKESCOPE",
    "gamma": "gamma:GAMMA",
    "pyocto": "pyocto:PYOCTO",
    "adloc": "adloc:ADLOC",
    "nonlinloc": "nonlinloc:NONLINLOC",
    "quakeml": "quakeml:QUAKEML",
    "scml": "quakeml:SCML",
    "seisbench": "seisbench:SEISBENCH",
    "snuffler": "snuffler:SNUFFLER",
}
"""What ``to`` and ``--to`` take, and where each is."""


def format_named(name: str) -> Format:
    """Return a format.

    Raises
    ------
    InvalidInput
        If there is none of this name.

    Examples
    --------
    >>> format_named("gamma").consumer
    'GaMMA'
    """
    if name not in FORMATS:
        raise InvalidInput(unknown("format", name, tuple(FORMATS)))
    module, _, attribute = FORMATS[name].partition(":")
    found: Format = getattr(import_module(f"dasdist.exports.{module}"), attribute)
    return found
