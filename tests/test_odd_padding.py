"""Recordings shorter than a model's window: padded when asked; what was recorded counts."""

import json
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import xarray
import xdas
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.geometry import PatchGrid
from dasdist.signal import padded

from .test_odd_axes import START, Echo, labelled, spike

WINDOW = 500  # samples of Echo


def short(samples=300, channels=6, at=(180, 4)):
    return labelled(spike(samples, channels, at), 8.0 * np.arange(channels))


def picked(data, model=None, **kwargs):
    arguments = {"thresholds": 0.5, "blinding": (0, 0), "pbar": False, "pad": True, **kwargs}
    return dasdist.classify(model or Echo(), data, **arguments)


# ---------------------------------------------------------------- what the model sees


def by_hand(values, before, after):
    """Mirrored at both ends, fading linearly into the mean, sample by sample."""
    count, mean = len(values), values.mean(axis=0, dtype="float64")
    reach = min(200, count)
    out = np.repeat(mean[None].astype("float32"), before + count + after, axis=0)
    out[before : before + count] = values
    for distance in range(reach):
        share = (reach - distance) / (reach + 1)
        for place, near in (
            (before - 1 - distance, values[distance]),
            (before + count + distance, values[count - 1 - distance]),
        ):
            if 0 <= place < len(out):
                out[place] = mean + (near - mean) * share
    return out


@pytest.mark.parametrize("sides", [(700, 701), (0, 3), (150, 120), (5, 0)])
@pytest.mark.parametrize("count", [1, 40, 1000])
def test_padding_mirrors_and_fades_into_the_mean(sides, count):
    values = np.random.default_rng(0).normal(3.0, 2.0, (count, 5)).astype("float32")
    np.testing.assert_allclose(padded(values, *sides), by_hand(values, *sides), atol=2e-6)
    torch = pytest.importorskip("torch")
    tensor = padded(torch.from_numpy(values), *sides).numpy()
    np.testing.assert_allclose(tensor, by_hand(values, *sides), atol=2e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64", "float64"])
def test_what_lies_on_an_offset_keeps_its_signal(dtype):
    signal = np.random.default_rng(2).integers(-9, 9, (40, 5))
    values = (signal + 10**9).astype(dtype)  # float32 would round these to multiples of 64
    kept = padded(values, 7, 3)
    np.testing.assert_array_equal(kept[7:47] - 10**9, signal)


class Window(Echo):
    """Says of every output what the mean square of its whole window is."""

    def forward(self, x, argdict=None):
        return {"P": (x**2).mean(dim=1, keepdim=True).expand_as(x)}


def test_the_recording_lies_in_the_middle_of_a_whole_window():
    values = np.random.default_rng(1).normal(1.0, 1.0, (300, 4)).astype("float32")
    lazy = dasdist.annotate(Window(), labelled(values, 8.0 * np.arange(4)), pad=True)
    expected = (by_hand(values, 100, 100) ** 2).mean(axis=0)
    assert lazy["P"].shape == (300, 4)
    np.testing.assert_allclose(lazy["P"].values, np.tile(expected, (300, 1)), rtol=1e-5)


# ---------------------------------------------------------------- what comes out


def test_picks_and_annotations_are_of_what_was_recorded():
    data = short()
    found = picked(data)
    assert found.picks[["sample_index", "channel_index", "distance"]].values.tolist() == [
        [180, 4, 32.0]
    ]
    assert (found.picks.time - START).tolist() == [pd.Timedelta("1.8s")]
    assert found.report.data_seconds == 3.0
    lazy = dasdist.annotate(Echo(), data, pad=True)
    assert (lazy["time"].values == data["time"].values).all()
    np.testing.assert_array_equal(lazy["P"].values, data.values)


def test_without_asking_it_is_left_out_and_told_what_helps():
    with pytest.raises(dasdist.InvalidInput, match=r"pad=True, or --pad, extends it"):
        dasdist.plan(Echo(), short())
    narrow = short(channels=3, at=(180, 1))
    with pytest.raises(dasdist.InvalidInput) as refused:
        dasdist.plan(Echo(), narrow)
    assert "pad=True" not in str(refused.value)  # it is too narrow as well


def test_plan_and_report_tell_it():
    plan = dasdist.plan(Echo(), short(), pad=True)
    assert "1 (1 padded to a window)" in repr(plan)
    (note,) = picked(short()).report.notes
    assert "1 of 1 segment is shorter than the model's window of 5 s and padded" in note
    whole = dasdist.plan(Echo(), short(samples=500), pad=True)
    assert (whole.padded, whole.notes) == ((), ())


@given(data=st.data())
def test_outputs_of_a_padded_segment_lie_on_its_samples(data):
    window = data.draw(st.integers(2, 60))
    size = data.draw(st.integers(1, window - 1))
    first = data.draw(st.integers(0, window - 1))
    covers = (first, data.draw(st.integers(first + 1, window)))
    out = data.draw(st.integers(1, 60))
    grid = PatchGrid(size, window, 1, out, covers, padded=True)
    stride = Fraction(covers[1] - covers[0], out)
    in_patch = [grid.start(0) + covers[0] + k * stride for k in range(out)]
    on_samples = [place for place in in_patch if 0 <= place < size]
    counted = [covers[0] + (grid.first_output + j) * stride for j in range(grid.out_size)]
    assert counted == on_samples
    if on_samples:
        assert in_patch[-grid.out_start(0)] == on_samples[0]
        assert grid.touching(0, grid.out_size) == (0, 1)
    assert grid.count == 1
    assert abs(-grid.start(0) - (window - size) / 2) <= stride.numerator


def test_blinding_counts_from_the_ends_of_the_recording():
    values = spike(300, 4, (3, 0))
    values[[297, 150], [1, 2]] = 0.9
    data = labelled(values, 8.0 * np.arange(4))
    assert picked(data).picks.channel_index.tolist() == [0, 2, 1]
    assert picked(data, blinding=(10, 10)).picks.channel_index.tolist() == [2]
    with pytest.warns(dasdist.DataWarning, match="300 outputs of a padded segment"):
        assert len(picked(data, blinding=(150, 150)).picks) == 0


class Phantom(Echo):
    """Sees something else before the recording: a higher peak at a fixed place of the window."""

    def forward(self, x, argdict=None):
        curve = x.clone()
        curve[:, 95] = 0.99
        return {"P": curve}


def test_what_a_model_sees_beyond_the_recording_is_no_pick_and_suppresses_none():
    """The recording begins at sample 100 of the window."""
    found = picked(short(at=(7, 4)), Phantom()).picks
    assert found[["sample_index", "channel_index"]].values.tolist() == [[7, 4]]


@pytest.mark.parametrize("block", [{"time": 100}, {"time": 37, "distance": 2}, {"distance": 5}])
def test_results_do_not_depend_on_the_split(block):
    values = np.random.default_rng(2).normal(size=(320, 6)).astype("float32")
    data = labelled(values, 8.0 * np.arange(6))
    whole = picked(data, min_time_separation=0.1).picks
    assert len(whole) > 20
    pd.testing.assert_frame_equal(picked(data, min_time_separation=0.1, block=block).picks, whole)
    lazy, split = (dasdist.annotate(Echo(), data, pad=True, block=b) for b in (None, block))
    xarray.testing.assert_equal(lazy.compute(), split.compute())


def test_only_what_is_short_is_padded():
    """A gap leaves 24 s and 3 s; the long part comes out as without padding."""
    long, late = labelled(spike(), 8.0 * np.arange(24)), short(channels=24)
    late = late.assign_coords(time=late.time + np.timedelta64(60, "s"))
    data = xarray.concat([long, late], "time")
    with pytest.warns(dasdist.DataWarning, match=r"too short[^$]*pad=True"):
        without = picked(data, pad=False).picks
    found = picked(data)
    assert found.picks.sample_index.tolist() == [1203, 2400 + 180]
    pd.testing.assert_frame_equal(found.picks[:1], without)
    assert found.report.complete
    assert "1 of 2 segments" in found.report.notes[0]
    assert found.report.data_seconds == 27.0


def test_data_at_another_rate_is_resampled_first():
    """200 Hz for a model of 100 Hz: the spike of two samples comes out at its time."""
    values = np.zeros((600, 4), "float32")
    values[358:363, 2] = 0.9
    time = START + np.arange(600) * np.timedelta64(5, "ms")
    data = xarray.DataArray(values, {"time": time, "distance": 8.0 * np.arange(4)})
    found = picked(data, Echo(dt_range=(0.009, 0.011))).picks
    assert found.channel_index.tolist() == [2]
    assert abs((found.time[0] - START) / pd.Timedelta("1s") - 1.8) <= 0.01


def test_a_dask_graph_is_padded_too(inproc_client):
    data = short().chunk(time=90)
    for client in (False, inproc_client):
        found = picked(data, client=client).picks
        assert found[["sample_index", "channel_index"]].values.tolist() == [[180, 4]]
        lazy = dasdist.annotate(Echo(), data, pad=True, client=client)
        np.testing.assert_array_equal(lazy["P"].values, short().values)


def test_zarr_holds_what_was_recorded(tmp_path):
    data = short()
    writer = dasdist.WriterCallback(tmp_path / "prob.zarr")
    dasdist.annotate(Echo(), data, writer, pad=True, pbar=False, block={"time": 128})
    back = dasdist.open_annotations(tmp_path / "prob.zarr")
    assert back["distance"].attrs == {"units": "m"}
    assert (back["time"].values == data["time"].values).all()
    np.testing.assert_array_equal(back["P"].values, data.values)


def test_all_callbacks_get_what_was_recorded(tmp_path):
    data, collected = short(), dasdist.InMemoryCollectionCallback()
    dasdist.annotate(Echo(), data, collected, pad=True, pbar=False, block={"time": 77})
    array = collected.annotations["P"]
    assert (array.coords["time"].values == data["time"].values).all()
    np.testing.assert_array_equal(array.values, data.values)
    out, prob = tmp_path / "picks.parquet", tmp_path / "prob.zarr"
    found = picked(data, out=out, annotations=prob, block={"time": 128})
    assert found.picks.sample_index.tolist() == [180]
    np.testing.assert_array_equal(dasdist.open_annotations(prob)["P"].values, data.values)


# ---------------------------------------------------------------- refusals, runs that last


class OneByOne:
    """A callback as one writes it for SeisBench."""

    def setup(self, data, patching_structure, annotate_keys):
        pass

    def handle_patch(self, annotations, in_coords, out_coords):
        pass

    def finalize(self):
        pass

    def get_results_dict(self):
        return {}


def test_what_padding_does_not_go_with():
    with pytest.raises(dasdist.InvalidInput, match="pad is 'yes'"):
        dasdist.plan(Echo(), short(), pad="yes")
    with pytest.raises(dasdist.InvalidInput, match="written for SeisBench"):
        dasdist.annotate(Echo(), short(), OneByOne(), pad=True, pbar=False)


def test_the_command_line_pads_and_says_so(tmp_path):
    xdas.DataArray.from_xarray(short()).to_netcdf(tmp_path / "a.nc")
    out = tmp_path / "picks.parquet"
    words = [str(tmp_path / "a.nc"), "--model", "tests.test_odd_axes:echo", "--pad"]
    planned = CliRunner().invoke(app, ["plan", *words, "--json"])
    assert json.loads(planned.stdout.splitlines()[-1])["padded"] == 1
    words += ["-o", str(out), "--threshold", "0.5", "--set", "blinding=[0, 0]"]
    ran = CliRunner().invoke(app, ["classify", *words])
    assert ran.exit_code == 0, ran.output
    assert "and padded to it" in " ".join(ran.output.split())
    assert pd.read_parquet(out).sample_index.tolist() == [180]
    report = json.loads((tmp_path / "picks.parquet.dasdist" / "report.json").read_text())
    assert report["data"]["seconds"] == 3.0
    assert report["data"]["not_covered"] == []
    assert "and padded" in report["notes"][0]
    again = CliRunner().invoke(app, ["classify", *words])
    assert "Nothing was left to do" in again.output


def test_a_run_goes_on_padded_or_not_as_it_was_begun(tmp_path):
    data, out = short(), tmp_path / "picks.parquet"
    blocks = {"block": {"time": 100}, "out": out}
    picked(data, **blocks)
    (out / "block-000000001.parquet").unlink()
    found = picked(data, **blocks)
    assert (found.report.before, found.report.blocks) == (2, 3)
    assert found.picks.sample_index.tolist() == [180]
    longer = tmp_path / "longer.parquet"
    whole = short(samples=600)
    picked(whole, out=longer, pad=False)
    assert picked(whole, out=longer, pad=False).report.before == 1
    with pytest.raises(dasdist.RunMismatch, match="pad"):
        picked(whole, out=longer)


# ---------------------------------------------------------------- a real earthquake


def test_ten_seconds_of_an_earthquake_are_picked_as_in_the_whole_record(phasenet, das_file):
    """P at 1.2 s on all 67 channels of La Palma, with PhaseNet, whose window has 30 s."""
    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    how = {"thresholds": 0.3, "pbar": False, "client": False}
    whole = dasdist.classify(phasenet, data, **how).picks
    found = dasdist.classify(phasenet, data[:1000], pad=True, **how).picks
    first = whole[whole.phase == "P"].set_index("channel_index").sample_index
    cut = found[found.phase == "P"].set_index("channel_index").sample_index
    assert len(first) == 67
    near = (cut - first).abs() <= 10
    assert near.sum() >= 64
    assert found.sample_index.between(100, 899).all()
