"""Optimised models are the same models: folded, compiled, and checked."""

import copy
import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.inference.variant import Variant, build, choose_variant
from dasdist.models import WaveformWrapper
from dasdist.models.fold import FoldedNetwork, fold_batch_norms, fold_components

from .toys import agreeing, noise, recording


class Branches(torch.nn.Module):
    """Convolutions whose outputs go into a normalisation, and one whose output is used twice."""

    def __init__(self, channels, width, kernel, transposed, bias):
        super().__init__()
        self.first = torch.nn.Conv1d(channels, width, kernel, padding="same", bias=bias)
        self.norm = torch.nn.BatchNorm1d(width, eps=1e-3)
        kind = torch.nn.ConvTranspose1d if transposed else torch.nn.Conv1d
        self.second = kind(width, width + 1, kernel, bias=bias)
        self.norm2 = torch.nn.BatchNorm1d(width + 1, affine=bias)
        self.third = torch.nn.Conv1d(width + 1, 2, 1)
        self.norm3 = torch.nn.BatchNorm1d(2)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        raw = self.third(torch.relu(self.norm2(self.second(x))))
        return self.norm3(raw) + raw


@st.composite
def networks(draw):
    channels = draw(st.integers(2, 4))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    network = Branches(
        channels,
        draw(st.integers(1, 9)),
        draw(st.sampled_from([1, 3, 7])),
        draw(st.booleans()),
        draw(st.booleans()),
    ).eval()
    for norm in (network.norm, network.norm2, network.norm3):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.1, 3)
        if norm.affine:
            torch.nn.init.normal_(norm.weight)
            torch.nn.init.normal_(norm.bias)
    return network, torch.randn(draw(st.integers(1, 3)), 1, 40)


@given(networks(), st.sampled_from(["clone", "pad"]))
def test_folded_networks_are_the_same_networks(case, strategy):
    network, one = case
    channels = network.first.in_channels
    clones = one.repeat(1, channels, 1)
    padded = torch.nn.functional.pad(one, (0, 0, 0, channels - 1))
    several = clones if strategy == "clone" else padded
    folded = fold_batch_norms(network, several)
    single = fold_components(folded, several, strategy)
    kinds = [type(part).__name__ for part in (folded.norm, folded.norm2, folded.norm3)]
    assert kinds == ["Identity", "Identity", "BatchNorm1d"]  # the third is not alone
    with torch.no_grad():
        expected = network(several)
        scale = float(expected.abs().max())
        torch.testing.assert_close(folded(several), expected, rtol=0, atol=1e-5 * scale)
        torch.testing.assert_close(single(one), expected, rtol=0, atol=1e-5 * scale)


def test_an_input_that_is_used_twice_is_not_folded():
    class Residual(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv1d(3, 3, 3, padding=1)

        def forward(self, x):
            return x + self.first(x)

    assert fold_components(Residual(), torch.zeros(1, 3, 9), "clone") is None


@pytest.mark.slow
@pytest.mark.seisbench
@pytest.mark.parametrize(
    ("optimize", "strategy"),
    [
        (True, "clone"),
        *(
            pytest.param(*both, marks=pytest.mark.deep)
            for both in ((True, "pad"), ("compile", "clone"), ("compile", "pad"))
        ),
    ],
)
def test_picks_of_labelled_earthquakes_are_those_of_the_plain_model(
    phasenet, earthquakes, optimize, strategy, caplog
):
    if optimize == "compile":
        pytest.importorskip("openvino")
    model = dasdist.DASWaveformModelWrapper(phasenet, component_strategy=strategy)
    options = {"thresholds": 0.1, "blinding": (0, 0), "pbar": False}
    exact = model.classify(earthquakes, optimize=False, **options).picks
    picks = model.classify(earthquakes, optimize=optimize, **options).picks
    assert len(exact) > 50
    assert agreeing(picks, exact) >= 0.999
    assert agreeing(exact, picks) >= 0.999
    assert "is not used" not in caplog.text


@pytest.mark.slow
@pytest.mark.seisbench
@pytest.mark.parametrize(
    "variant", ["channels-last", pytest.param("compiled", marks=pytest.mark.deep)]
)
def test_a_variant_that_differs_is_not_used_and_said_so(phasenet, monkeypatch, caplog, variant):
    if variant == "compiled":
        pytest.importorskip("openvino")
    right = WaveformWrapper.folded

    def wrong(self, samples, argdict):
        folded = right(self, samples, argdict)
        with torch.no_grad():
            folded.network.inc.weight += 0.1
        return folded

    monkeypatch.setattr(WaveformWrapper, "folded", wrong)
    data = recording(noise(4000, 3))
    exact = dasdist.annotate(phasenet, data, optimize=False)["P"].values
    optimize = "compile" if variant == "compiled" else True
    with caplog.at_level(logging.WARNING, logger="dasdist"):
        values = dasdist.annotate(phasenet, data, optimize=optimize)["P"].values
    assert f"the {variant} model is not used" in caplog.text
    assert "the folded model is not used" in caplog.text
    np.testing.assert_allclose(values, exact, atol=1e-6)
    notes = dasdist.classify(phasenet, data, optimize=optimize).report.notes
    assert any(f"the {variant} model is not used" in note for note in notes)
    assert not dasdist.classify(phasenet, data, optimize=False).report.notes


@pytest.mark.parametrize(
    ("argument", "value"), [("optimize", "fast"), ("precision", "float16"), ("optimize", 2)]
)
def test_unknown_forms_are_refused(argument, value):
    with pytest.raises(dasdist.errors.InvalidInput, match=argument):
        choose_variant(torch.nn.Linear(1, 1), {argument: value})


@pytest.mark.seisbench
def test_the_form_follows_from_what_is_asked(phasenet):
    pytest.importorskip("openvino")

    class Own(WaveformWrapper):
        def forward(self, x, argdict=None, **kwargs):
            return super().forward(x, argdict)

    model = dasdist.DASWaveformModelWrapper(phasenet)
    asked = ({}, {"optimize": True}, {"optimize": "compile"}, {"optimize": False})
    kinds = [choose_variant(model, arguments).kind for arguments in asked]
    assert kinds == ["channels-last", "channels-last", "compiled", "plain"]
    assert choose_variant(Own(phasenet), {}) == Variant("plain")  # it heeds no folded network


@pytest.mark.seisbench
def test_one_component_does_for_all_where_only_rounding_tells_them_apart(phasenet, caplog):
    """A GPU may add the samples of equal components in unequal order; here that is played."""
    picker = copy.deepcopy(phasenet)
    exactly = picker.annotate_batch_pre

    def nearly(batch, argdict):
        found = exactly(batch, argdict)
        return found * (1 + 1e-6 * torch.arange(found.shape[1])[:, None])

    picker.annotate_batch_pre = nearly
    folded = dasdist.DASWaveformModelWrapper(picker).folded(3001, {})
    assert (folded.components, folded.alone) == (1, True)
    with caplog.at_level(logging.INFO, logger="dasdist"):
        dasdist.classify(picker, recording(noise(3001, 2)), optimize=True, pbar=False)
    assert "the channels-last model computes 1 of its components, prepared alone, " in caplog.text


def test_weights_of_an_lstm_are_gathered_after_it_was_copied(monkeypatch):
    """Cuda alone gathers them, so that here it is looked at whether it is asked to."""

    class Wrapped:
        device = torch.device("cpu")

        def folded(self, samples, argdict):
            network = torch.nn.Sequential(torch.nn.LSTM(3, 4))
            network[0].gathered = False
            return FoldedNetwork(copy.deepcopy(network), 3)

    def gather(self):
        self.gathered = True

    monkeypatch.setattr(torch.nn.LSTM, "flatten_parameters", gather)
    network = build(Wrapped(), Variant("folded"), (2, 10), {}).network
    assert network[0].gathered


@pytest.mark.seisbench
def test_what_openvino_does_not_compute_in_is_told_and_folded(phasenet, monkeypatch):
    monkeypatch.setattr("dasdist.inference.variant.compiler_found", lambda: True)
    options = {"precision": "bf16", "pbar": False}
    data = recording(noise(3001, 2))
    report = dasdist.classify(phasenet, data, optimize="compile", **options).report
    assert [note.partition(")")[0] for note in report.notes] == [
        "the compiled model is not used (RuntimeError: on CPUs it computes in float32, and "
        "precision is bf16"
    ]
    assert not dasdist.classify(phasenet, data, **options).report.notes


def test_a_gpu_compiles_in_any_precision(monkeypatch):
    """A GPU is played: the network is compiled by torch, whatever the precision."""

    class OnGpu:
        device = torch.device("cuda")

        def folded(self, samples, argdict):
            return FoldedNetwork(torch.nn.Identity(), 3)

    monkeypatch.setattr(torch, "compile", lambda network, dynamic: (network, "compiled"))
    for precision in ("float32", "tf32", "bf16", "fp16"):
        found = build(OnGpu(), Variant("compiled", precision), (2, 10), {})
        assert found.network[1] == "compiled"
