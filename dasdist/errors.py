"""The errors and warnings that dasdist raises, as one small tree.

Each message states the fact, the limit it broke and the remedy.  Every class also derives from the
builtin a caller would expect, so that ``except ValueError`` keeps working.
"""

__all__ = [
    "BlockTooLarge",
    "ClusterLost",
    "DasdistError",
    "DataWarning",
    "InvalidArgument",
    "InvalidInput",
    "ModelMismatch",
    "OutputExists",
    "OutputInUse",
    "OutputUnwritable",
    "RunInterrupted",
    "RunMismatch",
    "RunSuperseded",
    "TooManyFailures",
    "UnreadableData",
]


class DasdistError(Exception):
    """Base of all errors of dasdist."""


class InvalidInput(DasdistError, ValueError):
    """Data or arguments that no model could be applied to; raised before any block runs."""


class InvalidArgument(InvalidInput, TypeError):
    """A keyword argument that neither the model, nor the run, nor the callback takes."""


class ModelMismatch(DasdistError, ValueError):
    """A model whose outputs do not have the shape that its patching structure promises."""


class BlockTooLarge(DasdistError, MemoryError):
    """A block that needs more memory than a worker has; raised before any block runs."""


class UnreadableData(DasdistError, OSError):
    """Samples that are missing: a file that cannot be read, NaN, or a fill value."""


class OutputExists(DasdistError, FileExistsError):
    """An output path that already holds something."""


class OutputInUse(DasdistError, RuntimeError):
    """An output that another run is writing at this moment."""


class OutputUnwritable(DasdistError, OSError):
    """An output that cannot be written: a full disk, a used-up quota, a closed folder."""


class ClusterLost(DasdistError, ConnectionError):
    """A cluster whose scheduler or last worker is gone; the same call resumes what is done."""


class RunMismatch(DasdistError, ValueError):
    """An output that was begun with another model, other arguments or another recording."""


class RunSuperseded(DasdistError, RuntimeError):
    """A run whose output a newer run has taken over; what it still writes goes nowhere."""


class TooManyFailures(DasdistError, RuntimeError):
    """A run that stopped because too many blocks failed, or all of them; what is done is kept."""


class RunInterrupted(DasdistError, KeyboardInterrupt):
    """A run that was told to stop; what is done is kept, and the same call resumes it."""


class DataWarning(UserWarning):
    """Part of the data cannot contribute to the result; the report of the run lists it."""
