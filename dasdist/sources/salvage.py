"""Read what can be read where something cannot: file by file, then ever smaller parts of files.

::

    files        |--- a ---|--- b ---|--- c ---|          b cannot be read
    parts of b              |-ok-|x|-ok|                  one storage chunk of it is damaged
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from dasdist.geometry import Region, Span
from dasdist.sources.absence import Absence, Reading, rows_absent
from dasdist.sources.source import Source, TellingSource

__all__ = ["reading_of", "salvaged"]

_PARTS = 64
"""Parts of a file that are tried at the most: each may take as long as a file system waits."""


def reading_of(source: Source) -> Reading:
    """Read a source, and let it tell what is missing if it can."""
    if isinstance(source, TellingSource):
        return source.reading()
    return Reading(np.asarray(source.read()))


def salvaged(
    source: Source,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    error: Exception,
    *,
    finely: bool,
) -> Reading:
    """Return what can be read of a source that cannot be read as a whole.

    Parameters
    ----------
    source : Source
        The source.
    shape, dtype
        Of its samples and channels.
    error : Exception
        Why the whole cannot be read.
    finely : bool
        Whether to look for what can be read within files, too.
    """
    values = np.zeros(shape, dtype)
    lost: list[Absence] = []
    files = source.files()

    def read(span: Span, least: int, why: Exception | None) -> None:
        paths = [path for held, path in files if held.start < span.stop and span.start < held.stop]
        if why is None:
            why = _put(source, span, values, lost)
        if why is None:
            return
        if isinstance(why, FileNotFoundError) or span.size <= least:
            gone = [path for path in paths if "://" not in path and not os.path.exists(path)]
            told = "no such file" if isinstance(why, FileNotFoundError) else str(why)
            what = f"cannot be read ({type(why).__name__}: {told})"
            named = [*gone, *paths]
            path = named[0] if named else None
            lost.append(rows_absent(span, shape[1], what, path, why))
            return
        middle = (span.start + span.stop) // 2
        read(Span(span.start, middle), least, None)
        read(Span(middle, span.stop), least, None)

    parts = list(_parts(files, shape[0]))
    for span in parts:
        least = max(_chunk(source, span), -(-span.size // _PARTS)) if finely else span.size
        read(span, least, error if len(parts) == 1 else None)
    return Reading(values, tuple(_joined(lost)), own=True)


def _put(source: Source, span: Span, values: Any, lost: list[Absence]) -> Exception | None:
    """Read some samples; return the error if they cannot be."""
    try:
        part = reading_of(source.select(Region(span, Span(0, values.shape[1]))))
        if part.values.shape != (span.size, values.shape[1]):  # one row would be spread over all
            raise OSError(f"{part.values.shape} samples x channels came back")
        values[span.slice] = part.values
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is returned
        return error
    lost += [absence.shift(span.start) for absence in part.absences]
    return None


def _parts(files: Any, samples: int) -> Iterator[Span]:
    """Yield the stretches between which files begin or end."""
    ends = {0, samples}
    for span, _ in files:
        ends |= {min(max(span.start, 0), samples), min(max(span.stop, 0), samples)}
    cuts = sorted(ends)
    for start, stop in pairwise(cuts):
        yield Span(start, stop)


def _chunk(source: Source, span: Span) -> int:
    """Return the samples of a storage chunk there; all where that cannot be told."""
    try:
        chunk = source.select(Region(span, Span(0, 1))).chunks()
    except Exception:  # noqa: BLE001 - it cannot be read, and that is being told already
        chunk = None
    return span.size if chunk is None else chunk[0]


def _joined(lost: list[Absence]) -> Iterator[Absence]:
    """Yield neighbouring parts of a file that cannot be read as one."""
    before: Absence | None = None
    for absence in lost:
        if (
            before is not None
            and before.error is not None
            and absence.error is not None
            and before.path == absence.path
            and before.region.time.stop == absence.region.time.start
        ):
            rows = Span(before.region.time.start, absence.region.time.stop)
            before = Absence(
                Region(rows, absence.region.distance), before.what, before.path, None, before.error
            )
            continue
        if before is not None:
            yield before
        before = absence
    if before is not None:
        yield before
