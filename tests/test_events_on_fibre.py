"""Picks that line up along a fibre become earthquakes: those that are there, and no others."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray
import xdas
from hypothesis import given
from hypothesis import strategies as st

import dasdist
from dasdist.callbacks.pick_stream import open_picks
from dasdist.events import EventOptions, Events, detect
from dasdist.events.functions import _batch
from dasdist.events.stream import Batch, decide
from dasdist.synthetic.section import write_archive
from tests.pick_archive import CAR, DX, GLITCH, START, pick_archive

SECOND = np.timedelta64(10**9, "ns")


def table(*arrivals, confidence=0.8):
    """Picks of (phase, seconds, channels)."""
    phase, seconds, channel = (
        np.concatenate([np.broadcast_to(a[i], np.shape(a[2])) for a in arrivals]) for i in range(3)
    )
    return pd.DataFrame(
        {
            "time": START + np.rint(seconds.astype(float) * 1e9).astype("timedelta64[ns]"),
            "distance": DX * channel,
            "channel_index": channel.astype(np.int64),
            "phase": phase.astype(str),
            "confidence": np.full(channel.size, confidence, dtype=np.float32),
        }
    )


def quake(origin, along, away, channels=200, vp=5500.0, ratio=1.73):
    """Exact picks of an earthquake, `away` metres from the fibre's line."""
    channel = np.arange(channels)
    travel = np.hypot(DX * channel - along, away) / vp
    return table(("P", origin + travel, channel), ("S", origin + ratio * travel, channel))


def seconds_of(time):
    return (np.asarray(time, dtype="datetime64[ns]") - START) / SECOND


# ---------------------------------------------------------------- what an event is told to be


def test_exact_arrivals_give_the_origin_time_and_the_geometry():
    found = detect(quake(100.0, along=500.0, away=4000.0))
    (event,) = found.events.to_dict("records")
    assert abs(seconds_of(event["time"]) - 100.0) < 0.01
    assert abs(event["first_distance"] - 500.0) < 50.0
    assert abs(seconds_of(event["first_p"]) - (100 + 4000 / 5500)) < 0.01
    assert abs(event["s_minus_p"] - 0.73 * 4000 / 5500) < 0.01
    assert abs(event["vp_vs"] - 1.73) < 0.01
    assert (event["channels"], event["channels_p"], event["channels_s"]) == (200, 200, 200)
    assert (event["share"], event["first_channel"], event["last_channel"]) == (1.0, 0, 199)
    assert event["strength"] == pytest.approx(400 * 0.8)
    assert event["direction"] == "both"
    assert (found.picks["event"] == 0).all()
    assert found.picks["residual"].abs().max() < 0.02


@pytest.mark.parametrize(("along", "direction"), [(-30_000.0, "forward"), (32_000.0, "backward")])
def test_far_beyond_an_end_the_slowness_is_that_of_the_wave(along, direction):
    (event,) = detect(quake(50.0, along=along, away=3000.0)).events.to_dict("records")
    assert event["direction"] == direction
    cosine = 31_000 / np.hypot(31_000, 3000)  # from the middle of the fibre
    assert event["slowness"] == pytest.approx(cosine / 5500, rel=0.05)


def test_a_stated_ratio_of_speeds_moves_the_origin_where_there_is_no_moveout():
    picks = quake(100.0, along=450.0, away=20_000.0, channels=90, ratio=1.80)
    stated = detect(picks, vp_vs=1.80).events["time"]
    assert abs(seconds_of(stated)[0] - 100.0) < 0.01
    usual = detect(picks, vp_vs_spread=1e-6).events["time"]
    travel = 20_000 / 5500
    assert abs(seconds_of(usual)[0] - (100 + travel - 0.80 * travel / 0.73)) < 0.02


def test_a_gap_along_the_fibre_does_not_part_an_event_and_outliers_stay_out():
    whole = quake(100.0, along=500.0, away=4000.0, channels=500)
    picks = whole[~whole["channel_index"].between(150, 330)].reset_index(drop=True)
    late = (picks["channel_index"] % 10 == 3).to_numpy()
    picks.loc[late, "time"] += np.timedelta64(900, "ms")
    found = detect(picks)
    assert len(found) == 1
    shifted = found.picks["channel_index"] % 10 == 3
    assert ((found.picks["event"] == -1) == shifted).all()


def test_channels_without_distances_lie_as_far_apart_as_is_said():
    picks = quake(100.0, along=500.0, away=4000.0).drop(columns="distance")
    (event,) = detect(picks, spacing=DX).events.to_dict("records")
    assert abs(event["first_distance"] - 500.0) < 50.0


# ---------------------------------------------------------------- what is none


def test_cars_are_none():
    channel = np.arange(400)
    lanes = [
        (phase, 10 + 4 * k + channel * DX / speed, channel)
        for k, (phase, speed) in enumerate([("P", 10), ("S", 10), ("P", 35), ("S", 35), ("S", 20)])
    ]
    found = detect(table(*lanes))
    assert len(found) == 0
    assert (found.picks["event"] == -1).all()


def test_one_phase_by_itself_is_none():
    picks = quake(100.0, along=500.0, away=4000.0)
    for phase in ("P", "S"):
        assert len(detect(picks[picks["phase"] == phase])) == 0


def test_pulses_on_all_channels_at_once_are_the_interrogators():
    channel = np.arange(300)
    assert len(detect(table(("P", 10.0, channel), ("S", 12.0, channel)))) == 0


def test_random_picks_are_none():
    rng = np.random.default_rng(5)
    n = 20_000  # 10 a minute and channel
    channel = rng.integers(0, 100, n)
    halves = np.arange(n) % 2 == 0
    seconds = rng.uniform(0, 1200, n)
    arrivals = (("P", seconds[halves], channel[halves]), ("S", seconds[~halves], channel[~halves]))
    found = detect(table(*arrivals))
    assert len(found) == 0


# ---------------------------------------------------------------- overlapping


def test_earthquakes_whose_waves_cross_are_kept_apart():
    """B begins while A's S is on its way, and their curves cross on the fibre."""
    a = quake(100.0, along=-2000.0, away=9000.0, channels=800).assign(truth=0)
    b = quake(101.2, along=9000.0, away=5000.0, channels=800).assign(truth=1)
    crossing = np.sign(seconds_of(a["time"]) - seconds_of(b["time"]))
    assert len(np.unique(crossing[a["phase"] == "S"])) > 1
    found = detect(pd.concat([a, b], ignore_index=True))
    origins = np.sort(seconds_of(found.events["time"]))
    np.testing.assert_allclose(origins, [100.0, 101.2], atol=0.1)
    first = int(np.argmin(seconds_of(found.events["time"])))
    said = np.where(found.picks["event"] == first, 0, 1)
    assert np.mean(said == found.picks["truth"]) > 0.98


# ---------------------------------------------------------------- hours with truth


def check_against_truth(hours, seed, median=0.1):
    archive = pick_archive(hours, seed=seed)
    found = detect(archive.picks)
    truth, event = found.picks["truth"].to_numpy(), found.picks["event"].to_numpy()
    quakes, origins = archive.quakes, seconds_of(found.events["time"])
    match = {}
    for number in found.events["event"]:
        of_quakes = truth[(event == number) & (truth >= 0)]
        if of_quakes.size > np.sum(event == number) / 2:
            match.setdefault(int(np.bincount(of_quakes).argmax()), int(number))
    shown = np.flatnonzero(quakes["shown"] >= 0.3)
    recall = np.mean([index in match for index in shown])
    precision = len(match) / len(found)
    errors = np.abs(
        [origins[match[i]] - seconds_of(quakes["time"])[i] for i in shown if i in match]
    )
    lost = np.mean(event[np.isin(truth, shown)] < 0)
    false = np.mean(event[truth < 0] < 0)
    print(
        f"{hours} h, seed {seed}: {len(shown)} of {len(quakes)} events must be found; recall "
        f"{recall:.4f}, precision {precision:.4f}; origin off by {np.median(errors):.3f} s "
        f"(median), {errors.max():.3f} s (most); incoherent: {false:.4f} of false picks, "
        f"{lost:.4f} of true ones"
    )
    assert recall >= 0.98
    assert precision >= 0.99
    assert errors.max() <= 0.3
    assert np.median(errors) <= median
    assert false >= 0.95
    assert lost <= 0.01
    return found


@pytest.mark.slow
def test_two_hours_of_picks_with_truth():
    found = check_against_truth(2, seed=0, median=0.15)  # of eleven events; 0.1 holds for a day's
    kinds = found.picks[found.picks["event"] >= 0]["truth"]
    assert np.mean(kinds == CAR) < 0.01
    assert np.mean(kinds == GLITCH) < 0.01


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_a_day_of_picks_with_truth():
    check_against_truth(24, seed=1)


# ---------------------------------------------------------------- a pure function of a stream


@pytest.fixture(scope="module")
def minutes():
    """Six minutes of two earthquakes and noise, in the order of time."""
    rng = np.random.default_rng(2)
    noise = table(
        *((phase, rng.uniform(0, 360, 200), rng.integers(0, 60, 200)) for phase in ("P", "S"))
    )
    # one lies across the border of two windows
    quakes = [quake(119.2, 300.0, 4000.0, channels=60), quake(290.0, -900.0, 6000.0, channels=60)]
    picks = pd.concat([*quakes, noise], ignore_index=True)
    return picks.sort_values(["time", "channel_index", "phase"], ignore_index=True)


@pytest.fixture(scope="module")
def batch(minutes) -> Batch:
    source = open_picks(minutes)
    return _batch(next(source.tables()), source, EventOptions())


@pytest.fixture(scope="module")
def uncut(batch):
    return decided([batch])


def decided(batches):
    each = list(decide(batches, EventOptions(), 60))
    rows = [row for one in each for row in one.events]
    event, residual = (np.concatenate([getattr(d, n) for d in each]) for n in ("event", "residual"))
    return rows, event, residual


@given(cuts=st.lists(st.integers(0, 640), max_size=12))
def test_events_do_not_depend_on_how_the_stream_is_cut(batch, uncut, cuts):
    assert batch.time.size == 640
    edges = [0, *sorted(cuts), 640]
    pieces = [batch[a:b] for a, b in pairwise(edges)]
    rows, event, residual = decided(pieces)
    assert len(rows) == 2
    assert rows == uncut[0]
    np.testing.assert_array_equal(event, uncut[1])
    np.testing.assert_array_equal(residual, uncut[2])


def test_what_is_held_is_a_window_and_a_duration_of_picks(batch):
    """Hours of stream, and no more picks undecided at a time than minutes of it have."""
    fed = done = most = 0

    def hours():
        nonlocal fed
        for turn in range(10):
            time = batch.time + turn * 360 * 10**9
            for first in range(0, 640, 64):
                piece = slice(first, first + 64)
                fed += 64
                yield Batch(time[piece], *(column[piece] for column in batch.columns()[1:]))

    for one in decide(hours(), EventOptions(), 60):
        most = max(most, fed - done)
        done += one.event.size
    assert done == fed == 10 * 640
    assert most < 640


def test_events_do_not_depend_on_the_order_of_rows(minutes):
    expected = detect(minutes)
    found = detect(minutes.sample(frac=1.0, random_state=1))
    pd.testing.assert_frame_equal(found.events, expected.events)
    pd.testing.assert_frame_equal(found.picks, expected.picks)


def test_parts_of_a_dataset_give_the_events_of_the_table(minutes, tmp_path):
    """Parts by time and along the fibre, as blocks are; their names in no order of time."""
    expected = detect(minutes)
    seconds = seconds_of(minutes["time"])
    part = (seconds // 50).astype(int) * 2 + (minutes["channel_index"] >= 23)
    for number, rows in minutes.groupby(part):
        path = tmp_path / f"block-{99 - number:09d}.parquet"
        rows.to_parquet(path, index=False, row_group_size=40)
    found = detect(tmp_path)
    pd.testing.assert_frame_equal(found.events, expected.events)
    pd.testing.assert_frame_equal(found.picks, expected.picks)


def test_a_csv_file_gives_the_events_of_the_table(minutes, tmp_path):
    minutes.to_csv(tmp_path / "picks.csv", index=False)
    pd.testing.assert_frame_equal(detect(tmp_path / "picks.csv").events, detect(minutes).events)


# ---------------------------------------------------------------- recordings


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lapalma_20211120_uniform.nc", "lapalma_20211120.nc"])
def test_a_recorded_earthquake_is_one_event(das_file, phasenet, name):
    """P about 1.2 s and S about 3.6 s into the record."""
    data = xdas.open_dataarray(das_file(name))
    picks = dasdist.classify(phasenet, data, thresholds=0.3, pbar=False).picks
    found = detect(picks)
    print(found)
    (event,) = found.events.to_dict("records")
    start = data.coords["time"].values[0].astype("datetime64[ns]")
    assert abs((event["first_p"] - pd.Timestamp(start)).total_seconds() - 1.2) < 0.2
    assert abs(event["s_minus_p"] - 2.4) < 0.3
    assert event["channels_p"] >= 60
    assert event["channels_s"] >= 60


QUIET = {
    "prodml_2.0.h5": "prodml",
    "iDAS005_hdf5_example.626.h5": "prodml",
    "ap_sensing_1.hdf5": "apsensing",
    "terra15_v5_test_file.hdf5": "terra15",
    "xdas_netcdf.nc": "xdas",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("prodml_2.0.h5", 40.0),
        *(pytest.param(name, 600.0, marks=pytest.mark.deep) for name in QUIET),
    ],
)
def test_a_quiet_recording_has_none(das_file, phasenet, name, seconds):
    """The files hold seconds: each is played forwards and backwards for as long as is asked."""
    data = xdas.open_mfdataarray([str(das_file(name))], engine=QUIET[name], vtype="tiles")
    values = np.asarray(data.values)[:, :: max(1, data.shape[1] // 40)].astype(np.float32)
    times = data.coords["time"].values.astype("datetime64[ns]")
    step = (times[-1] - times[0]) / (len(times) - 1)
    count = int(seconds / (step / SECOND))
    loop = np.concatenate([values, values[::-1]])
    axes = {"time": START + step * np.arange(count), "distance": DX * np.arange(values.shape[1])}
    long = xarray.DataArray(np.take(loop, range(count), axis=0, mode="wrap"), axes)
    picks = dasdist.classify(phasenet, long, thresholds=0.3, pbar=False).picks
    print(f"{name}: {len(picks)} picks")
    assert len(detect(picks)) == 0


@pytest.mark.slow
def test_minutes_of_a_synthetic_archive_through_the_embedded_picker(tmp_path):
    truth = write_archive(tmp_path, seed=4, minutes=3.0, channels=64, gap=None)
    data = xdas.open_mfdataarray(f"{tmp_path}/*.nc", vtype="tiles")
    picks = dasdist.classify(dasdist.from_pretrained("demo"), data, pbar=False).picks
    found = detect(picks)
    print(found)
    p = truth[(truth["phase"] == "P") & (truth["snr"] >= 3)]
    shown = p.groupby("event")["channel"].nunique() >= 20
    first = truth[truth["phase"] == "P"].groupby("event")["time"].min()
    off = np.abs(seconds_of(found.events["first_p"])[:, None] - seconds_of(first)[None, :])
    assert (off.min(axis=1) < 0.3).all()
    assert (off.min(axis=0)[shown[shown].index] < 0.3).all()
    assert len(found) <= len(first)


# ---------------------------------------------------------------- what is said


def test_events_say_what_they_are(minutes, tmp_path):
    found = detect(minutes)
    assert isinstance(found, Events)
    head, _, rows = repr(found).partition("\n")
    inside = int((found.picks["event"] >= 0).sum())
    assert head == (
        f"2 events on 60 channels: {inside} of 640 picks in them, {640 - inside} incoherent"
    )
    assert "2024-05-01 00:01:59" in rows
    found.to_parquet(tmp_path / "events.parquet")
    schema = pq.read_schema(tmp_path / "events.parquet")
    assert schema.field("slowness").metadata == {b"unit": b"s/m"}
    assert schema.field("time").type == pa.timestamp("ns")
    back = pd.read_parquet(tmp_path / "events.parquet")
    pd.testing.assert_frame_equal(back.astype(found.events.dtypes), found.events)


def test_no_picks_are_no_events():
    found = detect(quake(0.0, 0.0, 1000.0).iloc[:0])
    assert (len(found), len(found.picks)) == (0, 0)
    assert repr(found).startswith("0 events on ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p.drop(columns="phase"), "The table of picks has no column phase"),
        (lambda p: p.assign(phase="Pg"), "The picks have the phases Pg, and events are made of P"),
        (lambda p: p.assign(time=pd.NaT), "a pick without time"),
        (lambda p: p.assign(channel_index="a"), "a column channel_index that holds no such"),
    ],
)
def test_picks_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(dasdist.InvalidInput, match=message):
        detect(change(quake(10.0, 0.0, 3000.0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vp_vs": 0.6}, "vp_vs is 0.6"),
        ({"aperture": 0}, "aperture is 0"),
        ({"max_s_minus_p": 90.0}, "longer than duration"),
        ({"channels": 12}, "picks lie on the channels 0 to 199"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(dasdist.InvalidInput, match=message):
        detect(quake(10.0, 0.0, 3000.0), **options)


def test_a_damaged_part_is_named(minutes, tmp_path):
    minutes.to_parquet(tmp_path / "block-000000000.parquet", index=False)
    (tmp_path / "block-000000001.parquet").write_bytes(b"no Parquet")
    with pytest.raises(dasdist.UnreadableData, match="block-000000001"):
        detect(tmp_path)
    with pytest.raises(dasdist.InvalidInput, match="nothing at"):
        detect(tmp_path / "none")
