"""Stacks are weighted means or maxima of the patches, bit for bit the same however blocks are cut.

The fake model and the fake executor at the top serve the tests of all callbacks.
"""

import pickle
import zlib
from dataclasses import replace
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dasdist.callbacks.base import Context
from dasdist.callbacks.stacking import Stacker
from dasdist.errors import InvalidInput
from dasdist.geometry import Axis, Patch, PatchGrid, Ratio, Region, SegmentGrid, Span

KEYS = ("P", "S")
SAME = Ratio(1, 1)


def make_grid(rows, columns, *, core=None, ratios=(SAME, SAME), **options):
    """A segment that begins 1000 samples and 20 channels into a recording at 100 Hz and 4 m."""
    lengths = [
        -(-grid.size * ratio.down // ratio.up)
        for grid, ratio in zip((rows, columns), ratios, strict=True)
    ]
    defaults = {
        "index": 0,
        "first_block": 0,
        "recorded": Region(Span(1000, 1000 + lengths[0]), Span(20, 20 + lengths[1])),
        "time": Axis("time", Fraction(1_600_000_010 * 10**9), Fraction(10**7), lengths[0], True),
        "distance": Axis("distance", Fraction(80), Fraction(4), lengths[1], False),
        "channelwise": False,
        "settling": 0,
        "pick_halo": 0,
        "core": core or (rows.out_size, columns.out_size),
    }
    return SegmentGrid(rows=rows, columns=columns, ratios=ratios, **(defaults | options))


class NoiseModel:
    """Annotations that any process makes alike: few levels, so full of ties, or all different."""

    def __init__(self, keys=KEYS, levels=None):
        self.keys, self.levels = keys, levels

    def whole(self, grid, row, column):
        shape = (grid.rows.out, grid.columns.out)
        return {key: self._values(grid, row, column, key, shape) for key in self.keys}

    def _values(self, grid, row, column, key, shape):
        def noise(*seed, shape):
            rng = np.random.default_rng([grid.index, row, zlib.crc32(key.encode()), *seed])
            if self.levels is None:
                return rng.random(shape, dtype=np.float32)
            return rng.integers(0, self.levels, shape).astype(np.float32) / self.levels

        if not grid.channelwise:
            return noise(column, shape=shape)
        first = grid.columns.out_start(column)
        channels = [noise(first + i, shape=shape[0]) for i in range(shape[1])]
        return np.stack(channels, axis=1)


def patches_of(block, model):
    """What inference yields for a block, in its order; channelwise models compute the core only."""
    grid, rows, columns = block.grid, block.rows, block.columns
    for row, column in product(range(rows.start, rows.stop), range(columns.start, columns.stop)):
        left, width = grid.columns.out_start(column), grid.columns.out
        first, last = left, left + width
        if grid.channelwise:
            first, last = max(first, block.core.distance.start), min(last, block.core.distance.stop)
        annotations = {
            key: values[:, first - left : last - left]
            for key, values in model.whole(grid, row, column).items()
        }
        yield Patch(row, column, grid.rows.out_start(row), first, first - left, width, annotations)


def run(callback, grids, model=None, *, skip=(), order=None, phases=None, attrs=None):
    """Do what the executor does, with everything that travels pickled; return the results."""
    model = model or NoiseModel()
    context = Context(model.keys, tuple(grids), ("time", "distance"), attrs or {}, phases)
    callback.setup(context)
    mapper = pickle.loads(pickle.dumps(callback.mapper()))
    tasks = [block for grid in grids for block in grid if block.index not in skip]
    if order is not None and not callback.needs.in_order:
        tasks = [tasks[i] for i in np.random.default_rng(order).permutation(len(tasks))]
    parts = []
    for block in tasks:
        accumulator = mapper(block)
        for patch in patches_of(block, model):
            accumulator.add(patch)
        part = pickle.loads(pickle.dumps(accumulator.part()))
        parts.append(callback.consume(part, block) if callback.needs.in_order else part)
    half = len(parts) // 2  # in any grouping
    callback.finalize(callback.combine([callback.combine(parts[:half]), *parts[half:]]))
    return callback.get_results_dict()


@st.composite
def patch_grids(draw, *, every_output=False, whole_steps=False):
    """Patches along one axis; outputs may be coarser, finer or trimmed."""
    window = draw(st.integers(4, 12))
    first = draw(st.integers(0, 1))
    last = window - draw(st.integers(0, 1))
    out = last - first if whole_steps else draw(st.integers(2, 14))
    largest = last - first if every_output else window
    shift = draw(st.integers(1, largest))
    size = window + draw(st.integers(0, 4 * shift + 3))
    return PatchGrid(size, window, shift, out, (first, last))


@st.composite
def segment_grids(draw, **options):
    channelwise = draw(st.booleans())
    return make_grid(
        draw(patch_grids()),
        draw(patch_grids(whole_steps=channelwise)),
        channelwise=channelwise,
        **options,
    )


def cut(grid, data):
    """The same segment in other blocks."""
    core = tuple(data.draw(st.integers(1, size)) for size in grid.shape)
    return replace(grid, core=core)


# ---------------------------------------------------------------- stacking


def stack(stacking, grid, model):
    whole = {key: np.zeros(grid.shape, dtype=np.float32) for key in model.keys}
    for block in grid:
        stacker = Stacker.begin(stacking, block, model.keys)
        for patch in patches_of(block, model):
            stacker.add(patch)
        for key, values in stacker.outputs().items():
            assert values.shape == block.core.shape
            assert values.dtype == np.float32
            whole[key][block.core.time.slice, block.core.distance.slice] = values
    return whole


@given(grid=segment_grids(), data=st.data())
def test_stacks_are_bitwise_the_same_however_blocks_are_cut(grid, data):
    blocks = cut(grid, data)
    for stacking in ("avg", "max", "weighted"):
        expected = stack(stacking, grid, NoiseModel())
        for key, values in stack(stacking, blocks, NoiseModel()).items():
            assert np.array_equal(values.view(np.uint32), expected[key].view(np.uint32))


@given(grid=segment_grids(), stacking=st.sampled_from(["avg", "max", "weighted"]))
def test_stacks_follow_their_formula(grid, stacking):
    out = grid.rows.out, grid.columns.out
    taper = np.ones(out)
    if stacking == "weighted":
        taper = np.maximum(np.hanning(out[0])[:, None] * np.hanning(out[1])[None], 1e-5)
    weight, total, largest = np.zeros((3, *grid.shape))
    for row, column in product(range(grid.rows.count), range(grid.columns.count)):
        top, left = grid.rows.out_start(row), grid.columns.out_start(column)
        here = slice(top, top + out[0]), slice(left, left + out[1])
        values = NoiseModel().whole(grid, row, column)["S"]
        weight[here] += taper
        total[here] += taper * values
        largest[here] = np.maximum(largest[here], values)
    with np.errstate(invalid="ignore"):
        expected = np.where(weight > 0, largest if stacking == "max" else total / weight, np.nan)
    found = stack(stacking, grid, NoiseModel())["S"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.seisbench
@given(
    rows=patch_grids(every_output=True, whole_steps=True),
    columns=patch_grids(every_output=True, whole_steps=True),
    stacking=st.sampled_from(["avg", "max", "weighted"]),
)
def test_stacks_are_those_of_seisbench(rows, columns, stacking):
    from seisbench.models.das_base import PatchCoordinate, WriterBuffer

    grid = make_grid(rows, columns)
    as_data = SimpleNamespace(dtype=np.dtype(np.float32))
    buffer = WriterBuffer(as_data, stacking=stacking, output_shape=grid.shape)
    expected = np.full(grid.shape, np.nan, dtype=np.float32)
    for row, column in product(range(rows.count), range(columns.count)):
        where = PatchCoordinate(rows.start(row), columns.start(column), rows.out, columns.out)
        finished = buffer.add_data(NoiseModel().whole(grid, row, column)["P"], where)
        if finished is not None:
            values, at = finished
            expected[at.sample_int : at.sample_int + at.w_sample] = values
    buffer.finalize()
    assert not np.isnan(expected).any()
    np.testing.assert_allclose(
        stack(stacking, grid, NoiseModel())["P"], expected, rtol=0, atol=1e-6
    )


def test_outputs_that_no_patch_fills_are_nan():
    grid = make_grid(PatchGrid(11, 4, 4, 2, (1, 3)), PatchGrid(3, 3, 1, 3, (0, 3)))
    for stacking in ("avg", "max", "weighted"):
        unfilled = np.isnan(stack(stacking, grid, NoiseModel())["P"])
        assert unfilled.tolist() == [[i in (2, 3, 6)] * 3 for i in range(9)]


@pytest.mark.parametrize("stacking", ["avg", "max", "weighted"])
def test_nan_of_the_model_stays_nan(stacking):
    grid = make_grid(PatchGrid(6, 4, 2, 4, (0, 4)), PatchGrid(3, 3, 1, 3, (0, 3)))

    class Broken(NoiseModel):
        def whole(self, grid, row, column):
            annotations = super().whole(grid, row, column)
            if row == 0:
                annotations["P"][3, 1] = np.nan
            return annotations

    with np.errstate(invalid="ignore"):
        values = stack(stacking, grid, Broken())["P"]
    assert np.argwhere(np.isnan(values)).tolist() == [[3, 1]]


def test_unknown_stacking_names_the_nearest():
    grid = make_grid(PatchGrid(6, 4, 2, 4, (0, 4)), PatchGrid(3, 3, 1, 3, (0, 3)))
    with pytest.raises(InvalidInput, match="'Weigthed', did you mean 'weighted'"):
        Stacker.begin("Weigthed", grid.block(0), KEYS)
