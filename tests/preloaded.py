"""What workers load, loaded once: the fork server imports this, and workers are forks of it.

A worker process of a test's cluster then starts in a fifth of a second instead of importing torch,
numba and xdas for four seconds of CPU.  Nothing here may start a thread.
"""

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

import dasdist

for name in dasdist.__all__:
    with suppress(ImportError):  # of what is optional, and not here
        getattr(dasdist, name)
for module in ("distributed.worker", "pyarrow.parquet", "zarr", "seisbench.models", "tests.toys"):
    if find_spec(module.partition(".")[0]):
        import_module(module)
