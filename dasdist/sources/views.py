"""What is behind a lazy variable of xarray: which elements of which array in a file or store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["View", "view_of"]

_LAZY = ("LazilyIndexedArray", "LazilyVectorizedIndexedArray")
_PLAIN = ("MemoryCachedArray", "CopyOnWriteArray")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """Elements of an array, as two-dimensional values.

    Parameters
    ----------
    backend : object
        xarray's wrapper of the array.
    places : tuple of ndarray of int, or int
        Along each axis of the array, which of its elements are shown.
    axes : tuple of int
        Which of these are rows and columns of what is shown.
    decode : callable
        Turns stored numbers into the values that are shown.
    """

    backend: Any
    places: tuple[Any, ...]
    axes: tuple[int, int]
    decode: Callable[[NDArray[Any]], NDArray[Any]]

    def shown(self, stored: Any, dtype: Any) -> Any:
        """Return how a stored number is shown."""
        return self.decode(np.full((1, 1), stored, dtype))[0, 0]


def view_of(variable: Any) -> View | None:
    """Return what a lazy variable of two dimensions shows; None if that cannot be told.

    Parameters
    ----------
    variable : xarray.Variable
        The variable.
    """
    inner, functions, keys = variable._data, [], []
    while hasattr(inner, "array"):
        kind = type(inner).__name__
        if kind in _LAZY:
            keys.append(inner.key.tuple)
        elif kind == "_ElementwiseFunctionArray":
            functions.append(inner.func)
        elif kind not in _PLAIN:
            return None
        inner = inner.array
    found = _places(keys[0], inner.shape) if len(keys) == 1 else None
    if found is None:
        return None

    def decode(stored: NDArray[Any]) -> NDArray[Any]:
        for function in reversed(functions):
            stored = function(stored)
        return np.asarray(stored)

    return View(inner, *found, decode)


def _places(
    key: tuple[Any, ...], shape: tuple[int, ...]
) -> tuple[tuple[Any, ...], tuple[int, int]] | None:
    """Return the elements that a key takes along each axis, and which axes are rows and columns."""
    places: list[Any] = []
    positions: dict[int, int] = {}
    for axis, (entry, size) in enumerate(zip(key, shape, strict=True)):
        if isinstance(entry, slice):
            places.append(np.arange(*entry.indices(size)))
        elif np.ndim(entry) == 0:
            places.append(int(entry))
            continue
        elif np.ndim(entry) == 1:
            places.append(np.asarray(entry))
        elif np.ndim(entry) == 2:  # of an array that was turned, or the two in one
            along_rows = bool((entry != entry[:1]).any())
            places.append(entry[:, 0] if along_rows else entry[0])
            positions[axis] = 0 if along_rows else 1
            continue
        else:
            return None
        positions[axis] = axis
    shown = list(positions)
    if len(shown) != 2:
        return None
    if positions[shown[0]] == positions[shown[1]]:  # one of them has a single element
        positions[shown[0]] = 1 - positions[shown[1]]
    first, second = sorted(shown, key=positions.__getitem__)
    return tuple(places), (first, second)
