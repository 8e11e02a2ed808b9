"""What a file, an index or a store may name as its reader, and what takes a user to name it.

::

    named by                               may be
    a file, a tile manifest, an index      ENGINES, and of DASCore FORMATS
    the first bytes of a file              the same; of xarray BACKENDS
    a Zarr store                           CODECS
    the user, --engine or engine=          any engine of xdas, also one of its own

Nothing in these lists unpickles or runs what a file holds.  ObsPy's readers, for one, may do so
while they guess a format.  What a user names counts for what is opened by that call, and for arrays
that were opened already; no file can name it in the user's place.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.sources.first_bytes import HDF5, NETCDF3
from dasdist.sources.unopened import Refused

__all__ = [
    "BACKENDS",
    "CHECKED",
    "CODECS",
    "DASCORE",
    "DASDAE",
    "DETECTED",
    "ENGINES",
    "FORMATS",
    "Untrusted",
    "allow",
    "beyond",
    "check_codecs",
    "check_reader",
    "unregistered",
]

CHECKED = "dasdist"
"""The engine that an index names, which names another for the files."""

DASCORE = "dascore"
DASDAE = "dasdae"

ENGINES = frozenset(
    {
        *("xdas", "apsensing", "aragon", "asn", "febus", "prodml", "silixa", "terra15"),
        *("fosina", "optasense", "sintela"),  # xdas's other names for prodml
        *(CHECKED, DASCORE, DASDAE),
    }
)
"""Engines of xdas: readers of HDF5 and TDMS, and dasdist's own."""

DETECTED = (*("GDR_DAS", "DASHDF5", "NEUBREXDAS", "SILIXA_H5", "UPTECH_H5", "OPTODAS", "TERRA15"),)
"""Formats of DASCore that HDF5 files are tried with, in this order."""

FORMATS = (
    *DETECTED,
    *("APSENSING", "FEBUS", "NEUBREXRFS", "PRODML", "SEGY", "SENTEK", "SINTELA_BINARY", "TDMS"),
)
"""All formats of DASCore that are opened."""

BACKENDS = {HDF5: "h5netcdf", NETCDF3: "scipy"}
"""Backends of xarray by the first bytes of a file."""

_NUMCODECS = (
    *("adler32", "astype", "bitround", "blosc", "bz2", "crc32", "crc32c", "delta"),
    *("fixedscaleoffset", "fletcher32", "gzip", "jenkins_lookup3", "lz4", "lzma", "packbits"),
    *("pcodec", "quantize", "shuffle", "zfpy", "zlib", "zstd"),
)
CODECS = frozenset(
    {
        *_NUMCODECS,
        *(f"numcodecs.{name}" for name in _NUMCODECS),
        *("bytes", "endian", "sharding_indexed", "transpose"),
        *("base64", "categorize", "json2", "msgpack2", "vlen-bytes", "vlen-utf8"),
    }
)
"""Codecs and filters of Zarr arrays, of both versions of the format."""

_allowed: set[str] = set()


class Untrusted(Refused):
    """A file that names as its reader what no file may name.

    Parameters
    ----------
    what : str
        The file, index or data, as a sentence begins.
    text : str
        How it goes on.
    """

    def __init__(self, what: str, text: str) -> None:
        super().__init__(f"it {text}")
        self.args = (f"{what} {text}.",)
        self._made_of = what, text

    def __reduce__(self) -> tuple[object, ...]:
        return Untrusted, self._made_of


def allow(engine: str | None) -> None:
    """Take an engine that the user has named, in this process, for arrays that are open."""
    if engine is not None:
        _allowed.add(engine)


def check_reader(engine: Any, what: str, *, named: Collection[str | None] | None = None) -> None:
    """Refuse what a tile manifest names as the reader of its samples, unless it may be named.

    Parameters
    ----------
    engine : mapping
        The engine as xdas describes it; that of an index holds another.
    what : str
        The file, index or data, as a sentence begins.
    named : collection of str, optional
        What the user named with this very file; by default, all that was named in this process.

    Raises
    ------
    Untrusted
        If the engine, or one within it, is on none of the lists.
    """
    for name in beyond(engine):
        if name not in (_allowed if named is None else named):
            raise Untrusted(what, _refusal(name))


def beyond(engine: Any) -> tuple[str, ...]:
    """Return the engines of a description that no file may name, from the outermost on."""
    return tuple(name for name in _names(engine) if name not in ENGINES)


def unregistered(error: KeyError, what: str) -> Untrusted | None:
    """Return the refusal of an engine that xdas does not even know, from its error."""
    start, _, rest = str(error.args[0] if error.args else "").partition(" registered under ")
    name = rest.partition(";")[0].strip("'\"")
    return Untrusted(what, _refusal(name)) if start == "no engine" else None


def check_codecs(array: Any) -> None:
    """Refuse a Zarr array with a codec that may run what the store holds.

    Parameters
    ----------
    array : zarr.Array
        The array; nothing of it is read.

    Raises
    ------
    InvalidInput
        If a codec or filter is not in `CODECS`.
    """
    found = array.metadata.to_dict()
    held = [found.get(key) for key in ("codecs", "filters", "compressor")]
    for name in _codecs(held):
        if name not in CODECS:
            raise InvalidInput(
                f"The Zarr array {array.store_path} names the codec {name!r}, and no store may "
                "choose what decodes it beyond the codecs that dasdist lists. If you trust it, "
                "load it yourself, xarray.open_zarr(path).load(), and pass the array."
            )


def _refusal(name: str) -> str:
    if name.startswith(f"{DASCORE} format "):
        remedy = "pass dascore.spool(path) as the data, in Python"
    else:
        remedy = f"name it yourself (--engine {name}, or engine={name!r} in Python)"
    return (
        f"names {name!r} as the reader of its samples, and no file may choose its reader beyond "
        f"those that dasdist lists; if you trust it, {remedy}"
    )


def _names(engine: Any) -> Iterator[str]:
    while isinstance(engine, Mapping):
        name = str(engine.get("name"))
        format = str(engine.get("format")).upper()
        yield name if name != DASCORE or format in FORMATS else f"{DASCORE} format {format}"
        if name != CHECKED:
            return
        engine = engine.get("engine")
    yield str(engine)


def _codecs(held: Any) -> Iterator[str]:
    """Yield the names of codecs, those within shards included."""
    if isinstance(held, Mapping):
        name = held.get("name", held.get("id"))
        if name is not None:
            yield str(name)
        yield from _codecs(list(held.get("configuration", {}).values()))
    elif isinstance(held, list | tuple):
        for one in held:
            yield from _codecs(one)
