"""Blocks that are read and resampled slice by slice give what blocks that are read whole give."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.callbacks import Needs
from dasdist.geometry import Ratio, slices
from dasdist.geometry.slices import slice_rows, slices_of
from dasdist.inference.preprocess import prepare
from dasdist.inference.slices import read_resampled
from dasdist.inference.stopwatch import Stopwatch
from dasdist.run.options import RunOptions
from dasdist.run.request import Request
from tests.test_odd_missing import Each
from tests.toys import Toy, noise, recording

BAND = ("butter", {"N": 2, "Wn": [2, 15], "btype": "bandpass"})


def planned(values, rate, block, **more):
    model = Toy(dt_range=(0.0199, 0.0201), **more)
    request = Request.of(model, recording(values, rate=rate), RunOptions(block=block), {})
    return request.recording, request.plan(Needs(), None)


@given(
    ratio=st.sampled_from([(250, 1, 5), (125, 2, 5), (70, 5, 7), (300, 1, 6)]),
    length=st.integers(900, 4000),
    core=st.integers(5, 400),
    rows=st.integers(1, 900),
    dtype=st.sampled_from(["int16", "float32", "int32", "float64"]),
)
def test_every_sample_is_that_of_a_block_that_is_read_whole(ratio, length, core, rows, dtype):
    rate, up, down = ratio
    values = (1000 * noise(length, 6, seed=length)).astype(dtype)
    found, plan = planned(values, rate, {"time": core})
    assert plan.grids[0].ratios[0] == Ratio(up, down)
    for block in plan:
        selection = found.select(block.read)
        given_slices = read_resampled(selection, block, rows, map, Stopwatch(print_nothing, 1))
        whole = prepare(selection.read(), block, None).values
        start = block.grid.rows.input_span(block.rows.start, block.rows.stop)[0]
        own = given_slices[0][start - block.inputs.time.start :][: len(whole)]
        np.testing.assert_array_equal(own.astype(whole.dtype), whole)
        assert not given_slices[1]


def print_nothing(*told):
    """Listen to no stage."""


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@given(
    rows=st.integers(40, 3000),
    holes=st.lists(
        st.tuples(st.integers(0, 5999), st.integers(1, 2500), st.integers(0, 3)), max_size=4
    ),
    dead=st.booleans(),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_windows_beside_holes_are_those_of_blocks_that_are_read_whole(rows, holes, dead, offset):
    """Missing samples, channels that begin late or have nothing; filtered, on an offset."""
    values = (noise(6000, 4, seed=3) + offset).astype("float32")
    for start, size, channel in holes:
        values[start : start + size, channel] = np.nan
    if dead:
        values[:, 1] = np.nan
    whole, sliced = (annotated(values, read_at_once) for read_at_once in (0, rows))
    if isinstance(whole, str):
        assert sliced == whole
        return
    for key in ("P", "S"):
        np.testing.assert_allclose(sliced[key].values, whole[key].values, atol=2e-5)


def annotated(values, rows):
    """Probabilities of a run whose blocks read so many samples at once; or what it says."""
    model = Each(dt_range=(0.0199, 0.0201), filter_samples=BAND)
    kept = dasdist.InMemoryCollectionCallback()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("dasdist.planning.plan.slice_rows", lambda *_: rows)
        try:
            dasdist.annotate(
                model, recording(values, rate=250.0), kept, max_failures="any", pbar=False
            )
        except dasdist.UnreadableData as error:
            return str(error)
    return kept.get_results_dict()


@pytest.mark.parametrize("chunks", [None, (700, 10), (60_000, 10)])
def test_slices_end_where_chunks_do(chunks):
    plan = planned(np.zeros((6000, 4), "int16"), 250, {"time": 500})[1]
    rows = slice_rows(plan.grids[0].largest_block(), 2, chunks)
    assert rows % (chunks[0] if chunks else 5) == 0
    for block in plan:
        spans = [span.shift(block.read.time.start) for span in slices_of(block, 70)]
        assert [spans[0].start, spans[-1].stop] == [block.read.time.start, block.read.time.stop]
        assert all(a.stop == b.start and a.stop % 70 == 0 for a, b in pairwise(spans))


def test_a_block_never_stands_in_memory_as_it_was_recorded(monkeypatch):
    """Of ten slices two are counted, the second for a copy without holes."""
    plan = planned(np.zeros((60_000, 4), "int16"), 1000, {"time": 10**6})[1]
    (grid,) = plan.grids
    whole = plan.bytes_needed(grid)
    monkeypatch.setattr(slices, "_SLICE_BYTES", 6000 * 4 * 2)
    assert whole - plan.bytes_needed(grid) == 0.8 * 60_000 * 4 * 2
