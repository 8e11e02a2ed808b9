"""Zarr stores and NetCDF files that a command names, opened by xarray."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["is_view", "open_netcdf", "open_zarr", "variable_of"]


def open_zarr(name: str, variable: str | None) -> Any:
    """Open an array of a Zarr store; without dask if chunks of it may be missing."""
    from dasdist.sources.xarray_arrays import lacks_chunks

    _check_codecs(name)
    found = variable_of(_zarr(name), name, variable)
    if not lacks_chunks(found):
        return found
    return variable_of(_zarr(name, chunks=None), name, variable)


def _check_codecs(name: str) -> None:
    """Refuse a store whose codecs may run what it holds: coordinates are read as it is opened."""
    import zarr

    from dasdist.sources.trusted import check_codecs

    with _opening(name):
        arrays = [array for _, array in zarr.open_group(name, mode="r").arrays()]
    for array in arrays:
        check_codecs(array)


def _zarr(name: str, **options: Any) -> Any:
    import xarray

    with _opening(name):
        return xarray.open_zarr(name, **options)


@contextmanager
def _opening(name: str) -> Iterator[None]:
    """Say in one sentence why a Zarr store cannot be opened."""
    try:
        with warnings.catch_warnings():  # such a store opens all the same
            warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
            yield
    except Exception as error:
        raise InvalidInput(
            f"The Zarr store {name} could not be opened: {type(error).__name__}: {error}. Is it "
            "one that xarray.open_zarr opens, and is the package for its kind of URL installed?"
        ) from error


def open_netcdf(path: Path) -> Any:
    """Open a NetCDF file, or any HDF5, with the backend that its first bytes call for."""
    import xarray

    from dasdist.sources.first_bytes import first_bytes
    from dasdist.sources.trusted import BACKENDS

    try:
        start = first_bytes(path)
        backend = next((name for begin, name in BACKENDS.items() if start.startswith(begin)), None)
        if backend is None:
            raise ValueError(f"it begins with {start[:4]!r}, which is neither HDF5 nor NetCDF")
        with warnings.catch_warnings():  # HDF5 without dimensions opens all the same
            warnings.filterwarnings("ignore", "The 'phony_dims' kwarg")
            return xarray.open_dataset(path, engine=backend)
    except Exception as error:
        raise InvalidInput(
            f"{path} could not be opened: {type(error).__name__}: {error}. Name the format that "
            "xdas reads with --engine."
        ) from error


def variable_of(dataset: Any, name: str, wanted: str | None) -> Any:
    """Return the variable that is wanted, or the only one of two dimensions."""
    held = {str(key): value for key, value in dataset.data_vars.items()}
    fitting = [key for key, value in held.items() if value.ndim == 2]
    if wanted is not None and wanted not in held:
        raise InvalidInput(
            f"{name} has no variable {wanted!r}; it has {', '.join(sorted(held)) or 'none'}."
        )
    if wanted is None and len(fitting) != 1:
        raise InvalidInput(
            f"{name} has {count_of(len(fitting), 'variable')} of two dimensions "
            f"({', '.join(sorted(fitting)) or 'none'}); name one with --variable."
        )
    return held[wanted or fitting[0]]


def is_view(dataset: Any) -> bool:
    """Return whether a file of xdas only names others: read as NetCDF, it holds nothing."""
    from xdas.virtual.tiles import TILING

    return any(TILING in held.attrs for held in dataset.data_vars.values())
