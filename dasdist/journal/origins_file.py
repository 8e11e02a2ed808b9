"""What files a run computed from, kept beside its output: one small file, also of a large archive.

It bears the identity of the recording in its name, so that it and ``run.json`` always agree.
"""

import io
import zipfile
from pathlib import Path

import numpy as np

from dasdist.sources.origins import Origins
from dasdist.storage.files import write_atomically

__all__ = ["load", "remove_others", "save", "saved"]

_COLUMNS = ("starts", "states", "keys", "times")


def saved(folder: Path, identity: str) -> bool:
    """Tell whether a journal has the files of a recording."""
    return _path(folder, identity).exists()


def save(folder: Path, identity: str, origins: Origins) -> None:
    """Keep the files of a recording in a journal."""
    text = "\0".join(origins.paths).encode("utf-8", "surrogateescape")
    columns = {name: getattr(origins, name) for name in _COLUMNS}
    file = io.BytesIO()
    np.savez_compressed(file, paths=np.frombuffer(text, dtype=np.uint8), **columns)
    write_atomically(_path(folder, identity), file.getbuffer())


def load(folder: Path, identity: str) -> Origins | None:
    """Return the files of a recording; None where a journal does not have them, or damaged."""
    try:
        with np.load(_path(folder, identity), allow_pickle=False) as file:
            columns = {name: file[name] for name in _COLUMNS}
            paths = file["paths"].tobytes().decode("utf-8", "surrogateescape").split("\0")
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    sizes = {len(columns["starts"]) - 1, *(len(columns[n]) for n in _COLUMNS[1:]), len(paths)}
    return Origins(**columns, paths=paths) if len(sizes) == 1 else None


def remove_others(folder: Path, identity: str) -> None:
    """Remove what a journal has of other recordings."""
    for path in folder.glob("files-*.npz"):
        if path != _path(folder, identity):
            path.unlink(missing_ok=True)


def _path(folder: Path, identity: str) -> Path:
    return folder / f"files-{identity[:16]}.npz"
