"""Where SeisBench 0.12 is known to be wrong, dasdist is right."""

import numpy as np
import pandas as pd
import pytest
import torch

import dasdist

from .toys import START, noise, recording

SCHEMA = {
    "time": "datetime64[ns]",
    "distance": "float64",
    "channel_index": "int64",
    "phase": str(pd.Series(["P"]).dtype),  # object before pandas 3
    "confidence": "float32",
    "sample_index": "int64",
    "segment": "int64",
}


class Echo(dasdist.DASModel):
    """Returns the data itself as the probability of P."""

    def __init__(self, samples=100, channels=1024, overlap=50, **kwargs):
        super().__init__(annotate_keys=["P"], **kwargs)
        self.size = (samples, channels, overlap)

    def get_patching_structure(self, data_shape, argdict):
        samples, channels, overlap = self.size
        width = min(channels, data_shape[1])
        return dasdist.PatchingStructure(
            samples, width, samples, width, (0, samples), (0, width), overlap, 0
        )

    def forward(self, x, argdict=None):
        return {"P": x}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


def spikes(shape, peaks):
    """Return zeros with triangles of height ``h`` at ``(sample, channel): h``."""
    values = np.zeros(shape, dtype=np.float32)
    for (sample, channel), height in peaks.items():
        values[sample - 1 : sample + 2, channel] = [height / 2, height, height / 2]
    return values


def picked(model, values, **kwargs):
    options = {"thresholds": 0.2, "blinding": (5, 5), "pbar": False, **kwargs}
    return dasdist.classify(model, recording(values), **options).picks


def test_channels_of_different_patches_do_not_suppress_each_other():
    # 1029 is channel 5 of the second patch, in SeisBench one and the same
    picks = picked(Echo(), spikes((300, 2048), {(150, 5): 0.9, (160, 1029): 0.5}))
    assert picks[["channel_index", "sample_index"]].values.tolist() == [[5, 150], [1029, 160]]


@pytest.mark.parametrize("block", [None, {"time": 7}, {"time": 61}])
def test_of_equal_neighbours_the_later_survives(block):
    # in one patch; in two patches; and a chain of three
    peaks = {(120, 0): 0.5, (130, 0): 0.5, (95, 1): 0.5, (145, 1): 0.5}
    picks = picked(Echo(), spikes((300, 2), peaks), min_time_separation=0.6, block=block)
    assert picks[["channel_index", "sample_index"]].values.tolist() == [[0, 130], [1, 145]]


def test_thresholds_may_be_integers():
    picks = picked(Echo(), spikes((300, 2), {(150, 0): 1.0, (150, 1): 0.9}), thresholds=1)
    assert picks.channel_index.tolist() == [0]


def test_no_separation_keeps_every_peak():
    peaks = {(140, 0): 0.5, (143, 0): 0.6, (146, 0): 0.7}
    picks = picked(Echo(), spikes((300, 1), peaks), min_time_separation=0)
    assert picks.sample_index.tolist() == [140, 143, 146]


def test_separation_is_in_seconds_also_for_coarser_outputs():
    class Coarse(Echo):
        def get_patching_structure(self, data_shape, argdict):
            width = data_shape[1]
            return dasdist.PatchingStructure(100, width, 10, width, (0, 100), (0, width), 50, 0)

        def forward(self, x, argdict=None):
            return {"P": x[:, ::10]}

    values = np.zeros((500, 1), dtype=np.float32)
    values[200], values[240], values[280] = 0.5, 0.9, 0.5
    picks = picked(Coarse(), values, min_time_separation=0.3, blinding=(1, 1))
    assert picks.sample_index.tolist() == [200, 240, 280]
    picks = picked(Coarse(), values, min_time_separation=0.4, blinding=(1, 1))
    assert picks.sample_index.tolist() == [240]


def test_an_empty_result_has_its_columns():
    picks = picked(Echo(), np.zeros((300, 4), dtype=np.float32))
    assert len(picks) == 0
    assert {name: str(dtype) for name, dtype in picks.dtypes.items()} == SCHEMA
    full = picked(Echo(), spikes((300, 4), {(150, 2): 0.9}))
    assert {name: str(dtype) for name, dtype in full.dtypes.items()} == SCHEMA
    assert isinstance(full.index, pd.RangeIndex)


def test_results_read_well():
    data = recording(spikes((300, 4), {(150, 2): 0.9}))
    found = dasdist.classify(Echo(), data, thresholds=0.2, blinding=(5, 5), pbar=False)
    assert "1 pick (1 P)" in str(found)
    assert "2024-01-01 00:00:01.5" in str(found)
    assert found.P[0].phase == "P"
    assert found.P[0].channel == 20.0
    assert "1 of 1 block," in str(found.report)
    with pytest.raises(AttributeError, match="There is no result 'S'"):
        _ = found.S


@pytest.mark.parametrize("rate", [200.0, 250.0, 50.0])
def test_coordinates_are_exact_after_resampling(rate):
    model = Echo(dt_range=(0.0099, 0.0101))
    lazy = dasdist.annotate(model, recording(noise(1001, 3), rate=rate))
    expected = START + np.arange(lazy.sizes["time"]) * np.timedelta64(10, "ms")
    np.testing.assert_array_equal(lazy["time"].values, expected)
    np.testing.assert_array_equal(lazy["distance"].values, [0.0, 10.0, 20.0])


def test_picks_point_at_the_recording_after_resampling():
    model = Echo(dt_range=(0.0099, 0.0101), dx_range=(19.0, 21.0))
    data = recording(noise(2001, 31) * 0.2, rate=200.0, dx=10.0)
    picks = dasdist.classify(model, data, thresholds=0.3, blinding=(5, 5), pbar=False).picks
    assert len(picks) > 20
    times = data.coords["time"].values[picks.sample_index]
    assert np.abs((picks.time - times) / np.timedelta64(1, "ms")).max() <= 2.5
    assert np.abs(picks.distance - data.coords["distance"].values[picks.channel_index]).max() <= 5
    assert picks.time.is_monotonic_increasing


@pytest.mark.seisbench
def test_wrappers_share_no_state():
    models = pytest.importorskip("seisbench.models")
    first = dasdist.DASWaveformModelWrapper(models.PhaseNet())
    before = dict(first._annotate_args), dict(first.default_args)
    second = dasdist.DASWaveformModelWrapper(models.EQTransformer(), component_strategy="pad")
    second.default_args["overlap_samples"] = 0
    assert (dict(first._annotate_args), dict(first.default_args)) == before
    assert first.component_strategy == "clone"
    assert "detection_threshold" not in first._annotate_args
    assert "detection_threshold" not in dasdist.DASModel._annotate_args


@pytest.mark.seisbench
def test_wrappers_pick_phases_only():
    models = pytest.importorskip("seisbench.models")
    model = dasdist.DASWaveformModelWrapper(models.EQTransformer())
    assert model.annotate_keys == ["Detection", "P", "S"]
    data = recording(noise(6000, 2))
    found = dasdist.classify(model, data, thresholds=0.0, pbar=False)
    assert set(found.picks.phase) <= {"P", "S"}
    assert set(dasdist.annotate(model, data)) == {"Detection", "P", "S"}


def test_few_channels_along_the_first_dim():
    values = spikes((300, 2), {(150, 1): 0.9})
    data = recording(values, dims=("distance", "time"))
    picks = dasdist.classify(Echo(), data, thresholds=0.2, blinding=(5, 5), pbar=False).picks
    assert picks[["channel_index", "sample_index"]].values.tolist() == [[1, 150]]


def test_a_users_model_is_left_as_it_was():
    model = Echo().train()
    model.weight = torch.nn.Parameter(torch.zeros(3))
    picked(model, spikes((300, 2), {(150, 1): 0.9}))
    assert model.training
