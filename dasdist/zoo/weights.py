"""Files of models are what was saved, or they are not loaded.

``torch.save`` writes a checksum of every tensor, which ``torch.load`` does not look at: a bit that
rots in a file of weights makes another model.  Files of the old form, no zip archives, have none.
"""

import hashlib
import struct
import zipfile
import zlib
from pathlib import Path

from dasdist.errors import InvalidInput

__all__ = ["check_sums", "check_tensors", "sums_of"]

_BROKEN = (
    *(OSError, ValueError, RuntimeError, EOFError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def check_tensors(path: Path) -> None:
    """Compare the tensors of a file with the checksums that were saved with them.

    Raises
    ------
    InvalidInput
        If any differs.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except _BROKEN as error:
        raise _damaged(path, str(error)) from error
    if damaged is not None:
        raise _damaged(path, f"the checksum of {damaged} differs from the one that was saved")


def check_sums(path: Path) -> None:
    """Compare files with their hashes in a list, as ``sha256sum`` writes it.

    Raises
    ------
    InvalidInput
        If any differs.
    """
    for line in path.read_text(errors="replace").splitlines():
        told, name = line[:64], line[66:]
        if not name or Path(name).name != name:
            raise _damaged(path, f"it lists {name!r}, which is no file beside it")
        file = path.with_name(name)
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != told:
            raise _damaged(file, f"its hash is not the one in {path.name}")


def sums_of(*files: Path) -> str:
    """Return the list that `check_sums` reads."""
    return "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)


def _damaged(path: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{path} is damaged: {why}. Bring it once more from where it came from; what comes with "
        "dasdist, by installing dasdist again."
    )
