"""The libraries that draw, imported when they are needed; a plain sentence where one is missing."""

from importlib import import_module
from typing import Any, Literal

from dasdist.errors import InvalidArgument, InvalidInput

__all__ = ["Backend", "check_backend", "datashader", "holoviews", "new_figure", "pyplot"]

Backend = Literal["matplotlib", "holoviews"]


def check_backend(backend: str) -> None:
    """Refuse a library that no picture is drawn with.

    Raises
    ------
    InvalidArgument
        If it is neither "matplotlib" nor "holoviews".
    """
    if backend not in ("matplotlib", "holoviews"):
        raise InvalidArgument(f"backend is {backend!r}; use 'matplotlib' or 'holoviews'.")


def pyplot() -> Any:
    """Return matplotlib.pyplot."""
    return _library("matplotlib.pyplot", "Plots need matplotlib")


def new_figure(width: float, height: float) -> Any:
    """Return a figure that no window shows, for a command that saves it; inches.

    Raises
    ------
    InvalidInput
        If matplotlib is not installed.
    """
    try:
        made = _library("matplotlib.figure", "Pictures need matplotlib")
    except ImportError as error:
        raise InvalidInput(str(error)) from error
    return made.Figure(figsize=(width, height), layout="constrained")


def holoviews() -> Any:
    """Return HoloViews, with Bokeh as its backend unless the user has loaded another."""
    found = _library("holoviews", "backend='holoviews' needs HoloViews")
    if not found.Store.loaded_backends():
        found.extension("bokeh")
    return found


def datashader(picks: int) -> Any:
    """Return Datashader, which draws more picks than one can tell apart."""
    return _library("datashader", f"A picture of {picks:,} picks needs Datashader")


def _library(name: str, need: str) -> Any:
    """Import a library.

    Raises
    ------
    ImportError
        If it is missing, with what to install.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{need}, which is not installed: python -m pip install "dasdist[plot]"'
        ) from error
