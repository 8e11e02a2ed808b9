"""What files say of their axes, where xdas does not ask them.

ProdML states the order of the axes of its samples, and the unit of their spacing; xdas's engine
takes them to be (time, locus) and metres::

    file     Dimensions = locus, time          samples[locus, time]
    xdas     time: loci, distance: samples     the right times on the wrong axis

NetCDF states units of coordinates, which xdas drops.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import h5py
import numpy as np
import xdas
from xdas.coordinates import Coordinate
from xdas.virtual import TileArray, VirtualSource, VirtualStack

from dasdist.errors import InvalidInput
from dasdist.sources.chunks import beside
from dasdist.sources.lengths import metres
from dasdist.sources.stated import (
    Positions,
    positions_of_netcdf,
    positions_of_prodml,
    time_axis_of_prodml,
)
from dasdist.sources.trusted import CHECKED

__all__ = ["Stored", "as_stored", "check_indexed", "in_metres", "stored_as"]

_PRODML = "/Acquisition/Raw[0]/RawData"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the first file of an array says.

    Parameters
    ----------
    path : str
        The file.
    prodml : bool
        Whether it is ProdML, and not linked to.
    time_axis : int or None
        Which axis of the stored samples is time, if the file says so.
    unit : str or None
        Unit of the positions of channels, if it says so and they are those of the file.
    indexed : bool
        Whether the array is of an index, which converted what it could.
    samples_unit : str
        Unit of the samples, if the file says so; "" if not.
    """

    path: str
    prodml: bool
    time_axis: int | None
    unit: str | None
    indexed: bool
    samples_unit: str = ""


def stored_as(data: xdas.DataArray) -> Stored | None:
    """Return what the first file of an array says of its axes; None if there is no such file."""
    found = _first_dataset(data.data)
    if found is None:
        return None
    path, name, indexed = found
    try:
        with h5py.File(path, "r") as file:
            link = path if name == _PRODML else _link_to_prodml(file[name], path)
            if link is None:
                dim = next((d for d in data.dims if _is_of_fibre(data, d)), "")
                held = positions_of_netcdf(file[name].parent, dim)
                unit = _as_text(file[name].attrs.get("units"))
                return Stored(path, False, None, _unit_of(data, held), indexed, unit)
        with h5py.File(link, "r") as linked:
            acquisition = linked["Acquisition"]
            time_axis, held = time_axis_of_prodml(acquisition), positions_of_prodml(acquisition)
            unit = _as_text(linked[_PRODML].parent.attrs.get("RawDataUnit"))
        return Stored(link, name == _PRODML, time_axis, _unit_of(data, held), indexed, unit)
    except (OSError, KeyError):  # it is told when it is read
        return None


def _as_text(attribute: Any) -> str:
    if isinstance(attribute, bytes):
        attribute = attribute.decode(errors="replace")
    return attribute.strip() if isinstance(attribute, str) else ""


def _is_of_fibre(data: xdas.DataArray, dim: str) -> bool:
    return dim in data.coords and data.coords[dim].dtype.kind != "M"


def _unit_of(data: xdas.DataArray, held: Positions | None) -> str | None:
    """Return the unit of positions that are still those of the file; others are their owner's."""
    if held is None:
        return None
    for dim in data.dims:
        if _is_of_fibre(data, dim) and data.sizes[dim]:
            ends = (float(data.coords[dim][i].values) for i in (0, -1))
            if not all(map(held.hold, ends)):
                return None
    return held.unit


def as_stored(data: Any, stored: Stored | None = None) -> Any:
    """Return an array, or a collection of them, with its axes as its files have them.

    Parameters
    ----------
    data : xdas.DataArray or collection
        As xdas opened it.
    stored : Stored, optional
        What its first file says, where that is known.

    Returns
    -------
    xdas.DataArray or collection
        The same, unless xdas took channels for samples.

    Raises
    ------
    InvalidInput
        If it did, and a part was selected or links were written since: what was meant cannot be
        told.
    """
    if isinstance(data, xdas.DataCollection):
        name = data.name
        if data.ismapping():
            return xdas.DataCollection({key: as_stored(data[key]) for key in data}, name)
        return xdas.DataCollection([as_stored(entry) for entry in data], name)
    stored = stored or stored_as(data)
    if stored is None or stored.indexed or not _is_swapped(data, stored):
        return data
    swapped = stored.time_axis == 1
    engine = xdas.io.Engine["prodml"](vtype=_vtype(data.data), swapped_dims=swapped)
    paths = _whole_files(data.data) if stored.prodml else []
    again = xdas.open_mfdataarray(paths, dim="time", engine=engine) if paths else None
    if not isinstance(again, xdas.DataArray) or again.size != data.size:
        raise InvalidInput(
            f"{stored.path} states that its samples lie as {_order(swapped)}, but this array was "
            f"opened as {_order(not swapped)} and then linked to, or a part selected. Open it with "
            f"`xdas.open_mfdataarray(paths, engine='prodml', swapped_dims={swapped}, dim='time')`, "
            "or index them, and select then."
        )
    return again


def in_metres(data: xdas.DataArray) -> xdas.DataArray:
    """Return an array with its channels in metres, where its file states another unit of length."""
    stored = stored_as(data)
    factor = metres(stored.unit) if stored and stored.unit else None
    if factor is None or factor == 1:
        return data
    dim = next(dim for dim in data.dims if data.coords[dim].dtype.kind != "M")
    coords = {name: data.coords[name] for name in data.coords}
    coords[dim] = _scaled(coords[dim], factor)
    return xdas.DataArray(data.data, coords, data.dims, data.name, data.attrs)


def check_indexed(data: xdas.DataArray, index: str) -> None:
    """Refuse an array of an index that was made before files were asked for their axes.

    Raises
    ------
    InvalidInput
        If its first file has them otherwise.
    """
    stored = stored_as(data)
    if stored is None:
        return
    factor = metres(stored.unit) if stored.unit else None
    if _is_swapped(data, stored) or factor not in (None, 1):
        wrong = "channels for samples" if _is_swapped(data, stored) else f"{stored.unit} for metres"
        raise InvalidInput(
            f"The index {index} was made by an older version of dasdist, which took {wrong} in "
            f"{stored.path}. Index the archive again: `dasdist index`, with the same paths and "
            "the same output."
        )


def _is_swapped(data: xdas.DataArray, stored: Stored) -> bool:
    """Return whether channels are labelled as samples."""
    if stored.time_axis is None or data.ndim != 2:
        return False
    return _stored_time_axis(data) not in (None, stored.time_axis)


def _scaled(coordinate: Any, factor: Fraction) -> Any:
    kept = {"tie_indices", "tie_lengths", "sampling_denominator"}
    data = coordinate.data
    if not isinstance(data, Mapping):
        return Coordinate(np.asarray(data) * float(factor), coordinate.dim)
    scaled = {
        key: value if key in kept or value is None else np.asarray(value) * float(factor)
        for key, value in data.items()
    }
    return Coordinate({key: v for key, v in scaled.items() if v is not None}, coordinate.dim)


# ---------------------------------------------------------------- where the samples are


def _first_dataset(values: Any) -> tuple[str, str, bool] | None:
    """Return file and dataset of the first sample, and whether an index says so."""
    if isinstance(values, TileArray):
        engine: dict[str, Any] = dict(values.engine)
        indexed = engine["name"] == CHECKED
        if indexed:
            engine = dict(engine["engine"])
        name = _PRODML if engine["name"] == "prodml" else engine.get("dataset")
        return None if name is None else (_tile_paths(values[:1, :1])[0], name, indexed)
    if isinstance(values, VirtualStack):
        values = values.sources[0] if values.sources else None
    if isinstance(values, VirtualSource):
        # h5py keeps the path as it was given, and workers have directories of their own
        return os.path.abspath(values._vsource.path), values._vsource.name, False
    return None


def _tile_paths(array: TileArray) -> list[str]:
    grid = {f"tile_{axis}": len(sizes) for axis, sizes in enumerate(array.chunks)}
    stored = array.dataset["paths"].variable
    values = stored if set(stored.dims) != set(grid) else stored.transpose(*grid)
    return [os.path.join(array.root, os.fsdecode(path)) for path in values.values.ravel().tolist()]


def _whole_files(values: Any) -> list[str]:
    """Return the files of an array in its order; none where it is known to be a part of them."""
    if isinstance(values, TileArray):
        names = set(values.dataset.variables)
        whole = not names & {"starts_0", "starts_1", "steps_0", "steps_1"}
        return _tile_paths(values) if whole else []
    sources: Iterable[Any] = values.sources if isinstance(values, VirtualStack) else [values]
    return [os.path.abspath(source._vsource.path) for source in sources if source.size]


def _vtype(values: Any) -> str:
    return "tiles" if isinstance(values, TileArray) else "hdf5"


def _stored_time_axis(data: xdas.DataArray) -> int | None:
    """Return the axis of the stored samples that is labelled time; None if this cannot be told."""
    times = [axis for axis, dim in enumerate(data.dims) if data.coords[dim].dtype.kind == "M"]
    if len(times) != 1:
        return None
    if isinstance(data.data, TileArray):
        axes = json.loads(data.data.dataset.attrs["header"]).get("axes", (0, 1))
        stored: int | None = axes[times[0]]
        return stored
    return times[0]


def _order(channels_first: bool) -> str:
    return "channels x samples" if channels_first else "samples x channels"


def _link_to_prodml(dataset: Any, path: str) -> str | None:
    """Return the first ProdML file that a virtual dataset links to."""
    if not dataset.is_virtual:
        return None
    links = dataset.id.get_create_plist()
    if links.get_virtual_count() == 0 or links.get_virtual_dsetname(0) != _PRODML:
        return None
    return beside(path, links.get_virtual_filename(0))
