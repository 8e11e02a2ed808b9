"""Describe where the files of an archive change."""

import json
from collections.abc import Iterator, Sequence

from dasdist.archive.header import Header, Problem
from dasdist.sources.index import SEPARATE
from dasdist.units import count_of

__all__ = ["SAME_STEP", "and_more", "changes"]

SAME_STEP = 1e-5
"""Largest relative difference of sampling intervals that are one; xdas takes the same."""


def changes(members: Sequence[tuple[Header, float, int]]) -> Iterator[Problem]:
    """Describe how each array differs from the one with the most files.

    Parameters
    ----------
    members : sequence of tuple
        The first file of each array, its sampling interval in nanoseconds, the number of files.
    """
    if not members:
        return
    usual, usual_step, _ = max(members, key=lambda member: member[2])
    for header, step, files in members:
        differences = list(_differences(header, usual, step, usual_step))
        if differences:
            kinds, words = zip(*differences, strict=True)
            reason = f"{and_more(files)}{'; '.join(words)}: {SEPARATE}"
            yield Problem(header.path, kinds[0], reason)


def _differences(
    header: Header, usual: Header, step: float, usual_step: float
) -> Iterator[tuple[str, str]]:
    form, other = json.loads(header.form), json.loads(usual.form)
    if form["dtype"] != other["dtype"]:
        yield "dtype", f"its samples are {form['dtype']} instead of {other['dtype']}"
    if abs(step - usual_step) > SAME_STEP * usual_step:
        yield (
            "sampling",
            f"its sampling interval is {step / 1e9:g} s instead of {usual_step / 1e9:g} s",
        )
    if form["sizes"] != other["sizes"]:
        (channels,), (usually,) = ([n for n in f["sizes"] if n] for f in (form, other))
        yield "channels", f"it has {count_of(channels, 'channel')} instead of {usually}"
    elif form["coords"] != other["coords"] or form["dims"] != other["dims"]:
        yield "channels", "its channels have other positions"
    one, another = form["engine"]["name"], other["engine"]["name"]
    if one != another:
        yield "format", f"its format is {one} instead of {another}"
    elif form["engine"] != other["engine"] or form["time"] != other["time"]:
        yield "format", "its datasets are arranged differently"


def and_more(files: int) -> str:
    """Begin a reason that holds for several files with their number."""
    return f"from here on {files} files: " if files > 1 else ""
