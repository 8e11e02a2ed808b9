"""Workers as forks of a process that has loaded what they need.

::

    this process ──► server: loads torch, xdas, numba once ──┬─► worker      ready at once, and
                     and does nothing else                   ├─► worker      sharing what the
                                                             └─► worker      server holds

A worker that loads them itself takes four seconds of CPU and 0.3 GB of its own before it computes,
and so does each that replaces one that died.  As a fork it takes a fifth of a second and 40 MB.
"""

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["LOADED", "forked_workers"]

LOADED = (
    "distributed.worker",
    "numba",
    "pyarrow.parquet",
    "scipy.signal",
    "torch",
    "xdas",
    "zarr",
    "dasdist.api.functions",
    "dasdist.callbacks",
    "dasdist.executors",
)
"""Modules that the server loads: none of them may start a thread, which a fork would lose."""


@contextmanager
def forked_workers() -> Iterator[None]:
    """Let the nannies of this process fork their workers, where forking is safe: on Linux.

    The server starts with the first worker, in the surroundings that its nanny sets, with one
    compute thread and Dask's settings of malloc, and ends with this process.
    """
    if sys.platform != "linux":
        yield
        return
    import dask
    from distributed.utils import get_mp_context

    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context()  # which has the server load distributed, once; and now all that is needed:
        multiprocessing.set_forkserver_preload([*LOADED, *_loaded_here("seisbench.models")])
        yield


def _loaded_here(*names: str) -> list[str]:
    return [name for name in names if name in sys.modules]
