"""Findings of checks, and the decorator that turns a function into a check that never raises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Literal, ParamSpec

from dasdist.safe_text import shown

__all__ = ["Finding", "NotChecked", "Outcome", "SiteReport", "check", "named_few", "ok"]

State = Literal["ok", "warning", "wrong", "not checked"]
P = ParamSpec("P")

_FEW = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a check: state, fact and remedy.

    Parameters
    ----------
    state : {"ok", "warning", "wrong", "not checked"}
        A run works well; works, but not well; fails or gives wrong results; or this is not known.
    fact : str
        What was found.
    remedy : str
        What to do about it.
    """

    state: State
    fact: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check that has a name.

    Parameters
    ----------
    name : str
        Name of the check.
    state, fact, remedy
        As of `Outcome`.
    """

    name: str
    state: State
    fact: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return shown(f"{self.state:>11}  {self.name}: {self.fact}{remedy}")


@dataclass(frozen=True, slots=True)
class SiteReport:
    """All findings of a site; prints them, and what to do.

    Parameters
    ----------
    findings : tuple of Finding
        In the order of the checks.
    """

    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings with which runs do not work, or give wrong results."""
        return tuple(f for f in self.findings if f.state == "wrong")

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


class NotChecked(Exception):
    """Raised by a check that cannot be made; says why."""


def ok(fact: str) -> Outcome:
    """Return the outcome of a check that found everything well."""
    return Outcome("ok", fact)


def check(name: str) -> Callable[[Callable[P, Outcome]], Callable[P, Finding]]:
    """Turn a function that returns an outcome into one that returns a finding, even if it raises.

    Examples
    --------
    >>> @check("Arithmetic")
    ... def divides(n: int) -> Outcome:
    ...     return ok(f"12 / {n} = {12 / n:g}")
    >>> print(divides(3))
             ok  Arithmetic: 12 / 3 = 4
    >>> divides(0).state
    'wrong'
    """

    def named(function: Callable[P, Outcome]) -> Callable[P, Finding]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> Finding:
            try:
                found = function(*args, **kwargs)
            except NotChecked as reason:
                found = Outcome("not checked", str(reason))
            except Exception as error:  # noqa: BLE001 - it becomes a finding, and so is not lost
                found = Outcome(
                    "wrong",
                    f"The check itself failed: {type(error).__name__}: {error}",
                    "Fix what this says; if that does not help, please report it.",
                )
            return Finding(name, found.state, found.fact, found.remedy)

        return run

    return named


def named_few(names: Sequence[object]) -> str:
    """Name the first few of many.

    Examples
    --------
    >>> named_few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(map(str, names[:_FEW])) + more
