"""Work in pieces, on one core or several."""

from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["Spread"]

Spread = Callable[[Callable[[Any], None], Iterable[Any]], Iterable[None]]
"""Applies a function to each of many pieces, in any order, at the latest when it is exhausted."""
