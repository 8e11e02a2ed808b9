"""The errors and warnings that dasdist raises, as one small tree.

Each message states the fact, the limit it broke and the remedy.  Every class also derives from the
built-in class that a caller would expect, so that ``except ValueError`` works.
"""

from dasdist.safe_text import shown

__all__ = [
    "BlockTooLarge",
    "ClusterLost",
    "DasdistError",
    "DataWarning",
    "InvalidArgument",
    "InvalidInput",
    "ModelFault",
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

    def __str__(self) -> str:
        return shown(super().__str__())


class InvalidInput(DasdistError, ValueError):
    """Data or arguments that cannot work; raised before any block runs."""


class InvalidArgument(InvalidInput, TypeError):
    """A keyword argument that neither the model, nor the run, nor the callback takes."""


class ModelMismatch(DasdistError, ValueError):
    """Outputs of a model that do not have the shape that its patching structure states."""


class ModelFault(DasdistError, ArithmeticError):
    """A model that returned NaN for samples that are numbers."""


class BlockTooLarge(MemoryError, DasdistError):  # this way round, or it cannot be unpickled
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
    """A cluster that lost its scheduler or all its workers; the same call resumes the run."""


class RunMismatch(DasdistError, ValueError):
    """An output that was begun with another model, other arguments or another recording."""


class RunSuperseded(DasdistError, RuntimeError):
    """A run whose output a newer run has taken over; what it still computes is dropped."""


class TooManyFailures(DasdistError, RuntimeError):
    """A run that stopped because too many of its blocks, or all, failed; the others are kept."""


class RunInterrupted(DasdistError, KeyboardInterrupt):
    """A run that was stopped; finished blocks are kept, and the same call resumes it."""


class DataWarning(UserWarning):
    """Part of the data is left out of the result; the run's report lists it."""

    def __str__(self) -> str:
        return shown(super().__str__())
