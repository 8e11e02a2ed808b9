"""Why a file could not be opened, in one line."""

import errno
from collections.abc import Mapping

from dasdist.errors import InvalidInput

__all__ = ["Refused", "why_not"]

_LONGEST = 200


class Refused(InvalidInput):
    """A file that no engine reads.

    Parameters
    ----------
    reason : str
        Why, in one line.
    refusals : mapping of str to Exception, optional
        What each engine that was tried raised.

    Attributes
    ----------
    details : str
        A line for each engine; empty if there is no more to say.
    """

    def __init__(self, reason: str, refusals: Mapping[str, Exception] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.details = "\n".join(f"{name}: {_told(e)}" for name, e in (refusals or {}).items())

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.reason, self.details)


def _again(reason: str, details: str) -> Refused:
    error = Refused(reason)
    error.details = details
    return error


def why_not(error: Exception) -> str:
    """Say in one line why a file could not be opened."""
    if isinstance(error, Refused):
        return error.reason
    if isinstance(error, PermissionError):
        return "you may not read it"
    text = " ".join(str(error).split())
    if _is_locked(error, text):
        return "its writer still has it open (HDF5 has locked it); try again when it is closed"
    if "already open for write" in text:
        return (
            "its writer still has it open, or died before it closed it; try again when it is "
            "closed, or mend it with `h5clear -s`"
        )
    if isinstance(error, KeyError):
        text = text.strip("'\"")
    return _told(error, text)


def _is_locked(error: Exception, text: str) -> bool:
    return getattr(error, "errno", None) == errno.EAGAIN or "unable to lock file" in text


def _told(error: Exception, text: str | None = None) -> str:
    text = " ".join(str(error).split()) if text is None else text
    return f"{type(error).__name__}: {text[:_LONGEST]}" if text else type(error).__name__
