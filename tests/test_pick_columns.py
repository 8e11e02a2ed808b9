"""More about a pick, in the same pass: amplitude, signal to noise, width of the peak."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.signal
import torch
import xarray
import xdas
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.callbacks import DASPickingCallback, MultiCallback, PicksWriterCallback
from dasdist.callbacks.peaks import find_peaks, half_widths
from dasdist.callbacks.picks import MORE_COLUMNS, PICK_COLUMNS
from dasdist.cli import app
from dasdist.sources import open_recording
from tests.test_invariance import cases
from tests.toys import START, Toy, noise, recording

ALL = tuple(MORE_COLUMNS)
OPTIONS = {
    "thresholds": 0.5,
    "min_time_separation": 0.1,
    "blinding": (1, 1),
    "pbar": False,
    "client": False,
}
MEASURED = ["amplitude", "snr"]


class Plain(Toy):
    """A toy that sees channels and windows one by one, so that what is missing costs little."""

    channelwise = True

    def __init__(self, **kwargs):
        super().__init__((64, 1), (16, 1), ((0, 64), (0, 1)), (32, 0), gain=3.0, **kwargs)

    def forward(self, x, argdict=None):
        means = torch.nn.functional.adaptive_avg_pool2d(x[:, None], (16, x.shape[2]))[:, 0]
        return {"P": torch.sigmoid(self.gain * means), "S": torch.sigmoid(-self.gain * means)}


def picks_of(model, data, **options):
    return dasdist.classify(model, data, **{**OPTIONS, "columns": ALL, **options}).picks


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def by_hand(values, picks, rate=100.0, start=START):
    """Measure the whole preprocessed record, pick by pick."""
    rows = []
    for time, channel in zip(picks["time"], picks["channel_index"], strict=True):
        seconds = (np.datetime64(time, "ns") - start) / np.timedelta64(1, "s")
        first, reach = int(np.ceil(seconds * rate - 1e-4)), int(2 * rate)
        trace = values[:, channel].astype("float64")
        before, after = trace[max(0, first - reach) : first], trace[first : first + reach]
        if not (before.size and after.size):
            rows.append((np.nan, np.nan))
            continue
        before, after = before - before.mean(), after - before.mean()
        ratio = np.sqrt(np.mean(after**2)) / np.sqrt(np.mean(before**2))
        rows.append((np.abs(after).max(), ratio))
    return np.array(rows).reshape(-1, 2)


# ---------------------------------------------------------------- what the numbers are


def test_amplitude_and_snr_are_those_of_the_whole_record():
    values = noise(1500, 5)
    picks = picks_of(Toy(gain=3.0), recording(values), block={"time": 40, "distance": 2})
    assert len(picks) > 100
    np.testing.assert_allclose(picks[MEASURED], by_hand(values, picks), rtol=1e-5)
    assert list(picks.columns) == [*PICK_COLUMNS, *ALL]
    assert set(picks.dtypes[list(ALL)].astype(str)) == {"float32"}
    # windows are cut at the ends of the segment, and not left out
    assert picks["time"].min() < START + np.timedelta64(1, "s")
    assert picks[MEASURED].notna().all(axis=None)


def test_they_are_of_the_samples_that_the_model_sees():
    values = noise(3000, 3) + 50.0
    corners = {"N": 2, "Wn": [1.0, 10.0], "btype": "bandpass"}
    model = Toy((64, 3), (64, 3), ((0, 64), (0, 3)), gain=3.0, dt_range=(0.02, 0.02))
    model.filter_samples = ("butter", corners)
    picks = picks_of(model, recording(values), block={"time": 100})
    halved = scipy.signal.resample_poly(values.astype("float64"), 1, 2, padtype="line")
    sections = scipy.signal.butter(**corners, output="sos", fs=50.0)
    at_rest = scipy.signal.sosfilt_zi(sections)[:, :, None] * halved[0]
    seen, _ = scipy.signal.sosfilt(sections, halved, axis=0, zi=at_rest)
    seconds = (picks["time"] - pd.Timestamp(START)).dt.total_seconds()
    inner = picks[(seconds > 4) & (seconds < 26)]  # the ends are resampled in another way
    assert len(inner) > 50
    np.testing.assert_allclose(inner[MEASURED], by_hand(seen, inner, rate=50.0), rtol=2e-3)


class Demeaned(Toy):
    def forward(self, x, argdict=None):
        return super().forward((x - x.mean(dim=1, keepdim=True)) / 100)


def test_counts_that_begin_anywhere_have_the_same_amplitude():
    values = noise(900, 4, dtype="int16", scale=100.0)
    found = picks_of(Demeaned(gain=3.0), recording(values))
    moved = picks_of(Demeaned(gain=3.0), recording((values + 5000).astype("int16")))
    assert len(found) > 50
    np.testing.assert_array_equal(found["time"], moved["time"])
    np.testing.assert_allclose(found[MEASURED], moved[MEASURED], rtol=1e-5)


class Copy(dasdist.DASModel):
    """Annotates with the data itself."""

    def __init__(self):
        structure = dasdist.PatchingStructure(400, 2, 400, 2, (0, 400), (0, 2), 200, 0)
        super().__init__(patching_structure=structure, annotate_keys=["P"])

    def forward(self, x, argdict=None):
        return {"P": x}

    @property
    def classify_callback(self):
        return DASPickingCallback


def test_a_triangle_is_as_wide_as_its_half_at_half_of_its_height():
    values = np.zeros((1000, 2), dtype="float32")
    values[480:521, 0] = 0.8 * (1 - np.abs(np.arange(-20, 21)) / 20)  # 0.4 s at the bottom
    values[700:, 1] = np.linspace(0.9, 0.6, 300)  # which does not end
    values[699, 1] = 0.6
    picks = picks_of(Copy(), recording(values), columns="peak_width")
    assert list(picks["channel_index"]) == [0, 1]
    assert picks["peak_width"][0] == pytest.approx(0.2, rel=1e-6)
    assert np.isnan(picks["peak_width"][1])
    assert picks.attrs["units"] == {"distance": "m", "peak_width": "s"}


@given(st.integers(0, 10**6), st.integers(3, 200), st.integers(1, 4), st.sampled_from("CF"))
def test_widths_are_those_of_scipy(seed, samples, channels, layout):
    values = np.random.default_rng(seed).random((samples, channels)).astype("float32")
    values = np.asarray(np.sort(values, axis=0)[np.abs(np.arange(samples) - samples // 2)[::-1]]
                        if seed % 2 else values, order=layout)  # fmt: skip
    at, where, heights = find_peaks(values, 0.0, 1)
    found = half_widths(values, at, where, heights)
    for channel in range(channels):
        mine = where == channel
        curve, peaks = values[:, channel].astype("float64"), at[mine]
        # prominences as of peaks that stand on 0: half of the height is half of these
        bases = np.zeros(peaks.size, int), np.full(peaks.size, samples - 1)
        given = (curve[peaks], *bases)
        expected, *_ = scipy.signal.peak_widths(curve, peaks, 0.5, prominence_data=given)
        for width, theirs, peak in zip(found[mine], expected, peaks, strict=True):
            half = curve[peak] / 2
            ends = (curve[: peak + 1] <= half).any() and (curve[peak:] <= half).any()
            assert np.isnan(width) if not ends else width == pytest.approx(theirs, rel=1e-9)


# ---------------------------------------------------------------- blocks, and what is missing


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@given(cases(), st.booleans(), st.sampled_from([100.0, 7.0]))
def test_columns_do_not_depend_on_blocks(case, filtered, rate):
    model, values, block = case
    if filtered:
        model.filter_samples = ("butter", {"N": 1, "Wn": 0.2 * rate, "btype": "highpass"})
    options = {"thresholds": 0.55, "min_time_separation": 0.1, "blinding": (0, 0)}
    data = recording(values, rate=rate)
    whole = picks_of(model, data, **options, block={"time": 10**6})
    parts = picks_of(model, data, **options, block=block)
    if filtered:  # to the tolerance with which filters forget where they started
        pd.testing.assert_frame_equal(parts[list(whole)[:7]], whole[list(whole)[:7]])
        columns = list(ALL)
        np.testing.assert_allclose(parts[columns], whole[columns], rtol=1e-3, atol=1e-5)
    else:
        same(parts, whole)


@pytest.mark.parametrize("block", [{"time": 10}, {"time": 75, "distance": 1}, {"time": 10**6}])
def test_what_is_missing_makes_nan_wherever_blocks_end(block):
    values = noise(3000, 3)
    values[1500:1510, 1] = np.nan
    with pytest.warns(dasdist.DataWarning, match="windows were left out"):
        picks = picks_of(Plain(), recording(values), block=block, max_failures="any")
    expected = by_hand(values, picks)
    touched = np.isnan(expected).any(axis=1)
    assert 20 < touched.sum() < 0.2 * len(picks)
    assert set(picks["channel_index"][touched]) == {1}
    np.testing.assert_array_equal(picks["amplitude"].isna(), touched)
    np.testing.assert_array_equal(picks["snr"].isna(), touched)
    np.testing.assert_allclose(picks[MEASURED], np.where(touched[:, None], np.nan, expected),
                               rtol=1e-5)  # fmt: skip
    assert picks["peak_width"].notna().mean() > 0.5


def test_a_silent_channel_has_no_ratio():
    values = noise(1500, 4)
    values[:700, 1] = 3.0
    picks = picks_of(Plain(), recording(values))
    seconds = (picks["time"] - pd.Timestamp(START)).dt.total_seconds()
    silent = (picks["channel_index"] == 1) & (seconds < 7.0)
    later = (picks["channel_index"] == 0) | (seconds > 9.5)
    assert picks["snr"][silent].isna().all()
    assert picks["snr"][later].gt(0).all()


# ---------------------------------------------------------------- where they are kept


@pytest.fixture
def out(tmp_path):
    return tmp_path / "picks.parquet"


def with_unit(values):
    data = recording(values)
    data.attrs = {"units": "nm/m/s"}
    return data


def test_on_disk_they_are_those_of_memory_with_their_units(out):
    data = with_unit(noise(1500, 4))
    memory = picks_of(Toy(gain=3.0), data, columns=("snr", "amplitude"))
    disk = picks_of(Toy(gain=3.0), data, columns=("amplitude", "snr"), out=out, block={"time": 50})
    same(disk, memory)
    assert disk.attrs == memory.attrs
    assert memory.attrs["units"] == {"distance": "m", "amplitude": "nm/m/s", "snr": "1"}
    for part in out.iterdir():
        schema = pq.read_schema(part)
        assert schema.names == [*PICK_COLUMNS, "amplitude", "snr"]
        assert schema.field("amplitude").metadata == {b"unit": b"nm/m/s"}
    read = pd.read_parquet(out).sort_values(["time", "channel_index"], ignore_index=True)
    expected = memory.sort_values(["time", "channel_index"], ignore_index=True)
    np.testing.assert_array_equal(read["amplitude"], expected["amplitude"])


def test_without_them_parts_are_what_they_were(out, tmp_path):
    data = recording(noise(600, 4))
    picks_of(Toy(gain=3.0), data, columns=(), out=out)
    (part,) = out.iterdir()
    assert pq.read_schema(part).names == list(PICK_COLUMNS)
    run = json.loads((tmp_path / "picks.parquet.dasdist" / "run.json").read_text())
    assert run["output"].keys() == {"thresholds", "min_time_separation", "blinding"}
    assert not any("around" in segment for segment in run["segments"])


def test_data_that_states_no_unit_says_so():
    picks = picks_of(Toy(gain=3.0), recording(noise(600, 4)))
    assert picks.attrs["units"]["amplitude"] == "unknown"


def test_several_callbacks_share_the_samples(tmp_path):
    data = recording(noise(1500, 4))
    memory, disk = (
        kind(*path, thresholds=0.5, min_time_separation=0.1, blinding=(1, 1), columns=columns)
        for kind, path, columns in (
            (DASPickingCallback, (), ALL),
            (PicksWriterCallback, (tmp_path / "picks",), ("snr",)),
        )
    )
    plain = DASPickingCallback(0.5, 0.1, blinding=(1, 1))
    model, block = Toy(gain=3.0), {"time": 60}
    dasdist.annotate(model, data, MultiCallback([plain, memory, disk]), block=block, pbar=False)
    alone = picks_of(model, data)
    same(memory.picks, alone)
    same(disk.picks, alone[[*PICK_COLUMNS, "snr"]])
    same(plain.picks, alone[list(PICK_COLUMNS)])


def test_a_cluster_measures_the_same(client):
    data = recording(noise(1500, 4))
    same(
        picks_of(Toy(gain=3.0), data, client=client, block={"time": 60}),
        picks_of(Toy(gain=3.0), data),
    )


def test_a_gpu_measures_what_the_cpu_measures(request):
    data = recording(noise(1500, 4, dtype="int16", scale=10.0))
    expected = picks_of(Toy(gain=0.3), data)
    request.getfixturevalue("played_gpu")
    found = picks_of(Toy(gain=0.3), data, block={"time": 50})
    assert len(found) > 50
    np.testing.assert_array_equal(found["time"], expected["time"])
    np.testing.assert_allclose(found[list(ALL)], expected[list(ALL)], rtol=1e-3)


# ---------------------------------------------------------------- runs that go on


@pytest.mark.parametrize("samples", [1, 150])
def test_a_run_that_goes_on_with_a_longer_archive_measures_anew_what_reaches_into_it(out, samples):
    values = noise(3000, 4)
    model, block = Toy(gain=3.0), {"time": 60}
    first = dasdist.classify(
        model, recording(values[: 3000 - samples]), out=out, block=block, columns=ALL, **OPTIONS
    )
    grown = dasdist.classify(model, recording(values), out=out, columns=ALL, **OPTIONS)
    assert 0 < grown.report.before < first.report.blocks
    same(grown.picks, picks_of(model, recording(values)))


def test_they_belong_to_the_run(out):
    data = recording(noise(900, 4))
    picks_of(Toy(gain=3.0), data, out=out, columns="snr")
    for columns in ((), ("amplitude",), ALL):
        with pytest.raises(dasdist.RunMismatch, match="other columns"):
            picks_of(Toy(gain=3.0), data, out=out, columns=columns)
    picks_of(Toy(gain=3.0), data, out=out, columns=["snr"])
    assert dasdist.read_manifest(out)["settings"]["columns"] == ["snr"]
    picks_of(Toy(gain=3.0), data, out=out, columns=ALL, overwrite=True)


def test_a_name_that_is_none_is_refused():
    with pytest.raises(dasdist.InvalidInput, match=r"amplitude, snr, peak_width.*'amplitude'"):
        DASPickingCallback(columns=["amplitud"])
    coords = {"time": START + np.arange(600) * np.timedelta64(10, "ms")}
    numbers = ("snr", np.arange(4.0), {"units": "1"})
    data = xarray.DataArray(noise(600, 4), {**coords, "snr": numbers}, ("time", "snr"))
    with pytest.raises(dasdist.InvalidInput, match="channel dimension is called 'snr'"):
        picks_of(Toy(gain=3.0), data, channel_coord_name="snr")


def test_the_command_line_takes_them(tmp_path, out):
    recording(noise(600, 4)).to_netcdf(tmp_path / "data.nc")
    words = ["classify", tmp_path / "data.nc", "-m", "tests.toys:Toy", "-o", out, "--threshold"]
    said = CliRunner().invoke(
        app, [*map(str, words), "0.5", "--set", "blinding=[1,1]", "--columns", "snr, amplitude"]
    )
    assert said.exit_code == 0, said.output
    assert list(pd.read_parquet(out))[-2:] == ["amplitude", "snr"]
    wrong = CliRunner().invoke(app, [*map(str, words), "0.5", "--columns", "magnitude"])
    assert wrong.exit_code == 1
    assert "the optional columns of picks are amplitude, snr, peak_width" in wrong.stderr


# ---------------------------------------------------------------- real recordings


@pytest.mark.slow
def test_those_of_la_palma_do_not_depend_on_blocks(das_file, phasenet):
    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    options = {"thresholds": 0.3, "blinding": (100, 100), "min_time_separation": 1.0}
    whole = picks_of(phasenet, data, **options)
    parts = picks_of(phasenet, data, **options, block={"time": 450, "distance": 20})
    same(parts, whole)
    start = np.datetime64(data["time"][0].values, "ns")
    expected = by_hand(np.asarray(data.values), whole, start=start)
    np.testing.assert_allclose(whole[MEASURED], expected, rtol=1e-4)
    early = whole[(whole["phase"] == "P") & (whole["time"] < start + np.timedelta64(2, "s"))]
    assert len(early) == 67
    assert early["snr"].median() > 3


def test_a_unit_is_read_from_the_file(das_file):
    data = xdas.open_dataarray(das_file("prodml_2.0.h5"), engine="prodml")
    assert open_recording(data).unit == "(nm/m)/s * Hz/m"
