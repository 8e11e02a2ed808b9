"""Archives: scan the headers of many files once, then open them as lazy arrays.

::

    walk ---> scan (processes: reader) ---> journal ---> build ---> store ---> 2024.nc
    files     headers, as JSON              survives     arrays     xdas's format
                                            a kill                  and a table
"""

from dasdist.archive.index import ArchiveIndex, index_archive, open_archive

__all__ = ["ArchiveIndex", "index_archive", "open_archive"]
