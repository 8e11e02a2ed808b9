"""What xdas guesses of a file, and warns of, as sentences that say what to do."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["guessed"]

_FEBUS = {
    "No overlap specified": (
        "Febus files do not say how much their blocks overlap, and xdas guessed it; if you know "
        "it, pass --engine febus --engine-option overlaps=BEFORE,AFTER (samples cut off a block)"
    ),
    "No offset specified": (
        "Febus files do not say to which sample of a block its time belongs, and xdas took the "
        "middle; if you know it, pass --engine febus --engine-option offset=SAMPLE, or all times "
        "may be off by up to half a block"
    ),
}
_NOT_OF_THE_DATA = (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning)


@contextmanager
def guessed() -> Iterator[list[str]]:
    """Yield a list that has, at the end of the block, what was warned of within it."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield notes
    for warning in caught:
        text = " ".join(str(warning.message).split())
        if issubclass(warning.category, _NOT_OF_THE_DATA) or text.startswith("could not open"):
            continue
        known = (said for start, said in _FEBUS.items() if text.startswith(start))
        note = next(known, f"its engine warned: {text}")
        if note not in notes:
            notes.append(note)
