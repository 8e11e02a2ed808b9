"""Open a file with the engine that is named, or with one of a short list that its bytes allow.

A file never chooses its reader: what detection may try stands here, by name, and is on the lists of
`trusted`, as is what a view of xdas may name for the files that it shows.  All others must be
named by the user::

    first bytes      tried
    HDF5             what its groups look like, then the other engines of xdas; DASDAE; DASCore's
    TDSm             silixa
    Sintela's        DASCore's SINTELA_BINARY
    others           by the ending: DASCore's SEGY (.sgy, .segy) and SENTEK (.das)
"""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import h5py
from xdas import DataArray
from xdas.io import Engine
from xdas.virtual import TileArray
from xdas.virtual.tiles import TILING

from dasdist.errors import InvalidInput
from dasdist.sources import dascore_files, dasdae
from dasdist.sources.first_bytes import SEGY_ENDINGS, SINTELA, TDMS, first_bytes
from dasdist.sources.formats import known_formats
from dasdist.sources.trusted import (
    CHECKED,
    DASCORE,
    DASDAE,
    ENGINES,
    Untrusted,
    allow,
    check_reader,
    unregistered,
)
from dasdist.sources.unopened import Refused, why_not
from dasdist.spelling import unknown

__all__ = ["AnyFile", "check_engine", "engine_names", "open_file", "trust"]

Options = Mapping[str, Any]

_OWN: dict[str, Callable[..., DataArray]] = {
    DASDAE: dasdae.open_dasdae,
    DASCORE: dascore_files.open_dascore,
}

_LAYOUTS: dict[str, Callable[[Any], bool]] = {
    "xdas": lambda file: "CF" in str(file.attrs.get("Conventions", "")),
    "prodml": lambda file: "Acquisition/Raw[0]" in file,
    "terra15": lambda file: "data_product" in file,
    "febus": lambda file: any("Source1" in file[key] for key in file if _is_group(file, key)),
    "asn": lambda file: "cableSpec" in file and "demodSpec" in file,
    "apsensing": lambda file: "ProcessingServer" in file and "DAQ" in file,
    "aragon": lambda file: "StrainRate/StrainRate_Data" in file,
    DASDAE: dasdae.is_dasdae,
}
"""The engines that HDF5 files may be tried with, and how their files are known."""

_NEEDS_DASCORE = (
    'it is {}, which dasdist reads through DASCore: `pip install "dasdist[dascore]"` and try again'
)
_last: list[str] = []


def engine_names() -> list[str]:
    """Return the names of all engines, those that detection never tries included."""
    return sorted({*Engine._registry, *Engine._aliases, *_OWN} - {CHECKED})


def check_engine(engine: str | None, options: Options) -> None:
    """Refuse an engine or options that there are not, before any file is opened.

    Raises
    ------
    InvalidInput
        If there is no such engine, it has no such option, or takes no such value.
    """
    if engine is None:
        if options:
            raise InvalidInput(
                f"The engine options {', '.join(options)} were given without an engine; name the "
                "one that takes them (--engine febus)."
            )
        return
    if engine not in engine_names():
        raise InvalidInput(unknown("engine", engine, [*engine_names(), *known_formats()]))
    known = list(_parameters(engine))
    for name in options:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise InvalidInput(f"The engine {engine!r} has no option {name!r}; {takes}.")
    if engine == DASCORE:
        dascore_files.check_options(**options)
    elif engine not in _OWN:
        _instance(engine, options)


def trust(engine: str) -> None:
    """Take an engine that the user has named, in this process, if there is such a one."""
    check_engine(engine, {})
    allow(engine)


def _parameters(engine: str) -> Iterator[str]:
    made = _OWN[engine] if engine in _OWN else Engine[engine]
    for name in inspect.signature(made).parameters:
        if name not in ("path", "vtype", "ctype"):
            yield name


def _instance(engine: str, options: Options) -> Any:
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    try:
        return Engine[engine](vtype="tiles", **values)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in values.items())
        raise InvalidInput(f"The engine {engine!r} does not take {given}: {error}.") from error


class AnyFile(Engine):  # type: ignore[misc] # xdas ships no types
    """An engine for `xdas.open_mfdataarray` that opens files as an index does.

    Parameters
    ----------
    engine : str, optional
        The engine to use; by default, one that fits.
    options : mapping, optional
        Its options.
    """

    def __init__(self, engine: str | None = None, options: Options | None = None) -> None:
        super().__init__("tiles")
        self.engine = engine
        self.options = dict(options or {})

    def open_dataarray(self, fname: str) -> DataArray:
        """Open a file lazily."""
        return open_file(fname, self.engine, self.options)

    def error(self, path: str) -> Refused | None:
        """Return why a file cannot be opened; None if it can be."""
        try:
            self.open_dataarray(path)
        except Refused as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file is its reason
            return Refused(why_not(error))
        return None


def open_file(path: str, engine: str | None = None, options: Options | None = None) -> DataArray:
    """Open a file lazily, as one tile.

    Parameters
    ----------
    path : str
        The file.
    engine : str, optional
        The engine; by default, those that fit the first bytes are tried.
    options : mapping, optional
        Options of the engine.

    Raises
    ------
    Refused
        If no engine reads it; it has the reason of the engine whose format it is, and apart from
        it, those of all.
    Untrusted
        If it names an engine for its samples that no file may name, and that is not this one.
    """
    if engine is None:
        return _opened_by_any(path)
    try:
        return _opened_by(path, engine, options or {})
    except (InvalidInput, MemoryError):
        raise
    except Exception as error:
        raise Refused(f"{engine}: {why_not(error)}", {engine: error}) from error


def _opened_by(path: str, engine: str, options: Options) -> DataArray:
    if engine in _OWN:
        return _OWN[engine](path, **options)
    if engine not in ENGINES and _is_view(path):
        opener = _instance("xdas", {})  # the engine is that of the files that it shows
    else:
        opener = _instance(engine, options)
    try:
        found = opener.open_dataarray(path)
    except KeyError as error:
        raise unregistered(error, path) or error from error
    if isinstance(found.data, TileArray):
        check_reader(found.data.engine, path, named=(engine,))
    return found


def _is_view(path: str) -> bool:
    """Return whether a file holds no samples, but names other files and their engine."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return any(TILING in node.attrs for node in file.values())


def _opened_by_any(path: str) -> DataArray:
    refusals: dict[str, Exception] = {}
    fitting = ""
    for engine, options, fits in _candidates(path):
        label = options.get("format", engine)
        try:
            data = _opened_by(path, engine, options)
        except Untrusted:
            raise
        except Exception as error:  # noqa: BLE001 - the next engine may read it
            refusals[label] = error
            fitting = fitting or (label if fits else "")
        else:
            _last[:] = [label]
            return data
    if fitting:
        raise Refused(f"{fitting}: {why_not(refusals[fitting])}", refusals)
    raise Refused(_looks_like(path), refusals)


def _candidates(path: str) -> Iterator[tuple[str, Options, bool]]:
    """Yield engines that fit the first bytes, and whether a file is surely of that format."""
    start = first_bytes(path)
    if not start:
        raise Refused("it is empty (0 bytes)")
    if start.startswith(TDMS):
        yield "silixa", {}, True
    elif h5py.is_hdf5(path):
        yield from _hdf5_candidates(path)
    else:
        format = _binary_format(path, start)
        if not format:
            raise Refused(
                f"it begins with {start[:4]!r}, which is neither HDF5 nor TDMS; name its engine "
                "(--engine) if it has another format"
            )
        if not find_spec("dascore"):
            raise Refused(_NEEDS_DASCORE.format(format))
        yield DASCORE, {"format": format}, True


def _binary_format(path: str, start: bytes) -> str:
    ending = os.path.splitext(path)[1].lower()
    if start.startswith(SINTELA):
        return "SINTELA_BINARY"
    return "SEGY" if ending in SEGY_ENDINGS else "SENTEK" if ending == ".das" else ""


def _hdf5_candidates(path: str) -> Iterator[tuple[str, Options, bool]]:
    """Yield first the engine that read the last file, then those of this layout, then the rest."""
    with h5py.File(path, "r") as file:  # one error that says why, if it cannot even be opened
        fitting = [name for name, fits in _LAYOUTS.items() if _quietly(fits, file)]
    others = [name for name in _LAYOUTS if name not in fitting and name != DASDAE]
    names = sorted([*fitting, *others], key=lambda name: name not in _last)
    yield from ((name, {}, name in fitting) for name in names)
    if find_spec("dascore"):
        found = dascore_files.detect(path)
        if found:
            yield DASCORE, dict(zip(("format", "version"), found, strict=True)), True


def _quietly(fits: Callable[[Any], bool], file: Any) -> bool:
    with suppress(OSError, KeyError, RuntimeError, ValueError, TypeError):
        return bool(fits(file))
    return False


def _is_group(file: Any, key: str) -> bool:
    return isinstance(file.get(key), h5py.Group)


def _looks_like(path: str) -> str:
    """Say what is in an HDF5 file that has the layout of no engine."""
    with h5py.File(path, "r") as file:
        names = sorted(file)
    shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "") if names else "nothing"
    text = f"it is HDF5, but of no layout that xdas reads: at its top is {shown}"
    if find_spec("dascore"):
        return text + "; --engine names the format of such a file"
    return text + '; DASCore may read it: `pip install "dasdist[dascore]"`'
