"""Offsets, units and rates of real recorders cost no pick: a real earthquake, moved and rescaled.

Everywhere the right picks are those of the same earthquake as PhaseNet was trained to see it: 67 P
on 67 channels at a threshold of 0.3.
"""

import json
import shutil
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.signal
import torch
import xdas

import dasdist
from dasdist.amplitude import Amplitude, is_wide
from dasdist.geometry import Ratio
from dasdist.inference import prepare, prepare_tensor
from dasdist.signal import nearest_ratio, resample_span, resample_tensor

from .crossed import crossed
from .test_cli import events, here
from .toys import Toy, noise, recording

pytestmark = pytest.mark.slow

OPTIONS = {"thresholds": 0.3, "pbar": False}
WHERE = ["phase", "channel_index", "sample_index"]
SMALL = {"time": 700, "distance": 20}

COUNTS = [
    ("int32", 1e8),
    ("int32", -2.1e9),
    ("uint32", 4.2e9),
    ("int64", 1e12),
    ("int64", -(2.0**61)),
]


@pytest.fixture(scope="module")
def quake(das_file):
    """The earthquake, of standard deviation 1, without an offset."""
    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    values = np.asarray(data.values, dtype=np.float64)
    return (values - values.mean()) / values.std()


@pytest.fixture(scope="module")
def right(phasenet, quake):
    picks = dasdist.classify(phasenet, fibre(quake.astype("float32")), **OPTIONS).picks
    assert picks.groupby("phase").size()["P"] == picks[picks.phase == "P"].channel_index.nunique()
    assert (picks.phase == "P").sum() == 67
    return picks


def fibre(values, rate=100.0):
    return recording(values, rate=rate, dx=1.0)


def upsampled(values, rate):
    """The earthquake at another rate, by Fourier series of the signal and its mirror image."""
    samples = round(len(values) * rate / 100)
    mirrored = np.concatenate([values, values[::-1]])
    return scipy.signal.resample(mirrored, 2 * samples)[:samples]


def counted(quake, dtype, offset):
    """Counts of the earthquake, 1000 to a standard deviation, on an offset, exactly."""
    return (np.round(1000 * quake).astype("int64") + int(offset)).astype(dtype)


def seconds(picks, phase="P"):
    """Seconds of the first pick on each channel."""
    mine = picks[picks.phase == phase].sort_values("time").drop_duplicates("channel_index")
    start = np.datetime64("2024-01-01")
    return (mine.set_index("channel_index").time - start) / np.timedelta64(1, "s")


def assert_same_places(found, expected):
    pd.testing.assert_frame_equal(found[WHERE], expected[WHERE])
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-3)


# ---------------------------------------------------------------- static offsets


@pytest.mark.parametrize(("dtype", "offset"), COUNTS)
def test_counts_on_an_offset_give_the_picks_of_counts_without(phasenet, quake, dtype, offset):
    expected = dasdist.classify(phasenet, fibre(counted(quake, "float32", 0)), **OPTIONS).picks
    data = fibre(counted(quake, dtype, offset))
    found = dasdist.classify(phasenet, data, **OPTIONS).picks
    assert (found.phase == "P").sum() == 67
    assert_same_places(found, expected)


@pytest.mark.parametrize("offset", [1e5, -1e9])
def test_floats_on_an_offset_give_the_picks_of_floats_without(phasenet, quake, right, offset):
    data = fibre(quake + offset)
    found = dasdist.classify(phasenet, data, **OPTIONS).picks
    assert (found.phase == "P").sum() == 67
    assert_same_places(found, right)


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_picks_on_an_offset_do_not_depend_on_blocks_to_the_last_bit(phasenet, quake, dtype):
    data = fibre(counted(quake, dtype, 1e8))
    whole = dasdist.classify(phasenet, data, block={"time": 10**6}, **OPTIONS).picks
    parts = dasdist.classify(phasenet, data, block=SMALL, **OPTIONS)
    assert parts.report.blocks > 10
    pd.testing.assert_frame_equal(parts.picks, whole)


def test_lazy_annotations_on_an_offset_are_those_without(phasenet, quake):
    data = fibre(counted(quake, "int32", 1e8))
    expected = dasdist.annotate(phasenet, fibre(counted(quake, "float32", 0)))
    found = dasdist.annotate(phasenet, data, block=SMALL)
    graph = data.to_xarray().chunk({"time": 900, "distance": 30})
    lazier = dasdist.annotate(phasenet, graph)
    for key in ("P", "S"):
        np.testing.assert_allclose(found[key].values, expected[key].values, atol=1e-4)
        np.testing.assert_allclose(lazier[key].values, expected[key].values, atol=1e-4)


@pytest.fixture(scope="module")
def pair(shared_data):
    return shared_data / "weights" / "phasenet_original.json"


def test_the_command_line_picks_counts_on_an_offset(tmp_path, pair, quake):
    for name, offset in (("plain", 0), ("offset", 1e8)):
        fibre(counted(quake, "int32", offset)).to_netcdf(tmp_path / f"{name}.nc")
        words = ["--model", pair, "-o", tmp_path / name, "--threshold", "0.3", "--quiet"]
        assert here("classify", tmp_path / f"{name}.nc", *words).exit_code == 0
    plain, offset = (pd.read_parquet(tmp_path / name) for name in ("plain", "offset"))
    assert (offset.phase == "P").sum() == offset[offset.phase == "P"].channel_index.nunique() == 67
    assert_same_places(offset, plain)


def test_an_index_and_workers_pick_counts_on_an_offset(tmp_path, phasenet, quake, client):
    values = counted(quake, "int32", 1e8)
    step = np.timedelta64(10, "ms")
    start = np.datetime64("2024-01-01")
    for number in range(4):
        part = values[number * 840 : (number + 1) * 840]
        begin = start + number * 840 * step
        recording(part, dx=1.0, start=begin).to_netcdf(tmp_path / f"{number}.nc")
    dasdist.index_archive([tmp_path], tmp_path / "index", processes=1)
    data = dasdist.open_archive(tmp_path / "index")
    found = dasdist.classify(phasenet, data, client=client, block=SMALL, **OPTIONS).picks
    expected = dasdist.classify(phasenet, fibre(values), **OPTIONS).picks
    assert (found.phase == "P").sum() == 67
    pd.testing.assert_frame_equal(found[WHERE], expected[WHERE])


def test_a_low_pass_and_resampling_keep_what_is_on_an_offset(phasenet, quake):
    values = np.round(1000 * upsampled(quake, 250)).astype("int64")
    model = dasdist.DASWaveformModelWrapper(
        phasenet, filter_samples=("butter", {"N": 2, "Wn": 40.0})
    )
    expected = dasdist.annotate(model, fibre(values.astype("float64"), 250))["P"].values
    for dtype, offset in (("int32", 10**8), ("float64", -(10**8))):
        data = fibre((values + offset).astype(dtype), 250)
        found = dasdist.annotate(model, data, block=SMALL)["P"].values
        np.testing.assert_allclose(found, expected, atol=1e-4)


class Demeaned(Toy):
    """Removes the mean of each channel of a patch itself, in its forward method."""

    def forward(self, x, argdict=None):
        return super().forward(x - x.mean(dim=1, keepdim=True))


def test_models_of_ones_own_that_remove_the_mean_are_found_out():
    values = noise(900, 8, scale=100).round()
    expected = dasdist.annotate(Demeaned(gain=0.01), recording(values))["P"].values
    data = recording((values.astype("int64") + 2**30).astype("int32"))
    assert dasdist.plan(Demeaned(gain=0.01), data).amplitude.centred
    found = dasdist.annotate(Demeaned(gain=0.01), data, block={"time": 100})["P"].values
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_others_see_the_offset_and_a_note_says_so():
    values = noise(900, 8).astype("float64")
    data = recording(values + 1e6)
    with pytest.warns(dasdist.DataWarning, match="mean of some channels .* does not remove it"):
        result = dasdist.classify(Toy(), data, thresholds=0.6, blinding=(1, 1), pbar=False)
    assert any("Remove the mean" in note for note in result.report.notes)
    assert not dasdist.plan(Toy(), recording(values + 100)).notes


def test_what_a_high_pass_removes_costs_no_precision():
    spec = ("butter", {"N": 2, "Wn": [2.0, 20.0], "btype": "bandpass"})
    model = Toy(filter_samples=spec)
    values = noise(900, 8, scale=100).round().astype("int64")
    expected = dasdist.annotate(model, recording(values.astype("float64")))["P"].values
    found = dasdist.annotate(model, recording((values + 2**31 - 10**6).astype("int32")))
    np.testing.assert_allclose(found["P"].values, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("dtype", "rate"),
    crossed(["int32", "uint32", "int64", "float64", "float32", "int16"], [100.0, 250.0]),
)
def test_windows_on_a_gpu_are_those_of_the_cpu(dtype, rate):
    values = (
        np.round(noise(900, 5, scale=100)) + (2**20 if is_wide(np.dtype(dtype)) else 0)
    ).astype(dtype)
    model = Demeaned(dt_range=(0.0099, 0.0101), filter_samples=("butter", {"N": 2, "Wn": 30.0}))
    plan = dasdist.plan(model, recording(values, rate=rate), block={"time": 100})
    block, amplitude = plan.block(1), Amplitude(centred=True, scale=2.0**-3)
    here = values[block.read.time.slice, block.read.distance.slice]
    one = prepare(here, block, plan.sections[0], amplitude=amplitude).values
    other = prepare_tensor(torch.from_numpy(here), block, plan.sections[0], amplitude).values
    filled = torch.empty(one.shape), torch.empty(one.shape)
    amplitude.fill(one, filled[0])
    centred = other.double() - other[:1].double()
    torch.testing.assert_close(filled[0].double(), centred / 8, atol=2e-3, rtol=1e-4)


# ---------------------------------------------------------------- the ends of a segment


@pytest.mark.parametrize("factors", [(1, 2), (1, 10), (2, 5), (2, 1), (9, 10), (6, 193)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_a_constant_comes_out_as_that_constant(factors, dtype):
    ratio = Ratio(*factors)
    values = np.full(4000, 12345, dtype=dtype)
    stop = ratio.size(4000)
    out = resample_span(values, 0, stop, 0, ratio)
    np.testing.assert_allclose(out, 12345, rtol=3e-6)
    tensor = resample_tensor(torch.from_numpy(values)[:, None], 0, stop, 0, ratio)
    np.testing.assert_allclose(tensor.numpy(), 12345, rtol=3e-6)


@pytest.mark.parametrize("factors", [(1, 2), (1, 10), (2, 5), (3, 2)])
def test_both_sides_of_a_gap_are_near_the_uncut_signal(factors):
    """Compared to the exact: the slow signal itself, far below both Nyquist frequencies."""
    ratio, n = Ratio(*factors), 4000
    time = np.arange(n)
    place = np.arange(ratio.size(n)) * ratio.down / ratio.up

    def signal(at):
        return 100 + np.sin(2 * np.pi * at / 731) + 0.5 * np.cos(2 * np.pi * at / 397)

    out = resample_span(signal(time), 0, ratio.size(n), 0, ratio)
    exact = signal(place)
    inside = slice(30, -30)
    np.testing.assert_allclose(out[inside], exact[inside], atol=2e-3)
    # a step to zero would be off by 50; the mirror image is off by a part of the slope alone
    np.testing.assert_allclose(out, exact, atol=0.15)


def test_an_offset_costs_no_pick_at_the_ends_of_segments(phasenet, quake, right):
    data = fibre((upsampled(quake, 1000) + 100).astype("float32"), 1000)
    result = dasdist.classify(phasenet, data, block=SMALL, **OPTIONS)
    found = seconds(result.picks)
    assert len(found) == (result.picks.phase == "P").sum() == 67
    assert (found - seconds(right)).abs().max() <= 0.02


def test_an_offset_costs_no_pick_on_either_side_of_a_gap(phasenet, quake, right):
    values = (upsampled(quake, 1000) + 100).astype("float32")
    # a gap of a minute in the quiet coda: segments of 3001 samples at 100 Hz at least
    quiet = np.tile(values[-1:], (31000, 1)) + noise(31000, 67, seed=1) * 0.01
    first, second = np.concatenate([quiet, values[:1500]]), values[1500:]
    whole = np.concatenate([quiet, values]).astype("float32")
    start, step = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "ms")
    cut = len(first)
    parts = [
        recording(first.astype("float32"), rate=1000.0, dx=1.0, start=start),
        recording(second, rate=1000.0, dx=1.0, start=start + cut * step + np.timedelta64(60, "s")),
    ]
    joined = xdas.concatenate(parts, dim="time")
    picks = dasdist.classify(phasenet, joined, block=SMALL, **OPTIONS).picks
    cut_off = start + cut * step
    before = picks[(picks.time < cut_off) & (picks.phase == "P")]
    uncut = dasdist.classify(phasenet, fibre(whole, 1000), **OPTIONS).picks
    # what is within the blinding of the cut cannot be picked; what is before it must be
    expected = uncut[(uncut.time < cut_off - np.timedelta64(1, "s")) & (uncut.phase == "P")]
    assert set(before.channel_index) >= set(expected.channel_index)
    after = picks[(picks.time > cut_off) & (picks.phase == "P")]
    # no false arrival at the beginning of what follows the gap
    assert not (after.time < cut_off + np.timedelta64(62, "s")).any()


# ---------------------------------------------------------------- units


@pytest.mark.parametrize(("unit", "dtype"), crossed([1e-9, 1e-12, 1e-14], ["float32", "float64"]))
def test_picks_do_not_depend_on_the_unit(phasenet, quake, right, unit, dtype):
    data = fibre((quake * unit).astype(dtype))
    result = dasdist.classify(phasenet, data, block=SMALL, **OPTIONS)
    assert (result.picks.phase == "P").sum() == 67
    assert_same_places(result.picks, right)
    assert result.report.facts["amplitude"].startswith("samples times 2^")


def test_a_scale_is_a_power_of_two_of_the_whole_recording(phasenet, quake):
    unit = 2.0**-40
    plain = dasdist.annotate(phasenet, fibre(quake.astype("float32")))["P"].values
    small = fibre((quake * unit).astype("float32"))
    whole = dasdist.annotate(phasenet, small)["P"].values
    parts = dasdist.annotate(phasenet, small, block=SMALL)["P"].values
    # batches of another size, which a plan of other blocks may choose, differ in the last digits
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-6)
    np.testing.assert_allclose(whole, plain, atol=1e-5)
    scale = dasdist.plan(phasenet, small).amplitude.scale
    assert np.log2(scale) == round(np.log2(scale)) >= 38


def test_ordinary_units_are_left_alone(phasenet, quake):
    for factor in (0.01, 1.0, 1e6):
        plan = dasdist.plan(phasenet, fibre((quake * factor).astype("float32")))
        assert plan.amplitude == Amplitude()


def test_dead_channels_stay_dead(phasenet, quake):
    values = quake * 1e-11
    values[:, 3] = 0.0
    values[:, 4] = 7.7e-10
    values[:, 5] = 1e-24 * noise(len(values), 1)[:, 0]
    picks = dasdist.classify(phasenet, fibre(values.astype("float32")), **OPTIONS).picks
    assert set(picks.channel_index) == set(range(67)) - {3, 4, 5}


def test_a_run_keeps_the_scale_that_it_was_begun_with(tmp_path, phasenet, quake):
    data = fibre((quake * 1e-11).astype("float32"))
    out = tmp_path / "picks"
    dasdist.classify(phasenet, data, out=out, block=SMALL, **OPTIONS)
    described = tmp_path / "picks.dasdist" / "run.json"
    run = json.loads(described.read_text())
    assert np.log2(run["scale"]) == round(np.log2(run["scale"]))
    again = dasdist.classify(phasenet, data, out=out, block=SMALL, **OPTIONS)
    assert again.report.before == again.report.blocks
    # one that was begun before there were scales goes on without
    for name in ("scale", "crc32", "taken_back"):
        del run[name]
    described.write_text(json.dumps(run))
    described.with_name("run-copy.json").unlink()
    again = dasdist.classify(phasenet, data, out=out, block=SMALL, **OPTIONS)
    assert again.report.before == again.report.blocks
    assert "amplitude" not in again.report.facts


def test_models_that_do_not_divide_by_the_amplitude_see_it_as_it_is():
    values = noise(900, 8) * 1e-12
    plan = dasdist.plan(Toy(), recording(values.astype("float32")))
    assert plan.amplitude == Amplitude()


def test_unreadable_samples_do_not_stop_a_plan(tmp_path, phasenet, quake):
    path = tmp_path / "data.nc"
    fibre((quake * 1e-11).astype("float32")).to_netcdf(path)
    data = xdas.open_mfdataarray(str(path), vtype="tiles")
    shutil.move(path, tmp_path / "elsewhere.nc")
    assert dasdist.plan(phasenet, data).amplitude == Amplitude()


# ---------------------------------------------------------------- rates


@pytest.mark.parametrize("rate", [50, 250, 1000, 1200, 2000, 3218])
def test_an_earthquake_is_picked_at_any_rate(phasenet, quake, right, rate):
    data = fibre((upsampled(quake, rate) + 100).astype("float32"), rate)
    result = dasdist.classify(phasenet, data, **OPTIONS)
    found = seconds(result.picks)
    both = found.index.intersection(seconds(right).index)
    assert (result.picks.phase == "P").sum() == len(both) == 67
    assert (found - seconds(right)).abs().max() <= 0.05
    assert result.report.facts["rate"].startswith("100")


@pytest.mark.parametrize(
    ("rate", "ratio"),
    [("1050", (1, 10)), ("1200", (1, 12)), ("2000", (1, 20)), ("3218", (6, 193))],
)
def test_finer_data_are_decimated_to_the_models_own_rate(rate, ratio):
    found = nearest_ratio(1 / Fraction(rate), (0.005, 0.02))
    assert found == Ratio(*ratio)
    assert abs(float(rate) * ratio[0] / ratio[1] / 100 - 1) <= 0.1


def test_a_ratio_beyond_ten_is_one_filter_of_scipys():
    x = np.random.default_rng(0).standard_normal((20000, 2))
    ratio = Ratio(6, 193)
    first, last = ratio.needs(300, 400, len(x))
    found = resample_span(x[first:last], 300, 400, first, ratio)
    whole = scipy.signal.resample_poly(x, 6, 193)
    np.testing.assert_allclose(found, whole[300:400], atol=1e-3)


def test_the_rate_of_a_real_terra15(das_file):
    data = xdas.open_dataarray(das_file("terra15_v5_test_file.hdf5"))
    values = np.asarray(data.values)
    model = Toy(window=(32, 4), out=(32, 4), covers=((0, 32), (0, 4)), dt_range=(0.005, 0.02))
    time = data.coords["time"].values
    step = (time[-1] - time[0]) / (len(time) - 1)
    rate = np.timedelta64(1, "s") / step
    plan = dasdist.plan(model, recording(values, rate=rate, dx=1.0))
    assert plan.grids[0].model_time.sampling_rate == pytest.approx(100, abs=0.1)
    assert "Hz by 6/193" in plan.facts["rate"] or "Hz by" in plan.facts["rate"]


def test_plan_and_command_line_name_the_rate(tmp_path, pair, quake):
    path = tmp_path / "fine.nc"
    fibre(upsampled(quake, 2000).astype("float32"), 2000).to_netcdf(path)
    words = ["--model", pair, "--block", "time=700"]
    assert "100 Hz, of 2000 Hz by 1/20" in here("plan", path, *words).stdout
    told = events(here("plan", path, *words, "--json").stdout)[-1]
    assert told["facts"]["rate"] == "100 Hz, of 2000 Hz by 1/20"
    assert here("classify", path, *words, "-o", tmp_path / "picks", "--quiet").exit_code == 0
    report = (tmp_path / "picks.dasdist" / "report.txt").read_text()
    assert "rate       100 Hz, of 2000 Hz by 1/20" in report


def test_a_rate_that_stays_far_off_is_warned_of():
    model = Toy(dt_range=(0.005, 0.02))
    with pytest.warns(dasdist.DataWarning, match=r"sees 70 Hz, which is 30% off its own 100 Hz"):
        plan = dasdist.plan(model, recording(noise(400, 8), rate=7.0))
    assert "30% off" in plan.notes[0]
