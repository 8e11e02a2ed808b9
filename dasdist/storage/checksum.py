"""The checksum of what blocks write: CRC-32C, which processors compute faster than disks read."""

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

__all__ = ["CHECKSUM", "crc32c", "crc32c_of"]

CHECKSUM = "crc32c"
"""In the part of a block, beside its counts: the sum of those of its files, modulo 2^32."""

_PIECE = 2**20  # stays in the processor's cache between reading and summing


def crc32c(data: Any) -> int:
    """Return the CRC-32C of anything that has bytes.

    Examples
    --------
    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    return int(google_crc32c.value(np.frombuffer(data, dtype=np.uint8)))


def crc32c_of(path: Path) -> tuple[int, int]:
    """Return the CRC-32C of a file, and its size; it is read once and not held.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    total, size, piece = 0, 0, np.empty(_PIECE, dtype=np.uint8)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(piece.data):
            total = google_crc32c.extend(total, piece[:count])
            size += count
    return total, size
