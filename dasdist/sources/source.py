"""What is read from: where samples x channels are stored, whoever stored them."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.sources.absence import Reading

__all__ = ["Source", "TellingSource"]


class Source(Protocol):
    """Where samples x channels are stored, and how to read them."""

    def select(self, region: Region) -> "Source":
        """Return a rectangle of this one, counted from its own first sample and channel."""

    def read(self) -> NDArray[Any]:
        """Return the values, shape (samples, channels); keep nothing in memory.

        Samples that are missing may be NaN, or an error be raised: it is then tried to read file by
        file, and ever smaller parts of a file.  See :class:`TellingSource` for what knows more.
        """

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return which samples lie in which file, as far as this is known; never raise."""

    def chunks(self) -> tuple[int, int] | None:
        """Return samples and channels of a storage chunk, if known and not contiguous."""

    def identity(self) -> Iterator[bytes]:
        """Yield what identifies these samples, without reading any from storage."""


@runtime_checkable
class TellingSource(Source, Protocol):
    """A source that knows of missing samples more than their values say.

    An optional method: a source that has it is asked for it instead of ``read``.
    """

    def reading(self) -> Reading:
        """Return the values, and which of them are missing."""
