"""Networks channels last are the same networks: step by step, and those that people use."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import dasdist
from dasdist.demo.model import DemoPicker
from dasdist.inference.variant import Variant, choose_variant
from dasdist.models.channels_last import channels_last
from dasdist.models.compiled_layers import CompiledAttention, CompiledLSTM, with_compiled_layers
from dasdist.models.fold import fold_batch_norms, fold_components
from dasdist.models.recorded import recorded

from .toys import noise, recording


class Steps(torch.nn.Module):
    """Functions one after the other."""

    def __init__(self, *steps):
        super().__init__()
        self.steps = steps
        self.held = torch.nn.ModuleList(s for s in steps if isinstance(s, torch.nn.Module))

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


def assert_same(network, x):
    network = network.eval()
    with torch.no_grad():
        expected = network(x)
        found = channels_last(network, x)(x)
        scale = max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * scale)


@st.composite
def before_convolutions(draw):
    kind = draw(st.sampled_from(["nothing", "zeros", "ones", "repeats", "lines"]))
    ends = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    times = draw(st.integers(1, 4))
    return {
        "nothing": lambda x: x,
        "zeros": lambda x: torch.nn.functional.pad(x, ends),
        "ones": lambda x: torch.nn.functional.pad(x, ends, value=1.0),
        "repeats": torch.nn.Upsample(scale_factor=times),
        "lines": torch.nn.Upsample(scale_factor=times, mode="linear"),
    }[kind]


@given(
    before=before_convolutions(),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 17)),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 2),
    padding=st.sampled_from([0, 1, 3, "same", "valid"]),
    bias=st.booleans(),
    rectify=st.booleans(),
    depthwise=st.booleans(),
    samples=st.integers(20, 45),
    windows=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_convolutions_are_the_same(
    before, channels, kernel, stride, dilation, padding, bias, rectify, depthwise, samples, windows,
    seed,
):  # fmt: skip
    torch.manual_seed(seed)
    inputs, outputs = (channels[0], channels[0]) if depthwise else channels
    convolution = torch.nn.Conv1d(
        inputs,
        outputs,
        kernel,
        stride=1 if padding == "same" else stride,
        padding=padding,
        dilation=dilation,
        groups=inputs if depthwise else 1,
        bias=bias,
    )
    network = Steps(before, convolution, torch.relu if rectify else torch.sigmoid)
    assert_same(network, torch.randn(windows, inputs, samples))


@given(
    channels=st.tuples(st.integers(1, 5), st.integers(1, 9)),
    kernel=st.integers(1, 9),
    stride=st.integers(1, 6),
    padding=st.integers(0, 6),
    more=st.integers(0, 5),
    bias=st.booleans(),
    samples=st.integers(2, 12),
    seed=st.integers(0, 2**31),
)
def test_transposed_convolutions_are_the_same(
    channels, kernel, stride, padding, more, bias, samples, seed
):
    assume((samples - 1) * stride + kernel + more > 2 * padding)  # torch wants an output
    assume(more < stride)
    torch.manual_seed(seed)
    transposed = torch.nn.ConvTranspose1d(
        *channels, kernel, stride, padding=padding, output_padding=more, bias=bias
    )
    network = Steps(torch.nn.Conv1d(2, channels[0], 1), transposed, torch.nn.ReLU())
    assert_same(network, torch.randn(3, 2, samples))


@given(st.integers(1, 4), st.integers(1, 4), st.integers(9, 30), st.booleans())
def test_other_steps_are_the_same(kernel, stride, samples, ceil):
    class Others(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv1d(3, 16, 3, padding=1)
            self.norm = torch.nn.BatchNorm1d(16)
            self.pool = torch.nn.MaxPool1d(kernel, stride, ceil_mode=ceil)
            self.last = torch.nn.Conv1d(35, 4, 1)

        def forward(self, x):
            y = torch.relu(self.norm(torch.tanh(self.first(x))))
            pooled = self.pool(y)[:, :, : x.shape[-1] // 8]
            short = pooled.shape[-1]
            more = [x[..., :short], pooled, y.transpose(1, 2)[:, 1 : short + 1].transpose(1, 2)]
            return self.last(torch.cat(more, dim=1)).softmax(dim=1).mT

    torch.manual_seed(samples)
    network = Others()
    torch.nn.init.normal_(network.norm.running_mean)
    assert_same(network, torch.randn(2, 3, samples))


def lively(network):
    """Give a network statistics as if it were trained, so that its outputs vary."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.02, 0.3)
    return network.eval()


@pytest.mark.seisbench
@pytest.mark.parametrize("windows", [1, 3])
@pytest.mark.parametrize(
    ("name", "samples", "options"),
    [
        ("PhaseNet", 3001, {"phases": "NPS"}),
        ("PhaseNet", 3001, {"phases": "PS", "classes": 2}),
        ("PhaseNet", 3001, {"phases": "NPSDX", "classes": 5, "filter_factor": 2}),
        ("PhaseNetLight", 3001, {}),
        ("VariableLengthPhaseNet", 600, {"in_samples": 600}),
        ("VariableLengthPhaseNet", 1111, {"in_samples": 1111, "output_activation": "sigmoid"}),
        ("EQTransformer", 6000, {"original_compatible": "conservative"}),
        ("EQTransformer", 6000, {"original_compatible": "non-conservative"}),
        ("EQTransformer", 6000, {}),
        ("EQTransformer", 1999, {"in_samples": 1999, "classes": 3, "phases": "PSX"}),
    ],
)
def test_pickers_are_the_same(name, samples, options, windows):
    models = pytest.importorskip("seisbench.models")
    network = lively(getattr(models, name)(**options))
    one = torch.randn(windows, 1, samples)
    components = one.repeat(1, network.in_channels, 1)
    single = fold_components(fold_batch_norms(network, components), components, "clone")
    changed = channels_last(with_compiled_layers(single), one)
    with torch.inference_mode():
        found, rough = changed(one), network(components)
        exact = network.double()(components.double())
        if name != "EQTransformer":
            found, rough, exact = [found], [rough], [exact]
        for a, b, c in zip(found, rough, exact, strict=True):
            assert float(c.std()) > 1e-5  # there is something to compare
            # what single precision makes of such weights is not this form's fault
            assert float((a - c).abs().max()) <= 2 * float((b - c).abs().max()) + 1e-6


@pytest.mark.seisbench
@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("gate", ["hard", "soft"])
def test_compiled_lstms_are_seisbenchs(both, gate):
    base = pytest.importorskip("seisbench.models.base")
    torch.manual_seed(1)
    options = {"gate_activation": torch.sigmoid} if gate == "soft" else {}
    lstm = base.CustomLSTM(base.ActivationLSTMCell, 5, 16, bidirectional=both, **options)
    changed = with_compiled_layers(torch.nn.Sequential(lstm))[0]
    assert type(changed) is CompiledLSTM
    x = 3 * torch.randn(20, 4, 5)
    with torch.no_grad():
        torch.testing.assert_close(changed(x)[0], lstm(x)[0], rtol=0, atol=2e-6)


@pytest.mark.seisbench
@pytest.mark.parametrize("width", [None, 1, 2, 3, 4])
def test_compiled_attention_is_seisbenchs(width):
    own = pytest.importorskip("seisbench.models.eqtransformer")
    torch.manual_seed(1)
    attention = own.SeqSelfAttention(16, attention_width=width)
    for weight in attention.parameters():
        torch.nn.init.normal_(weight)
    changed = with_compiled_layers(torch.nn.Sequential(attention))[0]
    assert type(changed) is CompiledAttention
    x = torch.randn(3, 16, 47)
    with torch.no_grad():
        for found, expected in zip(changed(x), attention(x), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.seisbench
def test_layers_that_do_something_else_stay():
    base = pytest.importorskip("seisbench.models.base")
    cells = {"recurrent_dropout": {"recurrent_dropout": 0.1}, "gate": {"gate_activation": abs}}
    for options in cells.values():
        lstm = base.CustomLSTM(base.ActivationLSTMCell, 5, 16, **options)
        assert type(with_compiled_layers(torch.nn.Sequential(lstm))[0]) is base.CustomLSTM


def test_weights_that_are_computed_stay_computed():
    convolution = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(2, 9, 5))
    assert_same(torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), convolution), torch.randn(2, 1, 20))


def test_what_depends_on_values_is_not_written_down():
    convolution = torch.nn.Conv1d(1, 8, 3)

    def branching(x):
        return x if x.mean() > 0 else -x

    def changing(x):
        x[:, :, 0] = 1
        return x

    x = torch.randn(1, 1, 9)
    for step in (branching, changing):
        with pytest.raises(ValueError, match=r"depends on values|in place"):
            recorded(Steps(convolution, step), x)
    with pytest.raises(ValueError, match="no convolutions"):
        channels_last(torch.nn.ReLU(), x)


@pytest.mark.seisbench
def test_a_network_that_cannot_be_written_down_computes_folded_and_it_is_said(caplog):
    models = pytest.importorskip("seisbench.models")

    class Branching(models.PhaseNet):
        def forward(self, x, logits=False):
            return super().forward(x if float(x.abs().sum()) >= 0 else -x, logits)

    model = lively(Branching(phases="NPS"))
    data = recording(noise(4000, 3))
    exact = dasdist.annotate(model, data, optimize=False)["P"].values
    with caplog.at_level(logging.WARNING, logger="dasdist"):
        values = dasdist.annotate(model, data)["P"].values
    assert "the channels-last model is not used" in caplog.text
    assert "going on with the folded one" in caplog.text
    np.testing.assert_allclose(values, exact, rtol=0, atol=2e-5)
    notes = dasdist.classify(model, data).report.notes
    assert [note for note in notes if "going on with the folded one" in note]


def test_the_picker_of_the_demo_is_the_same(caplog):
    picker = lively(DemoPicker())
    assert choose_variant(picker, {}) == Variant("channels-last")
    data = recording(noise(5000, 5))
    exact = dasdist.annotate(picker, data, optimize=False)
    found = dasdist.annotate(picker, data)
    for phase in "PS":
        np.testing.assert_allclose(found[phase].values, exact[phase].values, rtol=0, atol=1e-5)
    assert "is not used" not in caplog.text


def test_writing_a_network_down_leaves_it_as_it_is():
    network = torch.nn.Sequential(torch.nn.Conv1d(1, 8, 3), torch.nn.ReLU()).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x = torch.randn(1, 1, 9)
    expected = network(x)
    channels_last(network, x)
    assert torch.equal(network(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
