"""What is written is whole, belongs to one run, and survives full disks, kills and growth."""

import itertools
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

import dasdist
from dasdist.annotations import open_annotations
from dasdist.callbacks import MultiCallback, PicksWriterCallback, WriterCallback
from dasdist.callbacks.base import Context
from dasdist.errors import OutputExists, OutputUnwritable, RunMismatch, RunSuperseded
from dasdist.geometry import PatchGrid, Region, Span
from dasdist.storage.staging import Staging, journal_of

from .test_stacking import NoiseModel, make_grid, patches_of
from .toys import Toy, noise, recording

COLUMNS = PatchGrid(11, 4, 3, 4, (0, 4))


def grid_of(samples, core=(20, 11), index=0, first_block=0):
    return make_grid(
        PatchGrid(samples, 12, 7, 12, (0, 12)),
        COLUMNS,
        core=core,
        index=index,
        first_block=first_block,
        recorded=Region(Span(1000 * index, 1000 * index + samples), Span(0, 11)),
    )


GRID = grid_of(100)


def context(*grids, **options):
    return Context(("P", "S"), grids or (GRID,), ("time", "distance"), {"model": "x"}, **options)


def picks_to(path, **options):
    return PicksWriterCallback(path, 0.3, 0.03, blinding=(1, 1), **options)


def accumulate(mapper, block):
    accumulator = mapper(block)
    for patch in patches_of(block, NoiseModel()):
        accumulator.add(patch)
    return accumulator


def write_all(callback, grids=(GRID,), **options):
    callback.setup(context(*grids, **options))
    return {
        block.index: accumulate(callback.mapper(), block).part() for grid in grids for block in grid
    }


def files_of(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def tree_of(path):
    return {p.relative_to(path) for p in path.rglob("*")}


sinks = pytest.mark.parametrize("sink", [picks_to, WriterCallback])


# ---------------------------------------------------------------- staging


@pytest.fixture
def staging(tmp_path):
    return Staging.make(tmp_path / "out.dasdist", "1f0c")


def test_a_file_is_replaced_and_its_size_returned(staging, tmp_path):
    target = tmp_path / "out" / "deep" / "file"
    assert staging.write(target, b"old") == 3
    assert staging.write(target, memoryview(np.arange(4.0))) == 32
    assert target.read_bytes() == np.arange(4.0).tobytes()
    assert list(staging.folder.iterdir()) == []


def test_files_are_as_open_as_any_and_the_staging_is_private(staging, tmp_path):
    before = os.umask(0o027)
    try:
        staging.write(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE(staging.folder.stat().st_mode) == 0o700
    assert staging.folder.name == "staging-1f0c"


def test_without_its_folder_a_run_writes_nothing(staging, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_bytes(b"of a newer run")
    staging.folder.rename(tmp_path / "away")
    for name in ("file", "deep/file"):
        with pytest.raises(RunSuperseded, match="a newer run has taken the output over"):
            staging.write(tmp_path / "out" / name, b"late")
    assert files_of(tmp_path / "out") == {Path("file"): b"of a newer run"}
    assert tree_of(tmp_path / "out") == {Path("file")}


def test_an_output_that_was_removed_is_an_error(tmp_path):
    callback = picks_to(tmp_path / "picks.parquet")
    callback.setup(context())
    (tmp_path / "picks.parquet").rmdir()
    (tmp_path / "picks.parquet").write_text("a file")
    with pytest.raises(OutputUnwritable, match="See that the folder is there"):
        accumulate(callback.mapper(), GRID.block(0)).part()


def test_a_link_has_its_journal_where_it_leads(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "disk" / "prob.zarr")
    callback = WriterCallback(tmp_path / "link.zarr")
    assert callback.outputs[0].journal == (tmp_path / "disk").resolve() / "prob.zarr.dasdist"
    assert journal_of(tmp_path / "prob.zarr").name == "prob.zarr.dasdist"


@sinks
def test_relative_paths_become_absolute(tmp_path, monkeypatch, sink):
    monkeypatch.chdir(tmp_path)
    callback = sink("out")
    assert callback.path == tmp_path / "out"
    assert callback.outputs[0].journal == tmp_path.resolve() / "out.dasdist"


def test_addresses_stay_what_they_are(tmp_path):
    assert WriterCallback(f"file://{tmp_path}/prob.zarr").path == tmp_path / "prob.zarr"
    assert WriterCallback("s3://bucket/prob.zarr").path == "s3://bucket/prob.zarr"


# ---------------------------------------------------------------- what is there already


@sinks
def test_results_are_replaced_only_when_told(tmp_path, sink):
    write_all(sink(tmp_path / "alone"))
    write_all(sink(tmp_path / "out"), (GRID, grid_of(40, index=1, first_block=len(GRID))))
    with pytest.raises(OutputExists, match=r"another path, or replace .* overwrite=True"):
        sink(tmp_path / "out").setup(context())
    write_all(sink(tmp_path / "out", overwrite=True))
    assert files_of(tmp_path / "out") == files_of(tmp_path / "alone")


@sinks
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    "what", ["file", "folder", "file inside", "their part", "zarr group", "zarr array"]
)
def test_anything_else_stays(tmp_path, sink, what, overwrite):
    path = tmp_path / "out"
    if what == "file":
        path.write_text("precious")
    elif what == "zarr group":
        zarr.create_group(path).create_array("P", shape=3, dtype="int8")
    elif what == "zarr array":
        zarr.create_array(path, shape=3, dtype="int8")
    elif what == "their part":
        path.mkdir()
        pq.write_table(pa.table({"x": [1]}), path / "block-000000000.parquet")
    else:
        if what == "file inside":
            write_all(sink(path))
        path.mkdir(exist_ok=True)
        (path / "thesis.tex").write_text("precious")
    before = files_of(tmp_path)
    with pytest.raises(OutputExists, match=r"[Cc]hoose another path.*\.$") as error:
        sink(path, overwrite=overwrite).setup(context())
    assert ("is a file" in str(error.value)) == (what == "file")
    assert files_of(tmp_path) == before


@sinks
def test_an_empty_folder_is_free(tmp_path, sink):
    (tmp_path / "out").mkdir()
    assert write_all(sink(tmp_path / "out")) == write_all(sink(tmp_path / "other"))


# ---------------------------------------------------------------- other processes


def begin_and_wait(mappers, pipe):
    """Begin a block with each mapper; once told, end them and say how that went."""
    begun = [accumulate(mapper, GRID.block(1)) for mapper in mappers]
    pipe.send("begun")
    pipe.recv()
    for accumulator in begun:
        try:
            accumulator.part()
            pipe.send("written")
        except RunSuperseded as error:
            pipe.send(str(error))


@pytest.fixture
def start():
    """Start a process with a pipe to it; none survives the test."""
    spawn = multiprocessing.get_context("spawn")
    processes = []

    def run(target: Callable, *args):
        here, there = spawn.Pipe()
        process = spawn.Process(target=target, args=(*args, there), daemon=True)
        process.start()
        processes.append(process)
        return here

    yield run
    for process in processes:
        process.kill()
        process.join()


def test_a_task_of_an_older_run_changes_nothing(tmp_path, start):
    """The fence: what a newer run finds and writes stays, though older tasks are still at work."""
    old = [picks_to(tmp_path / "picks"), WriterCallback(tmp_path / "prob")]
    for callback in old:
        callback.setup(context(run="old"))
    pipe = start(begin_and_wait, [callback.mapper() for callback in old])
    assert pipe.recv() == "begun"
    for callback in old:
        journal = callback.outputs[0].journal
        (journal / "staging-old").rename(journal / "moved")
    new = [picks_to(tmp_path / "picks"), WriterCallback(tmp_path / "prob")]
    for callback in new:
        callback.setup(context(run="new", resume=True))
        accumulate(callback.mapper(), GRID.block(0)).part()
    before = files_of(tmp_path), tree_of(tmp_path)
    pipe.send("go on")
    for _ in old:
        assert "a newer run has taken the output over" in pipe.recv()
    assert (files_of(tmp_path), tree_of(tmp_path)) == before


def write_forever(mappers, pipe):
    """Fork writers that never end, one after the other, and tell their process ids."""
    for _ in iter(pipe.recv, None):
        pid = os.fork()
        if not pid:
            for block, mapper in itertools.cycle(itertools.product(GRID, mappers)):
                accumulate(mapper, block).part()
        pipe.send(pid)
        os.waitpid(pid, 0)
        pipe.send("gone")


def test_a_kill_while_writing_leaves_whole_files_only(tmp_path, start):
    names = ("picks", "prob")
    expected = {}
    for name, sink in zip(names, (picks_to, WriterCallback), strict=True):
        write_all(sink(tmp_path / "undisturbed" / name))
        expected |= {name: files_of(tmp_path / "undisturbed" / name)}
    callbacks = [picks_to(tmp_path / "picks"), WriterCallback(tmp_path / "prob")]
    for callback in callbacks:
        callback.setup(context(run="1"))
    stagings = [callback.outputs[0].journal / "staging-1" for callback in callbacks]
    pipe = start(write_forever, [callback.mapper() for callback in callbacks])
    for folder in itertools.chain.from_iterable(itertools.repeat(stagings)):
        pipe.send("start")
        pid = pipe.recv()
        while not any(folder.iterdir()):  # a write is under way once a file is there
            assert not pipe.poll()
        os.kill(pid, signal.SIGKILL)
        assert pipe.recv() == "gone"
        for name in names:
            found = files_of(tmp_path / name)
            assert found.items() <= expected[name].items()
        if all(any(folder.iterdir()) for folder in stagings):  # both were hit in the middle
            break
    for name, callback in zip(names, callbacks, strict=True):
        for block in GRID:
            accumulate(callback.mapper(), block).part()
        assert files_of(tmp_path / name) == expected[name]


# ---------------------------------------------------------------- full and closed disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "dasdist-test", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a small file system, as root: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk, leave):
    """Fill a disk but for some bytes; return the file to remove."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(disk).free - leave))
    return ballast


@sinks
def test_a_full_disk_stops_the_run_and_space_mends_it(tmp_path, small_disk, sink):
    write_all(sink(tmp_path / "undisturbed"))
    expected = files_of(tmp_path / "undisturbed")
    callback = sink(small_disk / "out")
    callback.setup(context(run="1"))
    ballast = fill(small_disk, leave=3 * 4096)
    message = (
        rf"{small_disk}/out/.* cannot be written: No space left on device; "
        r"[\d,]+ bytes are free .*\. Make space there; then the same call or command resumes\."
    )
    begun = [accumulate(callback.mapper(), block) for block in GRID]
    with pytest.raises(OutputUnwritable, match=message):
        [accumulator.part() for accumulator in begun]
    found = files_of(small_disk / "out")
    assert 0 < len(found) < len(expected)
    assert found.items() <= expected.items()
    assert list((small_disk / "out.dasdist" / "staging-1").iterdir()) == []
    ballast.unlink()
    for block in GRID:
        accumulate(callback.mapper(), block).part()
    assert files_of(small_disk / "out") == expected


@sinks
def test_a_disk_that_is_full_from_the_start_is_an_error(small_disk, sink):
    fill(small_disk, leave=0)
    with pytest.raises(OutputUnwritable, match="No space left on device"):
        write_all(sink(small_disk / "out"))


@sinks
def test_a_disk_that_is_closed_is_an_error(small_disk, sink):
    callback = sink(small_disk / "out")
    callback.setup(context())
    begun = accumulate(callback.mapper(), GRID.block(0))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputUnwritable, match=r"Read-only file system.*you may write to it"):
        begun.part()


def test_an_output_that_is_a_disk_of_its_own_is_refused(small_disk):
    with pytest.raises(OutputUnwritable, match=r"another file system\. Choose a folder"):
        write_all(WriterCallback(small_disk))


def test_the_same_call_resumes_after_the_disk_was_full(tmp_path, small_disk):
    data, blocks = recording(noise(3000, 24)), {"time": 200, "distance": 8}

    def run(folder):
        both = MultiCallback([picks_to(folder / "picks"), WriterCallback(folder / "prob")])
        return dasdist.annotate(Toy(), data, both, block=blocks, pbar=False)

    run(tmp_path)
    ballast = fill(small_disk, leave=200 * 1024)
    with pytest.raises(OutputUnwritable, match="No space left on device"):
        run(small_disk)
    ballast.unlink()
    report = run(small_disk)
    assert report.before > 0
    for name in ("picks", "prob"):
        assert files_of(small_disk / name) == files_of(tmp_path / name)


# ---------------------------------------------------------------- growth


def shards_of(path):
    return {name: data for name, data in files_of(path).items() if "c" in name.parts[:-1]}


def values_of(path, name=""):
    found = open_annotations(path)
    return (found[name] if name else found)["P"].values


def stack(grid, tmp_path, name="fresh"):
    """What a run that never was interrupted writes."""
    write_all(WriterCallback(tmp_path / name), (grid,))
    return values_of(tmp_path / name)


@pytest.mark.parametrize("samples", [140, 260, 1000])
def test_a_store_grows_with_its_last_segment(tmp_path, samples):
    callback, longer = WriterCallback(tmp_path / "prob"), grid_of(samples)
    write_all(callback)
    before = shards_of(callback.path)
    again = WriterCallback(callback.path)
    again.setup(context(longer, resume=True))
    grown = {k: v for k, v in shards_of(callback.path).items() if k.parts[0] in ("P", "S")}
    assert grown == {k: v for k, v in before.items() if k.parts[0] in ("P", "S")}
    found = open_annotations(callback.path)
    assert found.sizes == {"time": longer.shape[0], "distance": 11}
    np.testing.assert_array_equal(found["time"], longer.out_time.values())
    assert np.isnan(found["P"][-1]).all()
    for block in longer:  # all but the last blocks again, which changes nothing
        accumulate(again.mapper(), block).part()
    np.testing.assert_array_equal(values_of(callback.path), stack(longer, tmp_path))


def test_a_reader_sees_a_store_as_it_was_until_it_has_grown(tmp_path):
    callback = WriterCallback(tmp_path / "prob")
    write_all(callback)
    root, before = callback.path / "zarr.json", values_of(callback.path)
    old = root.read_bytes()
    WriterCallback(callback.path).setup(context(grid_of(300), resume=True))
    grown = files_of(callback.path)
    root.write_bytes(old)  # all but the last file was written when the machine died
    np.testing.assert_array_equal(values_of(callback.path), before)
    WriterCallback(callback.path).setup(context(grid_of(300), resume=True))
    assert files_of(callback.path) == grown


def test_segments_may_follow_where_there_are_several(tmp_path):
    grids = [grid_of(100), grid_of(60, index=1, first_block=5)]
    callback = WriterCallback(tmp_path / "prob")
    write_all(callback, grids)
    grids[1] = grid_of(90, index=1, first_block=5)
    grids.append(grid_of(40, index=3, first_block=10))
    before = files_of(callback.path / "segment_0000")
    parts = write_all(WriterCallback(callback.path), grids, resume=True)
    assert files_of(callback.path / "segment_0000") == before
    assert list(open_annotations(callback.path).children) == [
        "segment_0000",
        "segment_0001",
        "segment_0003",
    ]
    for grid in grids:
        found = values_of(callback.path, f"segment_{grid.index:04d}")
        np.testing.assert_array_equal(found, stack(grid, tmp_path, f"fresh-{grid.index}"))
    assert callback.lost(parts) == []


def test_what_was_shorter_than_a_block_gets_blocks_of_any_size(tmp_path):
    callback = WriterCallback(tmp_path / "prob")
    parts = write_all(callback, (grid_of(33, core=(33, 11)),))
    longer = grid_of(300, core=(47, 11))
    again = WriterCallback(callback.path)
    again.setup(context(longer, resume=True))
    assert again.lost(parts) == [0]
    for block in longer:
        accumulate(again.mapper(), block).part()
    np.testing.assert_array_equal(values_of(callback.path), stack(longer, tmp_path))


@pytest.mark.parametrize(
    ("grids", "message"),
    [
        ([grid_of(100), grid_of(60, index=1, first_block=5)], "only later segments may come"),
        ([grid_of(80)], "only the last segment may become longer"),
        ([replace(GRID, time=GRID.time.transform(offset=1, stride=1, size=100))], "from .* on"),
        ([grid_of(200, core=(21, 11))], "do not divide blocks of"),
    ],
)
def test_what_cannot_grow_is_refused(tmp_path, grids, message):
    callback = WriterCallback(tmp_path / "prob")
    write_all(callback)
    before = files_of(callback.path)
    with pytest.raises(RunMismatch, match=message):
        WriterCallback(callback.path).setup(context(*grids, resume=True))
    assert files_of(callback.path) == before


def test_what_is_not_computed_again_is_never_given_up(tmp_path):
    """Patches that do not overlap: the blocks that were there have none that is new."""

    def side_by_side(samples):
        return replace(GRID, rows=PatchGrid(samples, 12, 12, 12, (0, 12)), core=(37 * 12, 11))

    callback = WriterCallback(tmp_path / "prob")
    write_all(callback, (side_by_side(37 * 12),))
    before = files_of(callback.path)
    with pytest.raises(RunMismatch, match="do not divide blocks of"):
        WriterCallback(callback.path).setup(context(side_by_side(100 * 12), resume=True))
    assert files_of(callback.path) == before


def test_a_store_that_is_gone_is_made_again(tmp_path):
    callback = WriterCallback(tmp_path / "prob")
    parts = write_all(callback)
    shutil.rmtree(callback.path)
    assert callback.lost(parts) == [0, 1, 2, 3, 4]
    again = WriterCallback(callback.path)
    assert write_all(again, resume=True) == parts
    assert again.lost(parts) == []


# ---------------------------------------------------------------- what was lost


def test_lost_shards_are_found(tmp_path):
    grid = replace(GRID, core=(20, 6))
    callback = WriterCallback(tmp_path / "prob")
    parts = write_all(callback, (grid,))
    assert len(parts) == len(grid) == 10
    assert callback.lost(parts) == []
    for block in (2, 9):
        core = grid.block(block).core
        array = callback.path / ("P" if block == 2 else "S") / "c"
        shard = open_annotations(callback.path)["P"].data.chunksize
        first = (core.time.start // shard[0], core.distance.start // shard[1])
        path = array / str(first[0]) / str(first[1])
        path.unlink() if block == 2 else path.write_bytes(path.read_bytes()[:-1])
    assert callback.lost(parts) == [2, 9]
    assert WriterCallback(callback.path).lost(parts) == [2, 9]  # before it is set up, too


def test_several_outputs_lose_a_block_if_one_of_them_does(tmp_path):
    both = MultiCallback([picks_to(tmp_path / "picks"), WriterCallback(tmp_path / "prob")])
    parts = write_all(both)
    assert [output.path.name for output in both.outputs] == ["picks", "prob"]
    assert both.lost(parts) == []
    (tmp_path / "picks" / "block-000000003.parquet").unlink()
    shutil.rmtree(tmp_path / "prob" / "P" / "c" / "0")
    assert both.lost(parts) == [0, 3]
    in_memory = dasdist.InMemoryCollectionCallback()
    assert MultiCallback([in_memory, WriterCallback(tmp_path / "prob")]).outputs == ()
