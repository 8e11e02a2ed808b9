"""An archive lives while runs last: only blocks that touch what changed are done again."""

import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xdas
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.geometry import Region, Span
from tests.forked import Forked
from tests.toys import START, Toy, noise, recording

SAMPLES = 100  # of a file: a second
STEP = np.timedelta64(10, "ms")
PICKING = {"thresholds": 0.55, "blinding": (1, 1), "min_time_separation": 0.1, "pbar": False}
EVEN = {"window": (40, 3), "out": (20, 3), "covers": ((0, 40), (0, 3))}
"""Patches that start with every file: a late one moves no other's windows."""
ODD = {"window": (44, 3), "out": (22, 3), "covers": ((0, 44), (0, 3))}
"""Patches that do not: what follows a late file is done again."""
BLOCK = {"time": 25, "distance": 4}


class Archive:
    """Files of a second each, by number; every state of it has times of modification of its own."""

    def __init__(self, folder, numbers):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = 1_700_000_000
        for number in numbers:
            self.write(number)

    def path(self, number):
        return self.folder / f"{number + 100:04d}.nc"

    def write(self, number, seed=0):
        start = START + number * SAMPLES * STEP
        values = noise(SAMPLES, 6, seed=1000 * seed + number + 100)
        recording(values, start=start).to_netcdf(self.path(number))
        self.touch(number)

    def touch(self, number):
        self.clock += 1
        os.utime(self.path(number), (self.clock, self.clock))

    def remove(self, number):
        self.path(number).unlink()

    def open(self):
        paths = sorted(map(str, self.folder.glob("*.nc")))
        return xdas.open_mfdataarray(paths, vtype="tiles", engine="xdas")

    def change(self, changes):
        """Make changes: a letter and a number each."""
        for kind, number in changes:
            if kind == "late":
                self.write(number)
            elif kind == "replaced":
                self.write(number, seed=1)
            elif kind == "touched":
                self.touch(number)
            else:
                self.remove(number)


def classify(data, out, model=EVEN, **options):
    return Toy(gain=3.0, **model).classify(data, out=out, **{**PICKING, **options})


def signatures(data, model, block=None):
    """What the result of each block depends on, found block by block and sample by sample."""
    plan = dasdist.plan(Toy(gain=3.0, **model), data, block=block or BLOCK, **PICKING)
    times = data["time"].values
    tiles = data.data
    files = [Path(tiles.root, os.fsdecode(path)) for path in tiles.dataset["paths"].values.ravel()]
    sizes = tiles.chunks[0]
    state = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    of_sample = np.repeat(np.arange(len(files)), sizes)
    within = np.concatenate([np.arange(size) for size in sizes])
    found = []
    for one in plan:
        grid = one.grid
        first = grid.recorded.time.start
        read = range(one.read.time.start, one.read.time.stop)
        patches = tuple(
            str(times[first + grid.rows.start(i)]) for i in range(one.rows.start, one.rows.stop)
        )
        found.append(
            (
                tuple(one.out_time.values().astype(str)),
                tuple(one.out_distance.values()),
                patches,
                tuple((state[of_sample[i]], int(within[i]), str(times[i])) for i in read),
            )
        )
    return found


def parts(out):
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.glob("*.parquet")
    }


def same_picks(found, expected):
    pd.testing.assert_frame_equal(found, expected)
    assert len(expected) > 20


def follow(folder, numbers, changes, model=EVEN, **options):
    """Run, change the archive, run again, and hold the result against all that it must be."""
    archive = Archive(folder / "fibre", numbers)
    out = folder / "picks.parquet"
    data = archive.open()
    classify(data, out, model, block=BLOCK, **options)
    before, had = signatures(data, model), parts(out)
    archive.change(changes)
    data = archive.open()
    now = signatures(data, model)
    result = classify(data, out, model, **options)
    scratch = classify(data, folder / "scratch.parquet", model, block=BLOCK)
    same_picks(result.picks, scratch.picks)
    stands = sum(signature in set(before) for signature in now)
    assert result.report.before == stands
    assert result.report.finished == result.report.blocks == len(now)
    has = parts(out)
    assert sum(has.get(name) == part for name, part in had.items()) == stands
    assert len(has) == len(now)
    again = classify(archive.open(), out, model)
    assert again.report.before == len(now)
    same_picks(again.picks, scratch.picks)
    return result.report


# ---------------------------------------------------------------- the table of cases

HOLED = [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
CASES = {
    "replaced": [("replaced", 9)],
    "touched": [("touched", 1)],
    "late in the middle, joins two segments": [("late", 4)],
    "late in the middle, joins one": [("late", 12), ("late", 13)],
    "late, a segment of its own": [("late", 20)],
    "late, before all others": [("late", -3)],
    "begins earlier": [("late", -1)],
    "late at the end": [("late", 12)],
    "removed in the middle": [("removed", 2)],
    "removed at the start": [("removed", 0)],
    "removed at the end": [("removed", 11)],
    "a whole segment removed": [("removed", 5), ("removed", 6)],
    "several at once": [
        ("late", 7),
        ("replaced", 0),
        ("removed", 10),
        ("touched", 5),
        ("late", 14),
    ],
    "all of them touched": [("touched", number) for number in HOLED],
}


IN_CI = ("late in the middle, joins two segments", "removed at the start", "several at once")


def cases(names, in_ci=IN_CI):
    """Cases by their names; those that are not named for CI are for the deep tier."""
    marks = {name: [pytest.mark.deep] * (name not in in_ci) for name in names}
    return [pytest.param(CASES[name], id=name, marks=marks[name]) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("changes", cases(CASES))
def test_only_what_touches_a_change_is_done_again(tmp_path, changes):
    report = follow(tmp_path, HOLED, changes)
    counts = dict.fromkeys(("changed", "new", "gone"), 0)
    for kind, _ in changes:
        counts[{"late": "new", "removed": "gone"}.get(kind, "changed")] += 1
    assert report.change.counts == counts
    assert report.change.kept == report.before


@pytest.mark.slow
@settings(max_examples=max(4, settings().max_examples // 5))
@given(
    numbers=st.sets(st.integers(0, 11), min_size=3),
    changes=st.lists(
        st.tuples(st.sampled_from(["late", "replaced", "touched", "removed"]), st.integers(-2, 13)),
        min_size=1,
        max_size=5,
        unique_by=lambda change: change[1],
    ),
    model=st.sampled_from([EVEN, ODD]),
)
def test_any_change_of_any_archive(tmp_path_factory, numbers, changes, model):
    possible = [
        (kind, number) for kind, number in changes if (kind == "late") == (number not in numbers)
    ]
    removed = {number for kind, number in possible if kind == "removed"}
    if possible and numbers - removed:
        follow(tmp_path_factory.mktemp("any"), sorted(numbers), possible, model)


def test_samples_and_segments_are_counted_anew(tmp_path):
    """Parts after a late file keep their bytes, and their picks point at the samples of now."""
    archive, out = Archive(tmp_path / "fibre", [0, 1, 5, 6, 8, 9]), tmp_path / "picks.parquet"
    classify(archive.open(), out, block=BLOCK)
    archive.change([("late", 3)])  # a segment between others
    data = archive.open()
    result = classify(data, out)
    picks = result.picks
    assert result.report.before == result.report.blocks - len(
        dasdist.plan(Toy(**EVEN), Archive(tmp_path / "one", [3]).open(), block=BLOCK, **PICKING)
    )
    away = np.abs(data["time"].values[picks.sample_index] - picks.time.to_numpy())
    assert away.max() <= STEP / 2
    late = picks.time >= START + 500 * STEP
    assert set(picks.segment[late]) == {2, 3}


# ---------------------------------------------------------------- blocks that failed


def test_a_file_that_is_repaired_after_a_failure_is_done_by_a_plain_resume(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(8)), tmp_path / "picks.parquet"
    values = noise(SAMPLES, 6, seed=103)
    values[45:90] = np.nan
    recording(values, start=START + 3 * SAMPLES * STEP).to_netcdf(archive.path(3))
    with pytest.warns(dasdist.DataWarning, match="left out"):
        first = classify(archive.open(), out, block=BLOCK)
    assert first.report.failures
    assert first.report.partial
    failed = {failure.block for failure in first.report.failures} | {*first.report.partial}
    archive.change([("replaced", 3)])
    result = classify(archive.open(), out)
    assert result.report.complete
    assert 0 < result.report.before < result.report.blocks - len(failed)  # neighbours read it too
    same_picks(result.picks, classify(archive.open(), None).picks)


def test_failures_elsewhere_stay_and_are_told_of_their_new_place(tmp_path):
    archive, out = Archive(tmp_path / "fibre", [2, 3, 5, 6]), tmp_path / "picks.parquet"
    values = noise(SAMPLES, 6, seed=103)
    values[10:] = np.nan
    recording(values, start=START + 6 * SAMPLES * STEP).to_netcdf(archive.path(6))
    with pytest.warns(dasdist.DataWarning, match="left out"):
        first = classify(archive.open(), out, block=BLOCK)
    assert first.report.failures
    archive.change([("late", 0)])  # a segment before: blocks get other places
    with pytest.warns(dasdist.DataWarning, match="left out"):
        result = classify(archive.open(), out)
    more = result.report.blocks - first.report.blocks
    assert more > 0
    for was, now in zip(first.report.failures, result.report.failures, strict=True):
        assert (now.block, now.segment) == (was.block + more, was.segment + 1)
        assert (now.start, now.core) == (was.start, was.core)
    status = dasdist.status(out)
    assert [f.block for f in status.failures] == [f.block for f in result.report.failures]
    assert status.done == result.report.finished
    archive.change([("replaced", 6)])
    assert classify(archive.open(), out, retry_failed=True).report.complete
    assert dasdist.status(out).state == "complete"


# ---------------------------------------------------------------- annotations


STORED = ["replaced", "late in the middle, joins two segments", "late, before all others"]
STORED += ["late at the end", "removed at the end", "several at once"]


@pytest.mark.slow
@pytest.mark.parametrize("changes", cases(STORED, ("several at once",)))
def test_annotations_follow(tmp_path, changes):
    archive, store = Archive(tmp_path / "fibre", HOLED), tmp_path / "prob.zarr"
    out = tmp_path / "picks.parquet"
    data = archive.open()
    classify(data, out, annotations=store, block=BLOCK)
    before = signatures(data, EVEN)
    shards = {path.stat().st_mtime_ns for path in store.rglob("c/*/*")}
    archive.change(changes)
    data = archive.open()
    stands = sum(signature in set(before) for signature in signatures(data, EVEN))
    result = classify(data, out, annotations=store)
    assert result.report.before == stands
    fresh = tmp_path / "fresh.zarr"
    expected = classify(data, tmp_path / "fresh.parquet", annotations=fresh, block=BLOCK)
    same_picks(result.picks, expected.picks)
    with dasdist.open_annotations(store) as found, dasdist.open_annotations(fresh) as anew:
        assert found.groups == anew.groups
        for name in (group for group in anew.groups if group != "/"):
            for key in ("P", "S"):
                np.testing.assert_array_equal(found[name][key], anew[name][key])
                for axis in ("time", "distance"):
                    np.testing.assert_array_equal(found[name][axis], anew[name][axis])
    kept = [path for path in store.rglob("c/*/*") if path.stat().st_mtime_ns in shards]
    assert len(kept) >= 2 * stands  # of P and of S
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []
    assert classify(data, out, annotations=store).report.before == result.report.blocks


# ---------------------------------------------------------------- through an index, by command


def even():
    return Toy(gain=3.0, **EVEN)


def here(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def picks_at(path):
    columns = ["time", "channel_index", "phase", "confidence"]
    return pd.read_parquet(path)[columns].sort_values(columns[:3], ignore_index=True)


@pytest.mark.slow
def test_the_command_goes_on_as_the_error_advises(tmp_path):
    """A file cut short fails; it is repaired, and another comes late; the index is made again."""
    archive = Archive(tmp_path / "fibre", [0, 1, 2, 3, 6, 7])
    index, out = tmp_path / "fibre.nc", tmp_path / "picks.parquet"
    model = ["--model", "tests.test_odd_living:even", "--threshold", "0.55"]
    model += ["--set", "blinding=[1,1]", "--set", "min_time_separation=0.1"]
    run = ["classify", index, *model, "-o", out, "--quiet"]
    assert here("index", archive.folder, "-o", index).exit_code == 0
    whole = archive.path(2).read_bytes()
    archive.path(2).write_bytes(whole[:-500])
    failed = here(*run, "--block", "time=25,distance=4")
    assert failed.exit_code == 2
    errors = [failure.error for failure in dasdist.status(out).failures]
    assert errors
    assert all(
        "index the archive again: the same call or command then goes on" in e for e in errors
    )
    had = parts(out)
    archive.path(2).write_bytes(whole)
    archive.touch(2)
    assert here("index", archive.folder, "-o", index).exit_code == 0
    assert here(*run, "--retry-failed").exit_code == 0
    status = dasdist.status(out)
    assert status.state == "complete"
    assert status.change.counts == {"changed": 1, "new": 0, "gone": 0}
    assert f"reads {archive.path(2)}, which changed" in str(status)
    archive.change([("late", 5)])
    assert here("index", archive.folder, "-o", index).exit_code == 0
    assert here(*run).exit_code == 0
    told = here("status", out).output
    assert "1 file new" in told
    assert "which was not there" in told
    report = json.loads((tmp_path / "picks.parquet.dasdist/report.json").read_text())
    assert [file["path"] for file in report["change"]["files"]] == [str(archive.path(5))]
    assert report["change"]["kept"] == report["blocks"]["done_before"]
    assert str(archive.path(5)) in (tmp_path / "picks.parquet.dasdist/report.txt").read_text()
    scratch = tmp_path / "scratch.parquet"
    classify(dasdist.open_archive(index), scratch)
    pd.testing.assert_frame_equal(picks_at(out), picks_at(scratch))
    has = parts(out)
    assert sum(has.get(name) == part for name, part in had.items()) > len(had) // 2
    assert here(*run).exit_code == 0
    assert parts(out) == has


def test_a_folder_that_moved_is_the_same_archive(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(6)), tmp_path / "picks.parquet"
    first = classify(archive.open(), out, block=BLOCK)
    moved = Archive(archive.folder.rename(tmp_path / "elsewhere"), ())
    assert classify(moved.open(), out).report.before == first.report.blocks
    moved.clock = archive.clock
    moved.change([("replaced", 5)])
    result = classify(moved.open(), out)
    assert result.report.change.counts == {"changed": 1, "new": 0, "gone": 0}
    assert result.report.before > first.report.blocks // 2


# ---------------------------------------------------------------- other ways to pass files


def opened(archive, how):
    paths = sorted(archive.folder.glob("*.nc"))
    if how == "stack":
        return xdas.open_mfdataarray(list(map(str, paths)), engine="xdas", vtype="hdf5")
    for path in paths:
        state, text = path.stat(), path.with_suffix(".txt")
        np.savetxt(text, xdas.open_dataarray(str(path), engine="xdas").values)
        os.utime(text, ns=(state.st_mtime_ns, state.st_mtime_ns))
    dasdist.register_format("lines", open_lines)
    return dasdist.open_files([path.with_suffix(".txt") for path in paths], "lines")


def open_lines(path):
    source = TextSource(path, Region(Span(0, SAMPLES), Span(0, 6)))
    time = START + (int(Path(path).stem) - 100) * SAMPLES * STEP + np.arange(SAMPLES) * STEP
    return dasdist.SourceArray(source, "float32", time, 10.0 * np.arange(6))


@dataclass(frozen=True)
class TextSource:
    """A reader of one's own, which knows nothing of archives that change."""

    path: str
    region: Region

    def select(self, region):
        time = region.time.shift(self.region.time.start)
        return TextSource(
            self.path, Region(time, region.distance.shift(self.region.distance.start))
        )

    def read(self):
        values = np.loadtxt(self.path, dtype="float32", ndmin=2)
        return values[self.region.time.slice, self.region.distance.slice]

    def files(self):
        return [(Span(0, self.region.time.size), self.path)]

    def chunks(self):
        return None

    def identity(self):
        yield repr((self.region, os.stat(self.path).st_mtime_ns)).encode()


@pytest.mark.parametrize("how", ["stack", "own format"])
def test_however_the_files_are_opened(tmp_path, how):
    archive, out = Archive(tmp_path / "fibre", [0, 1, 2, 3, 5, 6]), tmp_path / "picks.parquet"
    classify(opened(archive, how), out, block=BLOCK)
    before = signatures(archive.open(), EVEN)
    archive.change([("replaced", 6), ("late", 4)])
    now = signatures(archive.open(), EVEN)
    result = classify(opened(archive, how), out)
    assert result.report.before == sum(signature in set(before) for signature in now) > 8
    same_picks(result.picks, classify(opened(archive, how), None).picks)


# ---------------------------------------------------------------- deaths


def dying(folder, where):
    """Run on the archive as it is now, and die in the middle of following it."""
    from dasdist.callbacks import zarr_rebuild
    from dasdist.journal import journal, origins_file

    def die(*_args):
        os.kill(os.getpid(), signal.SIGKILL)

    if where == "forgotten":
        dasdist.PicksWriterCallback.retain = die
    elif where == "between two renames":
        rename = os.replace

        def first_only(source, target):
            rename(source, target)
            if str(target).endswith(".old"):
                die()

        zarr_rebuild.os.replace = first_only
    elif where == "removed":
        origins_file.save = die
    else:
        journal.origins_file.remove_others = die
    store = folder / "prob.zarr"
    classify(Archive(folder / "fibre", ()).open(), folder / "picks.parquet", annotations=store)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    [
        "between two renames",
        pytest.param("removed", marks=pytest.mark.deep),
        pytest.param("forgotten", marks=pytest.mark.deep),
        pytest.param("one journal", marks=pytest.mark.deep),
    ],
)
def test_a_death_in_the_middle_leaves_what_resumes(tmp_path, where):
    archive, out = Archive(tmp_path / "fibre", HOLED), tmp_path / "picks.parquet"
    store, fresh = tmp_path / "prob.zarr", tmp_path / "fresh.zarr"
    classify(archive.open(), out, annotations=store, block=BLOCK)
    before = signatures(archive.open(), EVEN)
    archive.change(CASES["several at once"])
    run = Forked(tmp_path / "log", dying, tmp_path, where)
    assert run.wait() == -signal.SIGKILL, run.said
    assert dasdist.status(out).state in ("complete", "unfinished")
    data = archive.open()
    result = classify(data, out, annotations=store)
    assert result.report.complete
    assert result.report.before == sum(s in set(before) for s in signatures(data, EVEN))
    fresh = tmp_path / "fresh.zarr"
    expected = classify(data, tmp_path / "fresh.parquet", annotations=fresh, block=BLOCK)
    same_picks(result.picks, expected.picks)
    with (
        dasdist.open_annotations(tmp_path / store) as found,
        dasdist.open_annotations(fresh) as anew,
    ):
        assert found.groups == anew.groups
        for name in (group for group in anew.groups if group != "/"):
            np.testing.assert_array_equal(found[name]["P"], anew[name]["P"])


# ---------------------------------------------------------------- what is refused


def refused(data, out, match):
    before = parts(out)
    with pytest.raises(dasdist.RunMismatch, match=match):
        classify(data, out)
    assert parts(out) == before


def test_another_archive_is_refused(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(4)), tmp_path / "picks.parquet"
    classify(archive.open(), out, block=BLOCK)
    other = Archive(tmp_path / "other", range(10, 14))
    refused(other.open(), out, "another recording: .*not one of its files is what it was")


def test_another_stretch_is_refused(tmp_path):
    """A run of May is not to lose its picks because June was asked for by the same name."""
    archive, out = Archive(tmp_path / "fibre", range(6)), tmp_path / "picks.parquet"
    whole = archive.open()
    classify(whole, out, block=BLOCK)
    for part in (whole[200:], whole[:400], whole[30:], whole[:-30]):
        refused(part, out, "another stretch of an archive is another run")
    classify(whole, out)
    longer = Archive(tmp_path / "fibre", [-1, 6]).open()
    assert classify(longer, out).report.complete  # more of it goes on


def test_other_blocks_are_refused(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(6)), tmp_path / "picks.parquet"
    classify(archive.open(), out, block=BLOCK)
    archive.change([("replaced", 3)])
    with pytest.raises(
        dasdist.RunMismatch, match="other blocks: of 25 samples x 4 channels then, of 50 x 4 now"
    ):
        classify(archive.open(), out, block={"time": 50, "distance": 4})


def test_a_sink_that_cannot_follow_goes_on_only_with_what_grew(tmp_path):
    class Stays(dasdist.PicksWriterCallback):
        retain = dasdist.SinkCallback.retain

    def run(data):
        given = {name: PICKING[name] for name in ("thresholds", "blinding", "min_time_separation")}
        sink = Stays(tmp_path / "picks.parquet", **given)
        return Toy(gain=3.0, **EVEN).annotate(data, sink, block=BLOCK, pbar=False)

    archive = Archive(tmp_path / "fibre", range(6))
    first = run(archive.open())
    archive.change([("late", 6)])
    assert first.blocks - 4 <= run(archive.open()).before < first.blocks
    archive.change([("replaced", 3)])
    with pytest.raises(dasdist.RunMismatch, match="another recording"):
        run(archive.open())


def test_a_run_that_did_not_note_its_files_says_so(tmp_path):
    archive, out = Archive(tmp_path / "fibre", range(6)), tmp_path / "picks.parquet"
    classify(archive.open(), out, block=BLOCK)
    (noted,) = out.with_name("picks.parquet.dasdist").glob("files-*.npz")
    noted.unlink()  # as of a run that an earlier dasdist began
    archive.change([("replaced", 3)])
    refused(archive.open(), out, "does not say from which files it was computed")
    shutil.rmtree(archive.folder)
    archive = Archive(tmp_path / "fibre", range(6))
    classify(archive.open(), out)  # the archive of then: now its files are noted
    archive.change([("replaced", 3)])
    assert classify(archive.open(), out).report.complete
