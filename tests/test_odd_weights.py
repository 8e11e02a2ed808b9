"""What weights ask for: thresholds, blinding, filters, phases; and models that give no curves."""

import copy
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import scipy.signal

import dasdist
from dasdist.models import WaveformWrapper

from .test_cli import events, here
from .toys import Toy, noise, recording

sbm = pytest.importorskip("seisbench.models")
pytestmark = pytest.mark.seisbench


@pytest.fixture(scope="module")
def quake(das_file):
    import xdas

    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    return recording(np.asarray(data.values), dx=1.0)


def with_defaults(model, **default_args):
    theirs = copy.deepcopy(model)
    theirs.default_args = default_args
    return theirs


# ---------------------------------------------------------------- thresholds and blinding


ASKED = {"P_threshold": 0.5, "S_threshold": 0.4, "detection_threshold": 0.9}


def test_thresholds_that_come_with_weights_are_the_defaults(phasenet, quake):
    model = with_defaults(phasenet, **ASKED)
    expected = dasdist.classify(phasenet, quake, thresholds={"P": 0.5, "S": 0.4}, pbar=False).picks
    assert len(expected) > 100
    assert len(expected) < len(dasdist.classify(phasenet, quake, pbar=False).picks)
    for one in (model, dasdist.DASWaveformModelWrapper(model), sbm.DASWaveformModelWrapper(model)):
        found = dasdist.classify(one, quake, pbar=False)
        pd.testing.assert_frame_equal(found.picks, expected)
        assert "P 0.5, S 0.4 (default_args of the model)" in found.report.facts["thresholds"]


def test_what_is_passed_goes_before_what_comes_with_weights(phasenet, quake):
    model = with_defaults(phasenet, **ASKED)
    found = dasdist.classify(model, quake, thresholds=0.3, pbar=False)
    expected = dasdist.classify(phasenet, quake, thresholds=0.3, pbar=False)
    pd.testing.assert_frame_equal(found.picks, expected.picks)
    assert found.report.facts["thresholds"] == "0.3 (passed)"


def test_a_phase_that_weights_say_nothing_of_has_the_usual_threshold(phasenet, quake):
    model = with_defaults(phasenet, P_threshold=0.5)
    found = dasdist.classify(model, quake, pbar=False)
    expected = dasdist.classify(phasenet, quake, thresholds={"P": 0.5, "S": 0.2}, pbar=False)
    pd.testing.assert_frame_equal(found.picks, expected.picks)
    text = "P 0.5 (default_args of the model), S 0.2 (default)"
    assert (
        found.report.facts["thresholds"] == dasdist.plan(model, quake).facts["thresholds"] == text
    )


def test_a_das_model_brings_its_own_options():
    data = recording(noise(900, 8))
    plain = {"thresholds": 0.7, "min_time_separation": 0.1, "blinding": (3, 4)}
    expected = dasdist.classify(Toy(), data, pbar=False, **plain)
    found = dasdist.classify(Toy(default_args=plain), data, pbar=False)
    assert len(expected.picks) > 20
    pd.testing.assert_frame_equal(found.picks, expected.picks)
    assert found.report.facts["blinding"] == "3, 4 (default_args of the model)"


def test_the_report_names_the_thresholds_of_a_callback():
    callback = dasdist.DASPickingCallback({"P": 0.6, "S": 0.7}, blinding=(1, 1))
    report = dasdist.annotate(Toy(), recording(noise(900, 8)), callback, pbar=False)
    assert report.facts["thresholds"] == "P 0.6, S 0.7 (of the callback)"
    assert "thresholds P 0.6, S 0.7 (of the callback)" in str(report)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ((0, 0), "100, 100 (default; default_args of the model ask for 0, 0)"),
        ((250, 300), "250, 300 (default_args of the model)"),
    ],
)
def test_the_larger_of_two_blindings_counts_once(phasenet, quake, own, told):
    model = with_defaults(phasenet, blinding=own)
    found = dasdist.classify(model, quake, thresholds=0.1, pbar=False)
    assert found.report.facts["blinding"] == told
    # the model without any of its own, and all of it left to picking
    blinding = tuple(np.maximum(own, 100).tolist())
    plain = with_defaults(phasenet, blinding=(0, 0))
    expected = dasdist.classify(plain, quake, thresholds=0.1, blinding=blinding, pbar=False).picks
    where = ["phase", "channel_index", "sample_index"]
    if own == (0, 0):
        pd.testing.assert_frame_equal(found.picks, expected)
    # a peak needs both its neighbours: only at the very edge one may be missing
    merged = expected.merge(found.picks, on=where, how="outer", indicator=True)
    assert (merged["_merge"] == "both").mean() > 0.95
    assert found.picks.sample_index.min() >= blinding[0]


def test_wrong_options_of_weights_are_refused_before_work(phasenet, quake):
    with pytest.raises(dasdist.InvalidInput, match=r"thresholds=.*from 0 to 1"):
        dasdist.classify(with_defaults(phasenet, P_threshold="high"), quake, pbar=False)
    with pytest.raises(dasdist.InvalidInput, match="blinding"):
        dasdist.classify(with_defaults(phasenet, blinding=5), quake, pbar=False)


def test_plan_and_command_line_name_the_thresholds(tmp_path, shared_data, quake):
    for suffix in (".json", ".pt"):
        shutil.copyfile(
            shared_data / "weights" / f"phasenet_original{suffix}", tmp_path / f"own{suffix}"
        )
    pair = tmp_path / "own.json"
    description = json.loads(pair.read_text())
    pair.write_text(json.dumps({**description, "default_args": {**ASKED, "blinding": [0, 0]}}))
    quake.to_netcdf(tmp_path / "data.nc")
    words = [tmp_path / "data.nc", "--model", pair]
    told = "P 0.5, S 0.4 (default_args of the model)"
    assert told in here("plan", *words).stdout
    assert events(here("plan", *words, "--json").stdout)[-1]["facts"]["thresholds"] == told
    assert here("classify", *words, "-o", tmp_path / "picks", "--quiet").exit_code == 0
    picks = pd.read_parquet(tmp_path / "picks")
    least = picks.groupby(picks.phase.astype(str)).confidence.min()
    assert least["P"] >= 0.5
    assert 0.4 <= least["S"] < 0.5
    report = json.loads((tmp_path / "picks.dasdist" / "report.json").read_text())
    assert report["facts"]["thresholds"] == told
    assert told in (tmp_path / "picks.dasdist" / "report.txt").read_text()


# ---------------------------------------------------------------- filters


def test_a_filter_without_corners_has_those_of_obspy():
    model = sbm.PhaseNet(filter_args=("highpass",), filter_kwargs={"freq": 1.0})
    kind, options = WaveformWrapper(model).filter_samples
    sos = getattr(scipy.signal, kind)(**options, fs=100.0, output="sos")
    obspy_filter = pytest.importorskip("obspy.signal.filter")
    x = noise(2000, 1)[:, 0].astype("float64")
    expected = obspy_filter.highpass(x, 1.0, 100.0)
    np.testing.assert_allclose(scipy.signal.sosfilt(sos, x), expected, atol=1e-9)


def test_a_filter_without_its_frequency_is_refused():
    model = sbm.PhaseNet(filter_args=("bandpass",), filter_kwargs={"freqmin": 1.0})
    with pytest.raises(dasdist.InvalidInput, match="bandpass filter of PhaseNet lacks freqmax"):
        WaveformWrapper(model)
    with pytest.raises(dasdist.InvalidInput, match="lacks freq"):
        WaveformWrapper(sbm.PhaseNet(filter_args=("highpass",)))
    # as the message says
    own = ("butter", {"N": 2, "Wn": 1.0, "btype": "highpass"})
    assert dasdist.DASWaveformModelWrapper(model, filter_samples=own).filter_samples == own


# ---------------------------------------------------------------- phases and other outputs


@pytest.mark.slow
def test_polarities_are_no_picks():
    data = recording(noise(13000, 2), dx=1.0)
    model = sbm.EQTP().eval()
    assert WaveformWrapper(model).phases == ["P", "S"]
    assert set(WaveformWrapper(model).annotate_keys) == {"Polarity_U", "Polarity_D", "P", "S"}
    found = dasdist.classify(model, data, thresholds=0.01, pbar=False)
    assert len(found.picks)
    assert set(found.picks.phase) <= {"P", "S"}


def test_phases_of_other_pickers_are_what_they_were(phasenet, eqtransformer):
    assert WaveformWrapper(phasenet).phases == ["P", "S"]
    assert WaveformWrapper(eqtransformer).phases == ["P", "S"]
    assert WaveformWrapper(sbm.Skynet(phases=["Pn", "Pg", "Sn", "Sg", "N"])).phases == [
        "Pn",
        "Pg",
        "Sn",
        "Sg",
    ]


def test_a_model_without_phases_picks_what_it_is_told_to():
    class Detector(Toy):
        phases = ()

    data = recording(noise(900, 8))
    options = {"blinding": (1, 1), "pbar": False}
    with pytest.raises(dasdist.InvalidInput, match=r"names no phases .* \{'P': 0.2\}"):
        dasdist.classify(Detector(), data, **options)
    found = dasdist.classify(Detector(), data, thresholds={"P": 0.6}, **options).picks
    assert set(found.phase) == {"P"}


def test_a_model_with_coarser_outputs_than_it_says_is_told_of():
    data = recording(noise(3200, 2), dx=1.0)
    with pytest.raises(dasdist.ModelMismatch, match=r"19 values for 3000 .* such as PhaseNet"):
        dasdist.classify(sbm.CRED().eval(), data, thresholds={"Detection": 0.2}, pbar=False)


REFUSED = {
    "DeepDenoiser": "as denoisers do",
    "SeisDAE": "as denoisers do",
    "GPD": "output_type 'point'",
    "DPPDetector": "output_type None",
    "PhaseTEAM": "several stations at once",
    "DKPN": "prepares whole streams itself",
}


@pytest.mark.parametrize("name", REFUSED)
def test_models_without_curves_are_refused_at_wrapping(name):
    model = getattr(sbm, name)()
    data = recording(noise(400, 2))
    for wrap in (WaveformWrapper, dasdist.DASWaveformModelWrapper, dasdist.models.as_das_model):
        with pytest.raises(dasdist.InvalidInput, match=REFUSED[name]) as refused:
            wrap(model)
        assert name in str(refused.value)
        assert "PhaseNet" in str(refused.value)
    with pytest.raises(dasdist.InvalidInput, match=REFUSED[name]):
        dasdist.classify(model, data)
