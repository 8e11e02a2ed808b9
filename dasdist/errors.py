"""The errors and warnings that dasdist raises, as one small tree.

Each message states the fact, the limit it broke and the remedy.  Every class also derives from the
builtin a caller would expect, so that ``except ValueError`` keeps working.
"""

__all__ = [
    "BlockTooLarge",
    "DasdistError",
    "DataWarning",
    "InvalidInput",
    "ModelMismatch",
    "OutputExists",
    "UnreadableData",
]


class DasdistError(Exception):
    """Base of all errors of dasdist."""


class InvalidInput(DasdistError, ValueError):
    """Data or arguments that no model could be applied to; raised before any block runs."""


class ModelMismatch(DasdistError, ValueError):
    """A model whose outputs do not have the shape that its patching structure promises."""


class BlockTooLarge(DasdistError, MemoryError):
    """A block that needs more memory than a worker has; raised before any block runs."""


class UnreadableData(DasdistError, OSError):
    """Samples that are missing: a file that cannot be read, NaN, or a fill value."""


class OutputExists(DasdistError, FileExistsError):
    """An output path that already holds something."""


class DataWarning(UserWarning):
    """Part of the data cannot contribute to the result; the report of the run lists it."""
