"""The memory of this process."""

import re
import resource
from pathlib import Path

__all__ = ["peak_bytes"]

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """Return the most memory that this process ever had resident, in bytes.

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
