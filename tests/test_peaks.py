"""Peaks are scipy's; of close picks exactly the best survives."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dasdist.callbacks.peaks import find_peaks, survivors
from dasdist.compiled import compiled
from dasdist.inference.device_curves import DeviceCurves

SHAPES = st.tuples(st.integers(0, 40), st.integers(0, 4))
LEVELS = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.75, 1.0, np.nan, np.inf, -np.inf])
COARSE = hnp.arrays(np.float32, SHAPES, elements=LEVELS)  # full of plateaus, ties and NaN
FINE = hnp.arrays(
    np.float32, SHAPES, elements=st.floats(0, 1, width=32, exclude_max=True), unique=True
)
LAYOUTS = [
    np.ascontiguousarray,
    np.asfortranarray,
    lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
    lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
]


def with_scipy(values, height, distance=None):
    found = []
    for channel in range(values.shape[1]):
        peaks, _ = scipy.signal.find_peaks(values[:, channel], height=height, distance=distance)
        found += [(int(peak), channel) for peak in peaks]
    return found


def with_dasdist(values, height, distance):
    samples, channels, heights = find_peaks(values, height, distance)
    assert samples.dtype == channels.dtype == np.int64
    np.testing.assert_array_equal(heights, values[samples, channels])
    for found, expected in zip(
        find_peaks(DeviceCurves(torch.from_numpy(values.copy())), height, distance),
        (samples, channels, heights),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    return list(zip(samples.tolist(), channels.tolist(), strict=True))


@given(values=COARSE | FINE, height=st.sampled_from([-1.0, 0.125, 0.3, 0.5]), distance=st.just(1))
@example(values=np.zeros((0, 3), np.float32), height=0.0, distance=1)
@example(values=np.float32([[0], [0.1], [0]]), height=0.1, distance=-3)  # 0.1 rounds up in float32
@example(values=np.float32([[0], [0.3], [0]]), height=0.3, distance=0)  # as does 0.3
@example(values=np.float32([[0], [0.7], [0]]), height=0.7, distance=0)  # 0.7 rounds down
def test_peaks_are_those_of_scipy(values, height, distance):
    assert with_dasdist(values, height, distance) == with_scipy(values, height)


@given(values=FINE, height=st.floats(0, 0.9), distance=st.integers(1, 45))
def test_distant_peaks_are_those_of_scipy(values, height, distance):
    assert with_dasdist(values, height, distance) == with_scipy(values, height, distance)


@given(values=COARSE, distance=st.integers(2, 12))
def test_of_equal_peaks_the_later_is_kept_first(values, distance):
    expected = []
    for channel in range(values.shape[1]):
        peaks, _ = scipy.signal.find_peaks(values[:, channel], height=0.1)
        kept = []
        for peak in sorted(peaks, key=lambda p: (values[p, channel], p), reverse=True):
            if all(abs(peak - other) >= distance for other in kept):
                kept.append(peak)
        expected += [(int(peak), channel) for peak in sorted(kept)]
    assert with_dasdist(values, 0.1, distance) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_peaks_do_not_depend_on_the_memory_layout(layout):
    values = np.random.default_rng(0).random((300, 7), dtype=np.float32)
    assert with_dasdist(layout(values), 0.5, 10) == with_scipy(values, 0.5, 10)


def test_more_peaks_than_the_first_buffer_holds():
    values = np.random.default_rng(1).random((3001, 50), dtype=np.float32)
    found = with_dasdist(values, 0.0, 1)
    assert len(found) > 40_000
    assert found == with_scipy(values, 0.0)


# ---------------------------------------------------------------- survivors

PICKS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 2), st.sampled_from([0.25, 0.5, 0.75])),
    max_size=25,
)


def survive(picks, separation):
    position, channel, confidence = zip(*picks, strict=True) if picks else ((), (), ())
    return survivors(
        np.array(position, dtype=np.int64),
        np.array(channel, dtype=np.int64),
        np.array(confidence, dtype=np.float32),
        separation,
    ).tolist()


@given(picks=PICKS, separation=st.integers(0, 10))
def test_a_pick_survives_where_no_neighbour_is_greater(picks, separation):
    ranked = [(c, p, order, ch) for order, (p, ch, c) in enumerate(picks)]
    expected = [
        not any(
            other[3] == mine[3] and abs(other[1] - mine[1]) <= separation and other[:3] > mine[:3]
            for other in ranked
        )
        for mine in ranked
    ]
    assert survive(picks, separation) == expected


@given(picks=PICKS, separation=st.integers(0, 10), seed=st.integers(0, 99))
def test_survivors_do_not_depend_on_the_order_of_the_picks(picks, separation, seed):
    shuffled = [picks[i] for i in np.random.default_rng(seed).permutation(len(picks))]

    def kept(picks):
        return sorted(
            p for p, alive in zip(picks, survive(picks, separation), strict=True) if alive
        )

    assert kept(shuffled) == kept(picks)


def test_one_of_equal_neighbours_survives():
    assert survive([(5, 0, 0.5), (7, 0, 0.5), (7, 0, 0.5)], 2) == [False, False, True]


def test_a_chain_of_better_neighbours_leaves_only_the_best():
    """As in SeisBench, a pick falls to a better neighbour that falls itself."""
    assert survive([(0, 0, 0.25), (2, 0, 0.5), (4, 0, 0.75)], 2) == [False, False, True]


def test_separation_is_inclusive():
    picks = [(0, 0, 0.25), (3, 0, 0.5)]
    assert survive(picks, 3) == [False, True]
    assert survive(picks, 2) == [True, True]


def test_without_a_folder_for_its_cache_numba_still_compiles(monkeypatch):
    def njit(*, nogil, cache=False):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr("numba.njit", njit)
    assert compiled(len)([1]) == 1
