"""Axes are exact; blocks share the outputs among them and compute what they need."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasdist.errors import InvalidInput
from dasdist.geometry import Axis, PatchGrid, Ratio, Region, SegmentGrid, Span
from dasdist.geometry.choose import (
    Limits,
    Work,
    choose_core,
    recompute_factor,
    samples_read,
)


@st.composite
def patch_grids(draw, largest=400):
    window = draw(st.integers(1, 40))
    first = draw(st.integers(0, window - 1))
    last = draw(st.integers(first + 1, window))
    return PatchGrid(
        size=draw(st.integers(window, largest)),
        window=window,
        shift=draw(st.integers(1, window)),
        out=draw(st.integers(1, 2 * (last - first))),
        covers=(first, last),
    )


@given(patch_grids())
def test_patches_follow_the_formula_and_reach_both_ends(grid):
    starts = [grid.start(i) for i in range(grid.count)]
    assert starts == [min(i * grid.shift, grid.size - grid.window) for i in range(grid.count)]
    assert starts[-1] == grid.size - grid.window
    assert len(set(starts)) == len(starts)


@given(patch_grids(), st.data())
def test_touching_is_what_brute_force_finds(grid, data):
    start = data.draw(st.integers(0, grid.out_size - 1))
    stop = data.draw(st.integers(start + 1, grid.out_size))
    touching = [
        i
        for i in range(grid.count)
        if grid.out_start(i) < stop and grid.out_start(i) + grid.out > start
    ]
    first, last = grid.touching(start, stop)
    # the range may only hold more where patches leave holes
    assert set(touching) <= set(range(first, last))
    if not grid.hole():
        assert touching == list(range(first, last))


@given(patch_grids(), st.integers(0, 5))
def test_hole_is_the_largest_gap_between_patches(grid, trim):
    filled = [
        range(grid.out_start(i), grid.out_start(i) + grid.out - trim) for i in range(grid.count)
    ]
    gaps = [b.start - a.stop for a, b in pairwise(filled)]
    assert grid.hole(trim) == max([0, *gaps])


@given(
    st.fractions(-(10**6), 10**6, max_denominator=997),
    st.fractions(Fraction(1, 10**6), 10**10, max_denominator=10**6),
    st.lists(st.integers(0, 10**10), min_size=1, max_size=20),
    st.integers(1, 50),
)
def test_times_are_exact_to_the_nanosecond(start, step, positions, denominator):
    axis = Axis("time", start, step, 10**11, is_time=True)
    values = axis.values_at(np.array(positions), denominator)
    exact = [start + step * Fraction(p, denominator) for p in positions]
    assert values.astype("int64").tolist() == [int((x + Fraction(1, 2)) // 1) for x in exact]


@given(st.integers(1, 1000), st.integers(0, 500), st.integers(1, 9), st.integers(1, 9))
def test_transformed_axes_compose(size, offset, up, down):
    axis = Axis("distance", Fraction(1, 3), Fraction(7, 10), size, is_time=False)
    coarse = axis.transform(offset=offset, stride=Fraction(down, up), size=5)
    expected = [
        float(Fraction(1, 3) + Fraction(7, 10) * (offset + i * Fraction(down, up)))
        for i in range(5)
    ]
    assert coarse.values().tolist() == expected


def segment(rows, columns, *, core, halo=0, settling=0, channelwise=False, ratios=None):
    ratios = ratios or (Ratio(1, 1), Ratio(1, 1))
    samples, channels = (
        -(-grid.size * ratio.down // ratio.up)
        for grid, ratio in zip((rows, columns), ratios, strict=True)
    )
    return SegmentGrid(
        index=0,
        first_block=0,
        recorded=Region(Span(0, samples), Span(0, channels)),
        time=Axis("time", Fraction(0), Fraction(10**7), samples, is_time=True),
        distance=Axis("distance", Fraction(0), Fraction(10), channels, is_time=False),
        ratios=ratios,
        rows=rows,
        columns=columns,
        channelwise=channelwise,
        settling=settling,
        pick_halo=halo,
        core=core,
    )


@given(
    patch_grids(200),
    patch_grids(60),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(0, 20),
    st.integers(0, 30),
)
def test_cores_tile_the_outputs_and_blocks_hold_their_patches(
    rows, columns, time, distance, halo, settling
):
    grid = segment(rows, columns, core=(time, distance), halo=halo, settling=settling)
    owned = np.zeros(grid.shape, dtype=int)
    for block in grid:
        owned[block.core.time.slice, block.core.distance.slice] += 1
        wanted = range(block.core.time.start - halo, block.core.time.stop + halo)
        needed = [
            i
            for i in range(rows.count)
            if rows.out_start(i) < wanted.stop and rows.out_start(i) + rows.out > wanted.start
        ]
        assert set(needed) <= set(range(block.rows.start, block.rows.stop))
        first, last = rows.input_span(block.rows.start, block.rows.stop)
        assert block.inputs.time.stop == last
        assert block.inputs.time.start == max(0, first - settling)
    assert (owned == 1).all()


@given(patch_grids(300), st.integers(1, 120), st.integers(1, 9), st.integers(1, 9))
def test_predictions_are_sums_over_blocks(rows, time, chunk, width):
    columns = PatchGrid(width, width, width, width, (0, width))
    grid = segment(rows, columns, core=(time, width))
    evaluated = sum(block.rows.size * block.columns.size for block in grid)
    assert recompute_factor(grid) == pytest.approx(evaluated / (rows.count * columns.count))
    whole = sum(
        (-(-b.read.time.stop // chunk) - b.read.time.start // chunk) * chunk * width for b in grid
    )
    assert samples_read(grid, (chunk, 1)) == whole


def test_channelwise_blocks_read_their_own_channels_only():
    rows = PatchGrid(1000, 100, 50, 100, (0, 100))
    columns = PatchGrid(40, 40, 40, 40, (0, 40))
    grid = segment(rows, columns, core=(200, 7), channelwise=True)
    assert {block.read.distance.size for block in grid} == {7, 5}
    assert recompute_factor(grid) == recompute_factor(replace(grid, core=(200, 40)))


def test_a_window_longer_than_the_segment_is_refused():
    with pytest.raises(InvalidInput, match="a patch of the model has 10"):
        PatchGrid(9, 10, 5, 10, (0, 10))
    with pytest.raises(InvalidInput, match="no step between patches of 10"):
        PatchGrid(20, 10, 0, 10, (0, 10))


@given(
    patch_grids(600),
    st.integers(1, 90),
    st.integers(0, 20),
    st.integers(1, 9),
    st.floats(1e-9, 1e3),
    st.integers(0, 200),
    st.integers(1, 30),
    st.integers(1, 10**5),
    st.booleans(),
)
def test_whatever_is_chosen_every_output_is_owned_once(
    rows, width, halo, slots, cost, file, chunk, budget, channelwise
):
    columns = PatchGrid(width, width, width, width, (0, width))
    grid = segment(rows, columns, core=(rows.out_size, width), halo=halo, channelwise=channelwise)
    core = choose_core(
        grid,
        Work(slots, lambda trial: cost * trial.core[0] * trial.core[1], file=file),
        chunks=(chunk, 1),
        bytes_needed=lambda trial: 8 * trial.core[0] * trial.core[1],
        budget=budget,
    )
    owned = np.zeros(grid.shape, dtype=int)
    for block in replace(grid, core=core):
        owned[block.core.time.slice, block.core.distance.slice] += 1
    assert (owned == 1).all()


def chosen(seconds, *, slots=1, file=0, budget=float("inf"), samples=360_000, width=1000, **kwargs):
    """Blocks of an hour that takes so many seconds in all, as a picker has them."""
    rows = PatchGrid(samples, 3000, 1500, 3000, (0, 3000))
    columns = PatchGrid(width, width, width, width, (0, width))
    grid = segment(rows, columns, core=(samples, width), channelwise=True)
    each = seconds / (rows.count * width)

    def takes(trial):
        block = trial.largest_block()
        return each * block.rows.size * block.core.distance.size

    core = choose_core(
        grid,
        Work(slots, takes, file=file),
        chunks=None,
        bytes_needed=lambda trial: 8 * trial.core[0] * trial.core[1],
        budget=budget,
        **kwargs,
    )
    found = replace(grid, core=core)
    return found, takes(found)


@pytest.mark.parametrize("slots", [1, 2, 7, 64])
@pytest.mark.parametrize("seconds", [100.0, 300.0, 1000.0])
def test_blocks_take_seconds_and_every_slot_has_several(slots, seconds):
    grid, each = chosen(seconds * slots, slots=slots)
    assert 3.0 <= each <= 20.0
    assert len(grid) >= 3 * slots
    assert recompute_factor(grid) <= Limits().recompute
    rounds = -(-len(grid) // slots)
    assert rounds * each <= 1.25 * seconds


@pytest.mark.parametrize(("seconds", "slots"), [(0.2, 1), (0.2, 8), (2.0, 2)])
def test_what_is_soon_done_is_not_cut_into_crumbs(seconds, slots):
    grid, _ = chosen(seconds, slots=slots)
    assert slots <= len(grid) <= 4 * slots


@pytest.mark.parametrize("file", [250, 3000, 6000])
@pytest.mark.parametrize("seconds", [30.0, 300.0, 3000.0])
def test_blocks_end_where_files_do_if_that_is_free(file, seconds):
    with_files, each = chosen(seconds, file=file)
    length = with_files.core[0]
    assert length % file == 0 or file % length == 0
    _, without = chosen(seconds)
    assert each == pytest.approx(without, rel=0.5)


def test_a_run_of_very_many_blocks_has_longer_ones():
    decades, each = chosen(5e6, samples=4 * 10**9, slots=100)
    assert 20.0 < each <= 60.0
    assert len(decades) <= 1.5e5


def test_a_size_that_fits_but_is_nonsense_is_not_taken():
    grid, _ = chosen(1000.0, budget=8 * 20)  # bytes of these outputs
    assert recompute_factor(grid) <= 1.5
    roomy, _ = chosen(1000.0, budget=8 * 10**6)
    assert roomy.core[0] * roomy.core[1] <= 10**6
    assert recompute_factor(roomy) <= Limits().recompute
