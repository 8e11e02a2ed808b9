"""An archive is scanned once, whatever lies in it; what comes back is what xdas would open."""

import os
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xdas

import dasdist
from dasdist.archive.build import build
from dasdist.archive.header import Header
from dasdist.archive.readers import Asking, Reader
from dasdist.archive.store import save
from dasdist.sources import open_recording

from .test_vendors import FILES
from .toys import START, Toy, noise, recording

SECOND = np.timedelta64(1, "s")
MODEL = {"window": (40, 3), "out": (20, 3), "covers": ((0, 40), (0, 3))}
OPTIONS = {"thresholds": 0.55, "blinding": (1, 1), "pbar": False}


def write(path, samples=100, channels=4, rate=100.0, at=0.0, seed=None, **options):
    """A file of noise that starts ``at`` seconds after START."""
    path.parent.mkdir(parents=True, exist_ok=True)
    start = START + np.timedelta64(round(1e9 * at), "ns")
    values = noise(samples, channels, seed=int(100 * at) if seed is None else seed, **options)
    recording(values, rate=rate, start=start).to_netcdf(path)
    return str(path)


def listed(index):
    return {Path(path).name: kind for path, kind in zip(*_columns(index), strict=True)}


def _columns(index):
    return index.problems["path"], index.problems["kind"]


# ---------------------------------------------------------------- what comes back


@pytest.mark.slow
def test_an_index_opens_like_the_files_and_is_updated_in_place(tmp_path):
    """Five files with a gap; then one changes, one goes, one comes."""
    folder, out = tmp_path / "archive", tmp_path / "archive.nc"
    paths = [write(folder / f"day{i // 3}" / f"{i}.nc", at=i + 7 * (i > 3)) for i in range(5)]
    (folder / "notes.txt").write_text("not data")
    (folder / ".hidden.nc").write_text("nor this")
    steps = []
    index = dasdist.index_archive(folder, out, progress=lambda *step: steps.append(step))
    assert (index.files, index.members, index.scanned) == (5, 1, 5)
    assert steps == [(done, 5) for done in range(6)]
    assert len(index.problems) == 0
    assert sorted(os.listdir(tmp_path)) == ["archive", "archive.nc"]

    expected = xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles")
    opened = dasdist.open_archive(out)
    assert opened.equals(expected)
    np.testing.assert_array_equal(opened.values, expected.values)
    part = opened.sel(time=slice(START + 2 * SECOND, START + 4 * SECOND))
    np.testing.assert_array_equal(part.values, expected.values[200:400])

    assert dasdist.index_archive(folder, out).scanned == 0
    os.remove(paths[1])
    write(folder / "day0" / "2.nc", at=2, samples=90)
    paths.append(write(folder / "day2" / "5.nc", at=20))
    index = dasdist.index_archive(folder, out)
    assert (index.files, index.scanned) == (5, 2)
    assert listed(index) == {"1.nc": "gone"}
    assert "deleted" in index.problems["reason"][0]
    del paths[1]
    again = dasdist.open_archive(out)
    assert again.equals(xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles"))
    held = dasdist.ArchiveIndex.read(out)
    assert (held.files, held.members) == (5, 1)
    pd.testing.assert_frame_equal(held.problems, index.problems)
    table = held.table()
    assert table["path"].tolist() == sorted(paths)
    assert table["bytes"].tolist() == [os.path.getsize(path) for path in sorted(paths)]
    assert table["start"][0] == START
    assert table["stop"][1] == START + 2 * SECOND + np.timedelta64(890, "ms")
    assert table.loc[1, "samples":].tolist() == [90, 0.01, "float32", 4, 10.0, "xdas", 0]
    assert open_recording(out).identity() == open_recording(again).identity()


@pytest.mark.slow
def test_vendor_files_come_back_as_xdas_reads_them(vendor_file, tmp_path):
    files = {name: engine for name, engine in FILES.items() if "uniform" not in name}
    index = dasdist.index_archive([vendor_file(name) for name in files], tmp_path / "all.nc")
    assert index.files == index.members == len(files)
    members = {
        Path(member.data.root, os.fsdecode(member.data.dataset["paths"].item())).name: member
        for member in dasdist.open_archive(index.path)
    }
    for name, engine in files.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # xdas guesses what some files leave unsaid
            path = str(vendor_file(name))
            expected = xdas.open_mfdataarray([path], engine=engine, vtype="tiles")
        member = members[name]
        assert member.dims == expected.dims
        for dim in expected.dims:
            np.testing.assert_array_equal(member[dim].values, expected[dim].values)
        assert member.dtype == expected.dtype
        np.testing.assert_array_equal(member.values, expected.values)
    # one line for each that differs from the first of them, and two for what Febus leaves unsaid
    assert len(index.problems) == len(files) - 1 + 2
    kinds = set(index.problems["kind"])
    assert kinds <= {"dtype", "sampling", "channels", "format", "guess"}


@pytest.mark.slow
def test_arrays_of_an_index_are_classified_like_the_files(tmp_path):
    """Sampling changes, then channels, then type: four arrays, and one run over all of them."""
    changes = [{}, {"rate": 50.0}, {"channels": 6}, {"dtype": "float64"}]
    groups = [
        [
            write(tmp_path / f"{i}{j}.nc", at=100 * i + j * 100 / o.get("rate", 100), **o)
            for j in (0, 1)
        ]
        for i, o in enumerate(changes)
    ]
    index = dasdist.index_archive(tmp_path / "*.nc", tmp_path / "index.dat")
    assert (index.files, index.members) == (8, 4)
    assert listed(index) == {"10.nc": "sampling", "20.nc": "channels", "30.nc": "dtype"}
    assert "0.02 s instead of 0.01" in index.problems["reason"][0]
    assert "6 channels instead of 4" in index.problems["reason"][1]

    alone = [xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles") for paths in groups]
    for member, expected in zip(index.open(), alone, strict=True):
        assert member.equals(expected)
    model = Toy(**MODEL)
    found = dasdist.classify(model, index.path, **OPTIONS).picks
    samples = np.cumsum([0, *(array.sizes["time"] for array in alone)])
    columns = ["sample_index", "channel_index", "phase", "confidence", "time", "distance"]
    for i, array in enumerate(alone):
        picks = dasdist.classify(model, array, **OPTIONS).picks
        assert len(picks) > 0
        mine = found[found.segment == i].assign(
            sample_index=lambda frame, i=i: frame.sample_index - samples[i]
        )
        pd.testing.assert_frame_equal(
            mine[columns].sort_values(columns, ignore_index=True),
            picks[columns].sort_values(columns, ignore_index=True),
            check_dtype=False,
        )


def test_a_cluster_scans_the_same(tmp_path, client):
    paths = [write(tmp_path / "in" / f"{i}.nc", at=i) for i in range(4)]
    (tmp_path / "in" / "empty.h5").touch()
    index = dasdist.index_archive(tmp_path / "in", tmp_path / "index.nc", client=client)
    assert (index.files, index.scanned) == (4, 5)
    assert listed(index) == {"empty.h5": "unreadable"}
    expected = xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles")
    assert index.open().equals(expected)


# ---------------------------------------------------------------- scans that end early

KILLED = """
    import os, signal, sys
    import dasdist

    def progress(done, total):
        print(done, total, flush=True)
        if done == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    if __name__ == "__main__":
        dasdist.index_archive(sys.argv[1], sys.argv[2], processes=1, progress=progress)
"""


@pytest.mark.slow
def test_a_killed_scan_goes_on_where_it_was(tmp_path):
    folder, out, script = tmp_path / "in", tmp_path / "index.nc", tmp_path / "script.py"
    paths = [write(folder / f"{i}.nc", at=i) for i in range(6)]
    script.write_text(textwrap.dedent(KILLED))
    killed = subprocess.run([sys.executable, script, folder, out], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not out.exists()
    (journal,) = tmp_path.glob(".index.nc*")
    with open(journal, "a") as file:
        file.write('{"header": ["half a li')  # as a machine that lost its power leaves it
    write(folder / "1.nc", at=1, samples=80)  # scanned, and changed since

    steps = []
    index = dasdist.index_archive(folder, out, progress=lambda *step: steps.append(step))
    assert steps[0] == (0, 4)
    assert (index.files, index.scanned) == (6, 4)
    assert index.open().equals(xdas.open_mfdataarray(paths, engine="xdas", vtype="tiles"))
    assert not list(tmp_path.glob(".index.nc*"))


BREAKING = """
    import os, signal, time
    from xdas.io import Engine

    class Breaking(Engine, name="breaking"):
        _supported_vtypes = ["tiles"]

        def open_dataarray(self, fname):
            name = os.path.basename(fname)
            if "crash" in name:
                os.kill(os.getpid(), signal.SIGSEGV)
            if "hang" in name:
                time.sleep(3600)
            return Engine["xdas"](vtype="tiles").open_dataarray(fname)
"""


@pytest.mark.slow
def test_a_library_that_crashes_or_hangs_costs_one_file(tmp_path, monkeypatch):
    """The readers are processes of their own: this one registers an engine when it starts."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(BREAKING))
    monkeypatch.syspath_prepend(tmp_path)
    names = ["a_crash.nc", "b.nc", "c_hang.nc", "d.nc"]
    paths = [write(tmp_path / name, at=i) for i, name in enumerate(names)]
    with Reader(Asking("breaking", {}, 10.0)) as reader:  # a busy machine reads slowly, too
        found = [reader.read(path) for path in paths]
    assert [getattr(answer, "kind", "read") for answer in found] == [
        "crash",
        "read",
        "hang",
        "read",
    ]
    assert "SIGSEGV" in found[0].reason
    assert "more than 10 s" in found[2].reason


# ---------------------------------------------------------------- how files are put together

FORM = (
    '{"coords": {"distance": {"data": {"mapping": {"tie_indices": {"dtype": "<i8", "values": '
    '[0, 3]}, "tie_values": {"dtype": "<f8", "values": [0.0, 30.0]}}}, "dim": "distance"}}, '
    '"dims": ["time", "distance"], "dtype": "int16", "engine": {"name": "prodml"}, "name": null, '
    '"sizes": [null, 4], "time": {"dtype": "<M8[ns]", "name": "time", "sampled": false}}'
)
FAST = FORM.replace('"prodml"', '"terra15"')
MS = 10**6


def header(path, at, samples=100, form=FORM, step=10 * MS):
    """A file that is not there, ``at`` milliseconds after START."""
    first = int(START.astype(np.int64)) + at * MS
    ties = (first, first + (samples - 1) * step)
    return Header(path, 1000, 1, form, (10, 4), samples, (0, samples - 1), ties, (step, 1), 0)


def spans(member):
    """The first sample and the length of each stretch of a member, in milliseconds."""
    time = open_recording(member).segments
    return [
        (int((s.time.value(0) - START).astype(np.int64)) // MS, s.recorded.time.size) for s in time
    ]


def kinds(built):
    return [(problem.path, problem.kind) for problem in built.problems]


def test_files_are_put_in_the_order_of_their_times():
    built = build([header("/a", 2000), header("/b", 0), header("/c", 1000)])
    (member,) = built.members
    assert spans(member) == [(0, 300)]
    assert member.data.dataset["paths"].values.ravel().tolist() == [b"b", b"c", b"a"]
    assert kinds(built) == []


def test_files_that_repeat_or_lie_within_others_are_left_out_and_listed():
    built = build([header("/a", 0), header("/b", 0), header("/c", 500, samples=20)])
    assert spans(built.members[0]) == [(0, 100)]
    assert kinds(built) == [("/b", "repeat"), ("/c", "overlap")]
    assert built.places.tolist() == [0, -1, -1]


def test_a_file_that_overlaps_is_cut_where_the_one_before_it_ends():
    built = build([header("/a", 0), header("/b", 800), header("/c", 1800)])
    assert spans(built.members[0]) == [(0, 280)]
    assert kinds(built) == [("/b", "overlap")]
    assert "first 20 of 100 samples" in built.problems[0].reason
    assert built.members[0].data.dataset["starts_0"].values.tolist() == [0, 20, 0]


def test_jitter_below_half_a_sample_is_no_overlap():
    built = build([header("/a", 0), header("/b", 996)])
    assert kinds(built) == []
    assert built.members[0].sizes["time"] == 200


def test_each_stretch_is_an_array_of_its_own_so_that_archives_grow_at_their_end():
    files = [header("/a", 0), header("/b", 1000), header("/c", 2000, form=FAST)]
    before = build(files)
    after = build([*files, header("/d", 3000)])
    assert [spans(member) for member in after.members] == [[(0, 200)], [(2000, 100)], [(3000, 100)]]
    old, new = (open_recording(built.members) for built in (before, after))
    assert new.identity(300) == old.identity()


def test_files_side_by_side_are_one_array_for_each_kind():
    """Two interrogators that write into one folder."""
    files = [header(f"/a{i}", 1000 * i) for i in range(3)]
    others = [header(f"/b{i}", 1000 * i + 500, form=FAST) for i in range(3)]
    built = build([*files, *others])
    assert [spans(member) for member in built.members] == [[(0, 300)], [(500, 300)]]


def test_nothing_at_all_is_an_index_of_nothing(tmp_path):
    built = build([])
    assert built.members == []
    save(tmp_path / "empty.nc", {}, [], built, [])
    with pytest.raises(dasdist.InvalidInput, match="lists no readable file"):
        dasdist.open_archive(tmp_path / "empty.nc")


# ---------------------------------------------------------------- a year

YEAR = """
    import sys
    import dasdist
    from dasdist.sources import open_recording
    from tests.toys import Toy, peak_bytes

    data = dasdist.open_archive(sys.argv[1])
    plan = dasdist.plan(Toy(window=(3000, 8), out=(3000, 8), covers=((0, 3000), (0, 8))), data)
    identity = open_recording(data).identity()
    print(len(plan.grids), sum(g.recorded.time.size for g in plan.grids), peak_bytes())
"""


@pytest.mark.slow
@pytest.mark.deep
def test_a_year_of_one_minute_files_is_planned_from_its_index(tmp_path):
    """525,600 files, none of which is there, with two gaps."""
    samples, step = 12_000, 5 * MS
    form = FORM.replace("[0, 3]", "[0, 999]").replace("30.0", "9990.0").replace("4]", "1000]")
    files = [
        header(
            f"/archive/2024/{i // 1440:03d}/{i:06d}.h5",
            60_000 * i + 30_000 * (i > 1000) + 30_000 * (i > 400_000),
            samples,
            form,
            step,
        )
        for i in range(525_600)
    ]
    index = tmp_path / "2024.nc"
    save(index, {}, files, build(files), [])
    root = Path(__file__).resolve().parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(YEAR), index],
        check=True,
        capture_output=True,
        text=True,
        cwd=root,
    )
    segments, total, peak = map(float, ran.stdout.split())
    assert (segments, total) == (3, 525_600 * samples)
    assert peak < 10**9


# ---------------------------------------------------------------- wrong arguments


def test_wrong_arguments_are_refused_before_anything_is_read(tmp_path):
    data = write(tmp_path / "a.nc")
    out = tmp_path / "index.nc"
    for match, arguments in {
        "no file or folder '.*nowhere'": {"paths": tmp_path / "nowhere"},
        r"no file or folder '.*\*\.h5'": {"paths": tmp_path / "*.h5"},
        "No paths": {"paths": []},
        "Unknown engine 'none such'": {"engine": "none such"},
        "processes is 0": {"processes": 0},
        "seconds_per_file is 0": {"seconds_per_file": 0},
        "no folder": {"out": tmp_path / "not" / "there.nc"},
        "is not an index": {"out": data},
    }.items():
        with pytest.raises(dasdist.InvalidInput, match=match):
            dasdist.index_archive(**{"paths": data, "out": out} | arguments)
    assert not out.exists()
    assert xdas.open_dataarray(data).shape == (100, 4)


def test_what_is_no_index_is_not_opened(tmp_path):
    for match, path in {
        "There is no file": tmp_path / "nowhere.nc",
        "is not an index": write(tmp_path / "a.nc"),
    }.items():
        with pytest.raises(dasdist.InvalidInput, match=match):
            dasdist.open_archive(path)
        with pytest.raises(dasdist.InvalidInput, match=match):
            dasdist.plan(Toy(), path)


def test_two_scans_do_not_write_one_index(tmp_path):
    import fcntl

    data = write(tmp_path / "a.nc")
    with open(tmp_path / ".index.nc.scan", "a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(dasdist.InvalidInput, match="Another process"):
            dasdist.index_archive(data, tmp_path / "index.nc")
