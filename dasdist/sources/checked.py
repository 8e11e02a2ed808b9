"""Read files of an archive index, and check first that each has the size that was indexed.

An index names this engine of xdas, and the size of each file beside its path.  So every read is
checked, however the array was sliced.
"""

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from xdas.io import Engine

# engines of dasdist's own, which an index may name: importing them makes them known to xdas
from dasdist.sources import dascore_files, dasdae  # noqa: F401
from dasdist.sources.trusted import CHECKED, check_reader

__all__ = ["CheckedEngine", "check_size"]


def check_size(path: str, size: int) -> None:
    """Raise OSError if a file does not exist or does not have the size that the index states."""
    found = os.stat(path).st_size
    if found != size:
        raise OSError(
            f"{path} has {found} bytes, but the index states {size}: it was cut or replaced since. "
            "Restore it, or index the archive again: the same call or command then goes on"
        )


class CheckedEngine(Engine, name=CHECKED):  # type: ignore[call-arg, misc]
    """Engine of xdas for tiles of an archive index; another engine, named there, opens the files.

    Importing dasdist makes it known to xdas, so that ``xdas.open("2024.nc", group="archive")`` can
    read an index too.
    """

    @staticmethod
    def load_tile(
        path: str,
        selection: tuple[slice, ...],
        *,
        engine: Mapping[str, Any],
        bytes: int,
        modified: int,
        chunk: Any = None,
    ) -> NDArray[Any]:
        """Read a selection of a file.

        Parameters
        ----------
        path : str
            The file.
        selection : tuple of slice
            What to read of it.
        engine : mapping
            The engine of xdas that read its header, with ``"name"`` and constants.
        bytes : int
            Its size when it was indexed.
        modified : int
            When it was last modified then, in nanoseconds since 1970; archives are copied and
            restored, so this is not checked.
        chunk : sequence of int, optional
            Storage chunk; not needed here.

        Raises
        ------
        Untrusted
            If the engine is one that no index may name.
        OSError
            If the file is missing, or has another size.
        """
        del modified, chunk
        check_reader(engine, path)
        check_size(path, bytes)
        constants = dict(engine)
        values: NDArray[Any] = Engine[constants.pop("name")].load_tile(path, selection, **constants)
        return values
