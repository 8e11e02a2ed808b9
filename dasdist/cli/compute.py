"""Where a command computes: in its own process, on a cluster of its own, or on one that runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dasdist.errors import InvalidInput

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["computing"]

_PATIENCE = "30s"


@contextmanager
def computing(
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    memory: str | None = None,
) -> Iterator["Client | None"]:
    """Yield a client of where to compute, None for this process.

    Parameters
    ----------
    scheduler : str, optional
        Address of a scheduler, or its file.
    workers : int, optional
        Processes of a cluster that is started here, and reachable from here alone.
    threads, memory
        Of each of these.
    """
    if scheduler is not None and workers is not None:
        raise InvalidInput("--scheduler and --workers exclude each other; name one.")
    if workers is None and (threads is not None or memory is not None):
        raise InvalidInput("--threads and --memory are of the --workers; say how many of these.")
    if scheduler is not None:
        with connected(scheduler) as client:
            yield client
    elif workers is not None:
        from dasdist.demo.run import local_client

        with local_client(workers, threads=threads or 1, memory=_bytes(memory)) as client:
            yield client
    else:
        yield None


@contextmanager
def connected(scheduler: str) -> Iterator["Client"]:
    """Yield a client of a scheduler that runs elsewhere."""
    from distributed import Client

    try:
        if scheduler.endswith(".json"):
            client = Client(scheduler_file=scheduler, timeout=_PATIENCE, set_as_default=False)
        else:
            client = Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise InvalidInput(
            f"No scheduler answers at {scheduler} ({error}); pass what `dask scheduler` prints, "
            "such as tcp://10.0.0.1:8786, or its scheduler file."
        ) from error
    with client:
        yield client


def _bytes(memory: str | None) -> int | str:
    from dask.utils import parse_bytes

    if memory is None or memory == "auto":
        return "auto"
    try:
        return int(parse_bytes(memory))
    except ValueError as error:
        raise InvalidInput(f"--memory {memory} is no size; write 4GB or 1.5GiB.") from error
