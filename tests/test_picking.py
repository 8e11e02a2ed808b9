"""Picks are the peaks that no better pick is close to, whatever the blocks; tables are exact."""

import pickle
from collections import defaultdict
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pandas as pd
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from dasdist.callbacks.picking import DASPickingCallback
from dasdist.callbacks.picks import DASPick, PickList
from dasdist.errors import DasdistError, DataWarning, InvalidInput
from dasdist.geometry import PatchGrid, Ratio

from .test_stacking import (
    NoiseModel,
    cut,
    make_grid,
    patch_grids,
    patches_of,
    run,
    segment_grids,
)

COLUMNS = {
    "time": np.dtype("datetime64[ns]"),
    "distance": np.dtype("float64"),
    "channel_index": np.dtype("int64"),
    "phase": pd.Series(["P"]).astype(str).dtype,  # "str" since pandas 3, object before
    "confidence": np.dtype("float32"),
    "sample_index": np.dtype("int64"),
    "segment": np.dtype("int64"),
}
unblinded = pytest.mark.filterwarnings("ignore::dasdist.errors.DataWarning")


def picker(separation=0.0, blinding=(0, 0), thresholds=0.3):
    return DASPickingCallback(thresholds, separation, blinding)


def halo(grid, separation):
    """The pick halo as the plan computes it."""
    return -(-Fraction(separation) // grid.out_time.spacing) + 1 if separation else 0


def by_brute_force(grid, model, separation, blinding, threshold):
    """All candidates of a segment, every pair compared; rows as in the table."""
    (b0, b1), found, rows = blinding, defaultdict(list), []
    step_t, step_x = grid.rows.stride, grid.columns.stride
    reach = Fraction(str(separation)) * 100
    for row, column, key in product(range(grid.rows.count), range(grid.columns.count), model.keys):
        values = model.whole(grid, row, column)[key]
        for channel in range(grid.columns.out):
            curve = values[b0 : max(b0, grid.rows.out - b1), channel].astype(np.float64)
            curve += np.arange(curve.size) * 1e-9  # of equal peaks, scipy shall take the later
            peaks, _ = scipy.signal.find_peaks(
                curve, height=threshold, distance=floor(reach / step_t) or None
            )
            for peak in (int(peak) + b0 for peak in peaks):
                sample = grid.rows.start(row) + grid.rows.covers[0] + step_t * peak
                place = grid.columns.start(column) + grid.columns.covers[0] + step_x * channel
                where = key, grid.columns.out_start(column) + channel
                found[where].append((values[peak, channel], sample, len(found[where]), place))
    for (key, _), picks in found.items():
        for pick in picks:
            if pick == max(p for p in picks if abs(p[1] - pick[1]) <= reach):
                confidence, sample, _, place = pick
                nanoseconds = 1_600_000_010 * 10**9 + floor(sample * 10**7 + Fraction(1, 2))
                rows.append(
                    (
                        np.datetime64(nanoseconds, "ns"),
                        float(80 + 4 * place),
                        20 + min(floor(place + Fraction(1, 2)), grid.columns.size - 1),
                        key,
                        confidence,
                        1000 + min(floor(sample + Fraction(1, 2)), grid.rows.size - 1),
                        0,
                    )
                )
    return rows


@unblinded
@given(
    grid=segment_grids(),
    separation=st.sampled_from([0.0, 0.01, 0.02, 0.03, 0.05, 0.1]),
    blinding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_picks_are_what_brute_force_finds(grid, separation, blinding):
    model = NoiseModel()
    expected = by_brute_force(grid, model, separation, blinding, 0.3)
    table = run(picker(separation, blinding), [grid], model)["picks"]
    found = list(zip(*(table[name].to_numpy() for name in COLUMNS), strict=True))
    assert sorted(found) == sorted(expected)
    by_time = [(time, channel, phase) for time, _, channel, phase, *_ in found]
    assert by_time == sorted(by_time)


@unblinded
@given(
    grid=segment_grids(),
    separation=st.sampled_from([0.0, 0.01, 0.025, 0.04, 0.3]),
    levels=st.sampled_from([None, 3]),
    data=st.data(),
    order=st.integers(0, 99),
)
def test_picks_do_not_depend_on_blocks_or_their_order(grid, separation, levels, data, order):
    model = NoiseModel(levels=levels)
    expected = run(picker(separation), [grid], model)["picks"]
    blocks = cut(grid, data)
    blocks = make_grid(
        grid.rows,
        grid.columns,
        core=blocks.core,
        channelwise=grid.channelwise,
        pick_halo=halo(grid, separation),
    )
    found = run(picker(separation), [blocks], model, order=order)["picks"]
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


@pytest.mark.seisbench
@unblinded
@given(
    rows=patch_grids(every_output=True, whole_steps=True), separation=st.sampled_from([0.01, 0.05])
)
def test_picks_of_one_column_of_patches_are_those_of_seisbench(rows, separation):
    """One column: SeisBench takes channels of different patches for the same channel."""
    from seisbench.models.das_base import DASPickingCallback as SeisBenchPicking

    from dasdist.callbacks import ClientSideCallback

    grid = make_grid(rows, PatchGrid(3, 3, 1, 3, (0, 3)))
    theirs = SeisBenchPicking(0.3, separation, (1, 1))
    run(ClientSideCallback(theirs), [grid])
    expected = {
        (p.time.astype("datetime64[ns]"), p.channel, p.phase, p.confidence)
        for picks in theirs.get_results_dict().values()
        for p in picks
    }
    results = run(picker(separation, (1, 1)), [grid])
    ours = {(p.time, p.channel, p.phase, p.confidence) for key in "PS" for p in results[key]}
    assert ours == expected


# ---------------------------------------------------------------- what a pick says


class Ricker(NoiseModel):
    """One peak of a given height at given outputs of every patch, on every channel."""

    def __init__(self, peaks, keys=("P",)):
        self.peaks, self.keys = peaks, keys

    def whole(self, grid, row, column):
        values = np.zeros((grid.rows.out, grid.columns.out), dtype=np.float32)
        for peak, height in self.peaks.items():
            values[peak] = height
        return dict.fromkeys(self.keys, values)


ONE_CHANNEL = PatchGrid(1, 1, 1, 1, (0, 1))


def test_a_pick_between_samples_is_exact():
    # 3 outputs for 8 samples, upsampled by 3/2: output 1 lies at 1 + 8/3 = 11/3, recorded 22/9
    rows = PatchGrid(10, 10, 1, 3, (1, 9))
    grid = make_grid(rows, ONE_CHANNEL, ratios=(Ratio(3, 2), Ratio(1, 1)))
    picks = run(picker(), [grid], Ricker({1: 0.5}))["picks"]
    assert picks["time"].tolist() == [pd.Timestamp(1_600_000_010_024_444_444)]
    assert picks["sample_index"].tolist() == [1002]
    assert picks["distance"].tolist() == [80.0]
    assert picks["channel_index"].tolist() == [20]
    assert picks["confidence"].tolist() == [0.5]


def test_an_index_lies_in_the_recording_also_after_upsampling():
    # 5 samples upsampled to 10; the pick at 9 is at recorded 4.5, and there is no sample 5
    rows = PatchGrid(10, 10, 1, 10, (1, 11))
    grid = make_grid(rows, ONE_CHANNEL, ratios=(Ratio(2, 1), Ratio(1, 1)))
    picks = run(picker(), [grid], Ricker({8: 0.5}))["picks"]
    assert picks["sample_index"].tolist() == [1004]


def test_a_whole_table():
    grid = make_grid(PatchGrid(8, 8, 1, 8, (0, 8)), PatchGrid(2, 2, 1, 2, (0, 2)), index=3)
    picks = run(picker(), [grid], Ricker({2: 0.5, 5: 0.25}, keys=("S", "P")))["picks"]
    expected = pd.DataFrame(
        {
            "time": pd.to_datetime([1_600_000_010_020_000_000] * 4),
            "distance": [80.0, 80.0, 84.0, 84.0],
            "channel_index": [20, 20, 21, 21],
            "phase": pd.Series(["P", "S"] * 2).astype(str),
            "confidence": np.float32([0.5] * 4),
            "sample_index": [1002] * 4,
            "segment": [3] * 4,
        }
    ).astype({"time": "datetime64[ns]"})
    pd.testing.assert_frame_equal(picks, expected, check_exact=True)
    assert dict(picks.dtypes) == COLUMNS
    assert isinstance(picks.index, pd.RangeIndex)


def test_a_table_without_picks_has_the_same_columns():
    grid = make_grid(PatchGrid(8, 8, 1, 8, (0, 8)), ONE_CHANNEL)
    results = run(picker(), [grid], Ricker({}))
    assert dict(results["picks"].dtypes) == COLUMNS
    assert isinstance(results["picks"].index, pd.RangeIndex)
    assert list(results["P"]) == []


def test_picks_of_several_segments_are_sorted_together():
    rows = PatchGrid(8, 8, 1, 8, (0, 8))
    late = make_grid(rows, ONE_CHANNEL)
    before = late.time.transform(offset=-50, stride=1, size=8)
    early = make_grid(rows, ONE_CHANNEL, index=1, first_block=1, time=before)
    picks = run(picker(), [late, early], Ricker({2: 0.5}))["picks"]
    assert picks["segment"].tolist() == [1, 0]


def test_skipped_blocks_leave_the_picks_of_the_others():
    rows = PatchGrid(40, 8, 8, 8, (0, 8))
    grid = make_grid(rows, ONE_CHANNEL, core=(8, 1))
    picks = run(picker(), [grid], Ricker({2: 0.5}), skip={1, 3})["picks"]
    assert picks["sample_index"].tolist() == [1002, 1018, 1034]
    assert len(run(picker(), [grid], Ricker({2: 0.5}), skip=set(range(5)))["picks"]) == 0


def test_parts_are_small():
    grid = make_grid(PatchGrid(3000, 3000, 1, 3000, (0, 3000)), PatchGrid(50, 50, 1, 50, (0, 50)))
    callback = picker(1.0, thresholds=0.9)
    run(callback, [grid], NoiseModel())
    block = grid.block(0)
    accumulator = callback.mapper()(block)
    accumulator.add(next(patches_of(block, NoiseModel())))
    part = accumulator.part()
    assert len(pickle.dumps(part)) < 60 * part["time"].size + 1000


# ---------------------------------------------------------------- separation


@pytest.mark.parametrize(
    ("separation", "kept"), [(0.0, [2, 4, 8]), (0.03, [4, 8]), (0.04, [8]), (0.039, [4, 8])]
)
def test_separation_is_in_seconds_and_inclusive(separation, kept):
    rows = PatchGrid(16, 16, 1, 16, (0, 16))
    peaks = {2: 0.5, 4: 0.6, 8: 0.7}
    picks = run(picker(separation), [make_grid(rows, ONE_CHANNEL)], Ricker(peaks))["picks"]
    assert (picks["sample_index"] - 1000).tolist() == kept


def test_separation_counts_outputs_not_samples():
    """16 outputs at 25 Hz for 64 samples at 100 Hz."""
    rows = PatchGrid(64, 64, 1, 16, (0, 64))
    grid = make_grid(rows, ONE_CHANNEL)
    peaks = {2: 0.5, 4: 0.6, 8: 0.7}
    assert len(run(picker(0.079), [grid], Ricker(peaks))["picks"]) == 3
    assert len(run(picker(0.08), [grid], Ricker(peaks))["picks"]) == 2


def test_a_tenth_of_a_second_is_ten_samples():
    """0.3 is a bit less than 3/10 in binary."""
    rows = PatchGrid(64, 64, 1, 64, (0, 64))
    picks = run(picker(0.3), [make_grid(rows, ONE_CHANNEL)], Ricker({2: 0.5, 32: 0.6}))["picks"]
    assert picks["sample_index"].tolist() == [1032]


def test_an_arrival_in_two_patches_is_picked_once():
    grid = make_grid(PatchGrid(12, 8, 4, 8, (0, 8)), ONE_CHANNEL)
    picks = run(picker(0.01), [grid], Ricker({2: 0.5, 6: 0.5}))["picks"]
    assert picks["sample_index"].tolist() == [1002, 1006, 1010]


def test_equal_neighbours_leave_the_later():
    rows = PatchGrid(16, 16, 1, 16, (0, 16))
    picks = run(picker(0.05), [make_grid(rows, ONE_CHANNEL)], Ricker({2: 0.5, 6: 0.5}))["picks"]
    assert picks["sample_index"].tolist() == [1006]


# ---------------------------------------------------------------- options

GRID = make_grid(PatchGrid(60, 20, 10, 20, (0, 20)), ONE_CHANNEL)


def test_one_threshold_is_for_phases_and_a_dict_may_name_more():
    model = Ricker({5: 0.5}, keys=("D", "P", "S"))
    phases = ("P", "S")
    assert set(run(picker(), [GRID], model, phases=phases)) == {"picks", "P", "S"}
    by_key = {"S": 0.5, "P": 0.6, "D": 0.1}
    results = run(picker(thresholds=by_key), [GRID], model, phases=phases)
    assert {key: len(results[key]) for key in "DPS"} == {"D": 5, "P": 0, "S": 5}


def test_thresholds_may_be_integers_and_are_inclusive():
    assert len(run(picker(thresholds=1), [GRID], Ricker({5: 1.0}))["picks"]) == 5


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"P": 0.3, "p": 0.3, "S": 0.3}, "no phase 'p' .* phases are 'P', 'S'. Did you mean 'P'"),
        ({"P": 0.3}, "no value for 'S'"),
        ({}, "no value for 'P', 'S'"),
    ],
)
def test_thresholds_that_are_not_those_of_the_model(thresholds, message):
    with pytest.raises(InvalidInput, match=message):
        run(picker(thresholds=thresholds), [GRID])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("thresholds", value) for value in (np.nan, np.inf, "0.3", None, {"P": np.nan}, [0.3])),
        *(("min_time_separation", value) for value in (-0.1, np.nan, np.inf, "1")),
        *(("blinding", value) for value in ((-1, 0), (0, 1.5), (1,), (1, 2, 3))),
    ],
)
def test_options_out_of_range(option, value):
    with pytest.raises(InvalidInput, match=option):
        DASPickingCallback(**{option: value})


def test_numpy_numbers_are_numbers():
    callback = picker(np.float32(0.5), np.array([2, 3]), {"P": np.float64(0.3), "S": np.int64(1)})
    assert callback.needs.pick_halo == 0.5
    run(callback, [GRID])


def test_blinded_outputs_are_not_picked():
    assert len(run(picker(blinding=(6, 4)), [GRID], Ricker({5: 0.5}))["picks"]) == 0
    assert len(run(picker(blinding=(4, 4)), [GRID], Ricker({5: 0.5}))["picks"]) == 5


@pytest.mark.parametrize(
    ("rows", "blinding", "numbers"),
    [
        (PatchGrid(60, 20, 15, 20, (0, 20)), (3, 4), (5, 4, 9)),
        (PatchGrid(60, 20, 20, 10, (0, 20)), (1, 0), (0, 3, 6)),
    ],
)
def test_holes_between_patches_warn_and_the_remedy_helps(rows, blinding, numbers):
    overlap, hole, enough = numbers
    message = rf"overlap_samples={overlap} .* up to {hole} outputs .* overlap_samples={enough} "
    with pytest.warns(DataWarning, match=message):
        run(picker(blinding=blinding), [make_grid(rows, ONE_CHANNEL)])
    mended = PatchGrid(rows.size, rows.window, rows.window - enough, rows.out, rows.covers)
    assert mended.hole(trim=sum(blinding) + 2) == 0


def test_a_blinding_that_leaves_nothing_warns():
    with pytest.warns(DataWarning, match="nothing will be picked"):
        run(DASPickingCallback(), [GRID])


# ---------------------------------------------------------------- results


def test_results_come_after_the_run():
    with pytest.raises(DasdistError, match="annotate first"):
        picker().get_results_dict()


def test_a_callback_can_be_used_again():
    callback = picker()
    first = run(callback, [GRID])["picks"]
    pd.testing.assert_frame_equal(run(callback, [GRID])["picks"], first)


def test_pick_lists_behave_like_lists_of_picks():
    callback = picker()
    results = run(callback, [GRID], Ricker({5: 0.75}))
    picks = results["P"]
    assert callback.get_results_dataframe() is callback.picks is results["picks"]
    first = DASPick(np.datetime64(1_600_000_010_050_000_000, "ns"), 0.75, 80.0, "P")
    assert isinstance(picks, PickList)
    assert (len(picks), picks[0], picks[-5]) == (5, first, first)
    assert (first.start_time, first.end_time) == (None, None)
    assert type(picks[0].time) is np.datetime64
    assert type(picks[0].confidence) is type(picks[0].channel) is float
    assert list(picks[3:]) == [picks[3], picks[4]] == list(picks)[3:]
    assert picks[2] in picks
    with pytest.raises(IndexError):
        picks[5]
    assert repr(picks).startswith("PickList with 5 entries:")
