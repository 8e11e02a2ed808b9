"""What this process may use when there is no cluster."""

from distributed.system import MEMORY_LIMIT

from dasdist.run.plan import Resources

__all__ = ["local_resources"]


def local_resources() -> Resources:
    """Return one thread and the memory of this machine, or of its container."""
    return Resources(workers=1, threads=1, memory=MEMORY_LIMIT)
