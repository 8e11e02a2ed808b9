"""Picks that are exported are what their consumers read: the same times, phases and channels."""

import json
from datetime import datetime
from itertools import pairwise

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.callbacks.pick_files import encode, schema_of
from dasdist.callbacks.pick_parts import part_name
from dasdist.callbacks.picks import METRES, PICK_COLUMNS, Place
from dasdist.cli import app
from dasdist.exports import FORMATS, ChannelTable, Thinning, export
from dasdist.exports.stream import open_picks

START = np.datetime64("2024-02-29T23:59:50", "ns")
GEOMETRY = "channel,longitude,latitude,elevation\n" + "".join(
    f"{i},{-17.9 + 1e-4 * i:.6f},{28.6 + 2e-4 * i:.6f},{100 - i}\n" for i in range(60)
)


def here(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def table_of(seed=0, size=400, channels=60):
    """Picks at nanoseconds that no decimal fraction ends, across the end of a month."""
    random = np.random.default_rng(seed)
    channel = random.integers(0, channels, size)
    columns = {
        "time": START + random.integers(0, 20_000_000_000, size).astype("timedelta64[ns]"),
        "distance": 8.0 * channel,
        "channel_index": channel,
        "phase": random.choice(["P", "S"], size),
        "confidence": random.uniform(0.2, 1, size).astype("float32").round(4),
        "sample_index": random.integers(0, 2000, size),
        "segment": np.zeros(size, dtype=np.int64),
    }
    return pd.DataFrame(columns)


def write_parts(folder, table, place=METRES):
    """Lay picks out as a run does: two blocks side by side, four one after the other."""
    folder.mkdir()
    late = (table["time"] - START) // np.timedelta64(5, "s")
    far = table["channel_index"] >= 30
    for number in range(8):
        part = table[(late == number // 2) & (far == number % 2)]
        columns = {name: part[name].to_numpy(kind) for name, kind in PICK_COLUMNS.items()}
        schema = schema_of((("dasdist_format", "1"),), place)
        (folder / part_name(number)).write_bytes(encode(columns, schema))
    return folder


def in_order(table):
    return table.sort_values(["time", "channel_index", "phase"], ignore_index=True)


@pytest.fixture(scope="module")
def table():
    return in_order(table_of())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("exports")
    write_parts(folder / "picks.parquet", table)
    (folder / "channels.csv").write_text(GEOMETRY)
    of_events = table.assign(event=np.arange(len(table)) % 3 - 1)
    of_events.to_parquet(folder / "events.picks.parquet")
    return folder


def exported(folder, to, picks="picks.parquet", **options):
    out = folder / f"{to}-{len(list(folder.iterdir()))}"
    geometry = {"geometry": folder / "channels.csv"}
    return export(folder / picks, to, out, **(geometry | options)).path


# ---------------------------------------------------------------- the stream


def test_parts_come_in_the_order_of_time_and_none_is_lost(folder, table):
    batches = list(open_picks(folder / "picks.parquet"))
    found = pd.concat(batches, ignore_index=True)
    assert found["time"].is_monotonic_increasing
    pd.testing.assert_frame_equal(
        in_order(found)[["time", "channel_index", "confidence"]],
        table[["time", "channel_index", "confidence"]],
    )
    assert max(map(len, batches)) < len(table) / 2  # a time of blocks at once, not all


def test_picks_are_queried_by_the_nanosecond(folder, table):
    """In pandas, polars and DuckDB, as a dataset of picks lies on disk."""
    wanted = table["time"].iloc[17]
    name = str(folder / "picks.parquet")
    expected = table.loc[table["time"] == wanted, "channel_index"].tolist()
    found = pd.read_parquet(name)
    assert found.loc[found["time"] == wanted, "channel_index"].tolist() == expected
    scan = pl.scan_parquet(name).filter(pl.col("time").cast(pl.Int64) == wanted.value)
    assert scan.collect()["channel_index"].to_list() == expected
    with duckdb.connect() as connection:
        text = np.datetime_as_string(wanted.to_datetime64())
        query = f"SELECT channel_index FROM '{name}/*.parquet' WHERE time = '{text}'"
        assert [row[0] for row in connection.sql(query).fetchall()] == expected


# ---------------------------------------------------------------- read back


def nearest(times, step):
    """Round by arithmetic of Python's integers."""
    return [(int(time.value) + step // 2) // step * step for time in times]


def text_to_ns(text):
    whole, _, fraction = text.partition(".")
    seconds = int((datetime.fromisoformat(whole) - datetime(1970, 1, 1)).total_seconds())
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize("to", ["phasenet-das", "phasenet-das-parquet"])
def test_phasenet_das(folder, table, to):
    path = exported(folder, to, geometry=None)
    found = (
        pd.read_csv(path / "picks.csv")
        if to == "phasenet-das"
        else pd.read_parquet(path / "picks.parquet")
    )
    assert list(found) == [
        "channel_index",
        "phase_index",
        "phase_time",
        "phase_score",
        "phase_type",
    ]
    assert found["channel_index"].tolist() == table["channel_index"].tolist()
    assert found["phase_index"].tolist() == table["sample_index"].tolist()
    assert found["phase_type"].tolist() == table["phase"].tolist()
    np.testing.assert_allclose(found["phase_score"], table["confidence"], rtol=1e-6)
    assert [text_to_ns(text) for text in found["phase_time"]] == nearest(table["time"], 10**6)
    assert {len(text) for text in found["phase_time"]} == {len("2024-05-01T00:00:00.000")}


def test_quakescope(folder, table):
    """By DuckDB with the partitions, as QuakeScope's own pages read them."""
    path = exported(folder, "quakescope", geometry=None, network="LP")
    query = (
        f"SELECT *, epoch_ms(peak) AS ms FROM read_parquet('{path}/picks/**/*.parquet', "
        "hive_partitioning = true) ORDER BY peak, tid, pha"
    )
    with duckdb.connect() as connection:
        found = connection.sql(query).df()
    stations = [f"LP.C{channel:04d}." for channel in table["channel_index"]]
    milliseconds = [time // 10**6 for time in nearest(table["time"], 10**6)]
    expected = sorted(zip(milliseconds, stations, table["phase"], strict=True))
    assert list(zip(found["ms"], found["tid"], found["pha"], strict=True)) == expected
    assert (found["start"] == found["peak"]).all()
    assert (found["end"] == found["peak"]).all()
    assert found[["amp", "amp_raw"]].isna().all(axis=None)
    assert set(found["cha"]) == {"HS"}
    assert set(zip(found["year"], found["month"].astype(int), strict=True)) == {
        (2024, 2),
        (2024, 3),
    }
    (part, _) = sorted(path.rglob("*.parquet"))
    types = {field.name: str(field.type) for field in pq.read_schema(part)}
    assert types == {
        **dict.fromkeys(["tid", "cha", "pha", "rid"], "string"),
        **dict.fromkeys(["start", "peak", "end"], "timestamp[ms]"),
        **dict.fromkeys(["conf", "amp", "amp_raw"], "float"),
    }


def test_gamma(folder, table):
    path = exported(folder, "gamma")
    found, stations = (pd.read_csv(path / name) for name in ("picks.csv", "stations.csv"))
    assert [int(name[4:8]) for name in found["id"]] == table["channel_index"].tolist()
    assert [text_to_ns(text) for text in found["timestamp"]] == nearest(table["time"], 1000)
    assert found["type"].str.upper().tolist() == table["phase"].tolist()
    np.testing.assert_allclose(found["prob"], table["confidence"], rtol=1e-6)
    assert set(found["id"]) == set(stations["id"])
    # one degree of latitude is 110.85 km here, and of longitude 97.8
    south, north = stations.iloc[0], stations.iloc[-1]
    apart = (north["latitude"] - south["latitude"]) * 110.85
    assert north["y(km)"] - south["y(km)"] == pytest.approx(apart, rel=1e-3)
    apart = (north["longitude"] - south["longitude"]) * 97.8
    assert north["x(km)"] - south["x(km)"] == pytest.approx(apart, rel=1e-3)
    assert stations["z(km)"].tolist() == (-stations["elevation(m)"] / 1e3).tolist()


def test_pyocto(folder, table):
    path = exported(folder, "pyocto")
    found, stations = (pd.read_csv(path / name) for name in ("picks.csv", "stations.csv"))
    assert found["time"].dtype == np.float64
    assert [int(name[4:8]) for name in found["station"]] == table["channel_index"].tolist()
    assert found["phase"].tolist() == table["phase"].tolist()
    exact = [time // 1000 for time in nearest(table["time"], 1000)]
    assert np.abs(np.array(found["time"]) * 1e6 - exact).max() <= 0.5
    line = stations.set_index("id").loc["XX.C0042."]
    assert line[["longitude", "latitude", "elevation"]].tolist() == [-17.8958, 28.6084, 58.0]


def test_adloc(folder, table):
    events = pd.DataFrame({"event": [0, 1], "time": [START, START], "depth_m": [1500.0, 2.0]})
    with pytest.warns(dasdist.DataWarning, match=r"134 picks are not in .*: no event"):
        path = exported(folder, "adloc", "events.picks.parquet", events=events)
    found = pd.read_csv(path / "picks.csv", parse_dates=["phase_time"])
    kept = table[np.arange(len(table)) % 3 > 0]
    assert found["phase_time"].astype("datetime64[ns]").astype("int64").tolist() == nearest(
        kept["time"], 1000
    )
    assert found["event_index"].tolist() == (kept.index % 3 - 1).tolist()
    assert [int(name[4:8]) for name in found["station_id"]] == kept["channel_index"].tolist()
    assert found["phase_type"].tolist() == kept["phase"].tolist()
    stations = pd.read_csv(path / "stations.csv")
    assert {"station_id", "longitude", "latitude", "elevation_m", "x_km", "z_km"} <= set(stations)
    assert pd.read_csv(path / "events.csv")["depth_km"].tolist() == [1.5, 0.002]


def test_nonlinloc(folder, table):
    """By the columns of NLLOC_OBS, one file an event, and no minute of sixty seconds."""
    with pytest.warns(dasdist.DataWarning, match="no event"):
        path = exported(folder, "nonlinloc", "events.picks.parquet", pick_error=0.05)
    for event in (0, 1):
        kept = table[np.arange(len(table)) % 3 == event + 1]
        rows = [line.split() for line in (path / f"event-{event:09d}.obs").read_text().splitlines()]
        assert {len(row) for row in rows} == {14}
        assert [int(row[0][1:]) for row in rows] == kept["channel_index"].tolist()
        assert [row[4] for row in rows] == kept["phase"].tolist()
        assert {(row[9], row[10]) for row in rows} == {("GAU", "5.00e-02")}
        found = [
            int(datetime.strptime(f"{row[6]}{row[7]}+0000", "%Y%m%d%H%M%z").timestamp()) * 10**9
            + round(float(row[8]) * 1e4) * 10**5
            for row in rows
        ]
        assert found == nearest(kept["time"], 10**5)
    assert (
        "GTSRCE C0042 LATLON 28.6084000 -17.8958000 0.0 0.0580"
        in (path / "stations.in").read_text().splitlines()
    )


def test_a_minute_has_no_sixtieth_second(tmp_path):
    time = [np.datetime64("2024-05-01T00:00:59.999960", "ns")]
    row = {"time": time, "channel_index": 3, "phase": "P", "confidence": 0.5, "event": 0}
    where = ChannelTable([3], [10], [20], [0])
    export(pd.DataFrame(row), "nonlinloc", tmp_path / "out", geometry=where)
    line = (tmp_path / "out" / "event-000000000.obs").read_text().split()
    assert line[6:9] == ["20240501", "0001", "0.0000"]


# ---------------------------------------------------------------- fewer picks


def best_of(table, metres, within):
    """Every pick against every other, in Python's own arithmetic."""
    rows = table.to_dict("records")
    rank = [(-row["confidence"], row["time"].value, row["channel_index"]) for row in rows]
    reach = round(within * 1e9)

    def beaten(i):
        return any(
            rank[j] < rank[i]
            and rows[j]["phase"] == rows[i]["phase"]
            and rows[j]["distance"] // metres == rows[i]["distance"] // metres
            and abs(rows[j]["time"].value - rows[i]["time"].value) <= reach
            for j in range(len(rows))
        )

    return [i for i in range(len(rows)) if not beaten(i)]


@given(
    seed=st.integers(0, 10**6),
    metres=st.sampled_from([8.0, 50.0, 1000.0]),
    within=st.sampled_from([0.01, 0.3, 2.0, 30.0]),
    cuts=st.lists(st.integers(0, 120), max_size=6),
)
def test_the_best_of_a_window_is_that_of_a_comparison_of_all_with_all(seed, metres, within, cuts):
    table = in_order(table_of(seed, size=120))
    table["confidence"] = table["confidence"].round(1)  # there are ties
    edges = [0, *sorted(cuts), len(table)]
    batches = [table.iloc[a:b] for a, b in pairwise(edges)]
    found = pd.concat(list(Thinning(best_of=metres, within=within)(batches)))
    expected = table.iloc[best_of(table, metres, within)]
    columns = ["time", "channel_index", "phase", "confidence"]
    pd.testing.assert_frame_equal(
        in_order(found)[columns], in_order(expected)[columns], check_dtype=False
    )


def test_every_tenth_channel_and_picks_of_events_only(folder, table):
    found = pd.read_csv(exported(folder, "gamma", thinning=Thinning(every=10)) / "picks.csv")
    kept = table[table["channel_index"] % 10 == 0]
    assert [int(name[4:8]) for name in found["id"]] == kept["channel_index"].tolist()
    only = Thinning(events_only=True)
    path = exported(folder, "gamma", "events.picks.parquet", thinning=only)
    assert len(pd.read_csv(path / "picks.csv")) == 266


def test_a_window_is_one_station_in_its_middle_for_associators(folder, table):
    """Windows of 80 m are 10 channels of 8 m: of 0 to 72 m, 40 m is channel 5, the middle."""
    thinning = Thinning(best_of=80, within=0.3)
    path = exported(folder, "pyocto", thinning=thinning)
    found, stations = (pd.read_csv(path / name) for name in ("picks.csv", "stations.csv"))
    expected = table.iloc[best_of(table, 80, 0.3)]
    assert [int(name[4:8]) for name in found["station"]] == [
        channel // 10 * 10 + 5 for channel in expected["channel_index"]
    ]
    assert sorted(stations["id"]) == [f"XX.C{channel:04d}." for channel in range(5, 60, 10)]
    assert found["phase"].tolist() == expected["phase"].tolist()


def test_overlapping_events_do_not_compete(tmp_path):
    time = START + np.array([0, 100], "timedelta64[ms]")
    columns = {"time": time, "channel_index": [0, 1], "phase": "P", "confidence": [0.9, 0.8]}
    picks = pd.DataFrame(columns).assign(distance=[0.0, 8.0])
    thinning = Thinning(best_of=100)
    assert sum(map(len, thinning(open_picks(picks)))) == 1
    assert sum(map(len, thinning(open_picks(picks.assign(event=[0, 1]))))) == 2


# ---------------------------------------------------------------- geometry


def test_a_geometry_is_read_whatever_the_order_of_its_columns(tmp_path):
    path = tmp_path / "channels.csv"
    path.write_text("\ufeffLatitude, channel ,note,longitude\n28.5,7,x,-17.5\n\n28.6,5,y,-17.6\n")
    found = ChannelTable.read_csv(path).at([7, 5])
    assert (found.longitude.tolist(), found.latitude.tolist()) == ([-17.5, -17.6], [28.5, 28.6])
    assert found.elevation.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column channel or longitude or latitude"),
        ("channel;longitude;latitude\n", "with commas between them"),
        ("channel,longitude\n1,2\n", "no column latitude"),
        ("channel,longitude,latitude\n1,2,north\n", "line 2: latitude 'north' is not a number"),
        ("channel,longitude,latitude\n1,2\n", "line 2: latitude '' is not a number"),
        ("channel,longitude,latitude\n1.5,2,3\n", "line 2: channel 1.5 is not whole"),
        ("channel,longitude,latitude\n1,2,3\n1,2,4\n", "Channel 1 comes twice"),
        ("channel,longitude,latitude\n1,2,93\n", "latitude 93, which is not within -90 to 90"),
    ],
)
def test_a_wrong_geometry_is_refused_in_a_sentence(tmp_path, folder, text, message):
    path = tmp_path / "channels.csv"
    path.write_text(text)
    shown = here(
        *("export", folder / "picks.parquet", "--to", "gamma", "-o", tmp_path / "out"),
        *("--geometry", path),
    )
    assert shown.exit_code == 1
    assert message in shown.stderr
    assert not (tmp_path / "out").exists()


def test_the_places_of_a_recording_are_its_coordinates(tmp_path, folder, table):
    import xarray

    values = np.zeros((10, 60), dtype="float32")
    where = {
        "longitude": ("distance", np.linspace(-17.9, -17.8, 60)),
        "latitude": ("distance", np.linspace(28.5, 28.6, 60)),
    }
    data = xarray.DataArray(values, dims=("time", "distance"), coords=where)
    found = ChannelTable.of(data)
    assert len(found) == 60
    assert found.at([59]).longitude.tolist() == [-17.8]
    with pytest.raises(dasdist.InvalidInput, match="no coordinates longitude and latitude"):
        ChannelTable.of(data.drop_vars("latitude"))


def test_a_line_is_the_shortest_between_two_points():
    """Distances by ObsPy's inverse geodesic, which is code of its own."""
    pytest.importorskip("geographiclib")
    from obspy.geodetics.base import calc_vincenty_inverse

    table = ChannelTable.line((-17.95, 28.6), (-17.0, 29.5), 11, elevation=7)
    steps = [
        calc_vincenty_inverse(*start, *stop)
        for start, stop in zip(
            zip(table.latitude[:-1], table.longitude[:-1], strict=True),
            zip(table.latitude[1:], table.longitude[1:], strict=True),
            strict=True,
        )
    ]
    lengths = np.array([step[0] for step in steps])
    whole = calc_vincenty_inverse(28.6, -17.95, 29.5, -17.0)
    np.testing.assert_allclose(lengths, whole[0] / 10, rtol=1e-6)
    assert steps[0][1] == pytest.approx(whole[1], abs=1e-4)
    assert set(table.elevation) == {7}


# ---------------------------------------------------------------- what is refused, and what is said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "gama"], "Unknown format 'gama', did you mean 'gamma'?"),
        (["--to", "gamma"], "gamma needs to know where the channels lie: give a geometry"),
        (["--to", "pyocto"], "pyocto needs to know where the channels lie"),
        (["--to", "gamma", "--line", "1,2,3"], "is not LON,LAT,LON,LAT"),
        (["--to", "gamma", "--line", "1,2,3,4"], "how many channels lie on it: --channels 2000"),
        (["--to", "gamma", "--channels", "5"], "--channels belongs to --line"),
        (["--to", "nonlinloc", "--geometry", "{csv}"], "no column event. Find events first"),
        (["--to", "snuffler", "--every", "0"], "give 1 or more"),
        (["--to", "snuffler", "--best-of", "-5"], "give the metres of a window"),
        (["--to", "snuffler", "--every", "2", "--best-of", "5"], "exclude each other"),
        (["--to", "snuffler", "--events-only"], "no column event. Find events first"),
        (["--to", "snuffler", "--network", "a b"], "is not the code of a network"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_refused_in_a_sentence(folder, tmp_path, words, message):
    words = [word.format(csv=folder / "channels.csv") for word in words]
    shown = here("export", folder / "picks.parquet", "-o", tmp_path / "out", *words)
    assert shown.exit_code == 1, shown.output
    assert message in shown.stderr
    assert "Traceback" not in shown.stderr
    assert not list(tmp_path.iterdir())


def test_channels_without_a_place_are_named(folder, tmp_path):
    (tmp_path / "short.csv").write_text("".join(GEOMETRY.splitlines(keepends=True)[:41]))
    shown = here(
        *("export", folder / "picks.parquet", "--to", "gamma", "-o", tmp_path / "out"),
        *("--geometry", tmp_path / "short.csv"),
    )
    assert shown.exit_code == 1
    assert "it holds 0 to 39" in shown.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["short.csv"]  # and nothing half


def test_picks_that_count_channels_have_no_metres(tmp_path, table):
    picks = write_parts(tmp_path / "picks.parquet", table, Place("channel", "1"))
    thinning = Thinning(best_of=100)
    with pytest.raises(dasdist.InvalidInput, match="only numbers of channels; take every n-th"):
        export(picks, "snuffler", tmp_path / "out", thinning=thinning)


def test_other_phases_are_left_out_of_associators_and_told(folder, tmp_path, table):
    odd = table.assign(phase=np.where(table["channel_index"] < 5, "Pn", table["phase"].str.lower()))
    odd.to_parquet(tmp_path / "odd.parquet")
    lost = int((odd["phase"] == "Pn").sum())
    with pytest.warns(dasdist.DataWarning, match=f"{lost} picks are not in .* phase Pn"):
        made = export(tmp_path / "odd.parquet", "pyocto", tmp_path / "out", geometry=_table(folder))
    assert made.picks == len(table) - lost
    found = pd.read_csv(made.path / "picks.csv")
    assert set(found["phase"]) == {"P", "S"}


def _table(folder):
    return ChannelTable.read_csv(folder / "channels.csv")


def test_an_export_is_replaced_only_when_asked(folder, tmp_path):
    words = ("export", folder / "picks.parquet", "--to", "snuffler", "-o", tmp_path / "out")
    assert here(*words).exit_code == 0
    shown = here(*words)
    assert (shown.exit_code, "already holds something" in shown.stderr) == (1, True)
    assert here(*words, "--overwrite").exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").touch()
    shown = here(*words[:-1], tmp_path / "mine", "--overwrite")
    assert (shown.exit_code, "already holds something" in shown.stderr) == (1, True)
    assert (tmp_path / "mine" / "letter").exists()


def test_the_command_says_what_it_wrote(folder, tmp_path):
    shown = here(
        *("export", folder / "picks.parquet", "--to", "gamma", "-o", tmp_path / "out", "--json"),
        *("--geometry", folder / "channels.csv", "--best-of", "80"),
    )
    assert shown.exit_code == 0, shown.output
    (end,) = [json.loads(line) for line in shown.stdout.splitlines()]
    assert (end["read"], end["to"]) == (400, "gamma")
    assert end["picks"] == len(pd.read_csv(tmp_path / "out" / "picks.csv"))
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (manifest["best_of_metres"], manifest["seconds_of_a_time"]) == (80, 1e-6)


def test_a_dataset_without_a_pick_is_an_export_without_a_pick(folder, tmp_path, table):
    picks = write_parts(tmp_path / "picks.parquet", table.iloc[:0])
    for to in ("gamma", "quakescope", "snuffler", "phasenet-das", "phasenet-das-parquet"):
        made = export(picks, to, tmp_path / to, geometry=_table(folder))
        assert made.picks == 0
    assert pd.read_csv(tmp_path / "gamma" / "picks.csv").columns.tolist()[0] == "id"


def test_the_help_names_every_format():
    text = " ".join(here("export", "--help").stdout.replace("│", " ").split())
    assert [name for name in FORMATS if name not in text] == []


# ---------------------------------------------------------------- catalogues


EVENTS = pd.DataFrame(
    {
        "event": [1, 0],
        "time": [START + np.timedelta64(1_123_456_789, "ns"), START - np.timedelta64(10, "s")],
        "longitude": [-17.85, np.nan],
        "latitude": [28.61, np.nan],
        "depth_m": [9500.0, np.nan],
    }
)


@pytest.fixture(scope="module")
def catalogues(folder):
    """What ObsPy reads of both, by their formats."""
    from obspy import read_events

    found = {}
    for to in ("quakeml", "scml"):
        with pytest.warns(dasdist.DataWarning, match="picks are not in") as told:
            path = exported(
                folder, to, "events.picks.parquet", geometry=None, events=EVENTS, network="LP"
            )
        found[to] = path / "events.xml", read_events(path / "events.xml")
        assert ["134 picks" in str(one.message) for one in told].count(True) == 1
        assert ["133 picks" in str(one.message) for one in told].count(True) == (to == "scml")
    return found


def number_of(resource):
    return int(str(resource).rpartition("/")[2])


@pytest.mark.slow
@pytest.mark.parametrize("to", ["quakeml", "scml"])
def test_obspy_reads_the_picks_of_events_back(catalogues, table, to):
    _, catalogue = catalogues[to]
    assert len(catalogue) == (1 if to == "scml" else 2)  # the other has no place
    for number in (0, 1)[-len(catalogue) :]:
        kept = table[np.arange(len(table)) % 3 == number + 1]
        (event,) = [one for one in catalogue if number_of(one.resource_id) == number]
        found = sorted(
            (pick.time.ns, pick.waveform_id.get_seed_string(), pick.phase_hint)
            for pick in event.picks
        )
        stations = [f"LP.C{channel:04d}..HSF" for channel in kept["channel_index"]]
        times = nearest(kept["time"], 1000)
        assert found == sorted(zip(times, stations, kept["phase"], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("to", ["quakeml", "scml"])
def test_an_origin_has_its_time_and_place(catalogues, to):
    _, catalogue = catalogues[to]
    (event,) = [one for one in catalogue if number_of(one.resource_id) == 1]
    (origin,) = event.origins
    assert str(origin.time) == "2024-02-29T23:59:51.123457Z"
    assert (origin.longitude, origin.latitude, origin.depth) == (-17.85, 28.61, 9500.0)
    assert {arrival.pick_id for arrival in origin.arrivals} == {
        pick.resource_id for pick in event.picks
    }


@pytest.mark.slow
def test_catalogues_are_valid_by_their_schemas(catalogues):
    from obspy.io.quakeml.core import _validate
    from obspy.io.seiscomp.core import validate

    assert _validate(str(catalogues["quakeml"][0]), verbose=True)
    assert validate(str(catalogues["scml"][0]), version="0.12", verbose=True)


@pytest.mark.slow
def test_an_origin_without_a_place_is_a_comment(catalogues):
    (event,) = [one for one in catalogues["quakeml"][1] if number_of(one.resource_id) == 0]
    assert event.origins == []
    assert event.comments[0].text == "origin time 2024-02-29T23:59:40.000000Z, place unknown"


@pytest.mark.slow
def test_too_many_picks_for_a_catalogue_are_refused(tmp_path):
    picks = table_of(size=10_001).assign(event=0)
    with pytest.raises(
        dasdist.InvalidInput, match="takes 10,000 picks, and these events have more: thin"
    ):
        export(picks, "quakeml", tmp_path / "out")
    made = export(picks, "quakeml", tmp_path / "out", thinning=Thinning(every=20))
    assert 400 < made.picks < 600


# ---------------------------------------------------------------- training data


@pytest.mark.slow
@pytest.mark.seisbench
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_picks_become_training_data_of_seisbench(tmp_path):
    """Windows of 5 s at 100 Hz and a rest; what SeisBench reads are the samples and the picks."""
    import xarray
    from seisbench.data import DASDataset

    random = np.random.default_rng(3)
    values = random.normal(size=(1700, 6)).astype("float32")
    time = START + np.arange(1700) * np.timedelta64(10, "ms")
    where = {"time": time, "distance": 4.0 * np.arange(6)}
    data = xarray.DataArray(values, where, ("time", "distance"), attrs={})
    data["distance"].attrs["units"] = "m"
    rows = [  # seconds, channel, phase, confidence
        (0.005, 2, "P", 0.9),
        (4.9912345, 5, "P", 0.8),
        (4.0, 5, "P", 0.7),  # the worse of two
        (4.5, 5, "S", 0.5),
        (15.25, 0, "S", 0.6),
        (99.0, 0, "S", 0.6),  # after the end
    ]
    seconds, channel, phase, confidence = zip(*rows, strict=True)
    columns = {
        "time": START + (np.array(seconds) * 1e9).round().astype("timedelta64[ns]"),
        "channel_index": channel,
        "phase": phase,
        "confidence": confidence,
    }
    with pytest.warns(dasdist.DataWarning, match="1 pick is not in") as told:
        made = export(
            pd.DataFrame(columns), "seisbench", tmp_path / "out", recording=data, window=5
        )
    assert len(told) == 2
    assert made.picks == 4
    dataset = DASDataset(made.path)
    assert len(dataset) == 2  # nothing was picked from 5 s to 15 s
    facts, record, annotations = dataset.get_sample(0, record_virtual=False)
    np.testing.assert_array_equal(record, values[:500])
    assert facts["record_sampling_rate_hz"] == 100
    assert facts["record_channel_spacing_m"] == 4
    assert facts["record_start_time"] == pd.Timestamp(START)
    nothing = np.nan
    expected = {
        "P": [nothing, nothing, 0.5, nothing, nothing, 499.12345],
        "S": [nothing] * 5 + [450.0],
    }
    assert annotations.keys() == expected.keys()
    for name, samples in expected.items():
        np.testing.assert_allclose(annotations[name], samples, atol=1e-6)
    facts, record, annotations = dataset.get_sample(1, record_virtual=False)
    np.testing.assert_array_equal(record, values[1500:])
    assert facts["record_start_time"] == pd.Timestamp(START) + pd.Timedelta(15, "s")
    np.testing.assert_allclose(annotations["S"], [25.0, *[nothing] * 5], atol=1e-6)


def test_training_data_need_the_recording(folder, tmp_path):
    words = ("--to", "seisbench", "-o", tmp_path / "out")
    shown = here("export", folder / "picks.parquet", *words)
    assert (shown.exit_code, "give the recording that was picked" in shown.stderr) == (1, True)
