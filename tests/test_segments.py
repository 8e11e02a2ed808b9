"""Coordinates are cut where they are not uniform, and nowhere else."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dasdist.geometry import Stretch, uniform_stretches
from dasdist.geometry.straight_lines import simplest_fraction

MS = 10**6  # nanoseconds
EPOCH = 1_700_000_000 * 10**9


def dense(*values):
    values = np.array(values)
    return np.arange(values.size), values


def cut(indices, values, *args, **kwargs):
    return [(s.start, s.stop, s.step) for s in uniform_stretches(indices, values, *args, **kwargs)]


def files(starts, samples=60_000, step=MS):
    """Ties of files that begin at these times."""
    first = np.arange(len(starts)) * samples
    values = np.asarray(starts, dtype=np.int64)
    indices = np.stack([first, first + samples - 1], axis=1).ravel()
    return indices, np.stack([values, values + (samples - 1) * step], axis=1).ravel()


# ---------------------------------------------------------------- by example


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7], [(0, 1, 1)]),
        ([0, 10], [(0, 2, 10)]),
        ([0, 10, 20, 60, 70], [(0, 3, 10), (3, 5, 10)]),
        ([0, 10, 20, 10, 20, 30], [(0, 3, 10), (3, 6, 10)]),
        ([0, 10, 20, 20, 30, 40], [(0, 3, 10), (3, 6, 10)]),
        # every third channel is dead
        ([0, 10, 30, 40, 60, 70], [(0, 2, 10), (2, 4, 10), (4, 6, 10)]),
        ([0, 10, 30], [(0, 2, 10), (2, 3, 10)]),
        # one channel between two equal gaps is no pair of a wider spacing
        ([0, 10, 20, 60, 100, 110, 120], [(0, 3, 10), (3, 4, 10), (4, 7, 10)]),
        # but many of a wider spacing are
        ([0, 10, 20, 30, 50, 70, 90], [(0, 4, 10), (4, 7, 20)]),
        ([30, 20, 10, 0], [(0, 4, -10)]),
        ([5, 5, 5, 5], [(0, 4, 0)]),
        ([0.0, 0.5, 1.0, 3.0, 3.5], [(0, 3, Fraction(1, 2)), (3, 5, Fraction(1, 2))]),
    ],
)
def test_written_out_values(values, expected):
    assert cut(*dense(*values)) == expected


def test_files_without_gaps_are_one_stretch():
    starts = EPOCH + np.arange(5) * 60_000 * MS
    assert uniform_stretches(*files(starts)) == [Stretch(0, 300_000, Fraction(EPOCH), Fraction(MS))]


@pytest.mark.parametrize("extra", [-60_000.0, -1.0, 1.0, 40.0])
def test_a_sample_too_many_or_too_few_ends_a_stretch(extra):
    starts = EPOCH + np.arange(4) * 60_000 * MS
    starts[2:] += round(extra * MS)
    assert cut(*files(starts)) == [(0, 120_000, MS), (120_000, 240_000, MS)]


def test_another_rate_ends_a_stretch():
    indices = np.array([0, 999, 1000, 1999])
    values = np.array([0, 999 * MS, 1000 * MS, 1000 * MS + 999 * 2 * MS])
    # sample 1000 still follows at the first rate
    assert cut(indices, values) == [(0, 1001, MS), (1001, 2000, 2 * MS)]


def test_a_bend_between_ties_begins_just_after_the_tie():
    indices, values = np.array([0, 1000, 2000]), np.array([0, 1000 * MS, 3000 * MS])
    first, second = uniform_stretches(indices, values)
    assert first == Stretch(0, 1001, Fraction(0), Fraction(MS))
    assert second == Stretch(1001, 2001, Fraction(1002 * MS), Fraction(2 * MS))


def test_a_drifting_clock_is_one_stretch_with_its_own_rate():
    starts = EPOCH + np.arange(1000) * (60_000 * MS + 6000)  # 0.1 ppm; 6 samples in the end
    (stretch,) = uniform_stretches(*files(starts))
    assert float(stretch.step) == pytest.approx(MS * (1 + 1e-7), rel=1e-9)


def test_a_sawtooth_of_blocks_with_a_rounded_step_is_one_stretch():
    # what xdas makes of a Febus at 1050 Hz: blocks of one second, 952 us instead of 952.38
    starts = EPOCH + np.arange(100) * 1000 * MS
    (stretch,) = uniform_stretches(*files(starts, samples=1050, step=952_000))
    assert float(stretch.step) == pytest.approx(1e9 / 1050, rel=1e-5)
    assert abs(stretch.first - EPOCH) <= 0.25 * stretch.step


@pytest.mark.parametrize(
    ("step", "grain"),
    [
        (10**7, 256),
        (10**7, 1_000_000),
        (Fraction(10**9, 3), 1_000_000),
        (Fraction(10**9, 1050), 256),
        (Fraction(10**9, 1050), 100_000),
    ],
)
def test_stamps_that_are_rounded_coarsely_do_not_drift(step, grain):
    exact = [k * step for k in range(4000)]  # as of seconds since 1970 in float64, or milliseconds
    values = np.array([grain * round(value / grain) for value in exact])
    (stretch,) = uniform_stretches(np.arange(4000), values)
    off = [stretch.first + k * stretch.step - value for k, value in enumerate(exact)]
    assert max(map(abs, off)) <= grain


def test_steps_are_exact():
    third = np.round(np.arange(1000) * 1e9 / 3).astype(np.int64) + EPOCH
    assert cut(*dense(*third)) == [(0, 1000, Fraction(10**9, 3))]
    tenth = 0.1 * np.arange(1000)
    assert cut(*dense(*tenth), rounding=1e-12) == [(0, 1000, Fraction(1, 10))]


def test_the_declared_step_is_taken_where_ties_allow_it():
    step = Fraction(639877319, 2059)
    indices, values = np.array([0, 2059]), np.array([EPOCH, EPOCH + 639877319])
    assert cut(indices, values, step=step) == [(0, 2060, step)]
    ((start, stop, other),) = cut(indices, values, step=step * 2)
    assert (start, stop) == (0, 2060)
    assert abs(other - step) * 2059 <= 1
    noisy = values + np.array([0, round(step / 5)])
    assert cut(indices, noisy, step=step) == [(0, 2060, step)]


def test_simplest_fraction():
    assert simplest_fraction(Fraction(333333333), 1) == 333333333
    assert simplest_fraction(Fraction(1333, 1000), 0.001) == Fraction(4, 3)
    assert simplest_fraction(Fraction(-1333, 1000), 0.001) == Fraction(-4, 3)
    assert simplest_fraction(Fraction(3, 2), 0.5) == Fraction(3, 2)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["contiguous", "jitter", "drift", "gap a day", "gap a file"])
def test_a_year_of_one_minute_files_is_cut_at_once(case):
    n = 525_600
    starts = EPOCH + np.arange(n) * 60_000 * MS
    if case == "jitter":
        starts += np.random.default_rng(0).integers(-MS // 4, MS // 4, n)
    elif case == "drift":
        starts += np.arange(n) * 6000
    elif case == "gap a day":
        starts += np.arange(n) // 1440 * 1000 * MS
    elif case == "gap a file":
        starts += np.arange(n) * 1000 * MS
    ties = files(starts)
    found = uniform_stretches(*ties)
    assert len(found) == {"gap a day": 365, "gap a file": n}.get(case, 1)


# ---------------------------------------------------------------- stretches that were joined


@st.composite
def joined(draw):
    """Ties of files, the stretches they were made from, and the tolerance they respect."""
    step = draw(st.sampled_from([MS, 5 * MS, 952_381]))
    tolerance = draw(st.sampled_from([0.05, 0.25, 0.4]))
    jitter = st.floats(-0.98, 0.98).map(lambda j: round(j * tolerance * step))
    indices, values, stretches = [], [], []
    sample, at = 0, EPOCH
    for _ in range(draw(st.integers(1, 5))):
        start = sample
        for _ in range(draw(st.integers(1, 4))):
            size = draw(st.integers(2, 200))
            indices += [sample, sample + size - 1]
            values += [at + draw(jitter), at + (size - 1) * step + draw(jitter)]
            sample, at = sample + size, at + size * step
        stretches.append((start, sample))
        at += round(draw(st.one_of(st.floats(2, 1000), st.floats(-1000, -2))) * step)
    return np.array(indices), np.array(values), Fraction(step), tolerance, stretches


@given(joined())
def test_joined_stretches_come_apart_again(case):
    indices, values, step, tolerance, stretches = case
    found = uniform_stretches(indices, values, tolerance, step=step)
    assert [(s.start, s.stop) for s in found] == stretches
    assert {s.step for s in found} == {step}
    check_cover(found, indices, values, tolerance)


@given(joined())
def test_joined_stretches_come_apart_without_a_declared_step(case):
    indices, values, _, tolerance, stretches = case
    assume((np.diff(indices)[::2] >= 20).all())  # else jitter hides what the spacing is
    found = uniform_stretches(indices, values, tolerance)
    assert [(s.start, s.stop) for s in found] == stretches
    check_cover(found, indices, values, tolerance)


# ---------------------------------------------------------------- against brute force


@st.composite
def any_ties(draw):
    spans = draw(st.lists(st.sampled_from([1, 1, 1, 2, 7]), min_size=1, max_size=14))
    steps = draw(
        st.lists(
            st.one_of(st.sampled_from([10, 10, 10, 20]), st.integers(-30, 60)),
            min_size=len(spans),
            max_size=len(spans),
        )
    )
    jitter = draw(st.lists(st.integers(-3, 3), min_size=len(spans), max_size=len(spans)))
    rises = np.array(spans) * np.array(steps) * 100 + np.array(jitter) * 50
    return np.cumsum([0, *spans]), np.cumsum([0, *rises])


@given(any_ties(), st.sampled_from([0.0, 0.1, 0.25, 0.4]))
def test_agrees_with_brute_force(ties, tolerance):
    indices, values = ties
    found = uniform_stretches(indices, values, tolerance)
    check_cover(found, indices, values, tolerance)
    jumps = brute_jumps(indices, values, tolerance)
    starts = {s.start for s in found}
    assert {int(indices[k + 1]) for k in jumps} <= starts
    for one, other in pairwise(found):
        last = int(np.flatnonzero(indices == one.stop - 1)[0])  # a stretch ends at a tie
        if last in jumps:
            continue
        assert not brute_fit(*held(one, indices, values, last + 2), tolerance), (one, other)


def held(stretch, indices, values, stop):
    """Return the ties from the first sample of a stretch to the tie before ``stop``."""
    first = round(np.interp(stretch.start, indices, values))
    inside = (indices > stretch.start) & (np.arange(indices.size) < stop)
    return np.append(stretch.start, indices[inside]), np.append(first, values[inside])


def check_cover(found, indices, values, tolerance):
    """Every index lies in one stretch, and within the tolerance of its line."""
    assert [s.start for s in found] == [0, *(s.stop for s in found[:-1])]
    assert found[-1].stop == indices[-1] + 1
    origin = int(values[0])
    for s in found:
        run = np.arange(s.start, s.stop)
        line = float(s.first - origin) + float(s.step) * (run - s.start)
        off = np.interp(run, indices, values - origin) - line
        # a nanosecond each for the ties, for the first value and for a slope of few digits
        assert np.abs(off).max() <= max(tolerance * abs(s.step), 1) + 2


def brute_jumps(indices, values, tolerance):
    """Return the ties after which there is a jump: the rule, sample by sample."""
    span = np.diff(indices).tolist()
    slope = (np.diff(values) / np.diff(indices)).tolist()
    if len(slope) < 2:
        return set()
    by_sample = sorted(s for s, n in zip(slope, span, strict=True) for _ in range(n))
    usual = by_sample[(len(by_sample) - 1) // 2]

    def agree(a, b):
        return abs(a - b) <= 2 * tolerance * abs(b) + 1e-9

    def neighbours(k):
        return [n for n in (k - 1, k + 1) if 0 <= n < len(slope)]

    def regular(k):
        return (
            span[k] > 1
            or agree(slope[k], usual)
            or any(span[n] > 1 and agree(slope[k], slope[n]) for n in neighbours(k))
        )

    return {
        k
        for k in range(len(slope))
        if not regular(k)
        and (
            any(regular(n) for n in neighbours(k))
            or not any(agree(slope[k], slope[n]) for n in neighbours(k))
        )
    }


def brute_fit(indices, values, tolerance):
    """Whether a line passes all ties: the best has the slope of some pair of them."""
    for i in range(indices.size):
        for j in range(i + 1, indices.size):
            slope = (values[j] - values[i]) / (indices[j] - indices[i])
            allowed = 2 * max(tolerance * abs(slope), 1)
            # not counting what the rounding of steps and of interpolated ties decides
            if np.ptp(values - slope * indices) < allowed * (1 - 1e-3) - 2:
                return True
    return False
