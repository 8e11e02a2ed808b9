"""What a source promises: any rectangle of it reads as the same values, here and elsewhere."""

import pickle
from numbers import Integral
from typing import Any

import numpy as np

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources import SourceArray
from dasdist.sources.selection import Source
from dasdist.testing.given import called_by

__all__ = ["check_source"]

_RECTANGLES = 25
_CLOSED = "It travels to workers: open files in read(), and close them there."
_METHODS = ("select", "read", "files", "chunks", "identity")


def check_source(source: Source | SourceArray, shape: tuple[int, int] | None = None) -> None:
    """Check a source of samples x channels, small enough to be read whole.

    Parameters
    ----------
    source : Source or SourceArray
        The source; see :class:`dasdist.sources.selection.Source`.
    shape : tuple of int
        Its samples and channels; a :class:`dasdist.SourceArray` says so itself.

    Raises
    ------
    InvalidInput
        If it lacks a method of a source, or `shape` is not two whole numbers from 1 up.
    AssertionError
        If a rectangle of it reads as other values than those of the whole, if it cannot travel to a
        worker, or if what it says of itself is not so.

    Examples
    --------
    >>> import numpy as np
    >>> from dasdist.sources.selection import ArraySource
    >>> check_source(ArraySource(np.arange(12.0).reshape(4, 3)), (4, 3))
    """
    if isinstance(source, SourceArray):
        shape = (len(source.time), len(source.distance)) if shape is None else shape
        source = source.source
    shape = _checked(source, shape)
    with called_by("read()"):
        whole = np.asarray(source.read())
    assert whole.shape == shape, f"read() gave shape {whole.shape}, expected {shape}."
    random = np.random.default_rng(0)
    for _ in range(_RECTANGLES):
        time, distance = (_span(random, size) for size in shape)
        expected = whole[time.slice, distance.slice]
        with called_by("select()"):
            part = source.select(Region(time, distance))
        with called_by("Pickling what select() returned", _CLOSED):
            travelled = pickle.loads(pickle.dumps(part))
        for name, each in (("select()", part), ("a pickled select()", travelled)):
            _check_equal(each.read(), expected, f"{name} of {time}, {distance}")
        inner = Region(*(_span(random, size) for size in expected.shape))
        nested = expected[inner.time.slice, inner.distance.slice]
        _check_equal(part.select(inner).read(), nested, f"select() within {time}, {distance}")
        _check_files(part, time.size)
    _check_equal(source.read(), whole, "read(), once more,")
    _check_chunks(source, shape)
    _check_identity(source, shape)


def _checked(source: Any, shape: Any) -> tuple[int, int]:
    """Return the shape, if what was given is a source and a shape."""
    lacking = [name for name in _METHODS if not callable(getattr(source, name, None))]
    if lacking or isinstance(source, type):
        what = f"the class {source.__name__}" if isinstance(source, type) else type(source).__name__
        raise InvalidInput(
            f"check_source was given {what}, which is not a source: it needs the methods "
            f"{', '.join(f'{name}()' for name in _METHODS)}, as "
            "dasdist.sources.selection.Source describes them"
            + (f", and has no {', '.join(lacking)}." if lacking else "; pass an instance.")
        )
    if np.shape(shape) != (2,) or not all(isinstance(n, Integral) and int(n) >= 1 for n in shape):
        raise InvalidInput(f"shape is {shape!r}; pass its samples and channels, such as (600, 4).")
    return int(shape[0]), int(shape[1])


def _span(random: np.random.Generator, size: int) -> Span:
    start = int(random.integers(size))
    return Span(start, int(random.integers(start + 1, size + 1)))


def _check_equal(found: Any, expected: Any, what: str) -> None:
    values = np.asarray(found)
    assert values.shape == expected.shape, (
        f"{what} gave shape {values.shape}, expected {expected.shape}."
    )
    equal = np.array_equal(values, expected, equal_nan=expected.dtype.kind == "f")
    assert equal, f"{what} gave other values than that rectangle of the whole."


def _check_files(source: Source, samples: int) -> None:
    for span, path in source.files():
        assert isinstance(path, str), f"files() names {path!r}, which is not text."
        inside = 0 <= span.start < span.stop <= samples
        assert inside, f"files() places {path} at {span}, outside of its {samples} samples."


def _check_chunks(source: Source, shape: tuple[int, int]) -> None:
    chunks = source.chunks()
    assert chunks is None or all(isinstance(c, int) and c >= 1 for c in chunks), (
        f"chunks() returned {chunks!r}: return None, or samples and channels of a storage chunk."
    )


def _check_identity(source: Source, shape: tuple[int, int]) -> None:
    facts = list(source.identity())
    assert all(isinstance(fact, bytes) for fact in facts), "identity() must yield bytes."
    whole = source.select(Region(Span(0, shape[0]), Span(0, shape[1])))
    assert list(whole.identity()) == facts, "identity() differs for a selection of everything."
