"""Optimised models are the same models: folded, compiled, and checked."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.inference.variant import Variant, choose_variant
from dasdist.models import WaveformWrapper
from dasdist.models.fold import fold_batch_norms, fold_components

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
@pytest.mark.parametrize("strategy", ["clone", "pad"])
@pytest.mark.parametrize("optimize", [True, "compile"])
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
@pytest.mark.parametrize("variant", ["channels-last", "compiled"])
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
