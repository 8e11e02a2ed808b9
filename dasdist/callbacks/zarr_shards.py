"""A block's shards: written whole, by the one block that owns them, and found again.

In a folder a shard goes through the run's staging folder.  Elsewhere it is one PUT, which readers
see whole or not at all, and the run is named in the store: a block of an older run ends there.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import collect_aiterator, sync
from zarr.storage import FsspecStore, LocalStore, WrapperStore

from dasdist.callbacks.zarr_root import open_root, understood
from dasdist.callbacks.zarr_template import RUN, is_complete
from dasdist.errors import InvalidInput, RunSuperseded
from dasdist.geometry.blocks import Region
from dasdist.safe_text import one_line
from dasdist.storage.checksum import crc32c
from dasdist.storage.files import writing
from dasdist.storage.staging import Staging

__all__ = [
    "OwnedStore",
    "StagedStore",
    "lost_blocks",
    "open_store",
    "owned",
    "remove_others",
    "write_core",
]


class OwnedStore(WrapperStore[Store]):
    """A store that counts and sums what is written, and whose errors say what to do."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.files, self.bytes, self.checksum = 0, 0, 0

    async def set(self, key: str, value: Any) -> None:
        """Write a shard."""
        with writing(f"{self}/{key}"):
            await self._put(key, value)
        self.files += 1
        self.bytes += len(value)
        self.checksum = (self.checksum + crc32c(value.as_numpy_array())) % 2**32

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read metadata; of shards nothing, for a block writes all of one whatever was there."""
        if not key.endswith("zarr.json"):  # else one that is damaged could not be written again
            return None
        return await super().get(key, prototype, byte_range)

    async def _put(self, key: str, value: Any) -> None:
        try:
            await self._store.set(key, value)
        except OSError:
            raise
        except Exception as error:  # each library of object stores has its own
            raise OSError(f"{type(error).__name__}: {error}") from error

    def __str__(self) -> str:
        return one_line(self._store)


class StagedStore(OwnedStore):
    """A store on a file system whose files are written aside and renamed."""

    def __init__(self, path: Path, staging: Staging) -> None:
        super().__init__(LocalStore(path))
        self.root, self.staging = path, staging

    async def _put(self, key: str, value: Any) -> None:
        await asyncio.to_thread(self.staging.write, self.root / key, value.as_buffer_like())


def open_store(
    path: Any, staging: Staging | None, run: str | None = None
) -> tuple[OwnedStore, str]:
    """Return a store to write annotations to, and where in it they are.

    Parameters
    ----------
    path : Path, str, or zarr store
        A folder, or what zarr opens.
    staging : Staging or None
        Of the run; None for what is no folder.
    run : str, optional
        The run that the store must belong to, where there is no staging.

    Raises
    ------
    RunSuperseded
        If it belongs to another.
    """
    if staging is not None:
        return StagedStore(path, staging), ""
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    if run is not None and group.attrs.get(RUN) != run:
        raise RunSuperseded(
            f"Nothing was written to {path}, because it no longer belongs to this run: a newer run "
            "has taken it over. This one can do no more; let it end."
        )
    return OwnedStore(group.store_path.store), group.store_path.path


def write_core(array: Any, core: Region, values: NDArray[np.float32]) -> None:
    """Write a block's core, shard after shard, if it consists of whole shards."""
    shard = array.shards or array.chunks
    for span, size, total in zip((core.time, core.distance), shard, array.shape, strict=True):
        if span.start % size or span.stop > total or (span.stop % size and span.stop != total):
            raise InvalidInput(
                f"Block {span.start} to {span.stop} is not made of whole shards of {size} on an "
                f"axis of {total}: {array.store_path} was made for another plan; set it up again."
            )
    for i in range(0, values.shape[0], shard[0]):
        for j in range(0, values.shape[1], shard[1]):
            part = values[i : i + shard[0], j : j + shard[1]]
            t, d = core.time.start + i, core.distance.start + j
            array[t : t + part.shape[0], d : d + part.shape[1]] = part


def lost_blocks(path: Any, parts: Mapping[int, Mapping[str, int]]) -> list[int]:
    """Return the blocks of which shards are missing or, in a folder, of another size.

    Parameters
    ----------
    path : Path, str, or zarr store
        The store.
    parts : mapping
        By block, the ``"shards"`` and ``"bytes"`` that were written.
    """
    if not is_complete(path):
        return [*parts]
    shards, sizes = Counter[int](), Counter[int]()
    with understood(path):
        for block, _, _, size in owned(path):
            shards[block] += 1
            sizes[block] += size
    in_folder = isinstance(path, Path)
    return [
        block
        for block, part in parts.items()
        if shards[block] != part.get("shards") or (in_folder and sizes[block] != part.get("bytes"))
    ]


def remove_others(path: Any, blocks: Collection[int]) -> None:
    """Remove all shards but those of some blocks.

    Parameters
    ----------
    path : Path, str, or zarr store
        The store.
    blocks : collection of int
        The blocks.
    """
    for block, array, name, _ in list(owned(path, "r+")):
        if block not in blocks:
            where = array.store_path
            sync(where.store.delete(f"{where.path}/c/{name}".lstrip("/")))


def owned(path: Any, mode: Literal["r", "r+"] = "r") -> Iterator[tuple[int, Any, str, int]]:
    """Yield the shards that are there: block, array, name in it, and size as of `_stored`."""
    root = open_root(path, mode)
    for name in json.loads(root.attrs["segments"]) or [""]:
        group = root[name] if name else root
        first, *core = json.loads(group.attrs["blocks"])
        for key in json.loads(group.attrs["keys"]):
            array = group[key]
            columns = -(-array.shape[1] // core[1])
            for i, j, size in _stored(array):
                row, column = i * array.shards[0] // core[0], j * array.shards[1] // core[1]
                yield first + row * columns + column, array, f"{i}/{j}", size


def _stored(array: Any) -> Iterator[tuple[int, int, int]]:
    """Yield the indices of the shards that are there, with their size on a file system, else 0."""
    where = array.store_path
    if isinstance(where.store, LocalStore):
        folder = where.store.root / where.path / "c"
        rows = [row for row in _entries(folder) if row.name.isdecimal()]
        for row in rows:
            for entry in _entries(Path(row.path)):
                if entry.name.isdecimal():
                    yield int(row.name), int(entry.name), entry.stat().st_size
        return
    if isinstance(where.store, FsspecStore):
        where.store.fs.invalidate_cache()  # it remembers what folders held
    prefix = f"{where.path}/c/".lstrip("/")
    for name in collect_aiterator(where.store.list_prefix(prefix)):
        *_, i, j = name.split("/")
        yield int(i), int(j), 0


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return list(entries)
