"""Where a command computes: in its own process, on a cluster of its own, or on one that runs."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from dasdist.cli.groups import Queue, Where
from dasdist.cli.voice import Voice
from dasdist.units import count_of

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["computing", "connected", "dashboard", "local"]


def computing(
    voice: Voice, where: Where, queue: Queue | None = None
) -> AbstractContextManager["Client | None"]:
    """Return a context whose value is a client of where to compute, None for this process."""
    queue = queue or Queue()
    queue.check()
    where.check(queued=queue.cluster is not None)
    if queue.cluster is not None:
        return queued(voice, queue.arguments(where.memory))
    if where.scheduler is not None:
        return connected(where.scheduler)
    if where.workers is not None:
        return local(voice, where.workers, where.threads or 1, where.memory_bytes())
    return nullcontext()


@contextmanager
def local(voice: Voice, workers: int, threads: int, memory: int | str) -> Iterator["Client"]:
    """Yield a client of a cluster on this machine, and say where its dashboard is."""
    from dasdist.cluster.local import local_client

    voice.say(f"Starting {count_of(workers, 'worker process', 'worker processes')}")
    with local_client(workers, threads=threads, memory=memory) as client:
        link = client.dashboard_link
        if link.startswith("http"):
            voice.event("cluster", workers=workers, dashboard=link)
            voice.say(f"Dashboard: {link}")
        yield client


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
