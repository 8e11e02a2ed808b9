"""Open the annotations that a :class:`~dasdist.callbacks.WriterCallback` wrote."""

import json
from collections.abc import Mapping
from typing import Any

import xarray as xr

from dasdist.callbacks.zarr_root import CHECK, open_root, understood
from dasdist.callbacks.zarr_template import FORMAT, RUN
from dasdist.coordinates import axis_from_attrs, coordinate
from dasdist.errors import InvalidInput
from dasdist.sources.trusted import check_codecs

__all__ = ["open_annotations"]

_MOST_CHUNKS = 100_000  # dask needs seconds for each operation on an array of more


def open_annotations(
    path: Any, *, chunks: Mapping[str, int] | str | None = "shards"
) -> xr.Dataset | xr.DataTree:
    """Open stored annotations lazily.

    Parameters
    ----------
    path : str, Path, or zarr store
        The output that the callback wrote to.
    chunks : "shards", mapping of str to int, "auto", or None
        Chunks of the dask arrays.  By default one per shard, that is one task per file; several
        shards along time where there are more than 100,000 (6 TB).  ``None`` gives arrays without
        dask, which read only the inner chunks (2 MiB) of a selection: best to look at short
        stretches of a long archive.

    Returns
    -------
    xarray.Dataset or xarray.DataTree
        One float32 variable of dims (time, channel) per annotation key, NaN where nothing was
        computed.  Several segments are a tree of one node each, ``segment_0000`` and so on.
        Times (``datetime64[ns]``) and distances (metres) are exact; time axes that are too long
        to hold are computed when looked at.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    InvalidInput
        If it holds something else, or was written by a later version of dasdist.
    UnreadableData
        If its metadata are damaged.

    Examples
    --------
    >>> import tempfile
    >>> import dasdist, numpy as np, xarray
    >>> time = np.datetime64("2024-03-01", "ns") + np.arange(6000) * np.timedelta64(10, "ms")
    >>> coords = {"time": time, "distance": 10.0 * np.arange(4)}
    >>> data = xarray.DataArray(np.random.randn(6000, 4), coords)
    >>> store = f"{tempfile.mkdtemp()}/prob.zarr"
    >>> callback = dasdist.WriterCallback(store)
    >>> report = dasdist.from_pretrained("demo").annotate(data, callback, pbar=False)
    >>> ds = dasdist.open_annotations(store)
    >>> ds["P"].sel(time=slice("2024-03-01T00:00:10", "2024-03-01T00:00:19")).shape
    (1000, 4)
    """
    root = open_root(path)
    if "dasdist_format" not in root.attrs:
        raise InvalidInput(
            f"{path} does not hold annotations that dasdist wrote; open other Zarr stores with "
            "xarray.open_zarr."
        )
    if root.attrs["dasdist_format"] != FORMAT:
        raise InvalidInput(
            f"{path} has format {root.attrs['dasdist_format']}, but this version of dasdist reads "
            f"format {FORMAT}. Update dasdist."
        )
    if "segments" not in root.attrs:
        raise InvalidInput(
            f"{path} was not created completely: its run ended too early. Run annotate again."
        )
    with understood(path):
        names = json.loads(root.attrs["segments"])
    if not names:
        return _open_segment(root, path, chunks)
    nodes = {name: _open_segment(root[name], path, chunks) for name in names}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=_provenance(root)), **nodes})


def _open_segment(group: Any, path: Any, chunks: Mapping[str, int] | str | None) -> xr.Dataset:
    with understood(path):
        axes = [axis_from_attrs(attrs) for attrs in json.loads(group.attrs["axes"])]
        dims = [axis.name for axis in axes]
        keys: list[str] = json.loads(group.attrs["keys"])
        for _, array in group.arrays():
            check_codecs(array)
        time, distance = group[keys[0]].shards
    if chunks == "shards":
        count = -(-axes[0].size // time) * -(-axes[1].size // distance)
        chunks = {dims[0]: time * -(-count // _MOST_CHUNKS), dims[1]: distance}
    options: dict[str, Any] = {"chunks": chunks, "consolidated": True, "zarr_format": 3}
    ds: xr.Dataset = xr.open_zarr(path, group=group.path or None, drop_variables=dims, **options)
    ds.attrs = _provenance(group)
    ds = ds[keys].assign_coords(coordinate(*axes))
    if units := dict(group[dims[1]].attrs).get("units"):
        ds[dims[1]].attrs["units"] = units
    return ds


def _provenance(group: Any) -> dict[str, Any]:
    """Return the attributes except those that describe the store."""
    own = ("axes", "blocks", "dasdist_format", "keys", "segments", RUN, CHECK)
    return {name: value for name, value in group.attrs.items() if name not in own}
