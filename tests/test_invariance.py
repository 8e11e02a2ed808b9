"""Results do not depend on how the work was split, in which order it ran, or how often."""

import random

import numpy as np
import pandas as pd
import pytest
from distributed import Client
from hypothesis import given, settings
from hypothesis import strategies as st

import dasdist
from dasdist.callbacks.base import Context
from dasdist.executors.block_task import RunSpec, run_block
from dasdist.inference import Recipe
from dasdist.run.options import RunOptions
from dasdist.run.request import Request

from .toys import Toy, noise, recording


@st.composite
def cases(draw):
    window = (draw(st.integers(2, 40)), draw(st.integers(1, 6)))
    covers = []
    for size in window:
        first = draw(st.integers(0, size - 1))
        covers.append((first, draw(st.integers(first + 1, size))))
    out = tuple(draw(st.integers(1, 2 * (last - first))) for first, last in covers)
    overlap = tuple(draw(st.integers(0, size - 1)) for size in window)
    model = Toy(window, out, tuple(covers), overlap)
    # one patch, one sample more than whole patches, anything
    extra = [
        draw(st.sampled_from([0, (size - lap) * 3, (size - lap) * 3 + 1, 57]))
        for size, lap in zip(window, overlap, strict=True)
    ]
    shape = (window[0] + extra[0], window[1] + extra[1] % 20)
    block = {"time": draw(st.integers(1, 150)), "distance": draw(st.integers(1, 12))}
    return model, noise(*shape, seed=draw(st.integers(0, 99))), block


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@given(cases())
def test_annotations_do_not_depend_on_blocks(case):
    model, values, block = case
    data = recording(values)
    for stacking in ("weighted", "avg", "max"):
        whole = dasdist.annotate(model, data, stacking=stacking, block={"time": 10**6})
        parts = dasdist.annotate(model, data, stacking=stacking, block=block)
        for key in ("P", "S"):
            np.testing.assert_allclose(parts[key].values, whole[key].values, atol=1e-6)


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@given(cases(), st.floats(0, 0.3), st.integers(0, 5), st.integers(0, 5))
def test_picks_do_not_depend_on_blocks(case, separation, before, after):
    model, values, block = case
    options = {
        "thresholds": 0.55,
        "min_time_separation": separation,
        "blinding": (before, after),
        "pbar": False,
    }
    data = recording(values)
    whole = dasdist.classify(model, data, block={"time": 10**6}, **options).picks
    parts = dasdist.classify(model, data, block=block, **options).picks
    pd.testing.assert_frame_equal(parts, whole, rtol=0, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_blocks_may_run_in_any_order_and_twice(seed):
    order = random.Random(seed)
    data = recording(noise(600, 9, seed=3))
    model = Toy(overlap=(32, 2))
    expected = dasdist.classify(model, data, thresholds=0.6, blinding=(1, 1), pbar=False).picks

    block = {"time": order.randint(20, 200), "distance": order.randint(1, 9)}
    job = Request.of(model, data, RunOptions(block=block), {})
    callback = dasdist.DASPickingCallback(thresholds=0.6, blinding=(1, 1))
    plan = job.plan(callback.needs, None)
    callback.setup(Context(("P", "S"), plan.grids, ("time", "distance")))
    recipe = Recipe(plan.batching, {}, None, callback.mapper())
    spec = RunSpec(plan.grids, (recipe,), job.payload, keep_going=False)
    blocks = [*plan, *order.sample(list(plan), len(plan) // 2)]
    order.shuffle(blocks)
    parts = {}
    for block in blocks:
        parts[block.index] = run_block(job.recording.select(block.read), block, spec).part
    callback.finalize(callback.combine(list(parts.values())))
    pd.testing.assert_frame_equal(callback.get_results_dataframe(), expected)


@pytest.mark.parametrize("size", [1, 3, 7, 64])
def test_batch_size_changes_no_pick(size):
    data = recording(noise(900, 12))
    model = Toy(overlap=(32, 2))
    expected = dasdist.classify(model, data, thresholds=0.7, blinding=(1, 1), pbar=False).picks
    picks = dasdist.classify(
        model, data, thresholds=0.7, blinding=(1, 1), pbar=False, batch_size=size
    ).picks
    assert len(expected) > 20
    pd.testing.assert_frame_equal(picks, expected, rtol=0, atol=1e-6)


@given(
    st.integers(100, 900),
    st.integers(1, 8),
    st.sampled_from([50.0, 200.0, 250.0, 125.0]),
    st.integers(20, 400),
    st.integers(1, 8),
)
def test_resampled_and_filtered_annotations_do_not_depend_on_blocks(n, m, rate, time, distance):
    model = Toy(
        window=(32, 1),
        out=(32, 1),
        covers=((0, 32), (0, 1)),
        dt_range=(0.0099, 0.0101),
        filter_samples=("butter", {"N": 2, "Wn": [2.0, 30.0], "btype": "bandpass"}),
    )
    data = recording(noise(n, m) + 5, rate=rate)
    whole = dasdist.annotate(model, data, block={"time": 10**6})
    parts = dasdist.annotate(model, data, block={"time": time, "distance": distance})
    np.testing.assert_allclose(parts["P"].values, whole["P"].values, atol=1e-6)


def test_dims_in_either_order_give_the_same():
    values = noise(500, 3)
    model = Toy(window=(64, 2), out=(32, 2), covers=((0, 64), (0, 2)))
    picks = [
        dasdist.classify(
            model, recording(values, dims=dims), thresholds=0.6, blinding=(1, 1), pbar=False
        ).picks
        for dims in (("time", "distance"), ("distance", "time"))
    ]
    assert len(picks[0]) > 0
    pd.testing.assert_frame_equal(*picks)


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@given(
    st.integers(1, 3),
    st.integers(20, 400),
    st.integers(1, 9),
    st.tuples(st.integers(0, 60), st.integers(0, 3)),
)
@settings(max_examples=6)
def test_picks_do_not_depend_on_the_number_of_workers(
    make_cluster, workers, time, distance, overlap
):
    data = recording(noise(600, 9, seed=4))
    model = Toy(overlap=overlap)
    options = {"thresholds": 0.6, "blinding": (1, 1), "pbar": False}
    expected = dasdist.classify(model, data, **options).picks
    with (
        make_cluster(n_workers=workers, processes=False) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        block = {"time": time, "distance": distance}
        picks = dasdist.classify(model, data, client=client, block=block, **options).picks
    pd.testing.assert_frame_equal(picks, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("steps", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_results_do_not_depend_on_how_samples_lie_in_memory(steps, writeable):
    values = noise(1000, 8)
    backwards = values[:: steps[0], :: steps[1]].copy()[:: steps[0], :: steps[1]]
    backwards.flags.writeable = writeable
    data = recording(values)
    options = {"thresholds": 0.6, "blinding": (1, 1), "min_time_separation": 0.2, "pbar": False}
    expected = dasdist.classify(Toy(), data, **options).picks
    found = dasdist.classify(Toy(), data.copy(data=backwards), **options).picks
    assert len(expected) > 50
    pd.testing.assert_frame_equal(found, expected)
