"""Tables of picks against each other and against true arrivals: pairs, budgets, commands."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.comparison.matching import pairs_of
from dasdist.errors import InvalidInput, UnreadableData
from tests.toys import Toy, noise, recording

START = pd.Timestamp("2025-06-01")


def table(*rows, **columns):
    """Picks from (seconds, channel, phase, confidence)."""
    seconds, channels, phases, confidences = zip(*rows, strict=True) if rows else [()] * 4
    return pd.DataFrame(
        {
            "time": START + pd.to_timedelta(np.array(seconds, dtype=float), unit="s"),
            "channel_index": np.array(channels, dtype=int),
            "phase": list(phases),
            "confidence": np.array(confidences, dtype=np.float32),
            **columns,
        }
    )


def here(*words):
    """Run a command in this process; return its exit code, the JSON it told, and what it said."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return done.exit_code, {event["event"]: event for event in told}, done.stdout + done.stderr


# ---------------------------------------------------------------- pairs


picks = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), max_size=9)


@given(picks, picks, st.integers(0, 8))
def test_pairs_are_the_most_and_then_the_nearest_of_all_one_to_one_pairs(a, b, tolerance):
    """SciPy's assignment is the specification: a pair saves more than all differences can cost."""
    (ga, ta), (gb, tb) = (np.array(side, dtype=np.int64).reshape(-1, 2).T for side in (a, b))
    found_a, found_b = pairs_of(ga, ta, gb, tb, tolerance)
    assert len(set(found_a)) == len(set(found_b)) == len(found_a)
    off = np.abs(ta[found_a] - tb[found_b])
    assert (off <= tolerance).all()
    assert np.array_equal(ga[found_a], gb[found_b])
    apart = np.abs(ta[:, None] - tb[None])
    may = (ga[:, None] == gb[None]) & (apart <= tolerance)
    gain = np.where(may, 1000 - apart, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    assert gain[rows, columns].sum() == (1000 - off).sum()


def test_pairs_are_the_same_either_way_round():
    rng = np.random.default_rng(5)
    (ga, ta), (gb, tb) = ((rng.integers(0, 20, n), rng.integers(0, 10**6, n)) for n in (3000, 2000))
    a, b = pairs_of(ga, ta, gb, tb, 3000)
    other_b, other_a = pairs_of(gb, tb, ga, ta, 3000)
    assert len(a) == len(other_a) > 500
    assert np.abs(ta[a] - tb[b]).sum() == np.abs(ta[other_a] - tb[other_b]).sum()


def test_a_tolerance_that_lets_everything_pair_is_refused():
    many = np.zeros(50_000, dtype=np.int64)
    with pytest.raises(InvalidInput, match=r"2,500,000,000 possible pairs.*smaller tolerance"):
        pairs_of(many, many, many, many, 10)


# ---------------------------------------------------------------- two tables


def test_thresholds_move_until_the_counts_agree():
    a = table(*[(10.0 * n, 0, "P", 0.9 - 0.01 * n) for n in range(10)])
    b = table(*[(10.0 * n + 0.2, 0, "P", 0.5 - 0.01 * n) for n in range(4)], (95.0, 1, "S", 0.3))
    found = dasdist.compare(a, b)
    p, s = found.phases.to_dict("records")
    assert (p["of_a"], p["of_b"], p["a"], p["b"]) == (10, 4, 4, 4)
    assert (p["threshold_a"], p["threshold_b"]) == (np.float32(0.87), np.float32(0.47))
    assert (p["both"], p["only_a"], p["only_b"], p["agreement"]) == (4, 0, 0, 1.0)
    assert p["median"] == pytest.approx(0.2)
    assert p["spread"] == pytest.approx(0.0, abs=1e-9)
    # a phase that one of them lacks is left as it is
    assert (s["a"], s["b"], s["only_b"]) == (0, 1, 1)
    two = dasdist.compare(a, b, budget=2).phases
    assert two.loc[0, ["a", "b"]].tolist() == [2, 2]
    every = dasdist.compare(a, b, budget="all").phases
    assert every.loc[0, ["a", "b", "both", "only_a"]].tolist() == [10, 4, 4, 6]


def test_picks_that_no_threshold_parts_stay_together():
    a = table(*[(10.0 * n, 0, "P", 0.5) for n in range(3)], (90.0, 0, "P", 0.2))
    found = dasdist.compare(a, a[:2]).phases
    assert found.loc[0, ["a", "b", "both", "only_a"]].tolist() == [3, 2, 2, 1]


def test_what_only_one_has_is_listed_by_time_and_by_distance():
    a = table((1.0, 0, "P", 0.9), (50.0, 4, "P", 0.8), distance=[0.0, 200.0])
    b = table((1.4, 0, "P", 0.9), (70.0, 2, "P", 0.8), distance=[0.0, 100.0])
    found = dasdist.compare(a, b)
    assert found.only_a["channel"].tolist() == [4]
    assert found.only_b["time"].tolist() == [START + pd.Timedelta("70s")]
    near = found.by_distance[["distance", "both", "only_a", "only_b"]]
    assert near.to_numpy().tolist() == [[0, 1, 0, 0], [100, 0, 0, 1], [200, 0, 1, 0]]
    late = found.by_time[["time", "both", "only_a", "only_b"]].to_numpy().tolist()
    times = [START + pd.Timedelta(seconds, "s") for seconds in (1, 50, 70)]
    assert late == [[times[0], 1, 0, 0], [times[1], 0, 1, 0], [times[2], 0, 0, 1]]
    without = dasdist.compare(a, b.drop(columns="distance"))
    assert without.by_distance["channel"].tolist() == [0, 2, 4]


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=40), st.sampled_from([1, 1000]))
def test_stretches_of_time_hold_each_pick_once_and_are_a_hundred_at_the_most(seconds, scale):
    a = table(*[(scale * s / 1000, 0, "P", 0.5) for s in seconds])
    found = dasdist.compare(a, a[:0]).by_time
    assert found["only_a"].sum() == len(a)
    assert len(found) <= 100


def test_picks_of_two_runs_on_disk_compare_as_those_in_memory(tmp_path):
    data = recording(noise(3000, 4))
    paths, tables = [], []
    for threshold in (0.6, 0.9):
        paths.append(tmp_path / f"{threshold}.parquet")
        options = {"thresholds": threshold, "blinding": (1, 1), "pbar": False}
        result = dasdist.classify(Toy(), data, out=paths[-1], **options)
        tables.append(result.picks)
    stored, held = dasdist.compare(*paths), dasdist.compare(*tables)
    pd.testing.assert_frame_equal(stored.phases, held.phases)
    assert stored.phases["both"].sum() == len(tables[1]) > 10
    assert (stored.phases["agreement"] == 1).all()  # the same model: the best of the one
    assert repr(dasdist.compare(result, tables[0])) == repr(dasdist.compare(*tables[::-1]))


# ---------------------------------------------------------------- the truth


def test_recall_precision_and_residuals_against_an_analysts_csv(tmp_path):
    arrivals = [(10.0 * n, n, "P", 0) for n in range(8)]
    truth = table(*arrivals, snr=[9.0] * 4 + [20.0] * 4).drop(columns="confidence")
    truth.rename(columns={"channel_index": "channel"}).to_csv(tmp_path / "truth.csv", index=False)
    late = [0.1, 0.2, 0.3, -0.1, 0.0, 0.05]
    found = table(
        *[(10.0 * n + off, n, "P", 0.9) for n, off in enumerate(late)],
        (50.3, 5, "P", 0.8),  # a second pick of one arrival
        (60.0, 6, "S", 0.8),
    )
    score = dasdist.score(found, tmp_path / "truth.csv")
    assert score.recall("P") == score.recall() == 6 / 8
    assert score.precision("P") == pytest.approx(6 / 7)
    assert score.precision() == 6 / 8
    assert score.missed["channel"].tolist() == [6, 7]
    assert sorted(score.false_picks["channel"]) == [5, 6]
    # by hand: residuals 0.1 0.2 0.3 -0.1 have the median 0.15, and deviate by 0.05 0.05 0.15 0.25
    weak, strong = score.by_snr.to_dict("records")
    assert (weak["snr"], weak["arrivals"], weak["found"]) == (8, 4, 4)
    assert weak["median"] == pytest.approx(0.15)
    assert weak["spread"] == pytest.approx(1.4826 * 0.10)
    assert (strong["snr"], strong["recall"]) == (16, 0.5)
    assert len(score.events) == 0
    assert "87.5" not in repr(score)
    assert "85.7%" in repr(score)


def test_what_the_analyst_did_not_look_at_is_not_false():
    truth = table((10.0, 0, "P", 0))
    found = table((10.1, 0, "P", 0.9), (500.0, 0, "P", 0.9))
    assert dasdist.score(found, truth).precision() == 0.5
    hour = (START, START + pd.Timedelta("100s"))
    assert dasdist.score(found, truth, between=hour).precision() == 1.0


# ---------------------------------------------------------------- the command


def test_the_command_tells_a_table_json_and_a_picture(tmp_path):
    a = table((1.0, 0, "P", 0.9), (50.0, 4, "P", 0.8), (60.0, 4, "S", 0.8))
    b = table((1.4, 0, "P", 0.9), (70.0, 2, "P", 0.8))
    a.to_parquet(tmp_path / "a.parquet")
    b.to_csv(tmp_path / "b.csv", index=False)
    words = ("compare", tmp_path / "a.parquet", tmp_path / "b.csv", "--truth", tmp_path / "b.csv")
    code, told, _ = here(*words, "--json", "--picture", tmp_path / "both.png")
    assert code == 0
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    p, s = told["compared"]["phases"]
    assert (p["both"], p["only_a"], p["only_b"], p["median"]) == (1, 1, 1, 0.4)
    assert (s["only_a"], s["median"], s["threshold_b"]) == (1, None, None)
    assert told["scored"]["phases"][0]["recall"] == 1.0
    code, _, said = here(*words)
    assert code == 0
    assert "33.3%" in said  # 1 of 3 different P
    assert f"a: {tmp_path}" in said
    code, told, _ = here(*words, "--json", "--from", "2025-06-01T00:00:30")
    assert told["compared"]["phases"][0]["both"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.parquet"], "There is nothing to compare with"),
        (["a.parquet", "--truth", "a.parquet", "--picture", "x.png"], "name the other one"),
        (["a.parquet", "none"], "There is nothing at none"),
        (["a.parquet", "odd.csv"], "odd.csv has no column channel_index and phase"),
        (["a.parquet", "words.csv"], "words.csv has a column that is not what it is called"),
        (["a.parquet", "gaps.csv"], "gaps.csv has 1 row without a time"),
        (["a.parquet", "damaged.parquet"], "damaged.parquet cannot be read as a table"),
        (["a.parquet", "bare.csv", "--budget", "1"], "bare.csv has no column confidence"),
        (["a.parquet", "a.parquet", "--budget", "some"], "neither a number"),
        (["a.parquet", "a.parquet", "--budget", "0"], "leaves no picks"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_compared_is_said_in_one_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a = table((1.0, 0, "P", 0.9), (9.0, 0, "P", 0.9))
    a.to_parquet("a.parquet")
    a[["time"]].to_csv("odd.csv")
    a.assign(time="noon").to_csv("words.csv")
    a.assign(time=[None, "2025-01-01"]).to_csv("gaps.csv")
    a.drop(columns="confidence").to_csv("bare.csv")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "damaged.parquet").write_bytes(whole[: len(whole) // 2])
    code, _, said = here("compare", *words)
    assert code == 1
    assert message in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said


def test_a_table_that_is_damaged_is_unreadable(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing of the kind")
    with pytest.raises(UnreadableData, match="cannot be read as a table"):
        dasdist.compare(tmp_path / "a.parquet", table())
