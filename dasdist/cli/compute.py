"""Where a command computes: in its own process, on a cluster of its own, or on one that runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from dasdist.cli.groups import Queue, Where
from dasdist.cli.voice import Voice
from dasdist.errors import InvalidInput

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["computing", "connected"]


def computing(
    voice: Voice, where: Where, queue: Queue | None = None
) -> AbstractContextManager["Client | None"]:
    """Return a context whose value is a client of where to compute, None for this process."""
    queue = queue or Queue()
    where.check()
    queue.check()
    if queue.cluster is not None:
        if where.scheduler is not None or where.workers is not None:
            raise InvalidInput("--cluster excludes --scheduler and --workers; name one.")
        return queued(voice, queue.arguments(where.memory))
    if where.scheduler is not None:
        return connected(where.scheduler)
    if where.workers is not None:
        from dasdist.cluster.local import local_client

        return local_client(where.workers, threads=where.threads or 1, memory=_bytes(where.memory))
    if where.memory is not None:
        raise InvalidInput("--memory is of --workers or of the jobs of a --cluster; name these.")
    return nullcontext()


@contextmanager
def connected(scheduler: str) -> Iterator["Client"]:
    """Yield a client of a scheduler that runs elsewhere."""
    import dasdist

    with dasdist.connect(scheduler, set_as_default=False) as client:
        yield client


@contextmanager
def queued(voice: Voice, arguments: dict[str, Any]) -> Iterator["Client"]:
    """Yield a client of a cluster of jobs, which end with it."""
    from distributed import Client

    import dasdist

    with dasdist.slurm_cluster(**arguments) as cluster:
        name, logs, line = cluster.job_name, cluster.log_directory, cluster.tunnel
        voice.event("cluster", jobs=name, logs=logs, tunnel=line, folder=str(cluster.folder))
        voice.say(f"Jobs named {name}, with their logs in {logs}")
        voice.say(dashboard(line))
        with Client(cluster, set_as_default=False) as client:
            yield client


def dashboard(line: str | None) -> str:
    """Say how to look at a dashboard.

    Examples
    --------
    >>> print(dashboard(None))
    No dashboard: it needs the package bokeh.
    """
    if line is None:
        return "No dashboard: it needs the package bokeh."
    return f"Dashboard, from your own machine: {line}\nthen http://localhost:8787/status"


def _bytes(memory: str | None) -> int | str:
    from dask.utils import parse_bytes

    if memory is None or memory == "auto":
        return "auto"
    try:
        return int(parse_bytes(memory))
    except ValueError as error:
        raise InvalidInput(f"--memory {memory} is no size; write 4GB or 1.5GiB.") from error
