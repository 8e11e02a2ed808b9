"""Start all workers of one node: ``python -m dasdist.cluster.worker ADDRESS``, once per node.

This runs Dask's own ``dask worker``, with its options, and chooses processes, task threads, memory
and a GPU for each process from what the job may use on this node.  Options that are given win, but
memory never exceeds the job's.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from dasdist.cluster import pinning, rejoining
from dasdist.cluster.allocation import SPARE_BYTES, Workers, find_allocation, workers_for
from dasdist.cluster.network import address_towards
from dasdist.errors import InvalidInput
from dasdist.safe_text import logger

__all__ = ["main"]

_log = logger("distributed.dasdist.worker")  # shown as Dask shows its own

_OF_COMPUTE_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the workers of this node and wait until they end.

    Parameters
    ----------
    arguments : sequence of str, optional
        Options of ``dask worker``, ``--spare`` and ``--towards``; those of this process if not
        given.

    Raises
    ------
    InvalidInput
        If the job cannot have these workers.

    Notes
    -----
    ``--nworkers``, ``--nthreads`` and ``--memory-limit`` that are left out, 0 or ``auto`` are
    chosen, see `dasdist.cluster.allocation.workers_for`.  As with ``dask worker``, several
    processes of ``--name NAME`` are called NAME-0, NAME-1, ...  Compute threads are passed on in
    OMP_NUM_THREADS and its like, also where a job has these set for programs that have all its
    CPUs for themselves.  Without ``--death-timeout``, workers wait for their scheduler for
    `dasdist.cluster.rejoining.DEATH_TIMEOUT`, at first and when they lost it.
    """
    from distributed.cli import dask_worker

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--nworkers", default="auto")
    parser.add_argument("--nthreads", default="auto")
    parser.add_argument("--memory-limit", default="auto")
    parser.add_argument("--spare", default=str(SPARE_BYTES))
    parser.add_argument("--towards", default="")
    parser.add_argument("--death-timeout", default=f"{rejoining.DEATH_TIMEOUT:g} s")
    given, others = parser.parse_known_args(arguments)
    workers = workers_for(
        find_allocation(),
        count=_number(given.nworkers),
        threads=_number(given.nthreads),
        memory=_bytes(given.memory_limit) or None,
        spare=_bytes(given.spare),
    )
    _log.info("%s", workers)
    pinning.give(workers.devices)
    os.environ.update(dict.fromkeys(_OF_COMPUTE_THREADS, str(workers.compute_threads)))
    others += listening(others, given.towards)
    others += ["--death-timeout", given.death_timeout]
    dask_worker.main([*options(workers), *others], prog_name="dasdist.cluster.worker")


def options(workers: Workers) -> list[str]:
    """Return the options of ``dask worker`` for the workers of a node.

    Examples
    --------
    >>> options(Workers(count=4, threads=2, compute_threads=1, memory=2**30))[:4]
    ['--nworkers', '4', '--nthreads', '2']
    """
    return [
        *("--nworkers", str(workers.count)),
        *("--nthreads", str(workers.threads)),
        *("--memory-limit", str(workers.memory)),
        *("--preload-nanny", pinning.__name__),
        *("--preload-nanny", rejoining.__name__),
    ]


def listening(given: Sequence[str], towards: str = "") -> list[str]:
    """Return the option that makes workers listen only where the scheduler reaches them.

    Parameters
    ----------
    given : sequence of str
        Other options, and the scheduler's address.  What they say of interfaces stands.
    towards : str
        The scheduler's host, where a scheduler file stands in place of its address.

    Examples
    --------
    >>> listening(["tcp://127.0.0.1:8786"])
    ['--host', '127.0.0.1']
    """
    named = {word.partition("=")[0] for word in given}
    if {"--host", "--interface", "--listen-address"} & named:
        return []
    hosts = [towards] if towards else [urlsplit(word).hostname for word in given if "://" in word]
    return ["--host", address_towards(hosts[0])] if hosts and hosts[0] else []


def _number(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit():
        raise InvalidInput(
            f"{text} is not a number for --nworkers or --nthreads; use 1 or more, or auto."
        )
    return int(text) or None


def _bytes(text: str) -> int:
    from dask.utils import parse_bytes

    if text == "auto":
        return 0
    try:
        size = int(parse_bytes(text))
    except ValueError:
        size = -1
    if size < 0 or (size == 0 and text != "0"):  # a fraction of the machine says too much
        raise InvalidInput(
            f"{text} is not a size for --memory-limit or --spare; write 4GB, 1.5GiB or auto."
        )
    return size


if __name__ == "__main__":
    try:
        main()
    except InvalidInput as error:
        sys.exit(f"Error: {error}")
