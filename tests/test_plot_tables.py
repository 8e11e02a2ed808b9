"""Pictures of what runs made: probabilities, picks, events, coverage, channel quality."""

import numpy as np
import pandas as pd
import pytest
import xarray

import dasdist
from dasdist import plot
from dasdist.plot import arrivals
from dasdist.plot.covered import STATES

from .test_plot import at, bar_label, closed, noise, picture, recorded, seconds_of  # noqa: F401
from .toys import Toy, recording

matplotlib = pytest.importorskip("matplotlib")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---------------------------------------------------------------- annotations


def test_probabilities_have_one_scale_and_what_nothing_covers_is_empty():
    curve = np.random.default_rng(0).random((400, 6))
    curve[:40] = np.nan
    data = xarray.Dataset({"P": recorded(curve), "S": recorded(1 - curve)})
    axes = plot.annotations(data)
    assert [ax.get_title("left") for ax in axes] == ["P", "S"]
    assert {ax.images[0].get_clim() for ax in axes} == {(0.0, 1.0)}
    np.testing.assert_allclose(picture(axes[0])[:, 40:], curve[40:].T, rtol=1e-6)
    assert np.ma.getmaskarray(picture(axes[1]))[:, :40].all()
    light = axes[0].images[0].cmap(np.linspace(0, 1, 50))[:, :3] @ [0.299, 0.587, 0.114]
    assert light[0] == pytest.approx(1.0)
    assert (np.diff(light) < 0).all()


def test_no_peak_of_a_long_recording_is_lost():
    curve = np.zeros((4000, 6))
    curve[1234, 3] = 0.9
    (ax,) = plot.annotations(xarray.Dataset({"P": recorded(curve)}), pixels=(100, 6))
    assert picture(ax)[3, 1234 // 40] == pytest.approx(0.9)


def test_segments_of_a_tree_share_a_picture():
    one = recorded(np.full((100, 3), 0.25))
    two = one.assign_coords(time=one["time"] + np.timedelta64(3, "s")) * 2
    tree = xarray.DataTree.from_dict(
        {"/a": one.to_dataset(name="P"), "/b": two.to_dataset(name="P")}
    )
    (ax,) = plot.annotations(tree)
    drawn = picture(ax)
    assert drawn.shape == (3, 400)
    assert set(np.unique(drawn.compressed())) == {0.25, 0.5}
    assert np.ma.getmaskarray(drawn)[:, 100:300].all()


def test_picks_stand_on_the_panel_of_their_phase():
    data = xarray.Dataset({key: recorded(np.zeros((300, 6))) for key in ("P", "S")})
    picks = pd.DataFrame({"time": at(1, 2), "distance": [10.0, 20.0], "phase": ["P", "S"]})
    for ax, place in zip(plot.annotations(data, picks), (10.0, 20.0), strict=True):
        (points,) = ax.collections
        assert points.get_offsets()[:, 1].tolist() == [place]


def test_annotations_that_are_not_there_are_told():
    data = xarray.Dataset({"P": recorded(np.zeros((300, 6)))})
    with pytest.raises(dasdist.InvalidArgument, match="'S'; there are P"):
        plot.annotations(data, keys=["S"])
    with pytest.raises(dasdist.InvalidArgument, match="from `start` to `stop`"):
        plot.annotations(data, start="2030-01-01")


# ---------------------------------------------------------------- picks


def table(n=40):
    place = 10.0 * np.arange(n)
    return pd.DataFrame(
        {
            "time": at(*(1 + 0.01 * np.arange(n))),
            "distance": place,
            "phase": np.where(np.arange(n) % 4, "P", "S"),
            "confidence": np.linspace(0.3, 1, n),
            "event": np.where(np.arange(n) < 30, 3, -1),
        }
    )


def test_picks_are_counted_by_phase_and_lie_where_they_are():
    ax = plot.picks(table())
    assert legend(ax) == ["30 P", "10 S"]
    found = np.concatenate([points.get_offsets() for points in ax.collections])
    assert sorted(found[:, 1]) == [10.0 * i for i in range(40)]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time (UTC)", "distance (m)")


def test_picks_by_event_and_by_confidence():
    assert legend(plot.picks(table(), by="event")) == ["10 of no event", "30 of 1 event"]
    ax = plot.picks(table(), by="confidence")
    np.testing.assert_allclose(ax.collections[0].get_array(), np.linspace(0.3, 1, 40))
    assert bar_label(ax) == "confidence"


@pytest.mark.slow
def test_many_picks_are_drawn_as_densities(monkeypatch):
    pytest.importorskip("datashader")
    monkeypatch.setattr(arrivals, "MANY", 40)
    ax = plot.picks(table())
    (image,) = ax.images
    pixels = image.get_array()
    left, right, low, high = image.get_extent()
    rows, columns = np.nonzero(pixels[..., 3])
    seconds = [seconds_of(left + (c + 0.5) / pixels.shape[1] * (right - left)) for c in columns]
    places = low + (rows + 0.5) / pixels.shape[0] * (high - low)
    np.testing.assert_allclose(seconds, 1 + 0.001 * places, atol=0.002)
    assert len(rows) == 40
    assert legend(ax) == ["30 P", "10 S"]


def test_picks_without_what_colours_them_are_told():
    with pytest.raises(dasdist.InvalidArgument, match="no column 'event'"):
        plot.picks(table().drop(columns="event"), by="event")
    with pytest.raises(dasdist.InvalidArgument, match="no pick"):
        plot.picks(table()[:0])


# ---------------------------------------------------------------- one event


def test_an_event_is_drawn_with_its_own_picks_in_its_own_time():
    ax = plot.event(recorded(noise(2000, 40)), table(), 3, before=0.5, after=1.0)
    assert ax.get_title("left") == "event 3: 2025-06-01T00:00:01 UTC, 22 P, 8 S"
    assert sum(len(points.get_offsets()) for points in ax.collections) == 30
    left, right = map(seconds_of, ax.get_xlim())
    assert (left, right) == pytest.approx((0.495, 2.285), abs=1e-3)
    assert {line.get_label() for line in ax.lines} == {"event P", "event S"}
    with pytest.raises(dasdist.InvalidArgument, match="event 4"):
        plot.event(recorded(noise()), table(), 4)


# ---------------------------------------------------------------- coverage and quality


def test_coverage_shows_what_a_run_did_and_where_it_failed(tmp_path):
    values = noise(3000, 8).astype("f4")
    values[1000:1500] = np.nan
    with pytest.warns(dasdist.DataWarning, match="left out"):
        dasdist.classify(
            Toy(), recording(values), out=tmp_path / "picks", block={"time": 500}, thresholds=0.5,
            blinding=(1, 1), pbar=False, client=False, max_failures="any",
        )  # fmt: skip
    ax = plot.coverage(tmp_path / "picks", title="A run")
    states = np.asarray(picture(ax))[50]
    failed, done = list(STATES).index("failed or missing"), list(STATES).index("done")
    assert (states[205:295] == failed).all()
    assert (states[5:190] == done).all()
    assert (states[310:595] == done).all()
    assert {"done", "failed or missing"} <= set(legend(ax))
    with pytest.raises(dasdist.InvalidInput, match="holds no run"):
        plot.coverage(tmp_path)


def test_the_gravest_flag_of_each_channel_and_hour_is_drawn_and_hours_without_rows_are_empty():
    hours = pd.to_datetime(["2025-06-01T00", "2025-06-01T01", "2025-06-01T03"])
    flags = {(10, 0): "noisy,dead", (12, 1): "clipped", (12, 2): "odd noisy"}
    rows = [(c, hour, flags.get((c, i), "")) for c in (10, 11, 12) for i, hour in enumerate(hours)]
    ax = plot.channels(pd.DataFrame(rows, columns=["channel", "hour", "flags"]))
    drawn = picture(ax)
    names = ["good", "dead", "clipped", "noisy", "odd"]
    assert [entry.partition(" (")[0] for entry in legend(ax)] == names
    assert legend(ax)[3] == "noisy (2 channels)"
    assert drawn[:, [0, 1, 3]].astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 3]]
    assert np.ma.getmaskarray(drawn)[:, 2].all()
    left, right, bottom, top = ax.images[0].get_extent()
    assert (seconds_of(left), seconds_of(right)) == (0.0, 4 * 3600.0)
    assert (bottom, top) == (12.5, 9.5)


@pytest.mark.slow
def test_holoviews_draws_each_of_them(monkeypatch, tmp_path):
    hv = pytest.importorskip("holoviews")
    pytest.importorskip("datashader")
    hours = pd.date_range("2025-06-01", periods=2, freq="h")
    quality = pd.DataFrame({"channel": [1, 2], "hour": hours, "flags": ["", "dead"]})
    data = xarray.Dataset({"P": recorded(np.zeros((300, 6)))})
    out = tmp_path / "picks"
    dasdist.classify(
        Toy(), recording(noise(1000, 4)), out=out, thresholds=0.5, blinding=(1, 1), pbar=False
    )
    for drawn in (
        plot.annotations(data, backend="holoviews"),
        plot.picks(table(), by="event", backend="holoviews"),
        plot.picks(table(), by="confidence", backend="holoviews"),
        plot.event(recorded(noise(900, 40)), table(), 3, backend="holoviews"),
        plot.channels(quality, backend="holoviews"),
        plot.coverage(out, backend="holoviews"),
    ):
        assert hv.render(drawn, backend="bokeh")
    monkeypatch.setattr(arrivals, "MANY", 40)
    assert hv.render(plot.picks(table(), backend="holoviews"), backend="bokeh")


# ---------------------------------------------------------------- in a notebook


def test_a_status_is_a_picture_in_a_notebook_and_a_model_says_what_it_is(tmp_path):
    out = tmp_path / "a<b>picks"
    dasdist.classify(
        Toy(), recording(noise(1000, 4)), out=out, thresholds=0.5, blinding=(1, 1), pbar=False
    )
    html = dasdist.status(out)._repr_html_()
    assert html.count("<rect") == 16 * 64
    assert "#0072B2" in html
    assert "<b>" not in html
    assert "&lt;b&gt;picks: complete" in html
    model = Toy(dt_range=(0.005, 0.02), citation="Ana & Bo <2025>")
    html = model._repr_html_()
    assert "100 Hz; resamples what is not 50 to 200 Hz" in html
    assert "64 samples x 4 channels" in html
    assert "Ana &amp; Bo &lt;2025&gt;" in html
