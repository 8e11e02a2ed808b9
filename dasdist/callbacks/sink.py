"""Callbacks whose results last: workers write them, and a run goes on where it stopped.

::

    client   setup(context)    create the output, or keep what it holds if context.resume
    worker   mapper, part()    write what the block owns, all of it or nothing -> counts
    client   lost(parts)       of blocks that were finished: which are no longer there?
    client   retain(blocks)    after the archive changed: remove the results of all others

What makes such a run safe to kill and to repeat:

* A block writes only what it owns, whole or not at all, and the same bytes each time: write into
  ``staging-<run>`` of the journal and rename (:class:`dasdist.storage.staging.Staging`).
* A part is a mapping of names to counts: the ledger keeps it for every finished block.  One named
  "crc32c" is no count but the sum of the checksums of the block's files.
* :meth:`SinkCallback.settings` holds all that results depend on besides model and data; a run with
  other settings is refused.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dasdist.callbacks.base import DASAnnotateCallback
from dasdist.storage.checksum import CHECKSUM

__all__ = ["Counts", "Output", "SinkCallback"]

Counts = dict[str, int]
"""What a block wrote, such as picks or bytes, by name."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where results last.

    Parameters
    ----------
    path : Path or str
        What the user named.
    journal : Path
        The folder in which the run keeps its ledger, its lock and files that are being written.
    settings : mapping
        What the results there depend on besides model and data, for their manifest.
    """

    path: Path | str
    journal: Path
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)


class SinkCallback(DASAnnotateCallback):
    """Base class of callbacks whose results last.

    See the module's text for what a subclass promises, and
    :func:`dasdist.testing.check_sink`, which checks it.

    Attributes
    ----------
    overwrite : bool
        Whether to replace results that the output holds, instead of going on with them.
    """

    overwrite: bool = False

    @property
    @abstractmethod
    def outputs(self) -> tuple[Output, ...]:
        """Where the results last; empty if they happen to be in memory."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the results depend on besides model and data: plain values, by name."""
        return {}

    def lost(self, parts: Mapping[int, Any]) -> list[int]:
        """Return the blocks whose results are no longer in the output; called after :meth:`setup`.

        Parameters
        ----------
        parts : mapping
            By index, the parts of blocks that were finished.
        """
        return []

    @property
    def follows_changes(self) -> bool:
        """Whether a run goes on when its archive changed: where :meth:`retain` is defined."""
        return type(self).retain is not SinkCallback.retain

    def retain(self, blocks: Sequence[int]) -> None:
        """Remove the results of all blocks but these; called after :meth:`setup`.

        When the archive has changed, blocks have other places in the plan.  What they wrote is told
        by ``self.context.numbers_of(journal)[block]``, which stays what it was.  A sink that does
        not define this goes on only with an archive that is the same, or grew at its end.

        Parameters
        ----------
        blocks : sequence of int
            Blocks of the plan of now whose results stand.
        """

    def by_output(self, part: Any) -> tuple[Any, ...]:
        """Return what a part holds for each of :attr:`outputs`."""
        return (part,)

    def of_outputs(self, parts: Sequence[Any]) -> Any:
        """Return the part that :meth:`by_output` took apart."""
        (part,) = parts
        return part

    def counted(self, part: Any) -> Mapping[str, int]:
        """Return the counts of a part."""
        return {name: count for name, count in part.items() if name != CHECKSUM}

    def combine(self, parts: Sequence[Any]) -> Any:
        """Add the counts; checksums of blocks are none."""
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part)
        total.pop(CHECKSUM, None)
        return dict(total)
