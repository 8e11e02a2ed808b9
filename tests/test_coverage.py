"""What a run covered adds up, whatever the segments, the blocks and the failures."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dasdist.geometry import Axis, PatchGrid, Ratio, Region, SegmentGrid, Span
from dasdist.journal.coverage import cover, holes
from dasdist.journal.fingerprint import continued, describe_grid, grid_from_description
from dasdist.report import Failure


def axis(name, start, step, size):
    return Axis(name, Fraction(start), Fraction(step), size, is_time=name == "time")


@st.composite
def segments(draw):
    """Some segments of one fibre, one after the other, with gaps or without."""
    channels, window = draw(st.integers(2, 9)), draw(st.integers(2, 5))
    grids, begin, first = [], 0, 0
    for index in range(draw(st.integers(1, 3))):
        samples = draw(st.integers(window, 30))
        grid = SegmentGrid(
            index=index,
            first_block=first,
            recorded=Region(Span(begin, begin + samples), Span(0, channels)),
            time=axis("time", begin * 10**9, 10**9, samples),
            distance=axis("distance", 5, 10, channels),
            ratios=(Ratio(1, 1), Ratio(1, 1)),
            rows=PatchGrid(samples, window, draw(st.integers(1, window)), window, (0, window)),
            columns=PatchGrid(channels, 2, 1, 2, (0, 2)),
            channelwise=False,
            settling=draw(st.integers(0, 2)),
            pick_halo=draw(st.integers(0, 2)),
            core=(draw(st.integers(1, samples)), draw(st.integers(1, channels))),
        )
        grids.append(grid)
        first += len(grid)
        begin += samples + draw(st.sampled_from([0, 0, 7]))
    return grids


def what_became(draw, grids):
    total = sum(map(len, grids))
    kinds = draw(st.lists(st.sampled_from("dfl"), min_size=total, max_size=total))
    return np.array(kinds)


@given(st.data(), segments())
def test_every_output_is_done_or_in_a_hole(data, grids):
    became = what_became(data.draw, grids)
    failures = [
        Failure(int(i), 0, Region(Span(0, 1), Span(0, 1)), "broken")
        for i in np.flatnonzero(became == "f")
    ]
    found = holes(grids, [], failures, became == "d", {})
    for grid in grids:
        times, channels = grid.out_time.values(), grid.out_distance.values()
        for block in grid:
            kind = became[block.index]
            core = block.core
            for t in times[core.time.slice]:
                for x in channels[core.distance.slice]:
                    over = {
                        h.reason
                        for h in found
                        if h.reason != "gap"
                        and np.datetime64(h.start) <= t <= np.datetime64(h.stop)
                        and h.first <= x <= h.last
                    }
                    assert ("failed" in over) == (kind == "f")
                    if kind == "l":
                        assert "left" in over
    whole = sorted((g.recorded.time.start, g.recorded.time.stop) for g in grids)
    gaps = sum(b[0] > a[1] for a, b in pairwise(whole))
    assert sum(h.reason == "gap" for h in found) == gaps


@given(st.data(), segments())
def test_a_picture_shows_the_shares_of_its_cells(data, grids):
    became = what_became(data.draw, grids)
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 6)))
    picture = cover(grids, became == "d", became == "f", shape)
    area = {kind: np.zeros(shape) for kind in "dfl"}
    times = edges([g.out_time for g in grids], shape[1])
    channels = edges([g.out_distance for g in grids], shape[0])
    for grid in grids:
        for block in grid:
            along_time = overlaps(grid.out_time, block.core.time, times)
            along_fibre = overlaps(grid.out_distance, block.core.distance, channels)
            area[became[block.index]] += np.outer(along_fibre, along_time)
    total = sum(area.values())
    there = total > 0
    cell = (times[1] - times[0]) * (channels[1] - channels[0])
    np.testing.assert_allclose(picture.recorded, total / cell, atol=1e-9)
    np.testing.assert_allclose(picture.done[there], (area["d"] / total)[there], atol=1e-9)
    np.testing.assert_allclose(picture.failed[there], (area["f"] / total)[there], atol=1e-9)
    drawn = "".join(line[-shape[1] :] for line in str(picture).splitlines()[:-1])
    assert len(drawn) == shape[0] * shape[1]
    assert ("x" in drawn) == (became == "f").any()


def edges(axes, cells):
    low = min(float(axis.start) for axis in axes)
    high = max(float(axis.start + axis.size * axis.step) for axis in axes)
    return np.linspace(low, high, cells + 1)


def overlaps(axis, span, cells):
    low, high = (float(axis.start + i * axis.step) for i in (span.start, span.stop))
    return np.array(
        [max(0.0, min(high, b) - max(low, a)) for a, b in pairwise(cells)],
    )


@given(segments())
def test_segments_come_back_from_their_description(grids):
    for grid in grids:
        assert grid_from_description(describe_grid(grid)) == grid


@given(segments(), st.integers(0, 50))
def test_only_growth_at_the_end_continues(grids, more):
    last = grids[-1]
    size = last.time.size + more
    grown = replace(
        last,
        recorded=replace(
            last.recorded, time=Span(last.recorded.time.start, last.recorded.time.start + size)
        ),
        time=replace(last.time, size=size),
        rows=replace(last.rows, size=size),
    )
    new = [*grids[:-1], grown]
    assert continued(grids, new)
    assert continued(grids[:-1], new) == (len(grids) > 1)
    assert continued(new, grids) == (more == 0)
    assert not continued(grids, [replace(grids[0], settling=9), *new[1:]])
