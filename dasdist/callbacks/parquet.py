"""Pick arrivals and write them to a Parquet dataset, straight from the workers.

::

    picks.parquet/
        block-000000000.parquet     the picks of a block's core, sorted; no rows if it has none
        block-000000001.parquet     columns: PICK_COLUMNS; units and the run in the metadata;
                                    "distance" has another name if channels have but numbers
        ...

A part is renamed into place when it is whole, so that the folder can be read while it grows, and
the same block gives the same bytes.  So a part names the model, its weights, arguments and options,
but not the run that wrote it: that is in the manifest (`dasdist.journal.manifest`).
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from dasdist.callbacks.base import Context
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.pick_columns import units_of
from dasdist.callbacks.pick_files import (
    FORMAT,
    Recount,
    StoredPicks,
    place_in,
    units_in,
)
from dasdist.callbacks.pick_parts import check_free, emptied, parts_of
from dasdist.callbacks.pick_writing import PickWriteMapper
from dasdist.callbacks.picking import DASPickingCallback
from dasdist.callbacks.picks import place_of
from dasdist.callbacks.sink import Counts, Output, SinkCallback
from dasdist.errors import DasdistError, InvalidInput
from dasdist.geometry.numbers import Numbers
from dasdist.storage.files import check_writable, writing
from dasdist.storage.staging import Staging, journal_of

__all__ = ["PickWriteMapper", "PicksWriterCallback", "StoredPicks"]


class PicksWriterCallback(SinkCallback):
    """Pick peaks of the annotations and write the picks to a Parquet dataset.

    Parameters
    ----------
    path : str or Path
        A folder that does not exist yet or is empty.  All workers must reach it.
    thresholds, min_time_separation, blinding, columns
        As for :class:`DASPickingCallback`.
    by_date : bool
        Whether parts lie in a folder for each date of their picks, ``date=2024-05-01``, as readers
        of Hive's layout know them: for datasets of years, of which a few days are wanted.
    overwrite : bool
        Whether to replace picks that the path already holds.  Anything else stays.

    Attributes
    ----------
    path : Path
        Where the picks are; absolute.
    counts : dict of str to int
        After the run: ``"picks"``, the picks of each phase, and ``"bytes"``, the size of all parts;
        by date also ``"files"``, of which a block that touches midnight has two.
    picks : pandas.DataFrame
        As of :class:`DASPickingCallback`; read from the dataset whenever it is asked for.

    Raises
    ------
    InvalidInput, OutputExists
        Options are out of range, or the path is a URL; and, from :meth:`setup`, as for
        :class:`DASPickingCallback`, or the path holds something.

    Notes
    -----
    ``pandas.read_parquet(path)``, ``polars.scan_parquet(path)``, duckdb's ``FROM
    'path/*.parquet'`` and ``dask.dataframe.read_parquet(path)`` read the folder, also while it
    grows.  Every column states its unit and every part what made it:
    ``pyarrow.parquet.read_schema(part).metadata``.

    By date, duckdb wants ``FROM 'path/**/*.parquet'``; these readers, and
    ``pyarrow.dataset.dataset(path, partitioning="hive")``, then add a column ``date`` (UTC).

    Picks stay on the workers: this process holds counts.

    When the archive changes, only parts that read what changed are written again.  The others keep
    their bytes, so that their `sample_index` and `segment` count in the recording as it was then;
    :attr:`picks` and what `classify` returns count them in the recording of now.  Times, channels
    and all else never change.

    Examples
    --------
    >>> model.annotate(data, PicksWriterCallback("picks.parquet", thresholds=0.3))  # doctest: +SKIP
    >>> polars.scan_parquet("picks.parquet").filter(phase="P").collect()  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        thresholds: float | Mapping[str, float] = 0.2,
        min_time_separation: float = 1.0,
        blinding: tuple[int, int] = (100, 100),
        columns: str | Iterable[str] = (),
        *,
        by_date: bool = False,
        overwrite: bool = False,
    ):
        name = str(path).removeprefix("file://")
        if "://" in name:
            raise InvalidInput(
                f"{path} is a URL, and picks are written to a folder that all workers reach: name "
                "one, and copy it there after the run."
            )
        self._picking = DASPickingCallback(thresholds, min_time_separation, blinding, columns)
        self.path = Path(name).absolute()
        self.by_date = bool(by_date)
        self.overwrite = overwrite
        self._counts: Counts | None = None
        self._mapper: PickWriteMapper | None = None

    @property
    def needs(self) -> Needs:  # type: ignore[override]
        """What the picking needs."""
        return self._picking.needs

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The dataset, and its journal beside it."""
        return (Output(self.path, journal_of(self.path), self.settings),)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Options of the picking, and whether parts lie by date."""
        return {**self._picking.settings, **({"by_date": True} if self.by_date else {})}

    @property
    def counts(self) -> Counts:
        """Picks, picks by phase, and bytes, of the last run."""
        if self._counts is None:
            raise DasdistError("There are no picks yet: pass the callback to annotate first.")
        return self._counts

    @property
    def picks(self) -> pd.DataFrame:
        """The picks of the dataset."""
        return self._stored().read()

    def _stored(self) -> StoredPicks:
        context = self.context
        recount = Recount(context.grids, self._numbers) if context.moved else None
        return StoredPicks(self.path, self.counts, recount)

    def setup(self, context: Context) -> None:
        """Check the options and the path, and make the folder."""
        super().setup(context)
        self._picking.setup(context)
        picking = self._picking.mapper()
        if clash := {"picks", "bytes", "files"} & {key for key, _ in picking.thresholds}:
            raise InvalidInput(f"{clash} names a count and an annotation key; rename the latter.")
        ours = [] if context.resume else check_free(self.path, self.overwrite or context.overwrite)
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            check_writable(self.path)
            for part in ours:
                part.unlink()
            emptied(self.path)
        # a dataset that was begun keeps its columns
        begun = place_in(self.path) if context.resume else None
        attrs = {
            **context.attrs,
            "weights": context.weights,
            "thresholds": json.dumps(dict(picking.thresholds)),
            "min_time_separation": picking.min_time_separation,
            "blinding": json.dumps(picking.blinding),
            "dasdist_format": FORMAT,
        }
        attrs.pop("model_token", None)  # of the same model it differs from session to session
        self._mapper = PickWriteMapper(
            picking,
            self.path,
            Staging.make(journal_of(self.path), context.run),
            tuple((name, str(value)) for name, value in attrs.items()),
            begun or place_of(context.dims[1], context.channel_unit),
            self._numbers,
            self._units(context),
            self.by_date,
        )
        self._counts = None

    def _units(self, context: Context) -> tuple[tuple[str, str], ...]:
        """Return the optional columns and their units, as they were when the dataset was begun."""
        units = units_of(self._picking.columns, context.data_unit)
        begun = units_in(self.path) if context.resume else {}
        return tuple((begun if begun.keys() == units.keys() else units).items())

    def lost(self, parts: Mapping[int, Mapping[str, int]]) -> list[int]:
        """Return the blocks whose part is missing or has another size."""
        sizes: Counter[int] = Counter()
        for number, entry in parts_of(self.path):
            sizes[number] += entry.stat().st_size
        numbers = self._numbers
        return [b for b, part in parts.items() if sizes[numbers[b]] != part.get("bytes")]

    def retain(self, blocks: Sequence[int]) -> None:
        """Remove the parts of all other blocks."""
        kept = {self._numbers[block] for block in blocks}
        with writing(self.path):
            for number, entry in parts_of(self.path):
                if number not in kept:
                    os.unlink(entry.path)
            emptied(self.path)

    @property
    def _numbers(self) -> Numbers:
        """The numbers of blocks in the names of parts; their own before a run is set up."""
        context = self._context
        return Numbers() if context is None else context.numbers_of(journal_of(self.path))

    def mapper(self) -> "PickWriteMapper":
        """Return the half that picks a block and writes its part."""
        assert self._mapper is not None
        return self._mapper

    def finalize(self, part: Counts) -> None:
        """Keep the counts."""
        keys = [key for key, _ in self.mapper().picking.thresholds]
        self._counts = {**dict.fromkeys(["picks", *keys, "bytes"], 0), **part}

    def get_results_dict(self) -> dict[str, Any]:
        """Return as ``"picks"`` where they are and how many: they are read only when asked for."""
        return {"picks": self._stored()}
