"""From what was measured of an hour to what is wrong with its channels."""

from itertools import pairwise, starmap
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.channel_quality.minutes import HOUR, Measured
from dasdist.geometry import Span

__all__ = ["FLAGS", "judged"]

FLAGS = ("missing", "dead", "clipped", "noisy", "duplicated")

_HALF = 0.5
"""Share of an hour from which a channel counts as dead or missing."""

_CLIPPED = 1e-3
"""Share of samples at an extreme from which a channel counts as clipped."""

_FEW = 10
"""Samples at an extreme that say nothing: each signal has a greatest and a least one."""

_STEPS = 16
"""Steps of quantisation that a clipped signal spans at the least: of fewer, extremes recur."""

_FACTOR, _DEVIATIONS = 5.0, 5.0
"""How far above the fibre's level a channel is noisy: times its median, and robust deviations."""


def judged(measured: list[Measured]) -> pd.DataFrame:
    """Judge the channels of an hour, of which all measurements are there.

    Returns
    -------
    DataFrame
        A row per channel: ``channel``, ``hour``, ``samples``, ``level``, ``missing`` and
        ``clipped`` (shares of the samples), ``flags`` (words of `FLAGS`, with spaces between).
    """
    parts = pd.concat([_rows(found) for found in _by_channels(measured)])
    parts = parts.sort_values("channel", ignore_index=True)
    wrong = {
        "missing": parts["missing"] >= _HALF,
        "dead": parts.pop("dead"),
        "clipped": parts.pop("is_clipped"),
        "noisy": None,
        "duplicated": parts.pop("duplicated"),
    }
    live = ~(wrong["missing"] | wrong["dead"])
    wrong["noisy"] = live & _noisy(parts["level"].to_numpy(), live.to_numpy())
    words = np.full(len(parts), "", dtype=object)
    for flag in FLAGS:
        here = np.asarray(wrong[flag])
        words[here] = [f"{word} {flag}".lstrip() for word in words[here]]
    return parts.assign(flags=words.astype(str))


def _by_channels(measured: list[Measured]) -> list[Measured]:
    """Join what was measured of the same channels in an hour that gaps cut."""
    borders = sorted({end for m in measured for end in (m.channels.start, m.channels.stop)})
    found: dict[Span, Measured] = {}
    for one in measured:
        for span in starmap(Span, pairwise(borders)):
            if one.channels.start <= span.start and span.stop <= one.channels.stop:
                part = one.part(span)
                found[span] = found[span].joined(part) if span in found else part
    return list(found.values())


def _rows(one: Measured) -> pd.DataFrame:
    there = ~np.isnan(one.levels)
    minutes = there.sum(axis=0)
    dead = (minutes > 0) & (one.constant >= _HALF * minutes)
    recorded = np.maximum(one.samples - one.missing, 1)
    with np.errstate(invalid="ignore"):
        spans = (one.high - one.low) / one.step
    count = np.where(dead, 0, np.maximum(one.ends, one.at_low + one.at_high))
    share = np.where(count < _FEW, 0, count) / recorded
    often = share >= _CLIPPED
    return pd.DataFrame(
        {
            "channel": np.arange(one.channels.start, one.channels.stop),
            "hour": np.datetime64(one.hour * HOUR, "ns"),
            "samples": one.samples,
            "level": _medians(one.levels),
            "missing": (one.missing / one.samples).astype(np.float32),
            "clipped": share.astype(np.float32),
            "dead": dead,
            "is_clipped": often & ~dead & ((one.ends > 0) | (spans >= _STEPS)),
            "duplicated": (minutes > 0) & (one.twin == minutes) & ~dead,
        }
    )


def _medians(levels: NDArray[np.float32]) -> NDArray[Any]:
    """Return the median of each column, of what is not NaN; NaN where all is."""
    ordered = np.sort(levels, axis=0)  # NaN last
    count = (~np.isnan(levels)).sum(axis=0)
    columns = np.arange(levels.shape[1])
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, len(levels) - 1)
    middle: NDArray[Any] = (ordered[low, columns] + ordered[high, columns]) / 2
    return np.where(count > 0, middle, np.nan).astype(np.float32)


def _noisy(levels: NDArray[np.float32], live: NDArray[np.bool_]) -> NDArray[np.bool_]:
    chosen = live & (levels > 0)
    if chosen.sum() < 3:
        return np.zeros(len(levels), dtype=np.bool_)
    logs = np.log(np.where(chosen, levels, 1.0).astype(float))
    middle = np.median(logs[chosen])
    spread = 1.4826 * np.median(np.abs(logs[chosen] - middle))
    found: NDArray[np.bool_] = chosen & (
        logs - middle > max(np.log(_FACTOR), _DEVIATIONS * float(spread))
    )
    return found
