"""What the files of a model are called: SeisBench's layout, and two kinds more.

::

    phasenet/original.json.v1      class and arguments, default arguments, card
    phasenet/original.pt.v1        weights: tensors by name
    phasenet/original.npz.v1       a sample input, and the output that it must give   (dasdist)
    phasenet/original.sha256.v1    hashes of the others, as sha256sum writes them     (dasdist)

The version may be left out; it is then the one that the description states, or 1.  The layout is
that of ``seisbench.models.base.SeisBenchModel``, which takes no notice of the last two.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from packaging.version import InvalidVersion, Version

__all__ = ["KINDS", "NEEDED", "ModelFile", "in_order"]

NEEDED = ("json", "pt")
KINDS = (*NEEDED, "npz", "sha256")

_NAME = re.compile(rf"([^/]+?)\.({'|'.join(KINDS)})(?:\.v([\w.+-]+))?")


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The name of one file of a model.

    Parameters
    ----------
    stem : str
        The name of the weights, such as ``original``.
    kind : {"json", "pt", "npz", "sha256"}
        What it holds.
    version : str or None
        What stands behind ``.v``, if anything.

    Examples
    --------
    >>> ModelFile.of("original.json.v2")
    ModelFile(stem='original', kind='json', version='2')
    >>> ModelFile("original", "pt", None).name
    'original.pt'
    """

    stem: str
    kind: str
    version: str | None

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Return what a name says; None if it is that of no file of a model."""
        found = _NAME.fullmatch(name)
        return cls(*found.groups()) if found else None

    @property
    def name(self) -> str:
        """The name of the file."""
        return f"{self.stem}.{self.kind}" + (f".v{self.version}" if self.version else "")


def in_order(versions: Iterable[str]) -> list[str]:
    """Return versions from the oldest to the newest.

    Examples
    --------
    >>> in_order(["10", "9", "1.2", "draft"])
    ['draft', '1.2', '9', '10']
    """
    return sorted(set(versions), key=_age)


def _age(version: str) -> tuple[bool, Version, str]:
    try:
        return True, Version(version), version
    except InvalidVersion:
        return False, Version("0"), version
