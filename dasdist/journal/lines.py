"""A line of a ledger: where it stands, and of a block that it is done, given up, or to do again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args, get_type_hints

from dasdist.geometry import Region, Span
from dasdist.report import BlockResult, Failure, Missing, Partial
from dasdist.safe_text import without_secrets

__all__ = ["NOT_A_LINE", "PLACE", "Line", "Place", "described"]

NOT_A_LINE = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What :meth:`Line.of` raises if no ledger has such a line."""

_KINDS = get_args(get_type_hints(Failure)["kind"])


PLACE = ("n", "again", "after")
"""What a line says of itself, of its place in the ledger."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands.

    Parameters
    ----------
    number : int
        Its number, from 1 on.
    again : int
        How many lines up to it took a block back.
    block : int or None
        What it is on.
    """

    number: int = 0
    again: int = 0
    block: int | None = None

    def next(self, entry: Mapping[str, Any]) -> tuple[dict[str, Any], "Place"]:
        """Return the next line, and where it stands."""
        again = self.again + (len(entry) == 1)
        place = Place(self.number + 1, again, entry["block"])
        return {"n": place.number, "again": again, "after": self.block, **entry}, place


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says.

    Parameters
    ----------
    block : int
        The block that it is on.
    part : mapping or None
        Its part, if it is done.
    failure : Failure or None
        Why it was given up, if it was.
    partial : Partial or None
        What it could not compute, if it is done in part.
    """

    block: int
    part: Mapping[str, float] | None = None
    failure: Failure | None = None
    partial: Partial | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any], blocks: int | None) -> "Line":
        """Read a line.

        Parameters
        ----------
        entry : mapping
            The line, as JSON.
        blocks : int or None
            Blocks of the run, if known: no line is on any other.
        """
        block = entry["block"]
        if type(block) is not int or block < 0 or (blocks is not None and block >= blocks):
            raise ValueError(block)
        if "part" in entry:
            if not isinstance(entry["seconds"], dict) or type(entry["peak"]) is not int:
                raise ValueError(entry)
            return cls(block, _counts(entry["part"]), None, _partial(entry, block))
        if "failed" in entry:
            return cls(block, None, _failure(entry["failed"], block))
        if len(entry) > 1:  # a line without its part is not one that takes a block back
            raise ValueError(entry)
        return cls(block)

    @property
    def takes_back(self) -> bool:
        """Whether the block is to be computed again."""
        return self.part is None and self.failure is None


def described(outcome: BlockResult | Failure) -> dict[str, Any]:
    """Return the line on what came of a block, as JSON."""
    if isinstance(outcome, Failure):
        failed = without_secrets(asdict(outcome))
        del failed["worker"]  # an address means nothing once its cluster is gone
        return {"block": outcome.block, "failed": failed}
    return {
        "block": outcome.block,
        "part": _counts(outcome.part),
        "seconds": {stage: round(value, 6) for stage, value in outcome.seconds.items()},
        "peak": outcome.peak,
        **_lacking(outcome.partial),
    }


def _lacking(partial: Partial | None) -> dict[str, Any]:
    """Return what a line on a block says more if it was done in part."""
    if partial is None:
        return {}
    return {
        "missing": without_secrets([asdict(missing) for missing in partial.missing]),
        "uncovered": [[*_ends(r.time), *_ends(r.distance)] for r in partial.uncovered],
    }


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.stop


def _partial(entry: Mapping[str, Any], block: int) -> Partial | None:
    """Return what a line says that a block could not compute."""
    if "missing" not in entry:
        return None
    found = []
    for told in entry["missing"]:
        first, last = told["channels"]
        missing = Missing(**{**told, "channels": (first, last)})
        texts = (missing.kind, missing.what, missing.start, missing.stop, missing.path)
        if (
            missing.block != block
            or not all(type(number) is int for number in (first, last))
            or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError(told)
        found.append(missing)
    spans = [(Span(a, b), Span(c, d)) for a, b, c, d in entry["uncovered"]]
    return Partial(tuple(found), tuple(Region(time, distance) for time, distance in spans))


def _counts(part: Any) -> Mapping[str, float]:
    """Return a part, if it is what all parts that last are."""
    if not isinstance(part, dict) or not all(isinstance(n, int | float) for n in part.values()):
        raise TypeError(
            f"A part of results that last is a mapping of names to counts, and not {part!r:.80}."
        )
    return part


def _failure(told: Mapping[str, Any], block: int) -> Failure:
    time_span, distance = (Span(**told["core"][axis]) for axis in ("time", "distance"))
    failure = Failure(**{**told, "core": Region(time_span, distance)})
    numbers = (failure.segment, *asdict(time_span).values(), *asdict(distance).values())
    texts = (failure.error, failure.kind, failure.traceback, failure.start, failure.stop)
    if (
        failure.block != block
        or failure.kind not in _KINDS
        or not all(type(number) is int for number in numbers)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ValueError(told)
    return failure
