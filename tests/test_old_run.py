"""A run that an earlier dasdist began is told of, and finished, by this one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dasdist
from tests.data.run_of_0_1 import make

FOLDER = Path(make.__file__).parent
TOLD = json.loads((FOLDER / "status.json").read_text())
JOURNAL = Path("picks.parquet.dasdist")
BEFORE = json.loads((FOLDER / JOURNAL / "report.json").read_text())


def facts(status):
    return {key: value for key, value in status.to_dict().items() if key in TOLD}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old") / "run"
    for output in ("picks.parquet", "annotations.zarr"):
        for name in (output, f"{output}.dasdist"):
            shutil.copytree(FOLDER / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def told(old):
    """What is told of the run before it goes on."""
    return {name: dasdist.status(old / name) for name in ("picks.parquet", "annotations.zarr")}


def files_of(folder):
    """The bytes, and the times of writing, of what blocks wrote."""
    parts = [*folder.glob("picks.parquet/*.parquet"), *folder.glob("annotations.zarr/*/[PS]/c/*/*")]
    return {
        part.relative_to(folder): (part.read_bytes(), part.stat().st_mtime_ns) for part in parts
    }


@pytest.fixture(scope="module")
def resumed(old, told):
    before = files_of(old)
    with pytest.warns(dasdist.DataWarning, match="2 blocks were left out"):
        return before, make.classify(old, block=None)  # in the blocks that it was begun with


@pytest.fixture(scope="module")
def retried(old, resumed):
    """What it gave up it does now, but for the windows that the hole touches."""
    with pytest.warns(dasdist.DataWarning, match="Of 2 blocks, windows were left out"):
        return make.classify(old, block=None, retry_failed=True)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fresh")
    with pytest.warns(dasdist.DataWarning, match="Of 2 blocks, windows were left out"):
        make.classify(folder, max_failures=5)
    return folder


def test_its_status_is_what_it_was(told):
    assert facts(told["picks.parquet"]) == TOLD
    assert told["picks.parquet"].report == BEFORE
    assert told["picks.parquet"].damage == ""
    assert told["annotations.zarr"].done == TOLD["done"]


def test_only_what_was_left_is_computed(old, resumed):
    before, result = resumed
    assert (result.report.before, result.report.finished, result.report.blocks) == (3, 5, 7)
    assert [failure.block for failure in result.report.failures] == [2, 3]
    after = files_of(old)
    assert len(before) == 3 * 3  # a part of picks and two shards for each block that was done
    assert {name: after[name] for name in before} == before
    assert len(after) == 5 * 3


def test_its_picks_are_those_of_a_run_from_scratch(retried, fresh):
    picks = retried.picks
    expected = pd.read_parquet(fresh / "picks.parquet")
    expected = expected.sort_values(["time", "channel_index"], ignore_index=True)
    exact = ["time", "channel_index", "phase"]
    pd.testing.assert_frame_equal(picks[exact], expected[exact], check_dtype=False)
    # on another processor than that of then, float32 differs in its last digits
    np.testing.assert_allclose(picks["confidence"], expected["confidence"], rtol=1e-4)
    assert len(picks) == 10  # the hole costs nothing on the other channel


def test_its_annotations_are_those_of_a_run_from_scratch(old, retried, fresh):
    with (
        dasdist.open_annotations(old / "annotations.zarr") as found,
        dasdist.open_annotations(fresh / "annotations.zarr") as expected,
    ):
        for number, blocks in enumerate((2, 0, 3)):
            for key in ("P", "S"):
                name = f"segment_{number:04d}/{key}"
                np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
                if blocks:
                    assert np.isfinite(found[name]).sum() == blocks * 800 * 2
                else:  # the channel that is whole, and what is left of the other
                    assert np.isfinite(found[name][:, 0]).all()
                    assert np.isnan(found[name][:, 1]).any()


def test_its_report_is_that_of_a_run_from_scratch(old, retried, fresh):
    found, expected = (
        json.loads((folder / JOURNAL / "report.json").read_text()) for folder in (old, fresh)
    )
    for key in ("format", "state", "model", "arguments"):
        assert found[key] == expected[key], key
    assert found["model"] == BEFORE["model"]
    assert found["blocks"] == {**expected["blocks"], "done_before": 5}
    assert found["data"] == expected["data"]
    counts = [{k: v for k, v in part.items() if k != "bytes"} for part in expected["results"]]
    assert [{k: part[k] for k in c} for part, c in zip(found["results"], counts, strict=True)] == (
        counts
    )
    assert found["failures"] == expected["failures"] == []
    assert found["missing"] == expected["missing"]
    assert [one["block"] for one in found["missing"]] == [2, 3]
