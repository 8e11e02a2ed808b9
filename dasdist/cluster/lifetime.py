"""How long a worker stays in its job: it leaves before SLURM would kill it at the walltime.

::

    job     |----------------------------- walltime -----------------------------|
    worker  |------------------ lifetime ------------------|<-stagger->|<-leave->|
                                                 each leaves somewhere here

Workers of many jobs that began together leave one after the other, and hand over their results.
"""

import re
from dataclasses import dataclass

from dasdist.errors import InvalidInput

__all__ = ["Lifetime", "walltime_seconds"]

_SHARE = 0.05
_STAGGER = 300.0  # seconds, at most
_LEAVE = 120.0

_FORMS = re.compile(
    r"(?:(?P<days>\d+)-(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)|(?P<m>\d+)(?::(?P<ms>\d+))?)"
)


def walltime_seconds(walltime: str) -> float | None:
    """Return a walltime in seconds; None if it is unlimited.

    Parameters
    ----------
    walltime : str
        As ``sbatch --time`` takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours,
        days-hours:minutes, days-hours:minutes:seconds, or UNLIMITED.

    Raises
    ------
    InvalidInput
        If it is none of these, or nothing.

    Examples
    --------
    >>> walltime_seconds("04:00:00"), walltime_seconds("90"), walltime_seconds("1-12")
    (14400.0, 5400.0, 129600.0)
    """
    if walltime.strip().upper() in ("UNLIMITED", "INFINITE"):
        return None
    match = _FORMS.fullmatch(walltime.strip())
    part = {name: int(value or 0) for name, value in match.groupdict().items()} if match else {}
    seconds = float(
        86400 * part.get("days", 0)
        + 3600 * (part.get("dh", 0) + part.get("h", 0))
        + 60 * (part.get("dm", 0) + part.get("hm", 0) + part.get("m", 0))
        + (part.get("ds", 0) + part.get("hs", 0) + part.get("ms", 0))
    )
    if not seconds:
        raise InvalidInput(
            f"The walltime {walltime!r} is none; write hours:minutes:seconds, such as 04:00:00, "
            "or as sbatch --time takes it."
        )
    return seconds


@dataclass(frozen=True, slots=True)
class Lifetime:
    """When a worker leaves.

    Parameters
    ----------
    seconds : float
        Its lifetime, on average.
    stagger : float
        By how many seconds it may be longer or shorter.

    Examples
    --------
    >>> Lifetime.within("04:00:00")
    Lifetime(seconds=13980.0, stagger=300.0)
    """

    seconds: float
    stagger: float

    @classmethod
    def within(cls, walltime: str) -> "Lifetime | None":
        """Return the lifetime that fits into a walltime; None if that has no end."""
        whole = walltime_seconds(walltime)
        if whole is None:
            return None
        stagger, leave = min(_SHARE * whole, _STAGGER), min(_SHARE * whole, _LEAVE)
        return cls(whole - stagger - leave, stagger)
