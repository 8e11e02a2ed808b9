"""Archives that change and have missing samples, overlaps, or of which a range is taken."""

import json

import numpy as np
import pandas as pd
import pytest

import dasdist
from dasdist.sources import ChannelRange, TimeRange

from .test_odd_living import BLOCK, SAMPLES, STEP, Archive, classify, parts, same_picks
from .toys import START, noise, recording

pytestmark = pytest.mark.filterwarnings("ignore:.*left out.*:dasdist.DataWarning")

NUMBERS = [0, 1, 2, 3, 5, 6, 7, 8]
CHOICE = {"max_failures": "any"}


class Holed(Archive):
    """Files of which some lack samples."""

    holes = ((2, slice(40, 45), slice(1, 2)), (7, slice(90, 100), slice(0, 6)))

    def write(self, number, seed=0):
        values = noise(SAMPLES, 6, seed=1000 * seed + number + 100)
        for place, rows, channels in self.holes:
            if place == number and seed == 0:
                values[rows, channels] = np.nan
        recording(values, start=START + number * SAMPLES * STEP).to_netcdf(self.path(number))
        self.touch(number)


def told(folder):
    """What report and status say that is missing."""
    summary = json.loads((folder.with_name(f"{folder.name}.dasdist") / "report.json").read_text())
    status = dasdist.status(folder)
    return (
        summary["missing"],
        summary["data"]["not_covered"],
        summary["data"]["covered"],
        status.missing,
        str(status.coverage),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        ("late", 4),
        pytest.param(("replaced", 5), marks=pytest.mark.deep),
        pytest.param(("late", -1), marks=pytest.mark.deep),
        pytest.param(("removed", 0), marks=pytest.mark.deep),
    ],
)
def test_what_blocks_lack_is_told_of_the_right_blocks_after_a_change(tmp_path, change):
    archive, out = Holed(tmp_path / "fibre", NUMBERS), tmp_path / "picks.parquet"
    first = classify(archive.open(), out, block=BLOCK, **CHOICE)
    assert first.report.missing
    archive.change([change])
    found = classify(archive.open(), out, **CHOICE)
    scratch = classify(archive.open(), tmp_path / "scratch.parquet", block=BLOCK, **CHOICE)
    assert found.report.before > 10
    same_picks(found.picks, scratch.picks)
    assert found.report.missing == scratch.report.missing
    assert found.report.partial == scratch.report.partial
    assert told(out) == told(tmp_path / "scratch.parquet")


def test_a_file_that_was_repaired_is_computed_and_lacks_nothing(tmp_path):
    archive, out = Holed(tmp_path / "fibre", NUMBERS), tmp_path / "picks.parquet"
    first = classify(archive.open(), out, block=BLOCK, **CHOICE)
    archive.change([("late", -1), ("replaced", 7)])
    found = classify(archive.open(), out, **CHOICE)
    assert {m.start[:19] for m in found.report.missing} == {"2024-01-01T00:00:02"}
    assert len(found.report.missing) < len(first.report.missing)
    archive.change([("replaced", 2)])
    last = classify(archive.open(), out, retry_failed=True)
    assert last.report.complete
    assert (last.report.missing, dasdist.status(out).missing) == ((), ())
    scratch = classify(archive.open(), tmp_path / "scratch.parquet", block=BLOCK)
    same_picks(last.picks, scratch.picks)


def test_blocks_in_part_are_done_again_when_asked_after_a_change(tmp_path):
    archive, out = Holed(tmp_path / "fibre", NUMBERS), tmp_path / "picks.parquet"
    classify(archive.open(), out, block=BLOCK, **CHOICE)
    archive.change([("late", -1)])
    found = classify(archive.open(), out, **CHOICE)
    again = classify(archive.open(), out, retry_failed=True, **CHOICE)
    assert again.report.before == again.report.blocks - len(found.report.partial)
    assert again.report.missing == found.report.missing
    last = classify(archive.open(), out, **CHOICE)  # and the ledger says so
    assert last.report.before == last.report.blocks
    assert last.report.missing == found.report.missing


class Overlapping(Archive):
    """Files that begin ten samples before the one before ends."""

    def write(self, number, seed=0):
        values = noise(SAMPLES + 10, 6, seed=1000 * seed + number + 100)
        start = START + (number * SAMPLES - 10) * STEP
        recording(values, start=start).to_netcdf(self.path(number))
        self.touch(number)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        ("late", 9),
        *(
            pytest.param(one, marks=pytest.mark.deep)
            for one in (("replaced", 4), ("touched", 7), ("late", -1))
        ),
    ],
)
def test_of_files_that_overlap_only_what_touches_a_change_is_done_again(tmp_path, change):
    archive, out = Overlapping(tmp_path / "fibre", range(8)), tmp_path / "picks.parquet"
    first = classify(archive.open(), out, block=BLOCK)
    had = parts(out)
    archive.change([change])
    found = classify(archive.open(), out)
    scratch = classify(archive.open(), tmp_path / "scratch.parquet", block=BLOCK)
    same_picks(found.picks, scratch.picks)
    assert found.report.before >= first.report.blocks // 2
    has = parts(out)
    assert sum(has.get(name) == part for name, part in had.items()) == found.report.before
    assert found.report.change.counts["new" if change[0] == "late" else "changed"] == 1


@pytest.mark.slow
def test_a_range_of_an_archive_goes_on_after_a_change(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(8)), tmp_path / "picks.parquet"

    def ranged():
        start, stop = START + 150 * STEP, START + 720 * STEP
        return TimeRange(ChannelRange(archive.open(), 1, 6), start, stop)

    first = classify(ranged(), out, block=BLOCK)
    archive.change([("replaced", 4)])
    found = classify(ranged(), out)
    scratch = classify(ranged(), tmp_path / "scratch.parquet", block=BLOCK)
    same_picks(found.picks, scratch.picks)
    assert first.report.blocks > found.report.before > first.report.blocks // 2
    assert found.picks.time.min() >= pd.Timestamp(START + 150 * STEP)
    archive.change([("replaced", 0)])  # which lies outside
    same = classify(ranged(), out)
    assert same.report.before == same.report.blocks
