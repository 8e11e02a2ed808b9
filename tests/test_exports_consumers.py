"""Associators and viewers take the exports of a bent fibre as they are, and find its events.

Each program runs in an environment of its own, made once: some want numpy below 2.
"""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dasdist.exports import ChannelTable, Thinning, export

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1800)]

CORNER = -17.9, 28.6
METRES = 97_850.0, 110_850.0  # of a degree of longitude and of latitude there
START = np.datetime64("2024-05-01T00:00:00", "ns")
VP, RATIO = 6.0, 1.73  # km/s
EVENTS = np.array(
    [(20.0, 6, 8, 5), (80.0, 15, 5, 8), (150.0, -4, 12, 6)]
)  # s, km east, north, down


def environment(folder, *packages):
    """Make an environment; skip if it cannot be had."""
    made = subprocess.run(
        [sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False
    )
    python = folder / "bin" / "python"
    if made.returncode:
        pytest.skip(f"no environment for {packages}: {made.stdout[-200:]}{made.stderr[-200:]}")
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", *packages]
    got = subprocess.run(command, capture_output=True, text=True, check=False)
    if got.returncode:
        pytest.skip(f"{packages} cannot be had here: {got.stderr.strip()[-200:]}")
    return python


@pytest.fixture(scope="session")
def old_numpy(tmp_path_factory):
    """PyOcto 0.2 and Pyrocko want numpy below 2."""
    packages = ("numpy<2", "pyocto>=0.2,<0.3", "pyrocko>=2026.6")
    return environment(tmp_path_factory.mktemp("consumers") / "old", *packages)


@pytest.fixture(scope="session")
def gamma(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("consumers") / "gamma", "GMMA>=1.2.17", "pandas")


@pytest.fixture(scope="module")
def fibre(tmp_path_factory):
    """Two arms of 20 km with 400 channels each; a half-space, a fifth lost, 20 ms of jitter."""
    random = np.random.default_rng(5)
    along = 0.05 * np.arange(400)
    east = np.concatenate([along[::-1], np.zeros(400)])
    north = np.concatenate([np.zeros(400), along])
    channel = np.arange(800)
    tables = []
    for event, (origin, x, y, z) in enumerate(EVENTS):
        away = np.sqrt((east - x) ** 2 + (north - y) ** 2 + z**2)
        for phase, speed in (("P", VP), ("S", VP / RATIO)):
            seconds = origin + away / speed + random.normal(0, 0.02, 800)
            columns = {
                "time": START + np.round(seconds * 1e9).astype("timedelta64[ns]"),
                "distance": 50.0 * channel,
                "channel_index": channel,
                "phase": phase,
                "confidence": random.uniform(0.3, 1, 800).astype("float32"),
                "event": event,
            }
            tables.append(pd.DataFrame(columns)[random.random(800) < 0.8])
    folder = tmp_path_factory.mktemp("bent")
    picks = pd.concat(tables).sort_values("time", ignore_index=True)
    picks.to_parquet(folder / "picks.parquet")
    places = CORNER[0] + 1e3 * east / METRES[0], CORNER[1] + 1e3 * north / METRES[1]
    return folder, picks, ChannelTable(channel, *places, np.zeros(800))


def run(python, program, *words):
    """Run a program; return what it printed last."""
    done = subprocess.run(
        [python, "-c", program, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_origins(found):
    """Compare seconds and places with the events that were put in."""
    found = np.array(sorted(found))
    assert len(found) == len(EVENTS)
    start = START.astype("datetime64[s]").astype(int)
    assert np.abs(found[:, 0] - start - EVENTS[:, 0]).max() < 0.5
    east = (found[:, 1] - CORNER[0]) * METRES[0] / 1e3
    north = (found[:, 2] - CORNER[1]) * METRES[1] / 1e3
    assert np.hypot(east - EVENTS[:, 1], north - EVENTS[:, 2]).max() < 3
    assert np.abs(found[:, 3] - EVENTS[:, 3]).max() < 4


PYOCTO = f"""
import json, sys
import pandas as pd
import pyocto
picks, stations = (pd.read_csv(f"{{sys.argv[1]}}/{{name}}.csv") for name in ("picks", "stations"))
model = pyocto.VelocityModel0D(p_velocity={VP}, s_velocity={VP / RATIO}, tolerance=0.5)
associator = pyocto.OctoAssociator.from_area(
    lat=(28.4, 29.0), lon=(-18.1, -17.5), zlim=(0, 30), time_before=30, velocity_model=model,
    n_picks=20, n_p_picks=8, n_s_picks=8, n_p_and_s_picks=5,
)
stations = associator.transform_stations(stations)
events, assigned = associator.associate(picks, stations)
events = associator.transform_events(events)
rows = events[["time", "longitude", "latitude", "depth"]].values.tolist()
names = assigned[["station", "phase", "time"]].values.tolist()
print(json.dumps({{"events": rows, "picks": names}}))
"""


@pytest.mark.parametrize("thinning", [Thinning(every=20), Thinning(best_of=1000)], ids=repr)
def test_pyocto_finds_the_events(old_numpy, fibre, tmp_path, thinning):
    folder, picks, geometry = fibre
    out = tmp_path / "octo"
    made = export(folder / "picks.parquet", "pyocto", out, geometry=geometry, thinning=thinning)
    found = run(old_numpy, PYOCTO, out)
    check_origins(found["events"])
    assert len(found["picks"]) > 0.95 * made.picks
    # what it assigned are picks as they were, to a microsecond
    exact = picks["time"].astype("int64").to_numpy() / 1e9
    times = np.array([time for _, _, time in found["picks"]])
    near = np.searchsorted(exact, times).clip(1, len(exact) - 1)
    off = np.minimum(np.abs(exact[near] - times), np.abs(exact[near - 1] - times))
    assert off.max() < 1.5e-6


GAMMA = f"""
import json, sys
import pandas as pd
from gamma.utils import association
picks = pd.read_csv(sys.argv[1] + "/picks.csv", parse_dates=["timestamp"])
stations = pd.read_csv(sys.argv[1] + "/stations.csv")
config = {{
    "dims": ["x(km)", "y(km)", "z(km)"], "use_dbscan": True, "use_amplitude": False,
    "vel": {{"p": {VP}, "s": {VP / RATIO}}}, "x(km)": (-30, 30), "y(km)": (-30, 30),
    "z(km)": (0, 30), "oversample_factor": 1, "min_picks_per_eq": 15, "max_sigma11": 1.0,
    "min_p_picks_per_eq": 6, "min_s_picks_per_eq": 6, "dbscan_eps": 6, "dbscan_min_samples": 3,
    "bfgs_bounds": ((-31, 31), (-31, 31), (0, 31), (None, None)), "ncpu": 1,
}}
events, assigned = association(picks, stations, config, method="BGMM")
rows = [
    [pd.Timestamp(one["time"], tz="UTC").timestamp(), *(one[name] for name in config["dims"])]
    for one in events
]
middle = stations[["longitude", "latitude"]].mean().tolist()
print()
print(json.dumps({{"events": rows, "middle": middle, "picks": len(assigned)}}))
"""


def test_gamma_finds_the_events(gamma, fibre, tmp_path):
    folder, _, geometry = fibre
    out = tmp_path / "gamma"
    made = export(
        folder / "picks.parquet", "gamma", out, geometry=geometry, thinning=Thinning(every=40)
    )
    found = run(gamma, GAMMA, out)
    west, south = found["middle"]
    degrees = [
        (time, west + 1e3 * x / METRES[0], south + 1e3 * y / METRES[1], z)
        for time, x, y, z in found["events"]
    ]
    check_origins(degrees)
    assert found["picks"] > 0.95 * made.picks


SNUFFLER = """
import json, sys
from pyrocko.gui.snuffler.marker import EventMarker, associate_phases_to_events, load_markers
markers = load_markers(sys.argv[1] + "/picks.markers")
associate_phases_to_events(markers)
phases = [one for one in markers if not isinstance(one, EventMarker)]
events = [one.get_event() for one in markers if isinstance(one, EventMarker)]
rows = [
    [".".join(one.nslc_ids[0]), one.tmin, one.get_phasename(), one.get_event().name]
    for one in phases
]
print(json.dumps({
    "picks": rows, "events": [[one.name, one.time, one.lon, one.lat, one.depth] for one in events]
}))
"""


def test_snuffler_loads_the_markers(old_numpy, fibre, tmp_path):
    folder, picks, _ = fibre
    events = pd.DataFrame(
        {
            "event": range(3),
            "time": START + np.round(EVENTS[:, 0] * 1e9).astype("timedelta64[ns]"),
            "longitude": CORNER[0] + 1e3 * EVENTS[:, 1] / METRES[0],
            "latitude": CORNER[1] + 1e3 * EVENTS[:, 2] / METRES[1],
            "depth_m": 1e3 * EVENTS[:, 3],
        }
    )
    out = tmp_path / "markers"
    export(folder / "picks.parquet", "snuffler", out, events=events, network="LP")
    found = run(old_numpy, SNUFFLER, out)
    rows = {(station, phase, event): time for station, time, phase, event in found["picks"]}
    expected = {
        (f"LP.C{channel:04d}..HSF", phase, f"event-{event}"): time.value / 1e9
        for time, channel, phase, event in zip(
            *(picks[name] for name in ("time", "channel_index", "phase", "event")), strict=True
        )
    }
    assert len(rows) == len(found["picks"]) == len(picks)
    assert rows.keys() == expected.keys()
    assert max(abs(rows[key] - expected[key]) for key in rows) < 1.5e-6  # its loader cuts digits
    start = START.astype("datetime64[s]").astype(int)
    assert [row[0] for row in found["events"]] == ["event-0", "event-1", "event-2"]
    np.testing.assert_allclose(
        np.array([row[1:] for row in found["events"]], dtype=float),
        np.column_stack(
            [start + EVENTS[:, 0], events["longitude"], events["latitude"], events["depth_m"]]
        ),
        rtol=0,
        atol=1e-6,
    )
