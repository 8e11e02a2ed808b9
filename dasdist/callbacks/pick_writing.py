"""Pick a block and write its part, on a worker."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dasdist.callbacks.base import Accumulator, SampleReader, Samples
from dasdist.callbacks.pick_files import encode, schema_of
from dasdist.callbacks.pick_mapping import PickMapper
from dasdist.callbacks.pick_parts import dates_of, part_name
from dasdist.callbacks.picks import METRES, PickTable, Place
from dasdist.callbacks.sink import Counts
from dasdist.geometry.blocks import Block
from dasdist.geometry.numbers import Numbers
from dasdist.geometry.patches import Patch
from dasdist.storage.checksum import CHECKSUM, crc32c
from dasdist.storage.staging import Staging

__all__ = ["PickWriteMapper"]


@dataclass(frozen=True, slots=True)
class PickWriteMapper:
    """Picks the patches of a block and writes the picks of its core.

    Parameters
    ----------
    picking : PickMapper
        What picks.
    path : Path
        The folder of the dataset.
    staging : Staging
        Where parts are written before they are renamed.
    attrs : tuple of (str, str)
        Metadata of every part.
    place : Place
        What the positions of picks are called, and their unit.
    numbers : Numbers
        Of blocks, in the names of their parts.
    units : tuple of (str, str)
        The optional columns, and their units.
    by_date : bool
        Whether parts lie in folders of dates.
    """

    picking: PickMapper
    path: Path
    staging: Staging
    attrs: tuple[tuple[str, str], ...]
    place: Place = METRES
    numbers: Numbers = Numbers()
    units: tuple[tuple[str, str], ...] = ()
    by_date: bool = False

    def __call__(self, block: Block) -> "_BlockFile":
        """Begin picking one block."""
        dates = dates_of(block) if self.by_date else ()
        return _BlockFile(self, self.picking(block), self.numbers[block.index], dates)


@dataclass(frozen=True, slots=True)
class _BlockFile:
    to: PickWriteMapper
    picks: Accumulator
    number: int
    dates: tuple[str, ...]

    def add(self, patch: Patch) -> None:
        self.picks.add(patch)

    def measure(self, samples: Samples) -> None:
        if isinstance(self.picks, SampleReader):
            self.picks.measure(samples)

    def part(self) -> Counts:
        table: PickTable = self.picks.part()
        keys = [key for key, _ in self.to.picking.thresholds]
        counts = {key: int(np.count_nonzero(table["phase"] == key)) for key in keys}
        counts = {"picks": len(table["phase"]), **counts}
        if not self.dates:
            return {**counts, **self._written(part_name(self.number), table)}
        days, wrote = table["time"].astype("M8[D]"), Counter[str]()
        for date in self.dates:
            mine = days == np.datetime64(date)
            of_date = {name: column[mine] for name, column in table.items()}
            wrote.update(self._written(part_name(self.number, date), of_date))
        wrote[CHECKSUM] %= 2**32
        return {**counts, **wrote, "files": len(self.dates)}

    def _written(self, name: str, table: PickTable) -> Counts:
        data = encode(table, schema_of(self.to.attrs, self.to.place, self.to.units))
        size = self.to.staging.write(self.to.path / name, data)
        return {"bytes": size, CHECKSUM: crc32c(data)}
