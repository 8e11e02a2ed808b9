"""Options that commands share, in groups: a command names the group, and gets all that is in it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from typing import Any, Literal

from dasdist.cli import options as opt
from dasdist.errors import BlockTooLarge, InvalidInput

__all__ = ["Failing", "Period", "Queue", "Where", "grouped"]


@dataclass(frozen=True)
class Period:
    """The stretch of the recording that counts, and the channels."""

    since: opt.Since = None
    until: opt.Until = None
    channels: opt.Channels = None

    def check(self) -> None:
        """Refuse what is not a time or a range, and a stretch that ends before it begins."""
        from dasdist.cli.channels import parse_channels
        from dasdist.cli.period import bounds_of

        bounds_of(self.since, self.until)
        parse_channels(self.channels)


@dataclass(frozen=True)
class Where:
    """Where to compute, if not in a queue."""

    scheduler: opt.Scheduler = None
    workers: opt.Workers = None
    threads: opt.Threads = None
    memory: opt.Memory = None

    def check(self, *, queued: bool = False) -> None:
        """Refuse what contradicts itself; ``queued`` says whether there is a queue as well."""
        if self.scheduler is not None and self.workers is not None:
            raise InvalidInput("--scheduler and --workers exclude each other; give one of them.")
        if self.workers is None and self.threads is not None:
            raise InvalidInput("--threads needs --workers, the number of processes that have them.")
        if queued and (self.scheduler is not None or self.workers is not None):
            raise InvalidInput("--cluster excludes --scheduler and --workers; give one of them.")
        if not queued and self.workers is None and self.memory is not None:
            raise InvalidInput("--memory needs --workers or --cluster, whose memory it limits.")
        memory = self.memory_bytes()
        if self.workers is not None and isinstance(memory, int):
            check_worker(memory)

    def memory_bytes(self) -> int | str:
        """Return the memory of a worker or job in bytes, or "auto"."""
        if self.memory is None or self.memory == "auto":
            return "auto"
        from dask.utils import parse_bytes

        try:
            size = int(parse_bytes(self.memory))
        except ValueError:
            size = 0
        if size <= 0:
            raise InvalidInput(f"--memory {self.memory} is not a size; write 4GB or 1.5GiB.")
        return size


@dataclass(frozen=True)
class Queue:
    """Jobs of a queue, and what each of them gets."""

    cluster: opt.Cluster = None
    jobs: opt.Jobs = None
    adapt: opt.Adapt = None
    gpus_per_job: opt.GpusPerJob = None
    cores: opt.Cores = None
    partition: opt.Partition = None
    walltime: opt.Walltime = None
    account: opt.Account = None
    interface: opt.Interface = None
    job_extra: opt.JobExtra = None
    cluster_folder: opt.ClusterFolder = None

    def arguments(self, memory: str | None) -> dict[str, Any]:
        """Return the arguments of `dasdist.slurm_cluster`."""
        return {
            "jobs": self.jobs or 1,
            "adapt": None if self.adapt is None else bounds(self.adapt),
            "gpus_per_job": self.gpus_per_job or 0,
            "cores": self.cores,
            "memory": memory,
            "partition": self.partition,
            "walltime": self.walltime,
            "account": self.account,
            "interface": self.interface,
            "job_extra": self.job_extra or (),
            "folder": self.cluster_folder,
        }

    def check(self) -> None:
        """Refuse what contradicts itself, and options of jobs where there is no queue."""
        if self.cluster is None:
            given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
            if given:
                names = ", ".join("--" + name.replace("_", "-") for name in given)
                raise InvalidInput(f"{names}: only for jobs of a queue; add --cluster slurm.")
        if self.jobs is not None and self.adapt is not None:
            raise InvalidInput("--jobs and --adapt exclude each other; give one of them.")
        if self.adapt is not None:
            bounds(self.adapt)
        if self.walltime is not None:
            from dasdist.cluster.lifetime import walltime_seconds

            walltime_seconds(self.walltime)


@dataclass(frozen=True)
class Failing:
    """What to do with failures, and with what is there."""

    overwrite: opt.Overwrite = False
    max_failures: opt.MaxFailures = None
    retry_failed: opt.RetryFailed = False
    block_timeout: opt.BlockTimeout = None

    def check(self, where: Where, queue: Queue) -> None:
        """Refuse what contradicts itself, or where the run computes."""
        failures(self.max_failures)
        if self.block_timeout is None:
            return
        if self.block_timeout <= 0:
            raise InvalidInput("--block-timeout must be more than 0 seconds.")
        if where.workers is None and where.scheduler is None and queue.cluster is None:
            raise InvalidInput(
                "--block-timeout needs worker processes, which can be ended: add --workers, "
                "--scheduler or --cluster."
            )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `dasdist.classify` and `dasdist.annotate`."""
        return {
            "overwrite": self.overwrite,
            "max_failures": failures(self.max_failures),
            "retry_failed": self.retry_failed,
            "block_timeout": self.block_timeout,
        }


def failures(word: str | None) -> int | Literal["any"] | None:
    """Read how many blocks may fail: a number, or any number of them.

    Examples
    --------
    >>> failures("5"), failures(None), failures("any")
    (5, None, 'any')
    """
    if word is None:
        return None
    if word == "any":
        return "any"
    if not word.isdecimal():
        raise InvalidInput(f"--max-failures {word} is neither a number from 0 up nor any.")
    return int(word)


def check_worker(memory: int) -> None:
    """Refuse workers that Dask would pause before their first block."""
    from dasdist.planning.resources import PAUSE, WORKER_BYTES
    from dasdist.units import readable_bytes

    if memory * PAUSE < WORKER_BYTES:
        raise BlockTooLarge(
            f"--memory {readable_bytes(memory)}: a worker process holds "
            f"{readable_bytes(WORKER_BYTES)} of Python and its libraries before any data, and Dask "
            f"pauses it at {PAUSE:.0%} of its memory, {readable_bytes(memory * PAUSE)}. Give each "
            "worker 1GB or more."
        )


def bounds(word: str) -> tuple[int, int]:
    """Read how many jobs at the least and at the most.

    Examples
    --------
    >>> bounds("1:8")
    (1, 8)
    """
    fewest, _, most = word.partition(":")
    if not (fewest.isdecimal() and most.isdecimal() and 1 <= int(fewest) <= int(most)):
        raise InvalidInput(f"--adapt {word} is not FEWEST:MOST, such as 1:8.")
    return int(fewest), int(most)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its groups, one by one, for Typer to see.

    Parameters
    ----------
    command : callable
        Those of its parameters that are annotated with a dataclass are groups.
    """
    groups: dict[str, Any] = {}
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if not is_dataclass(parameter.annotation):
            shown.append(parameter)
            continue
        groups[parameter.name] = parameter.annotation
        shown += [
            inspect.Parameter(
                field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
            )
            for field in fields(parameter.annotation)
        ]

    @wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **made)

    shown = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in shown]
    flat.__dict__.pop("__wrapped__")  # or its signature would be looked at
    flat.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return flat
