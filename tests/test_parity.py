"""The same numbers as serial SeisBench 0.12, where SeisBench has no known defect."""

import asyncio

import numpy as np
import pytest
import torch

import dasdist

from .toys import noise, recording, toy_forward

das_base = pytest.importorskip("seisbench.models.das_base")
pytestmark = pytest.mark.seisbench


class SeisBenchToy(das_base.DASModel):
    """The toy of ``toys.py`` on SeisBench's base class."""

    def __init__(self, window, out, covers, overlap=(None, None), gain=1.0, **kwargs):
        super().__init__(
            patching_structure=das_base.PatchingStructure(
                window[0], window[1], out[0], out[1], covers[0], covers[1], *overlap
            ),
            annotate_keys=["P", "S"],
            **kwargs,
        )
        self.gain = torch.nn.Parameter(torch.tensor(float(gain)))

    def forward(self, x, argdict=None):
        return toy_forward(self.patching_structure, self.gain, x)

    @property
    def classify_callback(self):
        return das_base.DASPickingCallback


def seisbench_annotations(model, data, stacking, **kwargs):
    callback = das_base.InMemoryCollectionCallback(stacking=stacking)
    asyncio.run(das_base.DASModel.annotate_async(model, data, callback, pbar=False, **kwargs))
    return {key: np.asarray(values) for key, values in callback.annotations.items()}


def seisbench_picks(model, data, **kwargs):
    found = asyncio.run(das_base.DASModel.classify_async(model, data, pbar=False, **kwargs))
    return sorted(
        (np.datetime64(p.time, "ns"), round(float(p.channel), 6), p.phase, float(p.confidence))
        for key in model.annotate_keys
        for p in getattr(found, key)
    )


def our_picks(model, data, **kwargs):
    picks = dasdist.classify(model, data, pbar=False, **kwargs).picks
    (position,) = picks.attrs["units"]
    rows = zip(picks.time, picks[position], picks.phase, picks.confidence, strict=True)
    return sorted((np.datetime64(t, "ns"), round(float(d), 6), p, float(c)) for t, d, p, c in rows)


def assert_same_picks(ours, theirs):
    assert [(p[1], p[2]) for p in ours] == [(p[1], p[2]) for p in theirs]
    times = [abs(int(a[0] - b[0])) for a, b in zip(ours, theirs, strict=True)]
    # SeisBench interpolates times in floating point: a few nanoseconds off
    assert max(times, default=0) <= 1000
    assert [p[3] for p in ours] == pytest.approx([p[3] for p in theirs], abs=1e-5)


TOYS = {
    "plain": {"window": (64, 4), "out": (64, 4), "covers": ((0, 64), (0, 4))},
    "coarser": {"window": (64, 4), "out": (16, 2), "covers": ((0, 64), (0, 4))},
    "offset": {"window": (64, 4), "out": (48, 4), "covers": ((8, 56), (0, 4))},
    "coarse and offset": {"window": (64, 8), "out": (12, 3), "covers": ((8, 56), (1, 7))},
}


@pytest.mark.parametrize("stacking", ["weighted", "avg", "max"])
@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("dims", [("time", "distance"), ("distance", "time")])
def test_annotations_of_toys(toy, stacking, dims):
    theirs = SeisBenchToy(**TOYS[toy])
    # whole numbers of output steps, where SeisBench's buffers close
    data = recording(noise(64 + 32 * 5, 8 + 4 * 2), dims=dims)
    expected = seisbench_annotations(theirs, data, stacking)
    result = dasdist.annotate(theirs, data, stacking=stacking, block={"time": 30, "distance": 5})
    for key, values in expected.items():
        np.testing.assert_allclose(result[key].values, values, atol=1e-5)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 48])
def test_overlaps(overlap):
    theirs = SeisBenchToy(**TOYS["plain"])
    data = recording(noise(700, 11))
    expected = seisbench_annotations(theirs, data, "weighted", overlap_samples=overlap)
    result = dasdist.annotate(theirs, data, overlap_samples=overlap)
    np.testing.assert_allclose(result["P"].values, expected["P"], atol=1e-5)


RESAMPLED = {
    "half in time": {"rate": 200.0, "dt_range": (0.0099, 0.0101)},
    "two fifths in time": {"rate": 250.0, "dt_range": (0.0099, 0.0101)},
    "double in time": {"rate": 50.0, "dt_range": (0.0099, 0.0101)},
    "three halves along the fibre": {"dx": 15.0, "dx_range": (9.9, 10.1)},
    "both": {"rate": 250.0, "dx": 4.0, "dt_range": (0.0099, 0.0101), "dx_range": (9.9, 10.1)},
}


@pytest.mark.parametrize("case", RESAMPLED)
@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_resampling(case, dtype):
    options = dict(RESAMPLED[case])
    sampling = {k: options.pop(k) for k in ("rate", "dx") if k in options}
    shape = {"window": (64, 8), "out": (64, 8), "covers": ((0, 64), (0, 8))}
    theirs = SeisBenchToy(**shape, gain=0.01, **options)
    # SeisBench sees zeros beyond the ends, so that only with zeros there it is right
    values = np.pad(noise(800, 10, dtype=dtype, scale=100), ((50, 50), (30, 30)))
    data = recording(values, **sampling)
    expected = seisbench_annotations(theirs, data, "avg")
    result = dasdist.annotate(theirs, data, stacking="avg", block={"time": 100, "distance": 6})
    assert result["P"].shape == expected["P"].shape
    # and its interpolating filters let a constant oscillate, by up to 7e-4 of it
    grid = dasdist.plan(theirs, data).grids[0]
    interpolates = any(ratio.up > 1 for ratio in grid.ratios)
    limit = 1e-3 if interpolates else 1e-5
    np.testing.assert_allclose(result["P"].values, expected["P"], atol=limit)


FILTERS = {
    "bandpass": ("butter", {"N": 2, "Wn": [2.0, 20.0], "btype": "bandpass"}),
    "highpass": ("cheby1", {"N": 3, "rp": 1, "Wn": 1.0, "btype": "highpass"}),
}


@pytest.mark.parametrize("spec", FILTERS)
def test_filters(spec):
    # SeisBench filters in single precision: its own error, here 5e-5 of samples up to 10, is a
    # hundred times ours, and the toy's gain says how much of it shows
    theirs = SeisBenchToy(**TOYS["plain"], gain=0.2, filter_samples=FILTERS[spec])
    data = recording(noise(3000, 6))
    expected = seisbench_annotations(theirs, data, "avg")
    result = dasdist.annotate(theirs, data, stacking="avg", block={"time": 500})
    np.testing.assert_allclose(result["P"].values, expected["P"], atol=1e-5)


def test_fk_filter():
    theirs = SeisBenchToy(**TOYS["plain"], fk_filter_args={"v_min": 200.0, "v_max": 2000.0})
    data = recording(noise(500, 10))
    expected = seisbench_annotations(theirs, data, "avg")
    result = dasdist.annotate(theirs, data, stacking="avg", block={"time": 100, "distance": 3})
    np.testing.assert_allclose(result["P"].values, expected["P"], atol=1e-5)


def test_picks_of_a_toy():
    theirs = SeisBenchToy(**TOYS["plain"], overlap=(32, 0))
    data = recording(noise(64 + 32 * 40, 4 * 5))
    options = {"thresholds": 0.9, "min_time_separation": 0.13, "blinding": (5, 7)}
    expected = seisbench_picks(theirs, data, **options)
    assert len(expected) > 100
    # with one channel patch SeisBench's suppression is right; do a patch at a time
    alone = []
    for first in range(0, 20, 4):
        alone += seisbench_picks(theirs, data[:, first : first + 4], **options)
    assert_same_picks(our_picks(theirs, data, block={"time": 200}, **options), sorted(alone))


@pytest.fixture(scope="module")
def lapalma(das_file):
    import xdas

    return xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))


@pytest.mark.parametrize("strategy", ["clone", "pad"])
@pytest.mark.parametrize("name", ["phasenet", "eqtransformer"])
@pytest.mark.parametrize("stacking", ["weighted", "avg", "max"])
def test_wrapped_waveform_models(request, lapalma, name, strategy, stacking):
    base = request.getfixturevalue(name)
    data = xdas_loaded(lapalma)
    if name == "eqtransformer":
        data = recording(np.tile(data.values[:, ::6], (3, 1))[:9000])
    from seisbench.models import DASWaveformModelWrapper

    theirs = DASWaveformModelWrapper(base, component_strategy=strategy)
    ours = dasdist.DASWaveformModelWrapper(base, component_strategy=strategy)
    expected = seisbench_annotations(theirs, data, stacking)
    result = ours.annotate(data, stacking=stacking, block={"time": 2000, "distance": 20})
    for key in ours.annotate_keys:
        values = result[key].values
        np.testing.assert_allclose(values, expected[key], atol=1e-5)


def test_a_compiled_model(phasenet, lapalma):
    pytest.importorskip("openvino")
    from seisbench.models import DASWaveformModelWrapper

    data = xdas_loaded(lapalma)
    expected = seisbench_annotations(DASWaveformModelWrapper(phasenet), data, "avg")
    blocks = ({"time": 2000, "distance": 20}, {"time": 10**6})
    for block in blocks:
        options = {"stacking": "avg", "optimize": "compile", "block": block}
        result = dasdist.annotate(phasenet, data, **options)
        for key in ("P", "S"):
            np.testing.assert_allclose(result[key].values, expected[key], atol=1e-5)


def xdas_loaded(data):
    return recording(np.asarray(data.values), dims=("time", "channel"), dx=1.0)


@pytest.mark.parametrize("name", ["phasenet", "eqtransformer"])
def test_picks_of_wrapped_models(request, lapalma, name):
    from seisbench.models import DASWaveformModelWrapper

    base = request.getfixturevalue(name)
    data = xdas_loaded(lapalma)
    if name == "eqtransformer":
        data = recording(np.tile(data.values[:, ::6], (3, 1))[:9000])
    theirs = DASWaveformModelWrapper(base)
    ours = dasdist.DASWaveformModelWrapper(base)
    expected = [p for p in seisbench_picks(theirs, data, thresholds=0.1) if p[2] in ours.phases]
    assert_same_picks(our_picks(ours, data, thresholds=0.1, block={"time": 1000}), expected)


def test_the_la_palma_earthquake(phasenet, das_file):
    import xdas

    data = xdas.open_mfdataarray(str(das_file("lapalma_20211120_uniform.nc")), vtype="tiles")
    picks = dasdist.classify(phasenet, data, thresholds=0.3, pbar=False).picks
    counts = picks.groupby("phase").size().to_dict()
    assert counts == {"P": 67, "S": 77}
    assert picks[picks.phase == "P"].channel_index.nunique() == 67
    seconds = (picks.time - data.coords["time"][0].values) / np.timedelta64(1, "s")
    assert seconds[picks.phase == "P"].median() == pytest.approx(1.22, abs=0.02)
    assert seconds[picks.phase == "S"].median() == pytest.approx(3.67, abs=0.02)


def test_what_is_set_on_seisbenchs_wrapper_counts(phasenet):
    from seisbench.models import DASWaveformModelWrapper

    theirs = DASWaveformModelWrapper(phasenet, default_args={"overlap_samples": 0})
    theirs.annotate_keys = ["P"]
    theirs.filter_samples = ("butter", {"N": 2, "Wn": 5.0, "btype": "highpass"})
    data = recording(noise(7000, 3))
    expected = seisbench_annotations(theirs, data, "avg")
    result = dasdist.annotate(theirs, data, stacking="avg")
    assert set(result) == set(expected) == {"P"}
    # SeisBench filters in single precision
    np.testing.assert_allclose(result["P"].values, expected["P"], atol=1e-4)
