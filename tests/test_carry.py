"""Blocks of an earlier plan are found in a plan of now as if each were compared with each."""

from fractions import Fraction
from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasdist.geometry import Axis, PatchGrid, Ratio, Region, SegmentGrid, Span
from dasdist.geometry.carry import NOT_THERE, KeptSamples, carry
from dasdist.geometry.numbers import Numbers

LENGTH = 260  # samples of the time in which recordings lie


@st.composite
def models(draw):
    up, down = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    out = draw(st.integers(2, 8))
    stride = draw(st.integers(1, 2))
    window = out * stride + draw(st.integers(0, 3))
    return {
        "ratio": Ratio(up // gcd(up, down), down // gcd(up, down)),
        "window": window,
        "shift": draw(st.integers(1, window)),
        "out": out,
        "covers": (0, out * stride),
        "settling": draw(st.sampled_from([0, 0, 9])),
        "pick_halo": draw(st.integers(0, 3)),
        "core": draw(st.integers(2, 20)),
        "channels": draw(st.integers(1, 3)),
    }


def planned(there, model):
    """The segments of a recording that has the samples that are there."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    grids, first, recorded = [], 0, 0
    for start, stop in edges.reshape(-1, 2).tolist():
        size, place = stop - start, recorded
        recorded += size
        samples = model["ratio"].size(size)
        samples -= (samples - model["window"]) % model["ratio"].up
        if samples < model["window"]:
            continue
        rows = PatchGrid(samples, model["window"], model["shift"], model["out"], model["covers"])
        columns = PatchGrid(4, 2, 1, 2, (0, 2))
        grid = SegmentGrid(
            index=len(grids),
            first_block=first,
            recorded=Region(Span(place, place + size), Span(0, 4)),
            time=Axis("time", Fraction(start * 10**7), Fraction(10**7), size, is_time=True),
            distance=Axis("distance", Fraction(0), Fraction(5), 4, is_time=False),
            ratios=(model["ratio"], Ratio(1, 1)),
            rows=rows,
            columns=columns,
            channelwise=False,
            settling=model["settling"],
            pick_halo=model["pick_halo"],
            core=(min(model["core"], rows.out_size), model["channels"]),
        )
        grids.append(grid)
        first += len(grid)
    return grids


def facts(grids, there, states):
    """All that the result of each block depends on."""
    samples = np.flatnonzero(there)
    for grid in grids:
        for block in grid:
            start = grid.model_time.start
            step = grid.model_time.step
            patches = range(block.rows.start, block.rows.stop)
            read = samples[block.read.time.slice]
            yield (
                tuple(block.out_time.values().tolist()),
                tuple(block.out_distance.values().tolist()),
                tuple(start + step * grid.rows.start(i) for i in patches),
                tuple(grid.rows.out_start(i) - block.core.time.start for i in patches),
                start + step * block.inputs.time.start,
                tuple(zip(read.tolist(), states[read].tolist(), strict=True)),
            )


@pytest.mark.slow
@given(st.data(), models())
def test_blocks_are_found_as_if_each_were_compared_with_each(data, model):
    def stretches(most):
        ends = st.tuples(st.integers(0, LENGTH), st.integers(1, 90))
        drawn = data.draw(st.lists(ends, max_size=most))
        mask = np.zeros(LENGTH, dtype=bool)
        for start, size in drawn:
            mask[start : start + size] = True
        return mask

    then = ~stretches(2)
    now = then ^ stretches(1) if data.draw(st.booleans()) else then
    changed = stretches(2) if data.draw(st.booleans()) else np.zeros(LENGTH, dtype=bool)
    old, new = planned(then, model), planned(now, model)
    if not old or not new:
        return
    was = np.cumsum(then) - 1  # where in the recording of then each sample was
    samples = np.flatnonzero(now)
    same = then[samples] & ~changed[samples]
    offsets = np.where(same, np.arange(samples.size) - was[samples], NOT_THERE)
    found = carry(old, new, KeptSamples(np.arange(samples.size + 1), offsets))
    states = np.zeros(LENGTH, dtype=int)
    known = {fact: number for number, fact in enumerate(facts(old, then, states))}
    expected = [known.get(fact, -1) for fact in facts(new, now, states + changed)]
    assert found.same.tolist() == expected
    assert all(a == b for a, b in zip(found.alike, found.same, strict=True) if b >= 0)


@given(st.permutations(range(12)))
def test_numbers_are_kept_in_runs(numbers):
    found = Numbers.of(np.array(numbers))
    assert [found[block] for block in range(12)] == numbers
    assert found.all(12).tolist() == numbers
    assert found.blocks(12) == {number: block for block, number in enumerate(numbers)}
    assert found.plain == (numbers == list(range(12)))
