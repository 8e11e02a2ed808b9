"""What the first bytes of a file say about its format."""

import os
import stat

__all__ = ["HDF5", "NETCDF3", "SEGY_ENDINGS", "SINTELA", "TDMS", "first_bytes", "is_recording"]

HDF5 = b"\x89HDF\r\n\x1a\n"
NETCDF3 = b"CDF"
TDMS = b"TDSm"
SINTELA = b"\x44\x33\x22\x11"

SEGY_ENDINGS = {".sgy", ".segy"}


def first_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the first 8 bytes of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        return file.read(8)


def is_recording(path: str | os.PathLike[str]) -> bool:
    """Return whether a file begins as one of the formats that tell themselves do; never raise."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            return False
        return first_bytes(path).startswith((HDF5, TDMS, SINTELA))
    except OSError:
        return False
