"""Write the model's stacked outputs to a Zarr store, straight from the workers.

::

    out.zarr/             Zarr format 3; attributes: format, provenance, the exact axes
        P, S, ...         float32 (time, distance), NaN where nothing was computed
        time, distance    coordinates; time only up to TIME_LIMIT samples
    out.zarr/segment_0000, segment_0001, ...   the same by segment, where there are several

Every shard of an array (a file) lies in one block, along time and along the fibre, so that blocks
are written without locks, in any order and twice.  Readers fetch inner chunks of about 2 MiB.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import FsspecStore, LocalStore

from dasdist.callbacks import zarr_template as template
from dasdist.callbacks.base import Context
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.sink import Counts, Output, SinkCallback
from dasdist.callbacks.stacking import MapStacked, Stacking, check_stacking
from dasdist.callbacks.zarr_rebuild import finish, rebuild
from dasdist.callbacks.zarr_root import keep_copy, mend, understood
from dasdist.callbacks.zarr_shards import lost_blocks, open_store, remove_others, write_core
from dasdist.errors import DasdistError, DataWarning, InvalidInput, RunMismatch
from dasdist.geometry.blocks import Block
from dasdist.storage.checksum import CHECKSUM
from dasdist.storage.files import writing
from dasdist.storage.staging import Staging, journal_of

__all__ = ["WriteBlock", "WriterCallback"]


class WriterCallback(SinkCallback):
    """Write annotations to a Zarr store; :func:`dasdist.open_annotations` opens it.

    Parameters
    ----------
    path : str, Path, or zarr store
        A folder that does not exist yet or is empty, a URL that fsspec knows, or a store of zarr.
        All workers must reach it.
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.
    overwrite : bool
        Whether to replace annotations that the path already holds.  Anything else stays.
    journal : str or Path, optional
        The folder in which a run notes what is done, so that it can be resumed.  By default, for
        ``prob.zarr`` in a folder, ``prob.zarr.dasdist`` beside it; for a URL or an object store
        whose last part is ``prob.zarr``, ``prob.zarr.dasdist`` in the current folder.

    Attributes
    ----------
    path : Path, str, or zarr store
        Where the annotations are; absolute if local.
    written : dict of str to int, or None
        After the run, how many ``"blocks"`` and ``"shards"`` were written, and their ``"bytes"``.

    Raises
    ------
    InvalidInput, OutputExists, RunMismatch
        There is no such stacking; and, from :meth:`setup`, the path holds something, or what is to
        be resumed is of another template.
    OutputUnwritable
        The disk is full, or writing is not allowed.

    Notes
    -----
    Times are stored as int64 with CF units: ``xarray.open_zarr(path)`` finds them exact.  Beyond
    ``TIME_LIMIT`` samples (28 hours at 1 kHz) they are not, as a year at 1 kHz is 250 GB of them;
    the exact axis always is, a few numbers in the attributes of its group, from which
    ``open_annotations`` computes the times that are looked at.  Takes the place of
    ``seisbench.models.das_base.WriterCallback``.

    In a folder a shard is written aside and renamed; in an object store it is one PUT.  A run that
    another has taken over writes no more, but for a PUT that was under way.  Credentials belong
    where fsspec and obstore look for them, such as the environment: of a store nothing but its path
    is kept.

    Examples
    --------
    >>> model.annotate(data, WriterCallback("prob.zarr"))  # doctest: +SKIP
    >>> dasdist.open_annotations("prob.zarr")["P"]  # doctest: +SKIP
    >>> model.annotate(data, WriterCallback("s3://bucket/prob.zarr"))  # doctest: +SKIP
    """

    needs = Needs(held_outputs=3)  # a stack, weights, and a shard or two while they are encoded

    def __init__(
        self,
        path: Any,
        stacking: Stacking = "weighted",
        *,
        overwrite: bool = False,
        journal: str | Path | None = None,
    ):
        check_stacking(stacking)
        if isinstance(path, LocalStore):
            path = path.root
        name = str(path).removeprefix("file://")
        is_local = isinstance(path, str | Path) and "://" not in name
        self.path = Path(name).absolute() if is_local else path
        self.stacking: Stacking = stacking
        self.overwrite = overwrite
        self.written: Counts | None = None
        self._journal = _journal(self.path) if journal is None else Path(journal).absolute()
        self._write: WriteBlock | None = None
        self._groups: list[str] = []

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The store and its journal; none for a store in memory, or one without a name."""
        if self._journal is None:
            return ()
        path = self.path if isinstance(self.path, Path) else str(self.path)
        return (Output(path, self._journal, self.settings),)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The stacking."""
        return {"stacking": self.stacking}

    def setup(self, context: Context) -> None:
        """Create the store, with coordinates and empty arrays, or make what is there longer."""
        super().setup(context)
        if clash := {*context.annotate_keys} & {*context.dims}:
            raise InvalidInput(f"{clash} names an annotation and a dimension; rename the latter.")
        with writing(self.path):
            if context.resume and isinstance(self.path, Path):
                finish(self.path)
                self._mend(self.path)
            if context.resume and template.is_complete(self.path):
                with understood(self.path):
                    groups, layouts = self._stored(context)
            else:
                overwrite = self.overwrite or context.overwrite or context.resume
                template.check_free(self.path, overwrite)
                template.begin(self.path, overwrite=overwrite)
                groups, layouts = template.group_names(context.grids, len(context.grids) > 1), {}
            staging = None
            if isinstance(self.path, Path) and self._journal is not None:
                staging = Staging.make(self._journal, context.run)
            if staging is None:
                context = replace(context, attrs={**context.attrs, template.RUN: context.run})
            template.make(*open_store(self.path, staging), context, groups, layouts)
            if isinstance(self.path, Path) and self._journal is not None:
                keep_copy(self.path, self._journal)
        several = groups != [""]
        self._groups, self.written = groups, None
        self._write = WriteBlock(self.path, staging, context.run, several)

    def _mend(self, path: Path) -> None:
        told = "" if self._journal is None else mend(path, self._journal)
        if told:
            warnings.warn(told, DataWarning, stacklevel=2)

    def _stored(self, context: Context) -> tuple[list[str], template.Layouts]:
        """Return the groups that the run needs, and the layout of those that are there."""
        try:
            return template.stored(self.path, context)
        except RunMismatch:
            if context.standing is None or not isinstance(self.path, Path):
                raise
        rebuild(self.path, context)  # the archive changed
        return template.stored(self.path, context)

    def retain(self, blocks: Sequence[int]) -> None:
        """Remove the shards of all other blocks."""
        with writing(self.path):
            remove_others(self.path, set(blocks))

    def lost(self, parts: Mapping[int, Mapping[str, int]]) -> list[int]:
        """Return the blocks of which a shard is missing or, in a folder, of another size."""
        return lost_blocks(self.path, parts)

    def mapper(self) -> MapStacked:
        """Return the half that stacks and writes a block."""
        assert self._write is not None
        return MapStacked(self._write, self.stacking, self.context.annotate_keys)

    def finalize(self, part: Counts) -> None:
        """Keep the counts as `written`."""
        self.written = {"blocks": 0, "shards": 0, "bytes": 0, **part}

    def get_results_dict(self) -> dict[str, Any]:
        """Return the path of each annotation key's array; of several segments, a list of them."""
        if self._write is None:
            raise DasdistError("There are no annotations yet: pass the callback to annotate first.")
        several, keys = self._write.several, self.context.annotate_keys
        paths = {key: [_join(self.path, g, key) for g in self._groups] for key in keys}
        return {key: found if several else found[0] for key, found in paths.items()}


@dataclass(frozen=True, slots=True)
class WriteBlock:
    """Writes the core of a block; several segments have a group each.

    Parameters
    ----------
    path : Path, str, or zarr store
        Where.
    staging : Staging or None
        Where shards are written before they are renamed; None for what is not a folder.
    run : str
        Names the run.
    several : bool
        Whether each segment has a group.
    """

    path: Any
    staging: Staging | None
    run: str
    several: bool

    def __call__(self, block: Block, annotations: Mapping[str, NDArray[np.float32]]) -> Counts:
        """Write the annotations of a block, and count."""
        (group,) = template.group_names((block.grid,), self.several)
        # empty chunks too: then a shard that is there means that its block was computed
        options: dict[str, Any] = {"config": {"write_empty_chunks": True}, "zarr_format": 3}
        with writing(self.path):
            store, path = open_store(self.path, self.staging, self.run)
            for key, values in annotations.items():
                name = "/".join(filter(None, (path, group, key)))
                array = zarr.open_array(store, path=name, mode="r+", **options)
                write_core(array, block.core, values)
        counts = {"blocks": 1, "shards": store.files, "bytes": store.bytes}
        return {**counts, CHECKSUM: store.checksum}


def _journal(path: Any) -> Path | None:
    """Return the default journal; None where nothing lasts, or nothing gives it a name."""
    if isinstance(path, Path):
        return journal_of(path)
    if isinstance(path, FsspecStore):
        path = path.path
    elif not isinstance(path, str):
        path = getattr(getattr(path, "store", None), "prefix", None) or ""  # of obstore
    name = str(path).rstrip("/").rpartition("/")[2]
    return Path(f"{name}.dasdist").absolute() if name and "memory:" not in str(path) else None


def _join(path: Any, group: str, key: str) -> Any:
    name = f"{group}/{key}".lstrip("/")
    return path / name if isinstance(path, Path) else f"{path}/{name}"
