"""Pictures show what was recorded, where and when it was, and in which unit; nothing in gaps."""

import re
import sys

import numpy as np
import pandas as pd
import pytest
import xarray
import xdas
from hypothesis import given, settings
from hypothesis import strategies as st

import dasdist
from dasdist.plot import waterfall
from dasdist.plot.raster import rasterise
from dasdist.signal import FKFilter
from dasdist.sources import open_recording

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.dates import num2date  # noqa: E402

START = np.datetime64("2025-06-01", "ns")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def at(*seconds):
    return START + np.rint(np.array(seconds) * 1e9).astype("timedelta64[ns]")


def recorded(values, *, dt=0.01, dx=10.0, gap=None, holes=(), dims=("time", "distance"), **attrs):
    """Samples x channels from START on; after sample `gap[0]`, `gap[1]` seconds are missing."""
    seconds = dt * np.arange(len(values))
    if gap:
        seconds[gap[0] :] += gap[1]
    place = dx * np.setdiff1d(np.arange(values.shape[1] + len(holes)), holes)
    coords = {"time": at(*seconds), "distance": place}
    return xarray.DataArray(values, coords, ["time", "distance"], attrs=attrs).transpose(*dims)


def noise(samples=300, channels=6, seed=0):
    return np.random.default_rng(seed).standard_normal((samples, channels))


def seconds_of(number):
    """Seconds after START of what matplotlib calls a date."""
    time = np.datetime64(num2date(number).replace(tzinfo=None), "ns")
    return float((time - START) / np.timedelta64(1, "s"))


def picture(ax):
    (image,) = ax.images
    return image.get_array()


# ---------------------------------------------------------------- waterfall: the pixels


@pytest.mark.parametrize("dims", [("time", "distance"), ("distance", "time")])
def test_a_short_recording_is_drawn_sample_by_sample_at_its_place(dims):
    values = noise(300, 6)
    ax = waterfall(recorded(values, dims=dims))
    np.testing.assert_allclose(picture(ax), values.T, rtol=1e-6)
    left, right, bottom, top = ax.images[0].get_extent()
    assert seconds_of(left) == pytest.approx(-0.005, abs=2e-6)
    assert seconds_of(right) == pytest.approx(2.995, abs=2e-6)
    assert (bottom, top) == (55.0, -5.0)
    assert ax.get_ylim() == (55.0, -5.0)


def test_gaps_in_time_and_along_the_fibre_stay_empty_and_hatched():
    values = 1 + np.abs(noise(100, 6))
    ax = waterfall(recorded(values, gap=(40, 0.3), holes=(2, 3)))
    drawn = picture(ax)
    assert drawn.shape == (8, 130)
    empty = np.zeros((8, 130), dtype=bool)
    empty[2:4] = empty[:, 40:70] = True
    np.testing.assert_array_equal(np.ma.getmaskarray(drawn), empty)
    np.testing.assert_allclose(drawn[0, 70:], values[40:, 0], rtol=1e-6)
    assert ax.patch.get_hatch()


def test_samples_that_are_no_numbers_stay_empty_even_if_they_are_filtered():
    values = noise(400, 4)
    values[100:120, 1] = np.nan
    empty = np.isnan(values.T)
    for more in ({}, {"band": (1, 20)}, {"value": "rms"}):
        drawn = picture(waterfall(recorded(values), **more))
        np.testing.assert_array_equal(np.ma.getmaskarray(drawn), empty)


def test_a_long_recording_shows_the_largest_sample_of_each_pixel_with_its_sign():
    values = noise(1000, 40)
    values[503, 17] = -50.0
    ax = waterfall(recorded(values), pixels=(100, 10))
    drawn = np.asarray(picture(ax))
    cells = values.reshape(100, 10, 10, 4).transpose(2, 0, 3, 1).reshape(10, 100, 40)
    largest = np.take_along_axis(cells, np.abs(cells).argmax(-1)[..., None], -1)[..., 0]
    np.testing.assert_allclose(drawn, largest, rtol=1e-6)
    assert drawn[4, 50] == -50.0


def test_power_is_the_root_mean_square_of_each_pixel_on_a_logarithmic_scale():
    values = noise(1000, 40)
    ax = waterfall(recorded(values), value="rms", pixels=(100, 10))
    expected = np.sqrt((values**2).reshape(100, 10, 10, 4).mean(axis=(1, 3))).T
    np.testing.assert_allclose(picture(ax), expected, rtol=1e-5)
    assert isinstance(ax.images[0].norm, matplotlib.colors.LogNorm)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, 150),
    st.integers(1, 6),
    st.floats(0, 3),
    st.integers(1, 120),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_every_sample_falls_into_the_pixel_that_it_lies_in(n, channels, gap, most, back, seed):
    """Against a loop over all samples, whatever the gap, and with channels in either order."""
    values = noise(n, channels, seed)
    data = recorded(values, dt=0.01, gap=(n // 2, gap))
    data = data[:, ::-1] if back else data
    found = rasterise([open_recording(data)], pixels=(most, 4))
    brute = np.full(found.values.shape, np.nan)
    origin, width = float(found.time.origin), float(found.time.width)
    for time, row in zip(data["time"].values.astype(np.int64), data.values, strict=True):
        column = int((time - origin) / width + 1e-9)
        for place, sample in zip(data["distance"].values, row, strict=True):
            cell = (
                int((place - float(found.distance.origin)) / float(found.distance.width)),
                column,
            )
            if not abs(sample) < abs(brute[cell]):
                brute[cell] = sample
    np.testing.assert_array_equal(np.isnan(found.values), np.isnan(brute))
    np.testing.assert_allclose(found.values, brute, rtol=1e-6)
    assert found.values.shape[1] <= most + 1


def test_channels_that_share_a_position_share_a_pixel():
    data = recorded(noise(50, 3)).assign_coords(distance=[7.0, 7.0, 7.0])
    drawn = np.asarray(picture(waterfall(data)))
    largest = np.take_along_axis(data.values, np.abs(data.values).argmax(axis=1)[:, None], axis=1).T
    np.testing.assert_allclose(drawn, largest, rtol=1e-6)


def test_segments_of_several_rates_share_a_picture_without_stripes():
    slow = recorded(np.full((50, 3), 2.0), dt=0.02)
    fast = recorded(np.full((100, 3), 1.0), dt=0.01)
    # its first sample begins where the last slow one ends
    fast = fast.assign_coords(time=fast["time"] + np.timedelta64(995, "ms"))
    drawn = picture(waterfall([slow, fast]))
    assert drawn.shape == (3, 200)
    assert not np.ma.getmaskarray(drawn).any()
    assert set(np.unique(drawn[:, :100])) == {2.0}
    assert set(np.unique(drawn[:, 100:])) == {1.0}


def test_dask_arrays_are_computed_piece_by_piece_and_once(monkeypatch):
    import dask.array as da

    from dasdist.plot import reading

    computed = []

    def block(block_info=None):
        computed.append(block_info[None]["chunk-location"])
        return np.full((100, 4), float(len(computed)))

    values = da.map_blocks(block, chunks=((100,) * 6, (4,)), dtype=float)
    computed.clear()
    monkeypatch.setattr(reading, "_AT_ONCE", 1000)
    drawn = picture(waterfall(recorded(values), pixels=(7, 4)))
    assert sorted(computed) == [(i, 0) for i in range(6)]
    assert drawn.max() == 6.0


def test_what_is_too_much_to_read_is_sampled_and_the_picture_says_so():
    values = noise(10_000, 8)
    ax = waterfall(recorded(values), pixels=(50, 8), most_bytes=values.nbytes / 10)
    drawn = np.asarray(picture(ax))
    cells = values.reshape(50, 200, 8)[:, :20]
    largest = np.take_along_axis(cells, np.abs(cells).argmax(1)[:, None], 1)[:, 0]
    np.testing.assert_allclose(drawn, largest.T, rtol=1e-6)
    assert "0.1 were read" in bar_label(ax)


# ---------------------------------------------------------------- waterfall: filters


def test_a_band_keeps_its_frequencies_in_phase_and_drops_others():
    seconds = 0.01 * np.arange(4000)
    kept, dropped = np.sin(2 * np.pi * 5 * seconds), 9 * np.sin(2 * np.pi * 0.1 * seconds)
    data = recorded(np.tile((kept + dropped)[:, None], (1, 3)))
    drawn = picture(waterfall(data, band=(1, 20), pixels=(5000, 10)))
    middle = slice(1000, 3000)
    np.testing.assert_allclose(drawn[1, middle], kept[middle], atol=0.02)


def test_a_filter_does_not_see_how_the_recording_is_read(monkeypatch):
    from dasdist.plot import reading

    data = recorded(noise(6000, 5))
    whole = picture(waterfall(data, band=(2, None), pixels=(6000, 5)))
    monkeypatch.setattr(reading, "_AT_ONCE", 2000)
    pieces = picture(waterfall(data, band=(2, None), pixels=(6000, 5)))
    np.testing.assert_allclose(pieces, whole, atol=0.02)


def test_velocities_are_filtered_as_the_models_filter_does():
    import torch

    values = noise(256, 32).astype("f4")
    drawn = picture(waterfall(recorded(values), fk={"v_min": 300.0, "v_max": 2000.0}))
    model = FKFilter(0.01, 10.0, 300.0, 2000.0)
    expected = model(torch.from_numpy(values)[None])[0].numpy()
    np.testing.assert_allclose(drawn, expected.T, atol=1e-5)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"band": (20, 1)}, "lower corner below the upper"),
        ({"band": (1, 80)}, "Nyquist"),
        ({"fk": {"vmin": 3}}, "vmin"),
        ({"fk": {"v_min": 9.0, "v_max": 3.0}}, "v_min < v_max"),
        ({"clip": 0}, "percentile"),
        ({"value": "mean"}, "'samples' or 'rms'"),
        ({"backend": "plotly"}, "'matplotlib' or 'holoviews'"),
        ({"picks": pd.DataFrame({"time": []})}, "no column 'phase'"),
        ({"picks": 3}, "int"),
        ({"picks": pd.DataFrame({"time": at(1), "phase": ["P"]})}, "'distance'"),
        ({"events": pd.DataFrame({"event": [1]})}, "no column 'time'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_words(more, words):
    with pytest.raises(dasdist.InvalidArgument, match=re.escape(words)):
        waterfall(recorded(noise()), **more)


def test_velocities_need_metres():
    data = recorded(noise()).rename(distance="channel")
    with pytest.raises(dasdist.InvalidArgument, match="metres"):
        waterfall(data, fk={"v_min": 300.0})


# ---------------------------------------------------------------- waterfall: what stands on it


def bar_label(ax):
    (bar,) = (axes for axes in ax.figure.axes if axes is not ax)
    return bar.get_ylabel()


def test_axes_are_utc_and_metres_or_kilometres_and_the_bar_has_the_unit():
    ax = waterfall(recorded(noise(), units="nm/m/s", long_name="strain rate"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (UTC)", "distance (m)")
    assert bar_label(ax) == "strain rate (nm/m/s)"
    ax.figure.canvas.draw()
    assert ax.xaxis.get_major_formatter().get_offset().startswith("2025-Jun-01")
    far = waterfall(recorded(noise(), dx=2000.0))
    assert far.get_ylabel() == "distance (km)"
    assert far.get_ylim() == (11.0, -1.0)
    assert "unit not stated" in bar_label(far)


def test_text_from_files_is_no_formula():
    ax = waterfall(recorded(noise(), units="$\\frac{", long_name="a\x1b[31m$"), title="$\\x{$")
    ax.figure.canvas.draw()
    assert "\x1b" not in bar_label(ax)


def test_colours_end_at_a_percentile_and_the_bar_shows_that_there_is_more():
    values = np.tile(np.linspace(-1, 1, 201)[:, None], (1, 3))
    ax = waterfall(recorded(values), clip=50.0)
    assert ax.images[0].get_clim() == pytest.approx((-0.5, 0.5))
    assert ax.images[0].colorbar.extend == "both"
    assert waterfall(recorded(values), clip=100.0).images[0].colorbar.extend == "neither"


def test_balanced_channels_have_equal_medians():
    values = noise(500, 4) * [1.0, 10.0, 100.0, 0.0]
    drawn = np.asarray(picture(waterfall(recorded(values), balance=True)))
    np.testing.assert_allclose(np.median(np.abs(drawn), axis=1), [1, 1, 1, 0])


def test_picks_are_drawn_where_and_when_they_are_and_only_those_inside():
    picks = pd.DataFrame(
        {
            "time": at(1.0, 2.0, 86400.0),
            "distance": [0.0, 20.0, 20.0],
            "phase": ["P", "S", "S"],
        }
    )
    ax = waterfall(recorded(noise()).T, picks, title="A title")
    drawn = {points.get_label(): points.get_offsets()[0] for points in ax.collections}
    assert {phase: seconds_of(x) for phase, (x, _) in drawn.items()} == pytest.approx(
        {"P": 1.0, "S": 2.0}, abs=2e-6
    )
    assert {phase: y for phase, (_, y) in drawn.items()} == {"P": 0.0, "S": 20.0}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["P", "S"]
    assert ax.get_title("left") == "A title"


def test_picks_come_as_what_classify_returns_and_as_a_path(tmp_path):
    picks = pd.DataFrame({"time": at(1.0), "distance": [20.0], "phase": ["P"]})
    picks.to_parquet(tmp_path / "picks.parquet")
    report = dasdist.report.RunReport("m", 1, 1.0, 1.0, 1)
    for given_as in (
        dasdist.ClassifyOutput("m", report, {"picks": picks}),
        tmp_path / "picks.parquet",
    ):
        (points,) = waterfall(recorded(noise()), given_as).collections
        assert points.get_offsets()[0][1] == 20.0


def test_picks_in_kilometres_where_the_axis_is():
    picks = pd.DataFrame({"time": at(1.0), "distance": [4000.0], "phase": ["P"]})
    (points,) = waterfall(recorded(noise(), dx=2000.0), picks).collections
    assert points.get_offsets()[0][1] == pytest.approx(4.0)


def test_events_are_lines_through_their_picks_and_marks_at_their_origins():
    place = np.repeat(10.0 * np.arange(6), 2)
    picks = pd.DataFrame(
        {
            "time": at(*(1.0 + 0.01 * place / 10)),
            "distance": place,
            "phase": "P",
            "event": [7] * 10 + [-1] * 2,
        }
    )
    events = pd.DataFrame({"event": [7, 8], "time": at(0.5, 9000.0)})
    ax = waterfall(recorded(noise()), picks, events=events)
    curve, origin = ax.lines
    assert curve.get_label() == "event P"
    times = [seconds_of(x) for x in curve.get_xdata()]
    np.testing.assert_allclose(times, 1.0 + 0.001 * np.array(curve.get_ydata()), atol=2e-5)
    assert max(curve.get_ydata()) < 50.0
    assert seconds_of(origin.get_xdata()[0]) == pytest.approx(0.5, abs=2e-6)
    assert [text.get_text() for text in ax.texts] == ["7"]


def test_true_arrivals_are_lines_through_each_of_them():
    truth = pd.DataFrame(
        {"event": 0, "time": at(1.2, 1.0, 1.1), "distance": [20.0, 0.0, 10.0], "phase": "S"}
    )
    (line,) = waterfall(recorded(noise()), truth=truth).lines
    assert line.get_label() == "true S"
    assert list(line.get_ydata()) == [0.0, 10.0, 20.0]
    assert [seconds_of(x) for x in line.get_xdata()] == pytest.approx([1.0, 1.1, 1.2], abs=2e-6)


def test_a_stretch_of_time_is_drawn_alone():
    ax = waterfall(recorded(noise()), start="2025-06-01T00:00:01", stop="2025-06-01T00:00:02")
    assert picture(ax).shape == (6, 100)
    assert seconds_of(ax.images[0].get_extent()[0]) == pytest.approx(0.995, abs=2e-6)


def test_axes_that_are_given_are_drawn_in():
    figure, axes = plt.subplots()
    assert waterfall(recorded(noise()), ax=axes) is axes
    assert plt.get_fignums() == [figure.number]


def test_a_real_earthquake_has_gaps_between_its_channels(das_file):
    data = xdas.open_dataarray(das_file("lapalma_20211120.nc"))
    drawn = picture(waterfall(data, band=(1, 20)))
    channels = np.rint(np.asarray(data["distance"].values) / 10).astype(int)
    assert drawn.shape[0] == channels.max() + 1
    held = ~np.ma.getmaskarray(drawn).all(axis=1)
    assert sorted(channels) == np.flatnonzero(held).tolist()


@pytest.mark.parametrize(
    ("library", "backend"), [("matplotlib.pyplot", "matplotlib"), ("holoviews", "holoviews")]
)
def test_a_missing_library_is_named_with_what_to_install(monkeypatch, library, backend):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=re.escape("dasdist[plot]")):
        waterfall(recorded(noise()), backend=backend)


# ---------------------------------------------------------------- the same in a notebook


@pytest.fixture
def hv():
    pytest.importorskip("datashader")
    return pytest.importorskip("holoviews")


@pytest.mark.slow
def test_holoviews_draws_the_same_pixels_picks_and_labels(hv):
    values = 1 + np.abs(noise(100, 6))
    data = recorded(values, gap=(40, 0.3), units="nm/m/s", long_name="strain rate")
    picks = pd.DataFrame({"time": at(0.2), "distance": [20.0], "phase": ["P"]})
    options = {"title": "A title", "clip": 50.0}
    drawn = waterfall(data, picks, backend="holoviews", **options)
    image, points = drawn.values()
    expected = picture(waterfall(data, picks, **options))
    found = image.dimension_values("value", flat=False)
    np.testing.assert_allclose(found, expected.filled(np.nan))
    places = image.dimension_values("place", expanded=False)
    assert places.tolist() == [10.0 * i for i in range(6)]
    assert image.dimension_values("time", expanded=False)[0] == START
    assert [d.pprint_label for d in image.dimensions()] == [
        "time (UTC)",
        "distance (m)",
        "strain rate (nm/m/s)",
    ]
    assert points.dimension_values("time")[0] == at(0.2)
    assert points.dimension_values("place").tolist() == [20.0]
    assert points.label == "P"
    figure = hv.render(drawn, backend="bokeh")
    assert figure.title.text == "A title"
    assert (figure.xaxis.axis_label, figure.yaxis.axis_label) == ("time (UTC)", "distance (m)")
