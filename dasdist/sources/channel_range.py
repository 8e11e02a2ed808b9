"""Some channels of a recording: a recording of their own, counted from the first of them."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import Ties
from dasdist.sources.kept import kept_ties
from dasdist.sources.labelled import Labelled
from dasdist.sources.source import Source

__all__ = ["ChannelRange", "channels_of"]


@dataclass(frozen=True, slots=True, eq=False)
class ChannelRange:
    """Data of which only some channels count; it is cut when it is opened.

    Parameters
    ----------
    data : object
        What :func:`~dasdist.sources.open_recording` takes.
    start, stop : int or None
        Numbers of channels, of every array; the first is in, the second is not.
    """

    data: Any
    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        start, stop = ("" if number is None else number for number in (self.start, self.stop))
        return f"{start}:{stop}"


def channels_of(array: Labelled, name: str, chosen: ChannelRange) -> Labelled:
    """Return some channels of an array.

    Parameters
    ----------
    array : Labelled
        The array.
    name : str
        Its dimension along the fibre.
    chosen : ChannelRange
        Which.

    Raises
    ------
    InvalidInput
        If it has no such channels.
    """
    axis = array.dims.index(name)
    size = array.shape[axis]
    span = Span(chosen.start or 0, size if chosen.stop is None else chosen.stop)
    if not 0 <= span.start < span.stop <= size:
        raise InvalidInput(
            f"Channels {chosen} cannot be chosen: the data has {size} channels, 0:{size}. Give a "
            "range of these."
        )
    shape, key = list(array.shape), [slice(None), slice(None)]
    shape[axis], key[axis] = span.size, span.slice
    position = array.coordinates[name]
    cut = replace(position, ties=partial(_ties, position.ties, span))
    return replace(
        array,
        shape=tuple(shape),
        coordinates={**array.coordinates, name: cut},
        source=partial(_source, array.source, shape[1 - axis], span),
        graph=None if array.graph is None else array.graph[tuple(key)],
    )


def _ties(ties: Any, span: Span) -> Ties:
    return kept_ties(ties(), [span])


def _source(source: Any, samples: int, span: Span, time_axis: int) -> Source:
    found: Source = source(time_axis).select(Region(Span(0, samples), span))
    return found
