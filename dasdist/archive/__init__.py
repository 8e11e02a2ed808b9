"""Archives: scan the headers of many files once, then open them as lazy arrays.

::

    walk ---> scan ---> journal ---> build ---> store ---> 2024.nc
    files      |        survives     arrays     xdas's format and a table
               |        a kill
               +-- first file of a layout: in full (readers: reader), and learned from (learn)
               +-- files like it: layouts (template: equal bytes; clocks: when it starts)

`make` is all of this in order, and `wanted` what it refuses beforehand; `index` is what comes of
it.  A `header` is of one file, `headers` hold those of all in columns.  `readers` ask processes;
`process` is how one begins (`light_xdas`), and `reader` what it does.

Names are loaded when they are first used: the processes that read headers are of this package, and
start the sooner the less it imports.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dasdist.archive.index import ArchiveIndex, open_archive
    from dasdist.archive.make import index_archive

__all__ = ["ArchiveIndex", "index_archive", "open_archive"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module 'dasdist.archive' has no attribute {name!r}", name=name)
    home = "make" if name == "index_archive" else "index"
    return getattr(import_module(f"dasdist.archive.{home}"), name)
