"""What is given to the contract tests: refused in a sentence where it is something else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dasdist.errors import InvalidInput

__all__ = ["called_by", "check_keys", "made", "maker"]


def maker(make: Any, function: str, what: str) -> Callable[..., Any]:
    """Refuse what cannot be called to get a new object to test, such as the object itself.

    Parameters
    ----------
    make : object
        What was given.
    function : str
        The contract test.
    what : str
        What it tests.
    """
    if not callable(make):
        name = type(make).__name__
        raise InvalidInput(
            f"{function} makes new objects as it goes: pass the class {name} itself, or a function "
            f"that returns a new {what}, such as lambda: {name}(...); it got {_shown(make)}."
        )
    found: Callable[..., Any] = make
    return found


def made(make: Callable[..., Any], *arguments: Any, function: str, what: str) -> Any:
    """Make an object to test, or say that this is not possible."""
    how = "with a path as its only argument" if arguments else "without arguments"
    try:
        return make(*arguments)
    except (TypeError, InvalidInput) as error:
        why = str(error).rstrip(".")
        raise InvalidInput(
            f"{function} calls what it is given {how}, and that failed: {why}. Pass a function "
            "that "
            f"returns a new {what}."
        ) from error


def check_keys(keys: Any) -> Sequence[str]:
    """Refuse what are not the names of annotations."""
    fine = isinstance(keys, Sequence) and not isinstance(keys, str) and len(keys) > 0
    if not fine or not all(isinstance(key, str) for key in keys):
        raise InvalidInput(f"keys is {keys!r}; pass a list of annotation keys, such as ['P', 'S'].")
    found: Sequence[str] = keys
    return found


@contextmanager
def called_by(what: str, remedy: str = "") -> Iterator[None]:
    """Say which method of the tested object raised an error."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        rest = f" {remedy}" if remedy else ""
        raise AssertionError(f"{what} raised {type(error).__name__}: {error}.{rest}") from error


def _shown(thing: Any) -> str:
    text = repr(thing)
    return text if len(text) < 60 else f"a {type(thing).__name__}"
