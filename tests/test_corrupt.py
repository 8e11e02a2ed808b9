"""What is wrong with a file is listed with its reason, when it is indexed and when it is read."""

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import settings

import dasdist
from dasdist.archive.build import build
from dasdist.archive.readers import Asking, Reader
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording

from .test_vendors import FILES
from .toys import START, Toy, noise, recording

SAMPLES = 200
OPTIONS = {"thresholds": 0.55, "blinding": (1, 1), "pbar": False, "min_time_separation": 0.05}


def write(path, number=0, dtype="int16", samples=SAMPLES):
    """One of the files of a recording at 100 Hz, each of two seconds."""
    start = START + number * np.timedelta64(2, "s")
    values = (noise(samples, 4, seed=number) * 100).astype(dtype)
    recording(values, start=start).to_netcdf(path)


def truncated(path):
    os.truncate(path, path.stat().st_size - 100)


def emptied(path):
    os.truncate(path, 0)


def of_other_magic(path):
    path.write_bytes(b"RIFF" + path.read_bytes()[4:])


def of_other_type(path):
    """Same size, same place, other numbers: integers that now count as floats."""
    size = path.stat().st_size
    write(path, 1, "float16")
    with open(path, "ab") as file:
        file.write(bytes(max(0, size - path.stat().st_size)))
    assert path.stat().st_size == size


def deleted(path):
    path.unlink()


def of_other_size(path):
    write(path, 1, samples=SAMPLES + 50)


def copy_coordinates(attributes, dataset):
    dataset.attrs["coordinate_interpolation"] = attributes["coordinate_interpolation"]


# ---------------------------------------------------------------- when it is indexed


def test_files_that_cannot_be_used_are_listed_with_their_reason(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        write(folder / f"good{number}.nc", number)
    for change in (truncated, emptied, of_other_magic):
        write(folder / f"{change.__name__}.nc", 1)
        change(folder / f"{change.__name__}.nc")
    write(folder / "floats.nc", 10, "float32")
    values = np.ones((SAMPLES, 4), dtype="complex64")
    recording(values).to_netcdf(folder / "complex.nc")
    with h5py.File(folder / "else.h5", "w") as file:
        file["temperature"] = np.arange(10)
    write(folder / "cut_short.nc", 5)
    with h5py.File(folder / "cut_short.nc", "r+") as file:  # a recorder that stopped early
        attributes = dict(file["__values__"].attrs)
        del file["__values__"]
        chunked = file.create_dataset("__values__", (SAMPLES, 4), "int16", chunks=(50, 4))
        chunked[:150] = 1
        copy_coordinates(attributes, chunked)
    layout = h5py.VirtualLayout((SAMPLES, 4), "int16")
    layout[:] = h5py.VirtualSource(folder / "good0.nc", "__values__", (SAMPLES, 4))
    shutil.copy(folder / "good0.nc", folder / "linking.nc")
    with h5py.File(folder / "linking.nc", "r+") as file:
        attributes = dict(file["__values__"].attrs)
        del file["__values__"]
        copy_coordinates(attributes, file.create_virtual_dataset("__values__", layout))
    os.mkfifo(folder / "pipe.h5")
    (folder / "dangling.h5").symlink_to(folder / "nowhere.h5")
    shutil.copy(folder / "good1.nc", folder / "twin.nc")

    index = dasdist.index_archive(folder, tmp_path / "index.nc", seconds_per_file=30)
    found = {Path(p.path).name: p for p in index.problems.itertuples()}
    expected = {
        "truncated.nc": ("unreadable", "truncated file"),
        "emptied.nc": ("unreadable", "0 bytes"),
        "of_other_magic.nc": ("unreadable", "b'RIFF'"),
        "floats.nc": ("dtype", "float32 instead of int16"),
        "complex.nc": ("dtype", "complex64"),
        "else.h5": ("unreadable", "of no layout that xdas reads: at its top is temperature"),
        "cut_short.nc": ("unreadable", "1 of 4 storage chunks"),
        "linking.nc": ("links", "index those"),
        "pipe.h5": ("unreadable", "not a regular file"),
        "dangling.h5": ("unreadable", "No such file"),
        "twin.nc": ("repeat", "good1.nc"),
    }
    assert set(found) == set(expected)
    for name, (kind, reason) in expected.items():
        assert found[name].kind == kind, name
        assert reason in found[name].reason, name
    assert (index.files, index.members) == (4, 2)
    values = index.open()[0].values
    np.testing.assert_array_equal(
        values,
        np.concatenate([(noise(SAMPLES, 4, seed=i) * 100).astype("int16") for i in range(3)]),
    )


# ---------------------------------------------------------------- when it is read


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Three files, and their index."""
    folder = tmp_path_factory.mktemp("indexed")
    for number in range(3):
        write(folder / f"{number}.nc", number)
    return dasdist.index_archive(folder, folder / "index.dat").path


@pytest.fixture
def archive(indexed, tmp_path):
    """A copy of them for one test, where the index finds it."""
    kept = tmp_path / "kept"
    shutil.copytree(indexed.parent, kept)
    yield indexed
    for path in kept.glob("*.nc"):
        shutil.copy2(path, indexed.parent / path.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (truncated, "bytes, but the index states"),
        (emptied, "has 0 bytes, but the index states"),
        (of_other_magic, "file signature not found"),
        (of_other_type, "float16"),
        (deleted, "no such file"),
        (of_other_size, "bytes, but the index states"),
    ],
)
def test_files_that_changed_after_they_were_indexed_are_listed_in_the_run(archive, change, reason):
    broken = archive.parent / "1.nc"
    change(broken)
    data = dasdist.open_archive(archive)
    part = open_recording(data).select(Region(Span(100, 500), Span(0, 4)))
    with pytest.raises(dasdist.UnreadableData, match=reason) as caught:
        part.read()
    assert caught.value.path == str(broken)
    assert caught.value.start == START + np.timedelta64(2, "s")
    assert caught.value.stop == START + np.timedelta64(3990, "ms")

    model = Toy(window=(40, 4), out=(20, 4), covers=((0, 40), (0, 4)), gain=0.01)
    with pytest.warns(dasdist.DataWarning, match="left out because (they|it) failed"):
        found = dasdist.classify(
            model, data, block={"time": 25, "distance": 4}, on_error="skip", **OPTIONS
        )
    failed = found.report.failures
    assert failed
    assert all(str(broken) in failure.error for failure in failed)
    # what the other files hold is picked as before; nothing of this one is
    assert len(found.picks) > 0
    seconds = (found.picks.time - START) / np.timedelta64(1, "s")
    assert not seconds.between(2.0, 3.99).any()
    assert (seconds < 2).any()
    assert (seconds >= 4).any()


def test_other_files_are_read_as_ever(archive):
    expected = dasdist.open_archive(archive).values
    truncated(archive.parent / "1.nc")
    opened = open_recording(archive)
    for span in (Span(0, 200), Span(400, 600)):
        part = opened.select(Region(span, Span(0, 4)))
        np.testing.assert_array_equal(part.read(), expected[span.slice])


# ---------------------------------------------------------------- bytes flipped in headers

DEEP = settings().max_examples > 100


@pytest.mark.slow
def test_flipped_bytes_in_headers_give_errors_and_nothing_worse(vendor_file, tmp_path):
    """Headers are read in a process of their own, as in a scan; blocks in this one."""
    rounds = 120 if DEEP else 4
    rng = np.random.default_rng(0)
    outcomes = []
    with Reader(Asking(None, {}, seconds=20.0)) as reader:
        for name in FILES:
            original = vendor_file(name).read_bytes()
            places = header_bytes(vendor_file(name))
            for number in range(rounds):
                content = bytearray(original)
                for place in rng.choice(places, size=1 + number % 8):
                    content[place] ^= int(rng.integers(1, 256))
                path = tmp_path / f"{number}_{name}"
                path.write_bytes(content)
                found = reader.read(str(path))
                kind = getattr(found, "kind", "read")
                assert kind in {"read", "unreadable", "format", "dtype", "links"}, (path, found)
                assert kind == "read" or found.reason
                outcomes.append(kind if kind != "read" else read_whole(found))
                path.unlink()
    assert outcomes.count("unreadable") > 0  # else the headers lie elsewhere
    assert outcomes.count("read") > 0


def read_whole(found):
    """Read the samples as a block would: what the header says may be wrong in any way."""
    for member in build([found]).members:
        opened = open_recording(member)
        region = Region(Span(0, min(opened.shape[0], 5000)), Span(0, opened.shape[1]))
        try:
            values = opened.select(region).read()
        except dasdist.UnreadableData:
            return "unreadable at last"
        assert values.shape == region.shape
    return "read"


def header_bytes(path):
    """Positions in a file that are not samples: all that differ between it and its samples."""
    size = path.stat().st_size
    if path.suffix == ".tdms":
        return np.arange(min(4096, size))
    taken = np.zeros(size, dtype=bool)
    with h5py.File(path, "r") as file:

        def mark(_, entry):
            if not isinstance(entry, h5py.Dataset) or entry.size < 1000:
                return
            if entry.chunks is None:
                start = entry.id.get_offset() or 0
                taken[start : start + entry.id.get_storage_size()] = True
            else:
                for i in range(entry.id.get_num_chunks()):
                    chunk = entry.id.get_chunk_info(i)
                    taken[chunk.byte_offset : chunk.byte_offset + chunk.size] = True

        file.visititems(mark)
    return np.flatnonzero(~taken)
