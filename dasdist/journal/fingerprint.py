"""What a run is, as plain JSON: the model, the arguments, the blocks and the recording.

Two runs with the same fingerprint give the same result, so that one can go on where the other
ended.  Nothing in it depends on the machine, the cluster or the process.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dasdist.geometry import PatchGrid, Ratio, Region, SegmentGrid, Span
from dasdist.geometry.axis import axis_attrs, axis_from_attrs

__all__ = [
    "continued",
    "describe_grid",
    "grid_from_description",
    "plain",
]

Json = Any


def plain(value: Any) -> Json:
    """Return a value as JSON knows it; what JSON has no form for becomes its text.

    Examples
    --------
    >>> plain({"thresholds": {"P": np.float32(0.5)}, "blinding": (100, 100)})
    {'thresholds': {'P': 0.5}, 'blinding': [100, 100]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(plain, value), key=str)
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)


# ---------------------------------------------------------------- segments and their blocks


def describe_grid(grid: SegmentGrid) -> dict[str, Json]:
    """Describe a segment, its patches and its blocks; exact."""
    return {
        "index": grid.index,
        "first_block": grid.first_block,
        "recorded": [_ends(grid.recorded.time), _ends(grid.recorded.distance)],
        "time": axis_attrs(grid.time),
        "distance": axis_attrs(grid.distance),
        "ratios": [[ratio.up, ratio.down] for ratio in grid.ratios],
        "rows": _describe_patches(grid.rows),
        "columns": _describe_patches(grid.columns),
        "channelwise": grid.channelwise,
        "settling": int(grid.settling),
        "pick_halo": int(grid.pick_halo),
        "core": [int(size) for size in grid.core],
        **({"around": [int(size) for size in grid.around]} if any(grid.around) else {}),
    }


def grid_from_description(described: Mapping[str, Json]) -> SegmentGrid:
    """Return the segment that :func:`describe_grid` described."""
    time, distance = described["recorded"]
    before, after = described.get("around", (0, 0))
    up_down = [Ratio(up, down) for up, down in described["ratios"]]
    return SegmentGrid(
        index=described["index"],
        first_block=described["first_block"],
        recorded=Region(Span(*time), Span(*distance)),
        time=axis_from_attrs(described["time"]),
        distance=axis_from_attrs(described["distance"]),
        ratios=(up_down[0], up_down[1]),
        rows=_patches(described["rows"]),
        columns=_patches(described["columns"]),
        channelwise=described["channelwise"],
        settling=described["settling"],
        pick_halo=described["pick_halo"],
        core=(described["core"][0], described["core"][1]),
        around=(before, after),
    )


def _ends(span: Span) -> list[int]:
    return [int(span.start), int(span.stop)]


def _describe_patches(grid: PatchGrid) -> list[Json]:
    sizes = (grid.size, grid.window, grid.shift, grid.out)
    return [*map(int, sizes), [*map(int, grid.covers)], *(["padded"] if grid.padded else [])]


def _patches(described: Sequence[Any]) -> PatchGrid:
    size, window, shift, out, covers, *padded = described
    return PatchGrid(size, window, shift, out, (covers[0], covers[1]), bool(padded))


def continued(old: Sequence[SegmentGrid], new: Sequence[SegmentGrid]) -> bool:
    """Tell whether new segments are the old ones, the last perhaps longer, and perhaps more.

    Blocks of the old segments then have the numbers that they had.
    """
    if not old or len(new) < len(old):
        return False
    last, now = old[-1], new[len(old) - 1]
    longer = now.time.size >= last.time.size and now.rows.size >= last.rows.size
    shortened = replace(
        now,
        time=replace(now.time, size=last.time.size),
        rows=replace(now.rows, size=last.rows.size),
        recorded=replace(now.recorded, time=last.recorded.time),
    )
    starts_alike = now.recorded.time.start == last.recorded.time.start
    same = tuple(old[:-1]) == tuple(new[: len(old) - 1])
    return same and longer and starts_alike and shortened == last
