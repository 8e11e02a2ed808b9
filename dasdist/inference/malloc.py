"""Set how this process keeps freed memory, and measure its peak."""

import ctypes
import os
import re
import resource
from functools import cache
from pathlib import Path

__all__ = ["LARGEST_KEPT", "keep_freed_memory", "peak_bytes"]

_STATUS = Path("/proc/self/status")

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""Names of options in glibc's malloc.h."""

LARGEST_KEPT = 12 * 2**20
"""Bytes of the largest array whose memory is kept when freed: layers are kept, blocks not."""

_KEPT = 2**26
"""Bytes of the first thread's freed memory beyond which the rest is given back.  Other threads keep
all: it is as much as the largest heap that glibc makes for them, see `keep_freed_memory`."""


@cache
def keep_freed_memory() -> bool:
    """Let this process keep freed memory, since the next batch needs it again.

    Returns
    -------
    bool
        Whether that could be set: with glibc only, and not where ``MALLOC_MMAP_THRESHOLD_`` states
        what the user wants.

    Notes
    -----
    A network on a CPU allocates megabytes for every layer and frees them.  Left to itself glibc
    learns to keep them; but Dask starts workers with ``MALLOC_TRIM_THRESHOLD_=65536``, which ends
    the learning, and from then on the kernel clears every page of every layer anew.  With PhaseNet
    that takes more than twice as long as the network itself.

    What threads other than the first allocate lies in heaps of 64 MiB, and a heap is given back as
    soon as all of it is free, whatever the threshold; unless more was asked to be left free
    (``M_TOP_PAD``) than remains of the heap before it.  So a thread keeps as much as its layers
    ever took at a time, and plans count that.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return False
    options = ((_MMAP_THRESHOLD, LARGEST_KEPT), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _KEPT))
    return all(mallopt(name, value) == 1 for name, value in options)


def peak_bytes() -> int:
    """Return the peak of this process's resident memory, in bytes.

    Notes
    -----
    ``ru_maxrss`` of a process that was spawned begins with what its parent had; VmHWM does not, but
    only Linux tells it.
    """
    if _STATUS.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
        if found:
            return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
