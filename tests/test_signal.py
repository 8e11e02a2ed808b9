"""Signal processing: every span equals the whole run, every filter equals its reference."""

import copy
import math
import pickle
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin, resample_poly, sosfilt, sosfilt_zi

import dasdist.signal
from dasdist.geometry import Ratio
from dasdist.signal import (
    FKFilter,
    causal_filter,
    design,
    nearest_ratio,
    resample_span,
    settling_samples,
)


def reduced(up, down):
    divisor = math.gcd(up, down)
    return Ratio(up // divisor, down // divisor)


quick = settings(max_examples=60, deadline=None)
factors = st.integers(1, 10)


@pytest.fixture(scope="module")
def das_base():
    return pytest.importorskip("seisbench.models.das_base")


def test_exported_names():
    assert set(dasdist.signal.__all__) == {
        "OFF_RATE",
        "FKFilter",
        "causal_filter",
        "design",
        "filter_tensor",
        "full_precision",
        "in_tf32",
        "nearest_ratio",
        "padded",
        "resample_span",
        "resample_tensor",
        "settling_samples",
    }


# Resampling ratios


@pytest.mark.parametrize(
    ("rate", "ratio"),
    [
        (50, (2, 1)),
        (100, (1, 1)),
        (101, (1, 1)),
        (200, (1, 2)),
        (250, (2, 5)),
        (500, (1, 5)),
        (1000, (1, 10)),
    ],
)
def test_ratio_leads_to_the_models_own_step(rate, ratio):
    assert nearest_ratio(Fraction(1, rate), (0.5 / 100, 2 / 100)) == Ratio(*ratio)


@pytest.mark.seisbench
def test_seisbench_leaves_200_hz_alone(das_base):
    assert das_base.DASModel._find_range(1 / 200, 0.5 / 100, 2 / 100) == (1, 1)


def test_ratio_without_range():
    assert nearest_ratio(Fraction(1, 250), None) == Ratio(1, 1)


@pytest.mark.seisbench
@pytest.mark.parametrize("allowed", [(0.0, 0.02), (0.005, np.inf), (0.0, np.inf), (-1.0, 0.02)])
@pytest.mark.parametrize("rate", [30, 100, 250, 499])
def test_ratio_without_own_step_is_seisbenchs(das_base, rate, allowed):
    expected = das_base.DASModel._find_range(1 / rate, *allowed)
    assert nearest_ratio(Fraction(1, rate), allowed) == Ratio(*expected)


@pytest.mark.parametrize("low", [0.5, 0.7, 0.9])
def test_ratio_ties_go_to_the_smallest_up_then_down(low):
    # The middle of the range is sqrt(2), as far from 1 as from 2.
    allowed = (low, 2 / low)
    assert nearest_ratio(Fraction(1), allowed, limit=2) == Ratio(1, 1)  # not (1, 2)
    assert nearest_ratio(Fraction(2), allowed, limit=2) == Ratio(1, 1)  # not (2, 1)


@pytest.mark.seisbench
@given(
    st.fractions(Fraction(1, 5000), Fraction(50), max_denominator=5000),
    st.floats(1e-3, 50),
    st.floats(1.0, 10),
)
@quick
def test_ratio_is_admissible_and_nearest(das_base, step, low, width):
    high = low * width
    try:
        reference = das_base.DASModel._find_range(float(step), low, high)
    except ValueError:
        return
    chosen = nearest_ratio(step, (low, high))
    up, down = chosen.up, chosen.down
    assert up <= 10
    assert np.gcd(up, down) == 1

    def distance(u, d):
        return abs(np.log(float(step) * d / u / np.sqrt(low * high)))

    assert low * (1 - 1e-8) <= step * down / up <= high * (1 + 1e-8)
    assert distance(up, down) <= distance(*reference) + 1e-8
    # larger factors only where those up to 10 do not do
    pairs = [(u, d) for u in range(1, 11) for d in range(1, 11)]
    near = min(distance(u, d) for u, d in pairs if low <= float(step) * d / u <= high)
    assert down <= 10 or near > np.log(1.1) - 1e-8


def test_bounds_are_inclusive_despite_rounding():
    # 0.1 + 0.2 is a little more than 3/10.
    assert nearest_ratio(Fraction(3, 10), (0.1 + 0.2, 0.1 + 0.2), limit=1) == Ratio(1, 1)


def test_ratio_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"spacing of 1 .* 0\.005 to 0\.02 .* up to 10.*widen"):
        nearest_ratio(Fraction(1), (0.005, 0.02))
    with pytest.raises(ValueError, match="spacing of 1 cannot"):
        nearest_ratio(Fraction(1), (0.0, 0.02))
    with pytest.raises(ValueError, match="only positive"):
        nearest_ratio(Fraction(0), (0.005, 0.02))
    with pytest.raises(ValueError, match="limit"):
        nearest_ratio(Fraction(1), None, limit=0)


# Resampling


@given(st.integers(0, 500), factors, factors)
@quick
def test_resampled_size_is_scipys(n, up, down):
    size = reduced(up, down).size(n)
    assert size == (resample_poly(np.zeros(n), up, down).size if n else 0)


def taps(up, down):
    """The low-pass of scipy's resample_poly, the taps of each phase scaled to add up to 1."""
    longest = max(up, down)
    found = firwin(20 * longest + 1, 1 / longest, window=("kaiser", 5.0))
    if up > 1:
        for phase in range(up):
            found[phase::up] /= up * found[phase::up].sum()
    return found


def resampled(x, up, down, axis=0):
    """The whole of a signal that is mirrored at its ends, by scipy."""
    ratio = reduced(up, down)
    if ratio.is_identity:
        return x.copy()
    kind = x.dtype.newbyteorder("=") if x.dtype.kind == "f" else np.float64
    window = taps(ratio.up, ratio.down).astype(kind)
    if x.shape[axis] == 1:  # whose mirror image scipy does not know
        x = x.repeat(2, axis)
        return resample_poly(x, up, down, axis, window, "reflect").take(range(ratio.size(1)), axis)
    return resample_poly(x, up, down, axis=axis, window=window, padtype="reflect")


@st.composite
def spans(draw):
    up, down = draw(factors), draw(factors)
    n = draw(st.integers(1, 600))
    size = reduced(up, down).size(n)
    start = draw(st.integers(0, size))
    stop = draw(st.integers(start, size))
    return n, up, down, start, stop


ANY_TYPE = ["float32", "float64", "float16", "int16", "int32", ">f4"]


def signals(n, dtype, axis, seed):
    """Noise of three channels, along an axis, or of one."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, 3)) * 10.0 ** rng.integers(0, 4)).astype(dtype)
    return {0: x, 1: x.T, None: x[:, 0]}[axis]


@given(
    spans(),
    st.sampled_from(ANY_TYPE),
    st.sampled_from([0, 1, None]),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=300, deadline=None)
def test_span_equals_the_whole_bit_for_bit(span, dtype, axis, seed):
    n, up, down, start, stop = span
    x, ratio = signals(n, dtype, axis, seed), reduced(up, down)
    axis = axis or 0
    whole = resample_span(x, 0, ratio.size(n), 0, ratio, axis)

    first, last = ratio.needs(start, stop, n)
    assert 0 <= first <= last <= n
    assert first % ratio.down == 0
    part = x.take(range(first, last), axis)
    result = resample_span(part, start, stop, first, ratio, axis)
    expected = whole.take(range(start, stop), axis)

    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    assert result.tobytes() == expected.tobytes()


@given(spans(), st.sampled_from(ANY_TYPE), st.sampled_from([0, 1, None]), st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_resampled_is_scipys_in_double_precision(span, dtype, axis, seed):
    n, up, down, *_ = span
    x, ratio = signals(n, dtype, axis, seed), reduced(up, down)
    axis = axis or 0
    result = resample_span(x, 0, ratio.size(n), 0, ratio, axis)
    expected = resampled(x.astype("float64"), up, down, axis)
    wide = np.dtype(dtype) in (np.dtype("float64"), np.dtype("int32"))
    if not ratio.is_identity:
        assert result.dtype == (np.float64 if wide else np.float32)
    limit = (1e-12 if wide else 1e-6) * np.abs(x.astype("float64")).max()
    assert np.abs(result - expected).max() <= limit


@pytest.mark.parametrize("channels", [1, 7, 31, 256, 300])
def test_neighbouring_channels_do_not_change_a_resampled_one(channels):
    x = np.random.default_rng(0).standard_normal((400, channels)).astype("float32")
    whole = resample_span(x, 0, 160, 0, Ratio(2, 5))
    for channel in {0, channels // 2, channels - 1}:
        assert np.array_equal(
            resample_span(x[:, channel], 0, 160, 0, Ratio(2, 5)), whole[:, channel]
        )


def test_span_is_no_longer_than_needed():
    first, last = Ratio(2, 5).needs(1000, 1001, 10_000)
    assert last - first <= (2 * 10 * 5 + 1 + 5 + 2) // 2 + 5
    assert Ratio(1, 1).needs(3, 7, 10) == (3, 7)


def test_slabs_do_not_change_the_result(monkeypatch):
    x = np.random.default_rng(0).standard_normal((400, 7)).astype("float32")
    whole = resample_span(x, 10, 150, 0, Ratio(2, 5))
    monkeypatch.setattr("dasdist.signal.resample._SLAB_VALUES", 800)
    monkeypatch.setattr("dasdist.signal.resample._SLAB_CHANNELS", 2)
    assert np.array_equal(resample_span(x, 10, 150, 0, Ratio(2, 5)), whole)


def test_several_cores_do_not_change_the_result():
    x = np.random.default_rng(0).standard_normal((30_000, 300)).astype("float32")
    sos = design(BAND, 100.0)
    with ThreadPoolExecutor(2) as pool:
        for function in (
            lambda spread: resample_span(x, 0, 3000, 0, Ratio(1, 10), spread=spread),
            lambda spread: causal_filter(x, sos, spread=spread),
        ):
            assert np.array_equal(function(pool.map), function(map))


def test_ratio_of_one_is_a_view():
    x = np.arange(20, dtype="int16").reshape(10, 2)
    part = resample_span(x, 3, 7, 2, Ratio(1, 1))
    assert np.shares_memory(part, x)
    assert np.array_equal(part, x[1:5])


def test_span_errors_say_what_to_do():
    x = np.zeros(100)
    with pytest.raises(ValueError, match="multiples of 2"):
        resample_span(x, 0, 10, 1, Ratio(1, 2))
    with pytest.raises(ValueError, match="need them from 20"):
        resample_span(x, 20, 30, 22, Ratio(1, 2))
    with pytest.raises(ValueError, match="ends at resampled sample 50"):
        resample_span(x, 0, 51, 0, Ratio(1, 2))
    with pytest.raises(ValueError, match="not valid"):
        resample_span(x, 5, 4, 0, Ratio(1, 2))
    with pytest.raises(ValueError, match="3 dimensions"):
        resample_span(np.zeros((3, 3, 3)), 0, 1, 0, Ratio(1, 2))
    with pytest.raises(ValueError, match="coprime"):
        Ratio(2, 4)


# Causal filters

BAND = ("iirfilter", {"N": 4, "Wn": [1, 45], "btype": "bandpass", "ftype": "butter"})


def test_design_is_scipys_in_double_precision():
    sos = design(BAND, 100.0)
    assert sos.dtype == np.float64
    assert sos.shape == (4, 6)


@pytest.mark.parametrize(
    ("spec", "rate", "message"),
    [
        (("buter", {}), 100, "buter is not .* butter"),
        (("sosfilt", {}), 100, "sosfilt is not"),
        (("iirnotch", {"w0": 1, "Q": 2}), 100, "iirnotch is not"),
        (("butter", {"N": 4, "Wn": [1, 50], "btype": "bandpass"}), 100, "50 Hz .* Nyquist"),
        (("butter", {"N": 4, "Wn": 0}), 100, "between 0"),
        (("iirdesign", {"wp": 40, "ws": 60, "gpass": 1, "gstop": 40}), 100, "ws = 60 Hz"),
        (("butter", {"N": 4, "Wn": 1, "fs": 100}), 100, "fs, which dasdist sets"),
        (("butter", {"N": 4, "Wn": 1, "order": 3}), 100, "order"),
        (("butter", {"N": 4, "Wn": 1, "btype": "comb"}), 100, "comb"),
        (("butter", {"N": 4, "Wn": 1}), 0, "sampling rate is 0"),
    ],
)
def test_design_errors_say_what_to_do(spec, rate, message):
    with pytest.raises(ValueError, match=message):
        design(spec, rate)


@pytest.mark.parametrize(
    ("spec", "from_poles", "settling"),
    [
        (BAND, 579, 595),
        (("butter", {"N": 4, "Wn": 0.1, "btype": "highpass"}), 5746, 5898),
    ],
)
def test_settling_is_a_little_longer_than_the_poles_say(spec, from_poles, settling):
    sos = design(spec, 100.0)
    radius = max(abs(np.roots(section[3:])).max() for section in sos)
    assert np.ceil(np.log(1e-6) / np.log(radius)) == from_poles
    assert settling_samples(sos) == settling


def test_settling_without_feedback_is_the_delay():
    gain = np.array([[2.0, 0, 0, 1, 0, 0]])
    delay = np.array([[1.0, 0, 1, 1, 0, 0]])
    assert settling_samples(gain) == 0
    assert settling_samples(np.concatenate([gain, delay, delay])) == 4


@pytest.mark.parametrize("pole", [1.0, -1.0, 1.1])
def test_settling_needs_a_stable_filter(pole):
    with pytest.raises(ValueError, match="pole at 1"):
        settling_samples(np.array([[1.0, 0, 0, 1, -pole, 0]]))


def test_settling_ends():
    sos = design(("butter", {"N": 4, "Wn": 49.99995, "btype": "lowpass"}), 100.0)
    with pytest.raises(ValueError, match="can be read around each block"):
        settling_samples(sos)


def test_settling_needs_a_tolerance():
    with pytest.raises(ValueError, match="between 0 and 1"):
        settling_samples(design(BAND, 100.0), tolerance=0)


@st.composite
def designs(draw):
    name = draw(st.sampled_from(["butter", "cheby1", "bessel"]))
    btype = draw(st.sampled_from(["lowpass", "highpass", "bandpass", "bandstop"]))
    low = draw(st.floats(0.5, 20))
    corners = [low, draw(st.floats(low * 1.5, 45))] if btype.startswith("band") else low
    kwargs = {"N": draw(st.integers(1, 5)), "Wn": corners, "btype": btype}
    return name, kwargs | ({"rp": 1} if name == "cheby1" else {})


@given(
    designs(),
    st.integers(1, 300),
    st.sampled_from([0.0, 1.0, -1e4, 1e9]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@quick
def test_late_start_agrees_with_the_full_run(spec, begin, offset, drift, seed):
    sos = design(spec, 100.0)
    n = settling_samples(sos)
    x = np.random.default_rng(seed).standard_normal((begin + n + 200, 2))
    x = (np.cumsum(x, axis=0) if drift else x) + offset
    full = causal_filter(x, sos)[begin + n :]
    late = causal_filter(x[begin:], sos)[n:]
    # What double precision leaves of a large offset is not the filter's memory.
    limit = 1e-6 * np.ptp(x, axis=0).max() + 1e-11 * abs(offset)
    assert np.abs(full - late).max() <= limit


@given(designs(), st.sampled_from([1e-2, 1e-4, 1e-6]))
@quick
def test_the_worst_signal_just_keeps_the_tolerance(spec, tolerance):
    sos = design(spec, 100.0)
    n = settling_samples(sos, tolerance)
    length = 4 * n + 200
    impulse = np.zeros(length)
    impulse[0] = 1
    response = sosfilt(sos, impulse)
    # Every sample before the late start pushes the error the same way.
    past = np.where(response[length - 1 : n : -1] > 0, 1.0, 0.0)
    x = np.concatenate([past, np.zeros(n + 1)])[:, None]
    error = causal_filter(x, sos)[-1] - causal_filter(x[past.size :], sos)[-1]
    assert abs(error[0]) <= tolerance
    assert np.abs(response[n + 1 :]).sum() <= tolerance
    assert n == 0 or np.abs(response[n:]).sum() > tolerance


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("float32", "float32"), ("int16", "float32"), ("int64", "float32"), ("float64", "float64")],
)
def test_filter_is_sosfilt_from_the_first_sample(dtype, result):
    x = (1000 * np.random.default_rng(1).standard_normal((700, 3)) + 5000).astype(dtype)
    sos = design(BAND, 100.0)
    y = causal_filter(x, sos)
    double = x.astype("float64")
    expected, _ = sosfilt(sos, double, axis=0, zi=sosfilt_zi(sos)[..., None] * double[0])
    assert y.dtype == result
    assert np.array_equal(y, expected.astype(result))


def test_slabs_do_not_change_the_filter(monkeypatch):
    x = np.random.default_rng(2).standard_normal((300, 7)).astype("float32")
    sos = design(BAND, 100.0)
    whole = causal_filter(x, sos)
    monkeypatch.setattr("dasdist.signal.iir._SLAB_CHANNELS", 2)
    assert np.array_equal(causal_filter(x, sos), whole)


def test_filter_of_nothing_and_of_the_wrong_thing():
    sos = design(BAND, 100.0)
    assert causal_filter(np.zeros((0, 3), "float32"), sos).shape == (0, 3)
    assert causal_filter(np.zeros((5, 0), "float32"), sos).shape == (5, 0)
    with pytest.raises(ValueError, match="1 dimensions"):
        causal_filter(np.zeros(5), sos)
    with pytest.raises(ValueError, match="complex"):
        causal_filter(np.zeros((5, 1), complex), sos)


# F-k filter

RANGES = [
    {},
    {"v_min": 300.0},
    {"v_max": 2000.0},
    {"v_min": 300.0, "v_max": 2000.0},
    {"v_min": 300.0, "v_max": 2000.0, "mode": "reject"},
    {"v_min": 1000.0, "mode": "reject"},  # an edge of the mask falls on grid points
]


@pytest.mark.seisbench
@pytest.mark.parametrize("arguments", RANGES, ids=str)
@pytest.mark.parametrize("shape", [(64, 64), (100, 33), (51, 128), (37, 25), (1, 8), (8, 1)])
def test_fk_equals_seisbench(das_base, shape, arguments):
    data = torch.from_numpy(np.random.default_rng(3).standard_normal((2, *shape)))
    for dtype in (torch.float32, torch.float64):
        expected = das_base.FKFilter(dt=0.01, dx=10.0, **arguments)(data.to(dtype))
        result = FKFilter(dt=0.01, dx=10.0, **arguments)(data.to(dtype))
        assert result.dtype == dtype
        assert result.shape == expected.shape
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@pytest.mark.seisbench
@given(st.integers(2, 70), st.integers(2, 70), st.floats(1e-3, 0.1), st.floats(0.5, 20))
@settings(max_examples=20, deadline=None)
def test_fk_mask_edges_equal_seisbench(das_base, nt, nx, dt, dx):
    # A velocity of the grid itself, so that equality, rounding and the 1e-10 decide.
    arguments = {"dt": dt, "dx": dx, "v_min": nx * dx / (nt * dt)}
    data = torch.from_numpy(np.random.default_rng(nt * nx).standard_normal((1, nt, nx)))
    expected = das_base.FKFilter(**arguments)(data)
    torch.testing.assert_close(FKFilter(**arguments)(data), expected, rtol=0, atol=1e-12)


def test_fk_keeps_the_type():
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    for dtype in (torch.float16, torch.bfloat16):
        assert fk(torch.zeros(1, 8, 8, dtype=dtype)).dtype == dtype
    assert fk(torch.zeros(1, 8, 8, dtype=torch.int16)).dtype == torch.float32


def test_fk_follows_the_data_to_its_device():
    # A meta tensor refuses to meet a CPU mask, so it stands for any other device.
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    result = fk(torch.zeros(2, 16, 24, device="meta"))
    assert result.device.type == "meta"
    assert result.shape == (2, 16, 24)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_fk_on_a_gpu_equals_the_cpu():
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    data = torch.randn(2, 64, 48)
    torch.testing.assert_close(fk(data.cuda()).cpu(), fk(data), rtol=0, atol=1e-5)


def test_fk_builds_each_mask_once(monkeypatch):
    built = []
    build = FKFilter._build_mask
    monkeypatch.setattr(
        FKFilter, "_build_mask", lambda *shape: (built.append(shape[1:]), build(*shape))[1]
    )
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    for _ in range(3):
        fk(torch.zeros(2, 16, 24))
        fk(torch.zeros(1, 16, 25))
    assert built == [(16, 24), (16, 25)]
    for nt in range(2, 40):
        fk(torch.zeros(1, nt, 3))
    assert len(fk._masks) <= 8


def test_fk_travels_without_its_masks():
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    data = torch.randn(1, 256, 256)
    expected = fk(data)
    assert not fk.state_dict()
    assert len(pickle.dumps(fk)) < 5000
    for other in (pickle.loads(pickle.dumps(fk)), copy.deepcopy(fk)):
        assert not other._masks
        assert fk._masks
        assert torch.equal(other(data), expected)


def test_fk_mask_from_inference_serves_training():
    fk = FKFilter(dt=0.01, dx=10.0, v_min=300.0)
    with torch.inference_mode():
        fk(torch.zeros(1, 8, 8))
    data = torch.randn(1, 8, 8, requires_grad=True)
    fk(data).sum().backward()
    assert data.grad is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "keep"}, "'keep'"),
        ({"mode": "reject"}, "would remove everything"),
        ({"dt": 0.0}, "positive"),
        ({"dx": -1.0}, "positive"),
        ({"v_min": 5.0, "v_max": 5.0}, "v_min < v_max"),
    ],
)
def test_fk_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        FKFilter(**({"dt": 0.01, "dx": 10.0} | arguments))


def test_fk_needs_batches():
    with pytest.raises(ValueError, match="batch, samples, channels"):
        FKFilter(dt=0.01, dx=10.0)(torch.zeros(8, 8))
