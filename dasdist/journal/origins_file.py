"""What files a run computed from, kept beside its output: one small file, also of a large archive.

It bears the identity of the recording in its name, so that it and ``run.json`` always agree, and
ends with a checksum.
"""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from dasdist.sources.origins import Origins
from dasdist.storage.files import write_atomically

__all__ = ["load", "remove_others", "save", "saved"]

_COLUMNS = ("starts", "states", "keys", "times")
_MARK = b"crc32 "
_SEAL = len(_MARK) + 8

# of files of earlier versions, which only zip vouches for, damage shows in many ways
_BROKEN = (
    *(OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, struct.error),
    *(RuntimeError, TypeError, SyntaxError, MemoryError, AttributeError, IndexError),
)


def saved(folder: Path, identity: str) -> bool:
    """Tell whether a journal has the files of a recording, undamaged."""
    return load(folder, identity) is not None


def save(folder: Path, identity: str, origins: Origins) -> None:
    """Keep the files of a recording in a journal."""
    text = "\0".join(origins.paths).encode("utf-8", "surrogateescape")
    columns = {name: getattr(origins, name) for name in _COLUMNS}
    file = io.BytesIO()
    np.savez_compressed(file, paths=np.frombuffer(text, dtype=np.uint8), **columns)
    data = file.getvalue()
    write_atomically(_path(folder, identity), data + _seal(data))


def load(folder: Path, identity: str) -> Origins | None:
    """Return the files of a recording; None where a journal does not have them, or damaged."""
    try:
        data = _path(folder, identity).read_bytes()
        if data[-_SEAL:].startswith(_MARK):
            data, told = data[:-_SEAL], data[-_SEAL:]
            if told != _seal(data):
                return None
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            columns = {name: file[name] for name in _COLUMNS}
            paths = file["paths"].tobytes().decode("utf-8", "surrogateescape").split("\0")
        sizes = {len(columns["starts"]) - 1, *(len(columns[n]) for n in _COLUMNS[1:]), len(paths)}
    except _BROKEN:
        return None
    return Origins(**columns, paths=paths) if len(sizes) == 1 else None


def _seal(data: bytes) -> bytes:
    return _MARK + b"%08x" % zlib.crc32(data)


def remove_others(folder: Path, identity: str) -> None:
    """Remove what a journal has of other recordings."""
    for path in folder.glob("files-*.npz"):
        if path != _path(folder, identity):
            path.unlink(missing_ok=True)


def _path(folder: Path, identity: str) -> Path:
    return folder / f"files-{identity[:16]}.npz"
