"""The demo: its archive is what it says, its picker finds what is there, its command works."""

from __future__ import annotations

import io
import json
import logging
from dataclasses import replace
from importlib.resources import files
from importlib.util import find_spec

import dask
import numpy as np
import pandas as pd
import pytest
import torch
import xdas

import dasdist
from dasdist.cluster.forking import LOADED
from dasdist.cluster.local import local_client
from dasdist.demo.run import run_demo, score
from dasdist.synthetic.physics import Event, Fibre, arrival_times, event_span, event_traces, rays
from dasdist.synthetic.scene import draw_scene
from dasdist.synthetic.section import make_section, write_archive

SMALL = {"minutes": 3.0, "channels": 24}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    return folder, write_archive(folder, seed=0, **SMALL)


@pytest.fixture(scope="module")
def picker():
    return dasdist.from_pretrained("demo").eval()


def opened(folder):
    return xdas.open_mfdataarray(f"{folder}/*.nc", vtype="tiles")


# ---------------------------------------------------------------- the synthetic archive


def test_archive_is_reproducible(archive, tmp_path):
    folder, truth = archive
    again = write_archive(tmp_path / "again", seed=0, **SMALL)
    pd.testing.assert_frame_equal(truth, again)
    first, second = opened(folder), opened(tmp_path / "again")
    assert np.array_equal(first.values, second.values)
    pd.testing.assert_frame_equal(truth, pd.read_parquet(folder / "truth.parquet"))


def test_another_seed_is_another_archive():
    first = make_section(draw_scene(0, channels=4, seconds=60.0), 0, 100)[0]
    second = make_section(draw_scene(1, channels=4, seconds=60.0), 0, 100)[0]
    assert not np.array_equal(first, second)


def test_archive_has_a_gap_and_two_segments(archive):
    folder, truth = archive
    data = opened(folder)
    segments = xdas.split(data, "discontinuities")
    assert len(segments) == 2
    assert data.dtype == np.float32
    assert np.isfinite(data.values).all()
    times = [segment["time"].values for segment in segments]
    assert times[1][0] - times[0][-1] > np.timedelta64(10, "s")
    recorded = np.zeros(len(truth), dtype=bool)
    for time in times:
        recorded |= ((truth["time"] >= time[0]) & (truth["time"] <= time[-1])).to_numpy()
    assert recorded.all()
    # every earthquake was recorded whole: both phases on every channel
    assert (truth.groupby(["event", "phase"]).size() == SMALL["channels"]).all()


def test_sections_continue_each_other_bit_for_bit():
    scene = draw_scene(3, channels=6, seconds=100.0)
    whole, arrivals = make_section(scene, 0, 9000)
    pieces = [make_section(scene, first, 1500) for first in range(0, 9000, 1500)]
    assert np.array_equal(whole, np.concatenate([data for data, _ in pieces]))
    assert len(arrivals) == sum(len(table) for _, table in pieces)


def test_arrival_times_follow_the_geometry():
    fibre = Fibre(channels=50, dx=20.0, turn=0.5)
    event = Event(time=3.0, along=200.0, offset=4000.0, depth=5000.0, magnitude=1.0)
    times = arrival_times(event, fibre)
    reach = np.linalg.norm(rays(event, fibre), axis=1)
    np.testing.assert_allclose((times["P"] - 3.0) * event.vp, reach)
    np.testing.assert_allclose((times["S"] - 3.0) / (times["P"] - 3.0), event.vp / event.vs)
    # no wave crosses the fibre faster than sound: neighbours differ by dx / v at the most
    assert np.abs(np.diff(times["P"])).max() <= fibre.dx / event.vp + 1e-9


def test_waves_start_at_their_arrival_times_and_s_is_larger():
    fibre = Fibre(channels=8)
    event = Event(time=0.0, along=4000.0, offset=5000.0, depth=6000.0, magnitude=1.5)
    first, _ = event_span(event, fibre, 100.0)
    traces = event_traces(event, fibre, 100.0)
    times = arrival_times(event, fibre)
    for channel in range(fibre.channels):
        p, s = (round(times[phase][channel] * 100) - first for phase in ("P", "S"))
        trace = np.abs(traces[:, channel])
        assert trace[: p - 5].max() < 0.05 * trace[p : p + 50].max()
        assert trace[s : s + 50].max() > 2 * trace[p : p + 50].max()


def test_amplitudes_grow_with_magnitude_and_fall_with_distance():
    fibre = Fibre(channels=4)
    event = Event(time=0.0, along=2000.0, offset=5000.0, depth=6000.0, magnitude=1.0)

    def peak(**changes):
        return np.abs(event_traces(replace(event, **changes), fibre, 100.0)).max()

    assert peak(magnitude=1.5) > 1.5 * peak() > 1.5 * 1.5 * peak(along=3e4, offset=3e4)


# ---------------------------------------------------------------- the picker


def test_weights_are_small_safe_and_match_the_recipe(picker):
    folder = files("dasdist.demo")
    assert folder.joinpath("demo.pt").stat().st_size < 1_000_000
    state = torch.load(folder.joinpath("demo.pt"), weights_only=True)
    assert state.keys() == picker.state_dict().keys()
    recipe = json.loads(folder.joinpath("demo.json").read_text())
    assert recipe["model"] == "dasdist.demo.model:DemoPicker"
    assert recipe["training"]["steps"] > 0


def test_picker_takes_each_channel_by_itself(picker):
    x = torch.randn(2, 2048, 5)
    with torch.inference_mode():
        together = picker(x)
        alone = picker(x[:1, :, 3:4])
    assert picker.channelwise
    for key in ("P", "S"):
        assert together[key].shape == (2, 1600, 5)
        torch.testing.assert_close(together[key][:1, :, 3:4], alone[key], atol=1e-5, rtol=0)
        assert ((together[key] >= 0) & (together[key] <= 1)).all()


def test_picker_ignores_units_and_survives_dead_channels(picker):
    data, _ = make_section(draw_scene(0, channels=4, seconds=60.0), 0, 2048)
    x = torch.from_numpy(data)[None]
    x[..., 0] = 12345.0
    with torch.inference_mode():
        plain, scaled = picker(x), picker(1e-9 * x)
    for key in ("P", "S"):
        assert torch.isfinite(plain[key]).all()
        assert plain[key][..., 0].max() < 0.1
        torch.testing.assert_close(plain[key], scaled[key], atol=1e-3, rtol=0)


def test_picker_finds_a_real_earthquake(das_file, picker):
    data = xdas.open_dataarray(das_file("lapalma_20211120_uniform.nc"))
    picks = dasdist.classify(picker, data, thresholds=0.3, pbar=False).picks
    seconds = (picks["time"] - data["time"].values[0]).dt.total_seconds()
    for phase, expected in (("P", 1.2), ("S", 3.6)):
        near = picks[(picks["phase"] == phase) & ((seconds - expected).abs() < 0.5)]
        assert near["channel_index"].nunique() > data.shape[1] / 2, phase


# ---------------------------------------------------------------- the run


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    said = []
    result = run_demo(tmp_path_factory.mktemp("demo"), **SMALL, say=said.append)
    assert len(said) >= 2
    return result


def test_demo_finds_its_earthquakes(result):
    # On ten ten-minute archives (seeds 0 to 9) the shipped weights find 0.988 to 1 of the P and
    # 0.991 to 1 of the S above a signal-to-noise ratio of 4, and 1 to 5 % of picks are false. The
    # bounds leave room for another library's rounding, not for a broken picker.
    assert result.score.recall("P") >= 0.9
    assert result.score.recall("S") >= 0.9
    assert len(result.score.false_picks) <= 0.1 * len(result.picks)
    assert result.score.events["error"].max() < 0.15


def test_demo_leaves_its_files(result):
    assert result.picture.read_bytes().startswith(b"\x89PNG")
    table = pd.read_parquet(result.picks_file)
    assert len(table) == len(result.picks) > 0
    assert set(result.seconds) == {"archive", "plan", "classify", "picture"}


def test_demo_on_a_cluster_picks_the_same(result, tmp_path, client):
    other = run_demo(tmp_path, **SMALL, client=client, say=lambda _: None)
    columns = ["phase", "channel_index", "time"]
    tables = [r.picks.sort_values(columns)[columns].reset_index(drop=True) for r in (result, other)]
    pd.testing.assert_frame_equal(*tables)


def test_workers_on_this_machine_end_without_tracebacks_of_heartbeats():
    def speak():
        log, said = logging.getLogger("distributed.worker"), io.StringIO()
        handler = logging.StreamHandler(said)
        log.addHandler(handler)
        log.error("Failed to communicate with scheduler during heartbeat.")
        log.error("what is wrong is said")
        log.removeHandler(handler)
        return said.getvalue()

    with local_client(1) as client:
        assert list(client.run(speak).values()) == ["what is wrong is said\n"]


def test_workers_on_this_machine_are_forks_of_what_has_loaded_everything():
    assert [name for name in LOADED if find_spec(name) is None] == []
    with dask.config.set({METHOD: "spawn"}), local_client(1) as client:
        (server,) = client.run(parent).values()
        (threads,) = client.run(torch.get_num_threads).values()
        assert "forkserver" in server
        assert threads == 1


METHOD = "distributed.worker.multiprocessing-method"


def parent():
    import psutil

    return " ".join(psutil.Process().parent().cmdline())


def test_score_counts_found_missed_and_false():
    time = pd.Timestamp("2025-06-01") + pd.to_timedelta([10.0, 10.0, 10.0, 12.0], unit="s")
    truth = pd.DataFrame(
        {
            "event": 0,
            "phase": ["P", "P", "P", "S"],
            "channel": [0, 1, 2, 0],
            "time": time,
            "snr": [9.0, 9.0, 1.0, 9.0],
        }
    )
    picks = pd.DataFrame(
        {
            "phase": ["P", "P", "S", "P"],
            "channel_index": [0, 2, 0, 5],
            "time": time + pd.to_timedelta([0.1, 0.1, 0.6, 0.0], unit="s"),
        }
    )
    found = score(picks, truth)
    # P: channel 1 is missed, channel 2 is too weak to count either way
    assert found.recall("P") == 0.5
    assert found.recall("S") == 0.0
    assert len(found.false_picks) == 2  # the late S and the P of a channel without truth
    assert found.events.loc[found.events["phase"] == "P", "error"].item() == pytest.approx(0.1)
    assert len(score(picks[:0], truth).false_picks) == 0


@pytest.mark.slow
@pytest.mark.deep
def test_training_writes_what_the_picker_loads(tmp_path):
    from dasdist.demo.model import DemoPicker
    from dasdist.training.picker import Batches, main

    assert all(torch.equal(a, b) for a, b in zip(Batches(5, 1)[0], Batches(5, 1)[0], strict=True))
    threads = torch.get_num_threads()
    try:
        main(steps=2, out=tmp_path, width=8, scenes=2)
    finally:
        torch.set_num_threads(threads)
    recipe = json.loads((tmp_path / "demo.json").read_text())
    picker = DemoPicker(**recipe["model_args"])
    picker.load_state_dict(torch.load(tmp_path / "demo.pt", weights_only=True))


# ---------------------------------------------------------------- pictures and the command


def test_command_shows_its_version_and_help():
    from typer.testing import CliRunner

    from dasdist.cli import app

    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output.strip()) == (0, f"dasdist {dasdist.__version__}")
    assert "demo" in CliRunner().invoke(app, ["--help"]).output


def test_command_runs_the_demo(tmp_path):
    from typer.testing import CliRunner

    from dasdist.cli import app

    options = ["--minutes", "2", "--channels", "12", "--workers", "1", "--out", str(tmp_path)]
    shown = CliRunner().invoke(app, ["demo", *options])
    assert shown.exit_code == 0, shown.output
    assert "False picks" in shown.output
    assert (tmp_path / "waterfall.png").is_file()


def test_an_archive_without_earthquakes_has_an_empty_truth(tmp_path):
    truth = write_archive(tmp_path, minutes=1.0, channels=4, events=0)
    assert len(truth) == 0
    assert truth["time"].dtype == "datetime64[ns]"
    assert opened(tmp_path).shape == (6000, 4)
    nothing = pd.DataFrame({"time": truth["time"], "channel_index": truth["channel"], "phase": ""})
    assert np.isnan(score(nothing, truth).recall())
