"""What the manifest of a tile array says: its files, and where in them the tiles lie."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas.virtual import TileArray

from dasdist.geometry import Span
from dasdist.sources.checked import check_size
from dasdist.sources.hdf5 import Piece
from dasdist.sources.trusted import CHECKED

__all__ = ["first_path", "first_plain", "header", "paths", "plain_tiles", "single_piece", "touched"]


def touched(
    tiles: Sequence[tuple[Piece, int | None]], rows: Span, columns: Span
) -> Iterator[Piece]:
    """Yield the pieces within these rows and columns, after checking the sizes of their files."""
    for tile, size in tiles:
        piece = tile.cut(rows, columns)
        if piece is not None:
            if size is not None:
                check_size(piece.path, size)
            yield piece


def paths(array: TileArray) -> list[str]:
    """Return the paths of all tiles, each once."""
    stored = np.unique(array.dataset["paths"].values)
    return [os.path.join(array.root, os.fsdecode(path)) for path in stored.tolist()]


def first_path(array: TileArray) -> str:
    """Return the path of the first tile."""
    return os.path.join(array.root, os.fsdecode(bytes(array.dataset["paths"].values.flat[0])))


def single_piece(array: TileArray) -> Piece | None:
    """Return the one tile of an array, if it is a plain rectangle of a file in xdas's format."""
    manifest = array.dataset
    special = {"steps_0", "steps_1"} & set(manifest.variables)
    if array.ntiles > 1 or special or "dataset" not in array.engine or "axes" in header(array):
        return None
    starts = (manifest[f"starts_{k}"].item() if f"starts_{k}" in manifest else 0 for k in (0, 1))
    index = tuple(
        slice(start, start + size) for start, size in zip(starts, array.shape, strict=True)
    )
    rows, columns = (Span(0, size) for size in array.shape)
    (path,) = paths(array)
    return Piece(rows, columns, path, array.engine["dataset"], index)


def first_plain(array: TileArray) -> tuple[str, str] | None:
    """Return file and dataset of the first tile, if xdas's own engine reads it."""
    engine: dict[str, Any] = dict(array.engine)
    if engine["name"] == CHECKED:
        engine = engine["engine"]
    if engine["name"] != "xdas" or "dataset" not in engine or array.dataset["paths"].size == 0:
        return None
    return first_path(array), engine["dataset"]


def plain_tiles(array: TileArray) -> list[tuple[Piece, int | None]] | None:
    """Return tiles and sizes of files, if all are plain rectangles of files in xdas's own format.

    xdas reads a tile into an array of its own, and copies that: twice the time of reading.
    """
    engine: dict[str, Any] = dict(array.engine)
    checked = engine["name"] == CHECKED
    if checked:
        engine = engine["engine"]
    names = set(array.dataset.variables)
    if engine["name"] != "xdas" or "dataset" not in engine:
        return None
    if {"steps_0", "steps_1"} & names or "axes" in header(array):
        return None
    grid = {f"tile_{axis}": len(sizes) for axis, sizes in enumerate(array.chunks)}

    def column(name: str) -> NDArray[Any]:
        values: NDArray[Any] = array.dataset.variables[name].set_dims(grid).values
        return values

    paths = column("paths")
    starts = [column(f"starts_{k}") if f"starts_{k}" in names else None for k in (0, 1)]
    sizes = column("bytes") if checked else None
    ends = [np.cumsum((0, *extents)).tolist() for extents in array.chunks]
    pieces = []
    for tile in np.ndindex(*paths.shape):
        path = os.path.join(array.root, os.fsdecode(bytes(paths[tile])))
        rows, columns = (Span(ends[k][tile[k]], ends[k][tile[k] + 1]) for k in (0, 1))
        firsts = (0 if of is None else int(of[tile]) for of in starts)
        index = tuple(
            slice(first, first + span.size)
            for first, span in zip(firsts, (rows, columns), strict=True)
        )
        piece = Piece(rows, columns, path, engine["dataset"], index)
        pieces.append((piece, None if sizes is None else int(sizes[tile])))
    return pieces


def header(array: TileArray) -> dict[str, Any]:
    """Return what holds for all tiles."""
    header: dict[str, Any] = json.loads(array.dataset.attrs["header"])
    return header
