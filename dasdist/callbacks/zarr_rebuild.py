"""Give a store of annotations the form that a changed archive asks for, and keep its shards.

::

    prob.zarr               as it is
    .prob.zarr.next         the form of now; shards of blocks that stand are links to the same files
    .prob.zarr.old          what was prob.zarr, for the moment between two renames

Readers see the one or the other.  Whatever this dies in, the next run makes good.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks import zarr_template as template
from dasdist.callbacks.base import Context
from dasdist.callbacks.zarr_root import open_root
from dasdist.callbacks.zarr_shards import open_store
from dasdist.coordinates import axis_from_attrs
from dasdist.geometry import SegmentGrid
from dasdist.storage.files import check_own_folder

__all__ = ["finish", "rebuild"]

_Shape = tuple[int, int]


def rebuild(path: Path, context: Context) -> None:
    """Replace a store by one with the segments of now, in which the blocks that stand are.

    Parameters
    ----------
    path : Path
        A store of annotations in a folder.
    context : Context
        The run; of the same model, whose outputs have the keys that the store has.
    """
    following, _ = _beside(path)
    _clear(following)
    old = open_root(path)
    held = [_Held(old[name] if name else old) for name in _groups(old)]
    names = template.group_names(context.grids, len(context.grids) > 1)
    sources = [[h for h in held if h.serves(grid)] for grid in context.grids]
    layouts = {name: found[0].layout for name, found in zip(names, sources, strict=True) if found}
    template.begin(following, overwrite=True)
    template.make(*open_store(following, None), context, names, layouts)
    for name, grid, found in zip(names, context.grids, sources, strict=True):
        for source in found:
            if source.layout == layouts[name]:
                _link(path, source, following, name, grid, context)
    _swap(path)


def finish(path: Path) -> None:
    """End what a run that died left between two renames, and remove what it left beside."""
    following, old = _beside(path)
    for beside in (following, old):
        if os.path.lexists(beside):
            check_own_folder(beside)
    if not path.exists() and old.exists():
        os.replace(following if template.is_complete(following) else old, path.resolve())
    if old.exists():
        _remove(old, path)
    _clear(following)


def _clear(folder: Path) -> None:
    if os.path.lexists(folder):
        check_own_folder(folder)
        shutil.rmtree(folder)


def _beside(path: Path) -> tuple[Path, Path]:
    real = path.resolve()
    return real.with_name(f".{real.name}.next"), real.with_name(f".{real.name}.old")


def _swap(path: Path) -> None:
    following, old = _beside(path)
    os.replace(path.resolve(), old)
    os.replace(following, path.resolve())
    _remove(old, path)


def _remove(old: Path, path: Path) -> None:
    """Remove a store that was replaced; what is not ours moves to the one in its place."""
    ours = {"zarr.json", *open_root(old)}
    for entry in old.iterdir():
        if entry.name not in ours and not (path / entry.name).exists():
            os.replace(entry, path / entry.name)
    shutil.rmtree(old)


def _groups(root: Any) -> list[str]:
    names: list[str] = json.loads(root.attrs["segments"])
    return names or [""]


class _Held:
    """A segment of the store as it is."""

    def __init__(self, group: Any) -> None:
        self.keys: list[str] = json.loads(group.attrs["keys"])
        array = group[self.keys[0]]
        self.name: str = group.path
        self.time, self.distance = map(axis_from_attrs, json.loads(group.attrs["axes"]))
        _, *core = json.loads(group.attrs["blocks"])
        self.core: _Shape = (core[0], core[1])
        self.layout = (array.shards, array.chunks, array.compressors)

    def serves(self, grid: SegmentGrid) -> bool:
        """Tell whether blocks of a segment of now may be among its blocks."""
        time, distance = grid.out_time, grid.out_distance
        later = (time.start - self.time.start) / time.step
        same = (distance.start, distance.step, distance.size, time.step) == (
            self.distance.start,
            self.distance.step,
            self.distance.size,
            self.time.step,
        )
        shared = -time.size < later < self.time.size
        return same and shared and template.fits(self.layout[0], grid)

    def rows(self, grid: SegmentGrid, standing: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Yield rows of shards of now, and where they are, of rows of blocks that stand."""
        later = (grid.out_time.start - self.time.start) / grid.out_time.step
        rows = self.layout[0][0]
        if later.denominator != 1 or int(later) % rows:
            return
        down = int(later) // rows
        for row in np.flatnonzero(standing.reshape(grid.blocks).any(axis=1)).tolist():
            core, *_ = grid.along_time(row)
            for shard in range(core.start // rows, -(-core.stop // rows)):
                if shard + down >= 0:
                    yield shard, shard + down


def _link(
    path: Path, source: _Held, following: Path, name: str, grid: SegmentGrid, context: Context
) -> None:
    """Link the shards of a segment's blocks that stand into the new store."""
    assert context.standing is not None
    standing = context.standing[grid.first_block : grid.first_block + len(grid)]
    for key in source.keys:
        for row, was in source.rows(grid, standing):
            there = path / source.name / key / "c" / str(was)
            if there.is_dir():
                here = following / name / key / "c" / str(row)
                here.mkdir(parents=True, exist_ok=True)
                for shard in there.iterdir():
                    _same_file(shard, here / shard.name)


def _same_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        shutil.copy2(source, target)
