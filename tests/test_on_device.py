"""What a GPU does besides the model gives what a CPU gives; here its tensors are on a CPU."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from queue import LifoQueue
from time import sleep

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dasdist
from dasdist.geometry import Ratio
from dasdist.inference import annotate_patches, block, cuda, prepare_tensor, preprocess
from dasdist.inference.cuda import to_device
from dasdist.inference.faults import faulty
from dasdist.inference.stopwatch import Stopwatch
from dasdist.signal import (
    causal_filter,
    filter_tensor,
    resample_span,
    resample_tensor,
)

from . import played
from .test_signal import designs, reduced, spans
from .toys import Toy, noise, recording

OPTIONS = {"thresholds": 0.6, "blinding": (1, 1), "min_time_separation": 0.2, "pbar": False}


@given(
    spans(),
    st.sampled_from(["float32", "float64", "int16", "int32", "uint32"]),
    st.sampled_from([0, 1]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_resampling_is_that_of_the_cpu(span, dtype, axis, seed):
    n, up, down, start, stop = span
    ratio = reduced(up, down)
    x = (1000 * np.random.default_rng(seed).standard_normal((n, 3))).astype(dtype)
    x += np.array(4e9 if dtype == "uint32" else 0).astype(dtype)
    first, last = ratio.needs(start, stop, n)
    part = np.ascontiguousarray(x[first:last] if axis == 0 else x[first:last].T)
    expected = resample_span(part, start, stop, first, ratio, axis)
    found = resample_tensor(torch.from_numpy(part), start, stop, first, ratio, axis).numpy()
    assert found.shape == expected.shape
    # float32 sums of up to some hundred products of this size
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1.0, np.abs(x).max()))


def test_slabs_do_not_change_resampling(monkeypatch):
    x = torch.randn(400, 7)
    whole = resample_tensor(x, 10, 150, 0, Ratio(2, 5))
    monkeypatch.setattr("dasdist.signal.on_device._SLAB_VALUES", 800)
    torch.testing.assert_close(resample_tensor(x, 10, 150, 0, Ratio(2, 5)), whole)


@given(designs(), st.sampled_from([0.0, 1.0, -1e4]), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_filters_are_those_of_the_cpu(spec, offset, drift, seed):
    sos = dasdist.signal.design(spec, 100.0)
    x = np.random.default_rng(seed).standard_normal((900, 2))
    x = ((np.cumsum(x, axis=0) if drift else x) + offset).astype(np.float32)
    found = filter_tensor(torch.from_numpy(x), sos).numpy()
    # what a filter still remembers when it has settled, and a float32 of the result
    limit = 1.1e-6 * np.ptp(x, axis=0).max() + 1e-6 * np.abs(x).max()
    assert np.abs(found - causal_filter(x, sos)).max() <= limit


def test_slabs_do_not_change_the_filter(monkeypatch):
    sos = dasdist.signal.design(("butter", {"N": 2, "Wn": 5.0}), 100.0)
    x = torch.randn(400, 7)
    whole = filter_tensor(x, sos)
    monkeypatch.setattr("dasdist.signal.on_device._SLAB_VALUES", 1000)
    torch.testing.assert_close(filter_tensor(x, sos), whole)


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """Preprocess tensors, and leave the curves where they are."""

    def prepare(raw, one, sections, device, note, amplitude, cores):
        return prepare_tensor(to_device(raw, device), one, sections, amplitude)

    def annotated(*args, **options):
        return annotate_patches(*args, **options | {"fetched": False})

    monkeypatch.setattr(block, "prepare", prepare)
    monkeypatch.setattr(block, "annotate_patches", annotated)


MODELS = [
    Toy,
    partial(Toy, dt_range=(0.019, 0.021), filter_samples=("butter", {"N": 2, "Wn": 5.0})),
    partial(Toy, dx_range=(19.0, 21.0), fk_filter_args={"v_min": 100.0}),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_picks_are_those_of_the_cpu(request, model, dtype):
    data = recording(noise(4000, 12, dtype=dtype, scale=10.0 if dtype == "int16" else 1.0))
    expected = dasdist.classify(model(), data, **OPTIONS).picks
    request.getfixturevalue("as_on_a_gpu")
    found = dasdist.classify(model(), data, **OPTIONS).picks
    assert len(expected) > 50
    columns = ["time", "distance", "phase", "channel_index", "sample_index"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*windows were left out:dasdist.DataWarning")
@pytest.mark.parametrize("model", MODELS)
def test_picks_beside_missing_samples_are_those_of_the_cpu(request, model):
    values = noise(4000, 12)
    values[1500, 7] = values[3000:3100] = np.nan
    data = recording(values)
    expected = dasdist.classify(model(), data, max_failures="any", **OPTIONS)
    request.getfixturevalue("as_on_a_gpu")
    found = dasdist.classify(model(), data, max_failures="any", **OPTIONS)
    assert len(expected.picks) > 50
    columns = ["time", "distance", "phase", "channel_index", "sample_index"]
    pd.testing.assert_frame_equal(found.picks[columns], expected.picks[columns])
    assert found.report.missing == expected.report.missing != ()


@pytest.mark.parametrize("threads", [2, 3])
def test_blocks_side_by_side_are_blocks_one_after_the_other(monkeypatch, threads):
    data = recording(noise(4000, 12))
    expected = dasdist.classify(Toy(), data, block={"time": 50}, **OPTIONS)
    resources = dasdist.planning.plan.Resources(threads=threads)
    monkeypatch.setattr("dasdist.run.request.resources_of", lambda client, device: resources)
    found = dasdist.classify(Toy(), data, block={"time": 50}, **OPTIONS)
    assert found.report.finished == expected.report.finished > 10
    pd.testing.assert_frame_equal(found.picks, expected.picks)


def test_a_block_that_fails_side_by_side_ends_the_run(monkeypatch):
    class Fails(Toy):
        def forward(self, x, argdict=None):
            if x[0, 0, 0].item() == 7.0:
                raise RuntimeError("no such luck")
            return super().forward(x)

    values = noise(4000, 12)
    values[2048:] = 7.0
    resources = dasdist.planning.plan.Resources(threads=3)
    monkeypatch.setattr("dasdist.run.request.resources_of", lambda client, device: resources)
    with pytest.raises(RuntimeError, match="no such luck"):
        dasdist.classify(Fails(), recording(values), block={"time": 50}, batch_size=1, **OPTIONS)


@pytest.mark.parametrize("error", [torch.cuda.OutOfMemoryError, RuntimeError])
def test_a_block_too_large_for_the_gpu_is_prepared_on_the_cpu(monkeypatch, error, caplog):
    def full(values, device):
        raise error("CUDA out of memory")

    seen = []

    def prepare(raw, one, sections, device, note, amplitude, cores):
        cuda = torch.device("cuda", 0)
        seen.append(preprocess.prepare(raw, one, sections, cuda, note, amplitude))
        return seen[-1]

    data = recording(noise(4000, 12))
    expected = dasdist.classify(Toy(), data, **OPTIONS).picks
    monkeypatch.setattr(preprocess, "to_device", full)
    monkeypatch.setattr(block, "prepare", prepare)
    found = dasdist.classify(Toy(), data, block={"time": 50}, **OPTIONS)
    pd.testing.assert_frame_equal(found.picks, expected)
    assert len(seen) == found.report.blocks > 1
    said = "cuda:0 does not have the memory to preprocess a whole block, so the CPU does it"
    assert [note[: len(said)] for note in found.report.notes] == [said]
    assert caplog.text.count(said) == len(seen)
    monkeypatch.undo()  # there is room now
    assert not dasdist.classify(Toy(), data, **OPTIONS).report.notes


class OnGpu:
    """A predictor of the CPU that says it is on a GPU."""

    device = torch.device("cuda", 0)

    def __init__(self, predictor):
        self._predictor = predictor

    def __call__(self, *arguments):
        return self._predictor(*arguments)

    def __getattr__(self, name):
        return getattr(self._predictor, name)


def test_a_block_whose_curves_have_no_room_on_the_gpu_is_done_with_them_on_the_cpu(monkeypatch):
    """What the GPU does is played here: memory runs out after three patches of a block."""
    tried = []

    def prepare(raw, one, sections, device, note, amplitude, cores):
        found = preprocess.prepare(raw, one, sections, amplitude=amplitude)
        return replace(found, values=torch.from_numpy(found.values))

    def annotate(data, one, *arguments, fetched, **options):
        tried.append((one.index, type(data.values), fetched))
        patches = annotate_patches(data, one, *arguments, fetched=fetched, **options)
        yield from islice(patches, None if fetched else 3)
        if not fetched:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    def process(selection, one, recipe, predictor, listen, **options):
        return block.process_block(selection, one, recipe, OnGpu(predictor), listen, **options)

    data = recording(noise(4000, 12))
    expected = dasdist.classify(Toy(), data, **OPTIONS).picks
    monkeypatch.setattr(block, "own_stream", lambda device: nullcontext())
    monkeypatch.setattr(block, "prepare", prepare)
    monkeypatch.setattr(block, "annotate_patches", annotate)
    monkeypatch.setattr("dasdist.executors.block_task.process_block", process)
    found = dasdist.classify(Toy(), data, block={"time": 1000}, **OPTIONS)
    pd.testing.assert_frame_equal(found.picks, expected)
    assert tried[:2] == [(0, torch.Tensor, False), (0, np.ndarray, True)]
    assert len(tried) == 2 * found.report.blocks
    assert "cuda:0 does not have the memory for a whole block" in found.report.notes[0]


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_a_gpu_picks_what_the_cpu_picks(model, dtype):
    data = recording(noise(40_000, 12, dtype=dtype, scale=10.0 if dtype == "int16" else 1.0))
    expected = dasdist.classify(model(), data, **OPTIONS).picks
    found = dasdist.classify(model().cuda(), data, block={"time": 500}, **OPTIONS).picks
    columns = ["time", "distance", "phase", "channel_index", "sample_index"]
    pd.testing.assert_frame_equal(found[columns], expected[columns])
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)


@pytest.mark.parametrize("where", ["played", pytest.param("real", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1)])
def test_samples_and_curves_pass_through_small_pinned_buffers(monkeypatch, request, where, order):
    device = torch.device("cuda", 0)
    if where == "played":
        request.getfixturevalue("played_gpu")
    monkeypatch.setattr(cuda, "_lanes", {})
    monkeypatch.setattr(cuda, "_BUFFER_BYTES", 1000)
    values = np.arange(12_345, dtype=np.float32).reshape(-1, 5)
    cube = torch.arange(4.0 * 31 * 51).view(4, 31, 51).permute(order)
    with cuda.own_stream(device):
        np.testing.assert_array_equal(to_device(values, device).cpu(), values)
        fetched = cuda._here.stream.fetch if where == "played" else cuda.to_host
        torch.testing.assert_close(fetched(cube.to(device)), cube, rtol=0, atol=0)
        assert fetched(cube[:0].to(device)).shape == cube[:0].shape


def test_threads_that_come_at_once_share_the_streams_of_a_device(monkeypatch):
    """Making them is slowed down here, so that all threads come meanwhile."""
    begin = threading.Barrier(4)

    class Slow(LifoQueue):
        def __init__(self):
            sleep(0.05)
            super().__init__()

    def ask(_):
        begin.wait()
        return cuda._free_streams(torch.device("cuda", 0))

    monkeypatch.setattr(cuda, "_lanes", {})
    monkeypatch.setattr(cuda, "LifoQueue", Slow)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert all(streams is found[0] for streams in found)
    assert found[0].qsize() == cuda.STREAMS


@pytest.mark.parametrize("model", MODELS)
def test_a_played_gpu_picks_what_the_cpu_picks(request, model):
    data = recording(noise(4000, 12, dtype="int16", scale=10.0))
    expected = dasdist.classify(model(), data, **OPTIONS).picks
    request.getfixturevalue("played_gpu")
    found = dasdist.classify(model(), data, block={"time": 50}, **OPTIONS)
    assert found.report.blocks > 3
    columns = ["time", "distance", "phase", "channel_index", "sample_index"]
    pd.testing.assert_frame_equal(found.picks[columns], expected[columns])
    np.testing.assert_allclose(found.picks["confidence"], expected["confidence"], atol=1e-4)


def test_the_samples_of_a_block_are_gone_while_it_is_written(monkeypatch, played_gpu):
    samples, gone = {}, []

    def prepare(raw, one, *arguments):
        found = preprocess.prepare(raw, one, *arguments)
        samples[one.index] = weakref.ref(found.values)
        return found

    def process(selection, one, recipe, predictor, listen, **options):
        def told(stage, share):
            if stage == "write":
                gone.append(samples[one.index]() is None)

        return block.process_block(selection, one, recipe, predictor, told, **options)

    monkeypatch.setattr(block, "prepare", prepare)
    monkeypatch.setattr("dasdist.executors.block_task.process_block", process)
    report = dasdist.classify(Toy(), recording(noise(4000, 12)), block={"time": 50}, **OPTIONS)
    assert gone == [True] * report.report.blocks != []


def test_a_stage_takes_as_long_as_the_gpu_does(monkeypatch, played_gpu):
    """The GPU has a clock of its own here, and is done with a stage long after it was told."""
    gpu = {"now": 0.0, "done": False}

    class Event(played.Event):
        def record(self, stream=None):
            self.at = gpu["now"]

        def query(self):
            return gpu["done"]

        def synchronize(self):
            gpu["done"] = True

    monkeypatch.setattr(torch.cuda, "Event", Event)
    told = []
    stage = Stopwatch(lambda *event: told.append(event), patches=2)
    with cuda.own_stream(played_gpu):
        for seconds in (2.0, 3.0):
            with stage("model"):
                gpu["now"] += seconds
            stage.count_patch()
        with stage("reduce"):
            gpu["now"] += 1.0
        assert not gpu["done"]  # nothing waited for it
    with stage("write"):
        pass
    assert {name: stage.seconds[name] for name in ("read", "model", "reduce")} == {
        "read": 0.0,
        "model": 5.0,
        "reduce": 1.0,
    }
    assert gpu["done"]
    assert 0 < stage.seconds["write"] < 1  # by the clock
    assert told == [("model", 0.0), ("model", 0.5), ("reduce", 1.0), ("write", 1.0)]


def test_nan_of_several_curves_is_looked_for_once(monkeypatch, played_gpu):
    """A GPU is waited for by everything that asks it for a number."""
    curves = {key: torch.zeros(2, 3, 4).as_subclass(Waited) for key in "PSN"}
    Waited.times = 0
    assert faulty(curves) is None
    assert Waited.times == 1
    curves["S"][1, 2, 3] = torch.nan
    assert faulty({key: values.as_subclass(torch.Tensor) for key, values in curves.items()})[1, 3]


class Waited(torch.Tensor):
    """Says that it is on a GPU, and counts the numbers that it is asked for."""

    times = 0

    @property
    def device(self):
        return played.GPU

    def __float__(self):
        Waited.times += 1
        return super().__float__()
