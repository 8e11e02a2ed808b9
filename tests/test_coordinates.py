"""Axes as xarray coordinates: exact to the nanosecond, and never held where they are long."""

from __future__ import annotations

import copy
import json
import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from dasdist import coordinates
from dasdist.coordinates import AffineIndex, axis_attrs, axis_from_attrs, coordinate
from dasdist.errors import InvalidInput
from dasdist.geometry import Axis

MARCH = 1_709_251_200 * 10**9  # 2024-03-01
YEAR = Axis("time", Fraction(MARCH), Fraction(10**6), size=30_000_000_000, is_time=True)

axes = st.builds(
    Axis,
    st.just("time"),
    start=st.fractions(MARCH, MARCH + 10**9, max_denominator=10**4),
    step=st.one_of(
        st.fractions(1, 10**10, max_denominator=10**4),
        st.integers(1, 10**7).map(lambda rate: Fraction(10**9, rate)),
        st.sampled_from([Fraction(10**9), Fraction(60 * 10**9), Fraction(10**13, 7)]),
    ),
    size=st.integers(1, 300),
    is_time=st.just(True),
)


@pytest.fixture
def lazy(monkeypatch):
    """Make every time axis a computed coordinate."""
    monkeypatch.setattr(coordinates, "EAGER_LIMIT", 0)


def exact(axis, i):
    """Nanoseconds of sample i, by Python's own arithmetic."""
    twice = 2 * (axis.start + i * axis.step) + 1
    return twice.numerator // (2 * twice.denominator)


def nanoseconds(values):
    return np.asarray(values).astype("datetime64[ns]").astype(np.int64).tolist()


def as_dataset(axis):
    values = xr.Variable("time", np.arange(axis.size))
    return xr.Dataset({"x": values}, coords=coordinate(axis))


def pandas_dataset(axis):
    return xr.Dataset({"x": ("time", np.arange(axis.size))}, coords={"time": axis.values()})


# ---------------------------------------------------------------- values


@given(axis=axes, data=st.data())
def test_values_are_exact(axis, data):
    ds = xr.Dataset(coords=xr.Coordinates.from_xindex(AffineIndex(transform(axis))))
    assert nanoseconds(ds.time) == [exact(axis, i) for i in range(axis.size)]
    i = data.draw(st.integers(-axis.size, axis.size - 1))
    assert nanoseconds(ds.time[i]) == nanoseconds(ds.isel(time=i).time)
    assert nanoseconds(ds.time[i]) == exact(axis, i % axis.size)
    bound = st.none() | st.integers(-axis.size - 2, axis.size + 2)
    part = slice(data.draw(bound), data.draw(bound), data.draw(st.sampled_from([None, 1, 3, -2])))
    wanted = [exact(axis, i) for i in range(axis.size)[part]]
    assert nanoseconds(ds.isel(time=part).time) == wanted
    if wanted:  # xarray's LazilyIndexedArray errs on empty slices that run backwards
        assert nanoseconds(ds.time[part]) == wanted
    some = data.draw(st.lists(st.integers(-axis.size, axis.size - 1), max_size=4))
    assert nanoseconds(ds.isel(time=some).time) == [exact(axis, i % axis.size) for i in some]


def transform(axis):
    return coordinates._AffineTransform(axis, axis.name, axis.name)


@given(axis=axes, position=st.integers(0, 3 * 10**10))
def test_values_of_a_year_are_exact(axis, position):
    year = Axis("time", axis.start, axis.step / 10**4, 3 * 10**10 + 5, is_time=True)
    ds = xr.Dataset(coords=coordinate(year))
    assert isinstance(ds.xindexes["time"], AffineIndex)
    part = ds.isel(time=slice(position, position + 3))
    assert nanoseconds(part.time) == [exact(year, position + i) for i in range(3)]
    assert isinstance(part.xindexes["time"], xr.indexes.PandasIndex)


def test_slices_become_ordinary_where_they_are_short():
    short = xr.Dataset(coords=coordinate(YEAR)).isel(time=slice(10**9, 10**9 + 600_000))
    assert len(short.resample(time="1min").groups) == 11
    assert short.indexes["time"].is_monotonic_increasing


def test_eager_below_the_limit_and_distances_always(monkeypatch):
    monkeypatch.setattr(coordinates, "EAGER_LIMIT", 5)
    times = Axis("time", Fraction(MARCH), Fraction(10**7), size=5, is_time=True)
    fibre = Axis("distance", Fraction(1, 3), Fraction(41, 10), size=50, is_time=False)
    ds = xr.Dataset(coords=coordinate(times, fibre))
    assert {type(index) for index in ds.xindexes.values()} == {xr.indexes.PandasIndex}
    assert ds.time.values.tolist() == times.values().tolist()
    wanted = [float(Fraction(1, 3) + i * Fraction(41, 10)) for i in range(50)]
    assert ds.distance.values.tolist() == wanted


# ---------------------------------------------------------------- labels: what pandas finds


@given(axis=axes, data=st.data())
def test_labels_find_what_pandas_finds(axis, data):
    ours = as_dataset(axis)
    ours = ours.assign_coords(xr.Coordinates.from_xindex(AffineIndex(transform(axis))))
    theirs = pandas_dataset(axis)
    first, last = exact(axis, 0), exact(axis, axis.size - 1)
    near = st.integers(0, axis.size - 1).flatmap(
        lambda i: st.integers(exact(axis, i) - 2, exact(axis, i) + 2)
    )
    stamp = st.one_of(near, st.integers(first - 10**9, last + 10**9)).map(pd.Timestamp)
    text = st.tuples(stamp, st.sampled_from([4, 7, 10, 13, 16, 19, 23, 26, 29])).map(
        lambda t: f"{t[0]:%Y-%m-%dT%H:%M:%S}.{t[0].value % 10**9:09d}"[: t[1]]
    )
    label = st.one_of(stamp, stamp.map(lambda t: t.asm8), text)
    method = data.draw(st.sampled_from([None, "nearest", "ffill", "bfill", "pad", "backfill"]))
    for kwargs in (
        {"time": slice(data.draw(st.none() | label), data.draw(st.none() | label))},
        {"time": data.draw(label), "method": method},
        {"time": data.draw(st.lists(stamp, min_size=1, max_size=4)), "method": method},
        {"time": data.draw(stamp), "method": "nearest", "tolerance": pd.Timedelta(2, "ns")},
    ):
        if axis.step < 2 and not isinstance(kwargs["time"], slice):
            continue  # pandas wants unique stamps
        assert outcome(ours, kwargs) == outcome(theirs, kwargs), kwargs


def outcome(ds, kwargs):
    try:
        return ds.sel(**kwargs).x.values.tolist()
    except KeyError:
        return "KeyError"


def test_labels_with_dimensions_of_their_own():
    ds = xr.Dataset(coords=coordinate(YEAR))
    when = xr.DataArray(
        pd.to_datetime(["2024-05-01T00:00:00.0004", "2024-06-01"], format="ISO8601"),
        dims="pick",
        name="when",
    )
    found = ds.sel(time=when, method="nearest").time
    assert found.dims == ("pick",)
    assert (
        found.values.tolist()
        == pd.to_datetime(["2024-05-01", "2024-06-01"]).as_unit("ns").values.tolist()
    )
    assert ds.sel(time=xr.Variable("n", when.values), method="nearest").time.dims == ("n",)


@pytest.mark.parametrize(
    ("label", "method", "error"),
    [
        (5, None, KeyError),
        (5.0, "nearest", KeyError),
        (np.datetime64("NaT", "ns"), "nearest", KeyError),
        (pd.Timestamp("2024-05-01", tz="UTC"), "nearest", KeyError),
        (slice(pd.Timestamp("2024-05-01", tz="UTC"), None), None, InvalidInput),
        (np.datetime64("2024-05-01"), "linear", InvalidInput),
        ("2023", None, KeyError),
        (slice("2024-05", "2024-06"), "nearest", NotImplementedError),
    ],
)
def test_labels_that_are_no_times(label, method, error):
    with pytest.raises(error):
        xr.Dataset(coords=coordinate(YEAR)).sel(time=label, method=method)


def test_bounds_far_away_select_everything():
    ds = xr.Dataset(coords=coordinate(YEAR))
    far = slice(np.datetime64("0001-01-01"), np.datetime64("9999-01-01"))
    assert ds.sel(time=far).sizes["time"] == YEAR.size


def test_backwards_axes_are_for_positions():
    ds = xr.Dataset(coords=coordinate(YEAR)).isel(time=slice(None, None, -1))
    assert nanoseconds(ds.time[0]) == exact(YEAR, YEAR.size - 1)
    with pytest.raises(InvalidInput, match="before reversing"):
        ds.sel(time="2024-03-01T00:00:00", method="nearest")


# ---------------------------------------------------------------- nothing is ever held


def test_a_year_at_1_khz_costs_nothing():
    other = xr.Dataset({"y": ("key", [1.0])}, coords=coordinate(YEAR))
    tracemalloc.start()
    ds = xr.Dataset({"x": ("key", [1.0])}, coords=coordinate(YEAR))
    text, html = repr(ds), ds._repr_html_()
    day = ds.sel(time=slice("2024-07-01", "2024-07-01"))
    ds.isel(time=slice(10**9, 2 * 10**10))
    ds.sel(time="2024-07-01T00:00:00.0003", method="nearest")
    ds.sel(time="2024-07")
    repr(ds.time), ds.time._repr_html_(), ds.time[123].values, ds.time[5:-5].shape
    again = pickle.loads(pickle.dumps(ds))
    both = xr.merge([ds, other], join="exact")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6
    assert "2024-03-01T00:00" in text
    assert "AffineIndex" in html
    assert day.sizes["time"] == 86_400_000
    assert again.xindexes["time"].equals(ds.xindexes["time"])
    assert both.sizes["time"] == YEAR.size


def test_the_whole_axis_is_refused():
    ds = xr.Dataset(coords=coordinate(YEAR))
    with pytest.raises(
        InvalidInput, match=r"30,000,000,000 samples holds 224 GiB .* select a part"
    ):
        ds.time.values  # noqa: B018 -- the property computes
    with pytest.raises(TypeError, match="pandas"):
        ds.indexes  # noqa: B018


def test_alignment_is_by_axis():
    ds, same = (xr.Dataset(coords=coordinate(YEAR)) for _ in range(2))
    assert xr.align(ds, same, join="exact")[1].sizes["time"] == YEAR.size
    shifted = coordinate(Axis("time", YEAR.start + 1, YEAR.step, YEAR.size, is_time=True))
    with pytest.raises(ValueError, match="not equal"):
        xr.align(ds, xr.Dataset(coords=shifted), join="exact")
    assert ds.equals(ds.copy(deep=True))


@pytest.mark.usefixtures("lazy")
def test_what_else_xarray_does():
    axis = Axis("time", Fraction(MARCH, 3), Fraction(10**9, 7), size=30, is_time=True)
    ds, plain = as_dataset(axis), pandas_dataset(axis)
    assert type(ds.xindexes["time"]) is AffineIndex
    assert ds.equals(plain)
    assert ds.compute().equals(plain)
    assert copy.deepcopy(ds).equals(ds)
    assert ds.rename(time="t").sel(t=axis.value(3)).x == 3
    assert ds.rename_dims(time="n").time.dims == ("n",)
    assert ds.isel(time=ds.x.values > 27).time.equals(plain.time[28:])
    assert ds.isel(time=xr.DataArray([[1, 2]], dims=("a", "b"))).time.dims == ("a", "b")
    assert ds.isel(time=[]).time.size == 0
    assert ds.reset_index("time").time[:2].values.tolist() == plain.time[:2].values.tolist()
    assert ds.chunk(time=7).isel(time=3).x.compute() == 3
    assert (ds.x + ds.copy(deep=True).x).time.equals(plain.time)


# ---------------------------------------------------------------- attributes


@given(axis=axes, is_time=st.booleans())
def test_attributes_keep_axes(axis, is_time):
    axis = Axis("distance", -axis.start, axis.step, axis.size, is_time)
    assert axis_from_attrs(json.loads(json.dumps(axis_attrs(axis)))) == axis


@pytest.mark.parametrize("change", [{"start": "1/0"}, {"step": None}, {"size": "many"}, None])
def test_attributes_of_no_axis(change):
    attrs = {} if change is None else axis_attrs(YEAR) | change
    with pytest.raises(InvalidInput, match="does not describe an axis"):
        axis_from_attrs(attrs)
