"""Loops over every sample of an archive, compiled, and free of the interpreter's lock."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function, **options: Any) -> _Function:
    """Compile with numba, keeping the type; without its cache where no folder can be written."""
    try:
        return cast(_Function, numba.njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # "no locator available": a read-only installation without a home
        return cast(_Function, numba.njit(nogil=True, **options)(function))
