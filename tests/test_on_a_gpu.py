"""Whole runs on a GPU; where there is none, on one that the CPU plays (`tests.played`)."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

import dasdist

from .toys import Toy, noise, recording

OPTIONS = {"thresholds": 0.6, "blinding": (1, 1), "min_time_separation": 0.2, "pbar": False}
COLUMNS = ["time", "distance", "phase", "channel_index", "sample_index"]

on_both = pytest.mark.parametrize("where", ["played", pytest.param("real", marks=pytest.mark.gpu)])


def on_gpu(request, where, model):
    """Return a model on the GPU; from here on one is played where that is asked for."""
    if where == "real":
        return copy.deepcopy(model).cuda().eval()
    request.getfixturevalue("played_gpu")
    return model


def same_picks(found, expected):
    assert len(expected) > 50
    pd.testing.assert_frame_equal(found[COLUMNS], expected[COLUMNS])
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)


class Listening(Toy):
    """An LSTM along every channel, and a transposed convolution behind it."""

    channelwise = True

    def __init__(self):
        super().__init__((64, 4), (64, 4), ((0, 64), (0, 4)), (32, 0))
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM(1, 8, bidirectional=True, batch_first=True)
        self.wider = torch.nn.ConvTranspose1d(16, 1, 7, padding=3)

    def forward(self, x, argdict=None):
        batch, samples, channels = x.shape
        heard = self.lstm(x.movedim(2, 1).reshape(-1, samples, 1))[0]
        curve = torch.sigmoid(4 * self.wider(heard.movedim(1, 2)))
        curve = curve.view(batch, channels, samples).movedim(1, 2)
        return {"P": curve, "S": 1 - curve}


@on_both
def test_an_lstm_computes_in_all_bits_of_float32(request, where):
    """Products of TF32 would be off by 1e-4 and more."""
    data = recording(noise(640, 40))
    model = Listening().eval()
    double = copy.deepcopy(model).double()
    expected = dasdist.annotate(double, data).compute()
    found = dasdist.annotate(on_gpu(request, where, model), data).compute()
    for key in ("P", "S"):
        assert float(expected[key].std()) > 0.01
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=2e-6)


@on_both
def test_a_run_is_the_same_bit_by_bit_when_it_is_run_again(request, where):
    data = recording(noise(1280, 12))
    model = on_gpu(request, where, Listening().eval())
    first, second = (collected(model, data) for _ in range(2))
    for key in ("P", "S"):
        np.testing.assert_array_equal(first[key].values, second[key].values)


def collected(model, data, **options):
    callback = dasdist.InMemoryCollectionCallback()
    dasdist.annotate(model, data, callback, pbar=False, **options)
    return callback.annotations


@on_both
def test_results_do_not_depend_on_blocks(request, where):
    data = recording(noise(1280, 12))
    model = on_gpu(request, where, Listening().eval())
    whole = collected(model, data)
    picks = dasdist.classify(model, data, **OPTIONS).picks
    for block in ({"time": 333, "distance": 7}, {"time": 640}):
        parts = collected(model, data, block=block)
        for key in ("P", "S"):
            np.testing.assert_allclose(parts[key], whole[key], rtol=0, atol=1e-6)
        same_picks(dasdist.classify(model, data, block=block, **OPTIONS).picks, picks)


@on_both
@pytest.mark.parametrize("kind", [Toy, Listening])
def test_annotations_in_zarr_are_those_of_the_cpu(request, where, kind, tmp_path):
    data = recording(noise(2000, 12))
    model = kind().eval()
    expected = collected(model, data)
    model = on_gpu(request, where, model)
    writer = dasdist.WriterCallback(tmp_path / "p.zarr")
    dasdist.annotate(model, data, writer, block={"time": 500}, pbar=False)
    found = dasdist.open_annotations(tmp_path / "p.zarr")
    for key in ("P", "S"):
        np.testing.assert_allclose(found[key], expected[key], rtol=0, atol=1e-5)


@on_both
@pytest.mark.slow
@pytest.mark.seisbench
@pytest.mark.parametrize("picker", ["phasenet", "eqtransformer"])
def test_probabilities_of_pickers_are_those_of_the_cpu(request, where, picker, earthquakes):
    model = dasdist.DASWaveformModelWrapper(request.getfixturevalue(picker)).eval()
    data = earthquakes[:, :4]
    exact = dasdist.annotate(model, data, pad=True, optimize=False).compute()
    model = on_gpu(request, where, model)
    with pytest.MonkeyPatch.context() as patch:
        if where == "played":  # a warning is what cuDNN makes of weights that are not gathered
            patch.setattr(torch.nn.LSTM, "flatten_parameters", lambda self: None)
        found = dasdist.annotate(model, data, pad=True).compute()
    for key in exact:
        np.testing.assert_allclose(found[key], exact[key], rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_weights_of_a_folded_lstm_lie_in_one_piece(eqtransformer):
    model = dasdist.DASWaveformModelWrapper(copy.deepcopy(eqtransformer)).cuda().eval()
    predictor = dasdist.inference.Predictor(model)
    folded = dasdist.inference.variant.Variant("folded")
    predictor(torch.zeros(1, 6000, 2), {}, (0.01, 10.0), folded)
    (built,) = predictor._folded.values()
    for module in built.network.modules():
        if isinstance(module, torch.nn.LSTM):
            assert len({w.untyped_storage().data_ptr() for w in module._flat_weights}) == 1


@pytest.mark.gpu
def test_batches_become_smaller_where_memory_is_short():
    """The memory is taken by a tensor; what is left is not enough for a batch of this size."""
    data = recording(noise(8000, 50))
    expected = dasdist.classify(Listening().eval(), data, **OPTIONS).picks
    model = Listening().eval().cuda()
    dasdist.classify(model, data[:640], **OPTIONS)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - 2**26, dtype=torch.uint8, device="cuda")
    found = dasdist.classify(model, data, batch_size=2**16, **OPTIONS)
    del taken
    torch.cuda.empty_cache()
    assert any("do not fit into the memory of cuda:0" in note for note in found.report.notes)
    same_picks(found.picks, expected)


@on_both
def test_a_worker_computes_on_it(request, where):
    data = recording(noise(4000, 12))
    expected = dasdist.classify(Toy(), data, **OPTIONS).picks
    if where == "played":
        request.getfixturevalue("played_gpu")  # the workers share this process
        client = request.getfixturevalue("inproc_client")
    else:
        client = request.getfixturevalue("client")
    found = dasdist.classify(Toy(), data, client=client, block={"time": 100}, **OPTIONS)
    same_picks(found.picks, expected)
    assert found.report.blocks > 3
    if where == "real":
        assert all(client.run(_used).values())


def _used():
    import torch

    return torch.cuda.max_memory_allocated() > 0
