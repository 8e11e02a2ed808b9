"""JSON objects that say themselves whether they are what was written.

::

    {"block": 17, "part": {...}, "crc32": "9a0d3c41"}
     `------- checked -------'             CRC-32 of these bytes, as the last member

A seal finds bits that rot, not forgers.  What carries none, of earlier versions, is taken as it is.
"""

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

__all__ = ["Damaged", "seal", "unseal"]

_MARK = b'"crc32": "'
_END = re.compile(rb'([0-9a-f]{8})"\s*\}\s*')
_BETWEEN = b", \n"


class Damaged(ValueError):
    """Bytes that are not what was written; says in which way, as in "which is not JSON"."""


def seal(entry: Mapping[str, Any], indent: int | None = None) -> bytes:
    """Return an object as JSON, with its checksum.

    Examples
    --------
    >>> seal({"block": 17})
    b'{"block": 17, "crc32": "2c24e874"}'
    """
    body = json.dumps(entry, indent=indent).encode()[:-1].rstrip()
    comma = b"," * bool(entry)
    space, end = (b" " * bool(entry), b"") if indent is None else (b"\n" + b" " * indent, b"\n")
    return b"".join([body, comma, space, _MARK, b"%08x" % zlib.crc32(body), b'"', end, b"}"])


def unseal(data: bytes) -> tuple[dict[str, Any], bool]:
    """Return an object from its JSON, and whether a checksum vouches for it.

    Raises
    ------
    Damaged
        If it is no JSON object, or its checksum differs.

    Examples
    --------
    >>> unseal(b'{"block": 17, "crc32": "2c24e874"}')
    ({'block': 17}, True)
    >>> unseal(b'{"block": 18, "crc32": "2c24e874"}')
    Traceback (most recent call last):
    dasdist.storage.seal.Damaged: is not what was written: its checksum differs
    """
    body, mark, rest = data.rpartition(_MARK)
    if mark:
        found = _END.fullmatch(rest)
        if found is None or int(found[1], 16) != zlib.crc32(body.rstrip(_BETWEEN)):
            raise Damaged("is not what was written: its checksum differs")
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Damaged("holds NUL bytes" if b"\0" in data else "is not JSON") from error
    if not isinstance(entry, dict):
        raise Damaged("is JSON of another kind")
    if mark:
        del entry["crc32"]
    return entry, bool(mark)
