"""Files of DASCore's own format, DASDAE, read with h5py alone.

DASCore opens them with PyTables, which unpickles what a file holds as an attribute, and so runs
whatever its author liked.  The samples and coordinates are plain arrays, and need none of that::

    /waveforms/PATCH            _dims "distance,time"
        data                    the samples, dimensions in that order
        _coord_time             nanoseconds since 1970
        _coord_distance         positions
        _attrs_coords           a pickle: of it only the units are taken, see `_units`
"""

import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from xdas import DataArray
from xdas.io import Engine
from xdas.virtual import TileArray

from dasdist.errors import InvalidInput
from dasdist.sources.lines import line, times
from dasdist.sources.positions import in_metres
from dasdist.sources.trusted import DASDAE
from dasdist.sources.unopened import Refused

__all__ = ["DasdaeEngine", "is_dasdae", "open_dasdae"]


@dataclass(frozen=True, slots=True)
class _Patch:
    """A patch of an open file."""

    group: Any

    @property
    def dims(self) -> tuple[str, ...]:
        return tuple(_text(self.group.attrs["_dims"]).split(","))

    @property
    def data(self) -> Any:
        return self.group["data"]

    def coordinate(self, dim: str) -> NDArray[Any]:
        values: NDArray[Any] = self.group[f"_coord_{dim}"][:]
        return values

    @property
    def start(self) -> int:
        return int(self.group["_coord_time"][0])


def is_dasdae(file: Any) -> bool:
    """Return whether an open HDF5 file is DASDAE."""
    return _text(file.attrs.get("__format__", "")) == "DASDAE"


def open_dasdae(path: str) -> DataArray:
    """Open a file lazily, as one tile; its patches must follow one another.

    Raises
    ------
    Refused
        If it has no patch, or several that are no one recording.
    """
    with h5py.File(path, "r") as file:
        patches = _patches(file)
        first = patches[0]
        dims, axis = first.dims, _time_axis(first)
        (channel,) = (dim for dim in dims if dim != "time")
        positions = first.coordinate(channel)
        for other in patches[1:]:
            alike = other.dims == dims and other.data.dtype == first.data.dtype
            if not alike or not np.array_equal(other.coordinate(channel), positions):
                raise Refused(
                    f"it holds {len(patches)} patches that differ in their channels, dimensions or "
                    "type; write them to files of their own, or pass dascore.spool(path)"
                )
        stamps = np.concatenate([patch.coordinate("time") for patch in patches])
        if not first.group["_coord_time"].attrs.get("is_datetime64", True):
            raise Refused("its times are no dates, so that its samples have no time")
        shape = [0, 0]
        shape[axis], shape[1 - axis] = len(stamps), len(positions)
        tiles = TileArray.from_tiles(path, tuple(shape), first.data.dtype.newbyteorder("="), DASDAE)
        positions = in_metres(positions, _units(first.group).get(channel))
        coords = {"time": times(stamps, "time"), channel: line(positions, channel)}
    return DataArray(tiles, {dim: coords[dim] for dim in dims})


class DasdaeEngine(Engine, name=DASDAE):  # type: ignore[call-arg, misc]
    """Engine of xdas for tiles of DASDAE files."""

    @staticmethod
    def load_tile(path: str, selection: tuple[slice, ...]) -> NDArray[Any]:
        """Read a selection of the patches of a file, one after the other in time."""
        with h5py.File(path, "r") as file:
            return np.concatenate(list(_parts(_patches(file), selection)), axis=_axis(file))


def _axis(file: Any) -> int:
    return _time_axis(_patches(file)[0])


def _parts(patches: list[_Patch], selection: tuple[slice, ...]) -> Iterator[NDArray[Any]]:
    """Yield what a selection takes of each patch; at least one is asked for something."""
    axis = _time_axis(patches[0])
    wanted = selection[axis]
    chosen = np.arange(wanted.start, wanted.stop, wanted.step or 1)
    stop = 0
    for patch in patches:
        start, stop = stop, stop + patch.data.shape[axis]
        inside = chosen[(chosen >= start) & (chosen < stop)] - start
        if inside.size:
            key = list(selection)
            key[axis] = slice(int(inside[0]), int(inside[-1]) + 1, wanted.step)
            values = patch.data[tuple(key)]
            yield values.astype(values.dtype.newbyteorder("="), copy=False)


def _patches(file: Any) -> list[_Patch]:
    """Return the patches in the order of their times."""
    groups = file["waveforms"].values() if "waveforms" in file else ()
    patches = [_Patch(group) for group in groups if "data" in group]
    if not patches:
        raise Refused("it holds no patch with samples")
    for patch in patches:
        if patch.data.ndim != 2 or "time" not in patch.dims:
            raise Refused(f"a patch has the dimensions {patch.dims} instead of time and channels")
    return sorted(patches, key=lambda patch: patch.start)


def _time_axis(patch: _Patch) -> int:
    return patch.dims.index("time")


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


# ---------------------------------------------------------------- units


def _units(group: Any) -> dict[str, str]:
    """Return the units of the coordinates, as far as the file says."""
    units = {
        name.removeprefix("_coord_"): _text(node.attrs["units"])
        for name, node in group.items()
        if name.startswith("_coord_") and "units" in node.attrs
    }
    packed = group.attrs.get("_attrs_coords")
    if units or not isinstance(packed, bytes):
        return units
    try:
        found = _Inert(io.BytesIO(packed)).load()
        return {str(dim): str(entry.get("units") or "") for dim, entry in found.items()}
    except Exception as error:
        raise InvalidInput(
            f"The units of its coordinates cannot be told ({type(error).__name__}: {error})."
        ) from error


class _Inert(pickle.Unpickler):
    """Builds the dictionaries and texts of a pickle; nothing that it names is imported or run."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        return _Nothing


class _Nothing:
    """Stands for any object of a pickle."""

    def __new__(cls, *arguments: Any) -> "_Nothing":
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Take nothing."""
