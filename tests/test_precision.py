"""Lower precision saves time where nothing happens, and moves no picks."""

import copy
from contextlib import contextmanager, nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.callbacks import Needs
from dasdist.inference import Predictor
from dasdist.inference.refine import SHARES, computed_again
from dasdist.inference.variant import Variant

from .toys import agreeing, noise, recording


def as_exactly(picks, exact):
    return min(agreeing(picks, exact), agreeing(exact, picks))


@pytest.mark.slow
@pytest.mark.seisbench
@pytest.mark.parametrize(
    ("picker", "precision", "threshold"),
    [
        ("phasenet", "bf16", 0.1),
        pytest.param("phasenet", "bf16", 0.3, marks=pytest.mark.deep),
        ("phasenet", "fp16", 0.3),
        # it cannot compute in fp16
        pytest.param("eqtransformer", "bf16", 0.1, marks=pytest.mark.deep),
    ],
)
def test_picks_of_labelled_earthquakes_are_those_of_the_plain_model(
    picker, precision, threshold, earthquakes, request
):
    model = request.getfixturevalue(picker)
    options = {"thresholds": threshold, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(model, earthquakes, optimize=False, **options).picks
    found = dasdist.classify(model, earthquakes, precision=precision, **options)
    assert len(exact) > 50
    assert as_exactly(found.picks, exact) >= 0.999
    assert found.report.notes == ()  # it was heeded


@pytest.mark.gpu
@pytest.mark.seisbench
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_picks_of_a_gpu_in_lower_precision_are_those_of_the_cpu(phasenet, earthquakes, precision):
    options = {"thresholds": 0.1, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(phasenet, earthquakes, optimize=False, **options).picks
    on_gpu = dasdist.DASWaveformModelWrapper(copy.deepcopy(phasenet)).cuda().eval()
    picks = dasdist.classify(on_gpu, earthquakes, precision=precision, **options).picks
    assert as_exactly(picks, exact) >= 0.999


@pytest.mark.seisbench
def test_probabilities_are_in_the_precision_that_was_asked_for(phasenet, earthquakes):
    exact = dasdist.annotate(phasenet, earthquakes[:, :4])["P"].values
    for precision, least, most in (("fp16", 1e-5, 0.05), ("bf16", 1e-4, 0.2)):
        rough = dasdist.annotate(phasenet, earthquakes[:, :4], precision=precision)["P"].values
        assert least < np.nanmax(np.abs(rough - exact)) < most


class Smooth(dasdist.DASModel):
    """Loudness, smoothed over time and channels by a convolution; counts what it computes."""

    def __init__(self, channelwise, cannot=None):
        structure = dasdist.PatchingStructure(64, 8, 64, 8, (0, 64), (0, 8), 32, 0)
        super().__init__(patching_structure=structure, annotate_keys=["P", "S"])
        self.channelwise = channelwise
        self.cannot = cannot
        self.convolution = torch.nn.Conv2d(1, 1, (5, 1 if channelwise else 3), padding="same")
        torch.nn.init.constant_(self.convolution.weight, 0.1)
        torch.nn.init.zeros_(self.convolution.bias)
        self.shapes = {}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback

    def forward(self, x, argdict=None):
        lower = torch.is_autocast_enabled("cpu")
        if lower and self.cannot is not None:
            raise self.cannot
        self.shapes.setdefault("lower" if lower else "float32", []).append(tuple(x.shape))
        loud = self.convolution(x.abs_()[:, None])[:, 0]  # changes its input
        return {"P": loud.clamp(max=1), "S": loud / 2}


def shaken(samples=640, channels=24):
    """Noise, and something on every fourth channel."""
    values = noise(samples, channels, scale=0.01)
    values[300:310, ::4] += np.linspace(0.2, 2, len(range(0, channels, 4)))
    return recording(values)


@pytest.mark.parametrize("channelwise", [True, False])
def test_only_what_may_be_picked_is_computed_again(channelwise):
    model = Smooth(channelwise).eval()
    predictor = Predictor(model)
    batch = torch.from_numpy(noise(64, 24, scale=0.01)).reshape(64, 3, 8).movedim(1, 0).contiguous()
    if channelwise:
        batch = batch.movedim(0, 1).reshape(1, 64, 24)
    batch[0, 20:25, 5] = 1
    axis, count, size = (2, 24, 3) if channelwise else (0, 3, 1)
    variant = Variant("plain", "bf16")
    exact = predictor(batch.clone(), {}, (0.01, 10.0))
    rough = predictor(batch.clone(), {}, (0.01, 10.0), variant)
    model.shapes.clear()
    found = predictor(batch.clone(), {}, (0.01, 10.0), variant, {"P": 0.3})
    assert [shape[axis] for shape in model.shapes["lower"]] == [count]
    assert [shape[axis] for shape in model.shapes["float32"]] == [size]
    loud = 5 if channelwise else 0
    for key in ("P", "S"):
        expected = rough[key].clone()
        expected.select(axis, loud).copy_(exact[key].select(axis, loud))
        torch.testing.assert_close(found[key], expected, rtol=0, atol=1e-6)
    assert not torch.equal(rough["P"], exact["P"])


@given(
    st.integers(1, 40),
    st.sampled_from([0, 2]),
    st.dictionaries(st.sampled_from("PS"), st.floats(-0.5, 1), min_size=1),
    st.integers(0, 2**31),
)
def test_what_is_computed_again_is_what_reaches_half_a_threshold(count, axis, least, seed):
    random = np.random.default_rng(seed)
    shape = (count, 3, 2) if axis == 0 else (1, 3, count)
    rough = {key: torch.from_numpy(random.random(shape) ** 4) for key in "PS"}
    rough["S"][tuple(random.integers(0, n) for n in shape)] = torch.nan
    batch = torch.from_numpy(random.random(shape))
    sizes = []

    def exact(some):
        sizes.append(some.shape[axis])
        return {key: some + offset for key, offset in (("P", 10), ("S", 20))}

    found = computed_again(rough, batch, axis, least, exact)
    again = 0
    for i in range(count):
        curves = {key: values.select(axis, i) for key, values in rough.items()}
        chosen = any(
            value <= 0 or not bool((curves[key] < value / 2).all()) for key, value in least.items()
        )
        again += chosen
        for key, offset in (("P", 10), ("S", 20)):
            wanted = batch.select(axis, i) + offset if chosen else curves[key]
            torch.testing.assert_close(found[key].select(axis, i), wanted, equal_nan=True)
    piece = -(-count // 8)
    assert sizes == [piece] * -(-again // piece)


@pytest.mark.parametrize("channelwise", [True, False])
@pytest.mark.parametrize("block", [{"time": 64, "distance": 8}, {"time": 300, "distance": 16}])
def test_picks_in_lower_precision_do_not_depend_on_blocks(channelwise, block):
    model, data = Smooth(channelwise).eval(), shaken()
    options = {"thresholds": 0.2, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(model, data, **options).picks
    whole = dasdist.classify(model, data, precision="bf16", **options).picks
    blocks = dasdist.classify(model, data, precision="bf16", block=block, **options).picks
    assert len(exact) >= 6
    same_picks(whole, exact)
    same_picks(blocks, exact)
    rough = dasdist.annotate(model, data, precision="bf16")["P"].values
    assert not np.array_equal(rough, dasdist.annotate(model, data)["P"].values)  # it is heeded


def test_picks_do_not_move_beside_another_callback_nor_in_files(tmp_path):
    model, data = Smooth(True).eval(), shaken()
    options = {"thresholds": 0.2, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(model, data, **options).picks
    options |= {"precision": "bf16"}
    lasting = dasdist.classify(
        model, data, out=tmp_path / "picks.parquet", annotations=tmp_path / "p.zarr", **options
    )
    same_picks(lasting.picks, exact)
    same_picks(dasdist.classify(model, data, out=tmp_path / "only", **options).picks, exact)
    picking = dasdist.DASPickingCallback(thresholds=0.2, blinding=(0, 0))
    both = dasdist.MultiCallback([picking, dasdist.InMemoryCollectionCallback()])
    dasdist.annotate(model, data, both, precision="bf16", pbar=False)
    same_picks(picking.picks, exact)


def same_picks(some, others):
    keys = ["channel_index", "phase", "sample_index"]
    assert some[keys].equals(others[keys])
    np.testing.assert_allclose(some.confidence, others.confidence, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [RuntimeError, TypeError])
def test_what_cannot_compute_in_lower_precision_computes_in_float32_and_says_so(kind):
    data, options = shaken(), {"thresholds": 0.2, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(Smooth(True).eval(), data, **options).picks
    model = Smooth(True, cannot=kind("'smooth' not implemented for 'Half'")).eval()
    said = (
        f"it cannot compute in fp16, so float32 is used: {kind.__name__}: 'smooth' not implemented"
    )
    for _ in range(2):  # also where the replica knows already
        result = dasdist.classify(model, data, precision="fp16", **options)
        assert result.picks.equals(exact)
        assert [note[: len(said)] for note in result.report.notes] == [said]


def test_of_several_callbacks_the_least_value_counts():
    def picking(**thresholds):
        return Needs(exact_above=thresholds)

    both = picking(P=0.3, S=0.1).merged(picking(P=0.2))
    assert both.exact_above == {"P": 0.2, "S": 0.1}
    assert picking(P=0.3).merged(Needs()).exact_above == {"P": 0.3}
    assert Needs().merged().exact_above == {}


def test_the_closer_the_precision_the_less_is_computed_again():
    batch = torch.tensor([[[0.0, 0.3, 0.8]]])
    for precision, again in (("bf16", 2), ("fp16", 1), ("tf32", 1)):
        sizes = []

        def exact(some, sizes=sizes):
            sizes.append(some.shape[2])
            return {"P": some}

        computed_again({"P": batch}, batch, 2, {"P": 0.5}, exact, SHARES[precision])
        assert len(sizes) == again  # a piece is one window here


def test_a_cpu_asked_for_tf32_computes_in_float32_and_says_so():
    data, options = shaken(), {"thresholds": 0.2, "blinding": (0, 0), "pbar": False}
    exact = dasdist.classify(Smooth(True).eval(), data, **options).picks
    found = dasdist.classify(Smooth(True).eval(), data, precision="tf32", **options)
    assert found.picks.equals(exact)
    assert found.report.notes == ("tf32 is a precision of GPUs, so float32 is used",)


@pytest.mark.parametrize(("precision", "first"), [("tf32", "in_tf32"), ("bf16", "full_precision")])
def test_a_gpu_screens_in_the_precision_and_computes_again_in_float32(
    monkeypatch, played_gpu, precision, first
):
    """A GPU is played by a CPU that says in which of torch's settings it computes."""
    seen, now = [], ["none"]

    @contextmanager
    def told(bits):
        now[0] = bits
        yield
        now[0] = "none"

    model = Smooth(True).eval()
    forward = model.forward
    model.forward = lambda x, argdict=None: seen.append(now[0]) or forward(x)
    for name in ("full_precision", "in_tf32"):
        setting = partial(lambda name, device: told(name), name)
        monkeypatch.setattr(f"dasdist.inference.predictor.{name}", setting)
    monkeypatch.setattr(torch, "autocast", lambda *device_and_type: nullcontext())
    batch = torch.zeros(1, 64, 8)
    batch[0, 20:30, 5] = 3.0
    Predictor(model)(batch, {}, (0.01, 10.0), Variant(precision=precision), {"P": 0.2})
    assert seen == [first, "full_precision"]
