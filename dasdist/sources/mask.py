"""Channels that are left out of a run, and why: those that `dasdist.quality` flags, or a list."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.safe_text import one_line
from dasdist.sources.absence import Absence, Reading
from dasdist.units import count_of

__all__ = ["NO_MASK", "Mask", "read_mask"]

_HALF = 0.5
"""Share of its hours from which a channel that has flags is left out."""

_LINE = re.compile(r"(?P<first>\d+)(:(?P<end>\d+))?(\s+(?P<reason>.*))?")


@dataclass(frozen=True, slots=True)
class Mask:
    """Channels that are left out.

    Parameters
    ----------
    reasons : mapping of int to str
        By channel of the recording, in their order: why; may be empty.
    origin : str
        Where that comes from.

    Examples
    --------
    >>> mask = Mask({3: "dead", 4: "dead", 9: ""}, "bad.txt")
    >>> str(mask), mask.numbers
    ('3 channels are left out, as bad.txt says: 2 dead, 1 without a reason (3:5, 9)', '3:5, 9')
    """

    reasons: Mapping[int, str]
    origin: str = "mask"

    def __bool__(self) -> bool:
        return bool(self.reasons)

    @property
    def spans(self) -> list[Span]:
        """The channels, as stretches without a hole."""
        channels = np.array(sorted(self.reasons), dtype=np.int64)
        if not channels.size:
            return []
        breaks = [0, *(np.flatnonzero(np.diff(channels) > 1) + 1).tolist(), channels.size]
        return [Span(int(channels[a]), int(channels[b - 1]) + 1) for a, b in pairwise(breaks)]

    @property
    def numbers(self) -> str:
        """The channels in short, as results depend on them."""
        return ", ".join(
            f"{span.start}" if span.size == 1 else f"{span.start}:{span.stop}"
            for span in self.spans
        )

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for reason in self.reasons.values():
            counts[reason] = counts.get(reason, 0) + 1
        why = ", ".join(f"{n:,} {reason or 'without a reason'}" for reason, n in counts.items())
        numbers = self.numbers if len(self.numbers) <= 60 else self.numbers[:57] + "..."
        left_out = count_of(len(self.reasons), "channel is", "channels are")
        return one_line(f"{left_out} left out, as {self.origin} says: {why} ({numbers})")

    def within(self, channels: Span) -> "Mask":
        """Return what it says of some channels, counted from the first of them."""
        inside = {
            channel - channels.start: reason
            for channel, reason in self.reasons.items()
            if channels.start <= channel < channels.stop
        }
        return replace(self, reasons=inside)

    def applied(self, reading: Reading, channels: Span) -> Reading:
        """Return what was read of some channels, in which those of the mask are absent.

        Nothing else is said of them: that such a channel has NaN is no news.
        """
        here = self.within(channels)
        if not here:
            return reading
        samples, width = reading.values.shape
        masked = np.zeros(width, dtype=np.bool_)
        masked[list(here.reasons)] = True
        told = [part for absence in reading.absences for part in _outside(absence, masked)]
        rows = Span(0, samples)
        mine = [Absence(Region(rows, span), "are masked", masked=True) for span in here.spans]
        return replace(reading, absences=(*told, *mine))


NO_MASK = Mask({})


def _outside(absence: Absence, masked: NDArray[np.bool_]) -> list[Absence]:
    """Return what an absence says of channels that are not masked."""
    here = masked[absence.region.distance.slice]
    if not here.any():
        return [absence]
    mask = np.broadcast_to(~here, absence.region.shape)
    if absence.mask is not None:
        mask = mask & absence.mask
    found = Absence.of_mask(mask, absence.what, absence.path)
    region = absence.region
    return [
        replace(one, error=absence.error).shift(region.time.start, region.distance.start)
        for one in found
    ]


def read_mask(given: Any, channels: int | None = None) -> Mask:
    """Read which channels are to be left out.

    Parameters
    ----------
    given : path, ChannelQuality, mapping of int to str, sequence of int, or None
        What ``dasdist quality`` wrote, or a text file with a channel a line: its number, or
        ``FIRST:END`` with the second excluded, and perhaps why; ``#`` begins a comment.  Of a table
        of quality, those channels are left out that have flags in half of their hours.
    channels : int, optional
        How many the recording has.

    Raises
    ------
    InvalidInput
        If it is none of these, names channels that there are not, or all of them.

    Examples
    --------
    >>> read_mask([4, 3]).numbers, read_mask(None).numbers
    ('3:5', '')
    """
    if given is None:
        return NO_MASK
    if isinstance(given, Mask):
        found = given
    elif isinstance(given, str | os.PathLike):
        found = Mask(_of_file(Path(given)), str(given))
    elif hasattr(given, "table"):
        found = Mask(_of_table(given.table), "their quality")
    else:
        found = Mask(_of_numbers(given))
    if channels is not None:
        _check(found, channels)
    return found


def _check(found: Mask, channels: int) -> None:
    wrong = [channel for channel in found.reasons if not 0 <= channel < channels]
    if wrong:
        raise InvalidInput(
            f"{found.origin} leaves out channel {wrong[0]}, and the recording has "
            f"{count_of(channels, 'channel')}, 0 to {channels - 1}. Is it of another recording?"
        )
    if len(found.reasons) == channels:
        raise InvalidInput(
            f"{found.origin} leaves out all {count_of(channels, 'channel')} of the recording, so "
            "that nothing is left to compute. Leave out fewer."
        )


def _of_numbers(given: Any) -> dict[int, str]:
    if isinstance(given, Mapping):
        items = list(given.items())
    else:
        values: Any = np.asarray(list(given) if isinstance(given, Iterable) else given)
        if values.dtype == np.bool_:
            values = np.flatnonzero(values)
        if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
            raise InvalidInput(
                f"mask is {given!r}; give the path of a table of `dasdist quality` or of a text "
                "file, numbers of channels, or a mapping of these to reasons."
            )
        items = [(channel, "") for channel in values.tolist()]
    return {int(channel): str(reason) for channel, reason in sorted(items)}


def _of_file(path: Path) -> dict[int, str]:
    if not path.is_file():
        raise InvalidInput(
            f"There is no file {path}; a mask is a table that `dasdist quality` wrote, or a text "
            "file with the number of a channel in each line."
        )
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return _of_parquet(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is neither a table of `dasdist quality` nor a text file of channel numbers."
        ) from error
    return _of_lines(lines, path)


def _of_lines(lines: Sequence[str], path: Path) -> dict[int, str]:
    reasons: dict[int, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        told = _LINE.fullmatch(text)
        if told is None:
            raise InvalidInput(
                f"Line {number} of {path} is {one_line(text)!r}; write the number of a channel, or "
                "FIRST:END, and perhaps why it is left out."
            )
        first = int(told["first"])
        for channel in range(first, first + 1 if told["end"] is None else int(told["end"])):
            reasons[channel] = told["reason"] or ""
    return dict(sorted(reasons.items()))


def _of_parquet(path: Path) -> dict[int, str]:
    import pandas as pd
    import pyarrow as pa

    try:
        return _of_table(pd.read_parquet(path, columns=["channel", "flags"]))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InvalidInput(
            f"{path} cannot be read as a table of `dasdist quality`: {error}"
        ) from error


def _of_table(table: Any) -> dict[int, str]:
    """Return the channels that have flags in half of their hours, with all their flags."""
    flagged = table[table["flags"] != ""]
    hours, wrong = table.groupby("channel").size(), flagged.groupby("channel").size()
    often = wrong[wrong >= _HALF * hours.reindex(wrong.index)].index
    chosen = flagged[flagged["channel"].isin(often)]
    return {
        int(channel): " ".join(dict.fromkeys(" ".join(flags).split()))
        for channel, flags in chosen.groupby("channel")["flags"]
    }
