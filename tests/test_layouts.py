"""Files of a layout that was learned are read from few bytes, and come out as when read in full."""

import dataclasses
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dasdist
from dasdist.archive import layouts
from dasdist.archive.header import Header, Problem
from dasdist.archive.layouts import Layout, Layouts
from dasdist.archive.readers import Asking, Reader
from dasdist.archive.store import load

from . import vendor_files
from .toys import START, noise, recording

SECOND = np.timedelta64(1, "s")


@pytest.fixture(scope="module")
def reader():
    """A process that reads files in full; what is wrong with one may crash it."""
    with Reader(Asking(None, {}, 30.0)) as reader:
        yield reader


def quickly(reader, first, other):
    """What is read of a file from few bytes, after the first was learned; and what in full."""
    known = Layouts()
    header, lesson = reader.learn(str(first))
    if lesson is not None:
        known.learn(header, lesson)
    quick, full = known.read(str(other)), reader.read(str(other))
    return (quick and quick.header), full


def xdas_file(path, values, rate, start=START, **options):
    recording(values, rate=rate, start=start, **options).to_netcdf(str(path))


def xdas_of_one_origin(path, values, rate, start=START):
    """Times that count from the same origin in all files, as `dasdist synth` writes them."""
    xdas_file(path, values, rate)
    with h5py.File(path, "a") as file:
        times = file["time_values"]
        times[:] += int((start - START) / np.timedelta64(1, "ms"))


MAKERS = {
    "xdas": xdas_file,
    "xdas of one origin": xdas_of_one_origin,
    "prodml": vendor_files.prodml,
    "febus": vendor_files.febus,
    "asn": vendor_files.asn,
    "apsensing": vendor_files.apsensing,
    "terra15": vendor_files.terra15,
}


# ---------------------------------------------------------------- what is read from few bytes


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MAKERS)
def test_another_file_of_a_layout_is_read_from_few_bytes(name, reader, tmp_path):
    make = MAKERS[name]
    for number in range(4):
        start = vendor_files.START + number * 7 * SECOND
        make(tmp_path / f"{number}", noise(200, 6, seed=number), 100, start=start)
    for number in range(1, 4):
        quick, full = quickly(reader, tmp_path / "0", tmp_path / f"{number}")
        assert isinstance(full, Header), full
        assert quick == full
    first = reader.read(str(tmp_path / "0"))
    assert first.values != full.values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MAKERS)
def test_a_file_with_another_sampling_size_or_type_is_read_in_full(name, reader, tmp_path):
    """Or as it is read in full: what does not matter may differ."""
    make, values = MAKERS[name], noise(200, 6)
    make(tmp_path / "0", values, 100)
    variants = {
        "rate": lambda path: make(path, values, 50),
        "samples": lambda path: make(path, values[:100], 100),
        "channels": lambda path: make(path, values[:, :5], 100),
        "type": lambda path: make(path, (100 * values).astype("i4"), 100),
        "jitter": lambda path: make(path, values, 100, start=START + np.timedelta64(1, "us")),
    }
    for what, write in variants.items():
        write(tmp_path / what)
        quick, full = quickly(reader, tmp_path / "0", tmp_path / what)
        assert quick is None or quick == full, what
        if what in ("rate", "samples", "channels", "type"):
            assert quick is None, what


REAL = [
    "lapalma_20211120_uniform.nc",
    "lapalma_20211120.nc",
    "iDAS005_hdf5_example.626.h5",
    "iDAS005_tdms_example.626.tdms",
    "ap_sensing_1.hdf5",
    "terra15_v5_test_file.hdf5",
    "xdas_netcdf.nc",
]


def delayed(path, name):
    """Let a copy of a real file begin an hour later."""
    if name.endswith(".tdms"):
        content = bytearray(path.read_bytes())
        for stamp in (b"GPSTimeStamp", b"CPUTimeStamp"):
            at = content.index(stamp) + len(stamp) + 4 + 8
            (seconds,) = struct.unpack_from("<q", content, at)
            struct.pack_into("<q", content, at, seconds + 3600)
        path.write_bytes(content)
        return
    texts = []
    with h5py.File(path, "a") as file:
        if name.startswith("ap_"):
            texts.append(file["Metadata/Timestamp"][0].decode()[:-1])
        elif name.startswith("terra15"):
            file["data_product/gps_time"][:] += 3600.0
        elif name.startswith("iDAS"):
            raw = file["Acquisition/Raw[0]"]
            raw["RawDataTime"][:] += 3600 * 10**6
            ends = ("PartStartTime", "PartEndTime")
            texts += [raw["RawData"].attrs[end].decode().partition("+")[0] for end in ends]
        else:
            file["time_values"][:] += 1000
    for text in texts:
        later = (np.datetime64(text, "us") + np.timedelta64(1, "h")).item().isoformat("T", "auto")
        content = path.read_bytes()
        assert text.encode() in content
        path.write_bytes(content.replace(text.encode(), later.ljust(len(text), "0").encode()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_from_few_bytes(name, reader, das_file, tmp_path):
    original, copy = das_file(name), tmp_path / name
    shutil.copyfile(original, copy)
    os.chmod(copy, 0o600)
    delayed(copy, name)
    quick, full = quickly(reader, original, copy)
    assert isinstance(full, Header), full
    assert quick == full
    assert reader.read(str(original)).values != full.values


# ---------------------------------------------------------------- what must not be

UNLIKE = {
    "unit of channels": lambda f: f["distance_values"].attrs.update(units="km"),
    "missing values": lambda f: f["__values__"].attrs.update(_FillValue=np.float32(0)),
    "packed": lambda f: f["__values__"].attrs.update(scale_factor=2.0),
    "calendar": lambda f: f["time_values"].attrs.modify("calendar", "noleap"),
    "unit of times": lambda f: f["time_values"].attrs.modify(
        "units", "microseconds since 2024-01-01 00:00:00"
    ),
    "another zone": lambda f: f["time_values"].attrs.modify(
        "units", "milliseconds since 2024-01-01 00:00:00 +01:00"
    ),
    "indices": lambda f: f["time_indices"].write_direct(np.array([0, 98])),
    "positions": lambda f: f["distance_values"].write_direct(np.array([0.0, 31.0])),
    "an hour": lambda f: f["time_values"].write_direct(np.array([0, 3600])),
    "a linked dataset": lambda f: f.__setitem__("more", h5py.ExternalLink("b.nc", "/__values__")),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_a_difference_that_matters_is_never_taken_for_none(what, reader, tmp_path):
    xdas_file(tmp_path / "0.nc", noise(100, 4), 100)
    shutil.copyfile(tmp_path / "0.nc", tmp_path / "1.nc")
    with h5py.File(tmp_path / "1.nc", "a") as file:
        UNLIKE[what](file)
    quick, full = quickly(reader, tmp_path / "0.nc", tmp_path / "1.nc")
    assert quick is None or quick == full
    quick, full = quickly(reader, tmp_path / "1.nc", tmp_path / "0.nc")
    assert quick is None or quick == full


def test_what_depends_on_other_files_is_not_learned(reader, tmp_path):
    """Their bytes say nothing of those."""
    xdas_file(tmp_path / "0.nc", noise(100, 4), 100)
    with h5py.File(tmp_path / "0.nc", "a") as file:
        file["soft"] = h5py.SoftLink("/time_values")
    assert reader.learn(str(tmp_path / "0.nc"))[1] is None
    data = recording(noise(100, 4))
    data.to_netcdf(str(tmp_path / "1.nc"), encoding={"chunks": (50, 4), "compression": "gzip"})
    header, lesson = reader.learn(str(tmp_path / "1.nc"))
    assert isinstance(header, Header)
    assert lesson is None


STARTS = st.integers(-(10**12), 10**13).map(lambda ms: START + np.timedelta64(ms, "ms"))
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "start": STARTS,
        "rate": st.sampled_from([50.0, 100.0, 99.0, 1000 / 3]),
        "samples": st.sampled_from([100, 99, 50]),
        "channels": st.sampled_from([3, 4]),
        "dx": st.sampled_from([10.0, 5.0]),
        "first": st.sampled_from([0.0, 100.0]),
        "dtype": st.sampled_from(["float32", "int16"]),
        "dims": st.sampled_from([("time", "distance"), ("distance", "time")]),
    },
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["/", "time_values", "time_indices", "distance_values", "__values__"]),
        st.sampled_from(["units", "calendar", "scale_factor", "_FillValue", "valid_min", "note"]),
        st.sampled_from(["km", "noleap", "standard", "seconds since 1999-12-31 00:00:00", 2.0, -1]),
    ),
    max_size=2,
)


def varied(path, change, edits):
    sizes = change.pop("samples", 100), change.pop("channels", 4)
    values = noise(*sizes, dtype=change.pop("dtype", "float32"))
    recording(values, **change).to_netcdf(str(path))
    with h5py.File(path, "a") as file:
        for where, name, value in edits:
            if where in file:
                file[where].attrs[name] = value


@pytest.mark.slow
@settings(deadline=None)
@given(CHANGES, CHANGES, EDITS, EDITS)
def test_whatever_differs_between_two_files_the_second_is_read_right(
    reader, tmp_path_factory, one, other, edits, more
):
    folder = tmp_path_factory.mktemp("varied")
    varied(folder / "0.nc", dict(one), edits)
    varied(folder / "1.nc", {**one, **other}, [*edits, *more])
    quick, full = quickly(reader, folder / "0.nc", folder / "1.nc")
    assert quick is None or quick == full
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(deadline=None)
@given(st.sampled_from(sorted(MAKERS)), st.data())
def test_whatever_byte_is_damaged_a_file_is_read_right_or_in_full(
    reader, tmp_path_factory, name, data
):
    """Quickly as in full, or not quickly; a file that cannot be read is never read quickly."""
    folder = tmp_path_factory.mktemp("damaged")
    values = noise(100, 4)
    MAKERS[name](folder / "0", values, 50)
    MAKERS[name](folder / "1", values, 50, start=vendor_files.START + 60 * SECOND)
    content = bytearray((folder / "1").read_bytes())
    samples = content.find(values[:8].tobytes())
    assume(samples > 0)
    places = st.integers(0, len(content) - 1).filter(lambda i: not 0 <= i - samples < values.nbytes)
    for place in data.draw(st.lists(places, min_size=1, max_size=3)):
        content[place] ^= data.draw(st.integers(1, 255))
    (folder / "1").write_bytes(content)
    quick, full = quickly(reader, folder / "0", folder / "1")
    assert quick is None or quick == full
    shutil.rmtree(folder)


# ---------------------------------------------------------------- whole archives


def archive_of_many_kinds(folder):
    """Six files of each kind, and some among them that are not like the others."""
    folder.mkdir()
    for name, make in MAKERS.items():
        for number in range(6):
            start = vendor_files.START + number * 2 * SECOND
            samples = 100 if number == 4 else 200
            path = folder / f"{name} {number}.h5"
            make(path, noise(samples, 6, seed=number), 100, start=start)
    shutil.copyfile(folder / "xdas 1.h5", folder / "xdas 1 again.h5")
    content = (folder / "prodml 1.h5").read_bytes()
    (folder / "prodml cut.h5").write_bytes(content[:-1000])
    (folder / "febus wrong.h5").write_bytes(b"\0" * (folder / "febus 1.h5").stat().st_size)
    xdas_file(folder / "xdas overlap.h5", noise(200, 6), 100, start=vendor_files.START + SECOND)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_archive_of_many_kinds_is_indexed_as_if_all_were_read_in_full(tmp_path, monkeypatch):
    archive_of_many_kinds(tmp_path / "in")
    reads = []
    quickly = Layouts.read
    monkeypatch.setattr(Layouts, "read", lambda *a: reads.append(quickly(*a)) or reads[-1])
    quick = dasdist.index_archive(tmp_path / "in", tmp_path / "quick.nc", processes=1)
    assert sum(found is not None for found in reads) > len(MAKERS) * 3
    monkeypatch.setattr(Layouts, "read", lambda *_: None)
    full = dasdist.index_archive(tmp_path / "in", tmp_path / "full.nc", processes=1)
    assert list(load(quick.path)) == list(load(full.path))
    pd.testing.assert_frame_equal(quick.problems, full.problems)
    pd.testing.assert_frame_equal(quick.table(), full.table())
    assert {"unreadable", "repeat", "overlap"} <= set(quick.problems["kind"])


def test_a_layout_that_proves_wrong_is_dropped_and_its_files_are_read_in_full(
    tmp_path, monkeypatch
):
    folder, out = tmp_path / "in", tmp_path / "index.nc"
    folder.mkdir()
    for number in range(12):
        xdas_file(folder / f"{number:02d}.nc", noise(100, 4), 100, start=START + number * SECOND)
    right = dasdist.index_archive(folder, tmp_path / "right.nc", processes=1)
    header = Layout.header

    def wrong(self, path, status, moment):
        found = header(self, path, status, moment)
        return found and dataclasses.replace(found, samples=found.samples + 1)

    monkeypatch.setattr(Layout, "header", wrong)
    steps = []
    with pytest.warns(dasdist.DataWarning, match="read once more, each in full") as caught:
        index = dasdist.index_archive(
            folder, out, processes=1, progress=lambda *step: steps.append(step)
        )
    assert len(caught) >= 1
    assert list(load(index.path)) == list(load(right.path))
    assert steps[-1] == (12, 12)
    assert index.scanned == 12


def test_a_file_that_changed_while_it_was_compared_is_read_again(reader, tmp_path, monkeypatch):
    for number in range(2):
        xdas_file(tmp_path / f"{number}.nc", noise(100, 4), 100, start=START + number * SECOND)
    known = Layouts()
    known.learn(*reader.learn(str(tmp_path / "0.nc")))
    assert known.read(str(tmp_path / "1.nc")) is not None
    content_of = layouts.content_of

    def touched(*arguments):
        os.utime(tmp_path / "1.nc", ns=(1, 1))
        return content_of(*arguments)

    monkeypatch.setattr(layouts, "content_of", touched)
    assert known.read(str(tmp_path / "1.nc")) is None
    monkeypatch.undo()
    with open(tmp_path / "1.nc", "rb") as writer:  # as HDF5 does that writes it
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert known.read(str(tmp_path / "1.nc")) is None
        assert isinstance(reader.read(str(tmp_path / "1.nc")), Problem)
    assert known.read(str(tmp_path / "1.nc")) is not None
    (tmp_path / "1.nc").unlink()
    assert known.read(str(tmp_path / "1.nc")) is None
    os.mkfifo(tmp_path / "1.nc")
    assert known.read(str(tmp_path / "1.nc")) is None


def test_lessons_end_where_no_file_is_like_another(reader, tmp_path):
    known = Layouts()
    xdas_file(tmp_path / "0.nc", noise(100, 4), 100)
    header, lesson = reader.learn(str(tmp_path / "0.nc"))
    count = 0
    while known.wants_lessons:
        known.learn(header, lesson)
        count += 1
    assert count < 100
    assert isinstance(known.read(str(tmp_path / "0.nc")).header, Header)


# ---------------------------------------------------------------- processes that start quickly

LIGHT = """
    import sys
    from dasdist.archive.light_xdas import import_light_xdas
    import_light_xdas()
    import dasdist.archive.reader
    import xdas
    assert not {"numba", "scipy.signal", "torch", "distributed"} & set(sys.modules), "heavy"
    assert xdas.DataArray is sys.modules["xdas.core"].DataArray
    import xdas.core.routines
    assert xdas.core.routines.px.line
    assert xdas.filter and xdas.signal and xdas.processing.core.DataArrayLoader
    assert xdas.__version__
"""


def test_processes_import_of_xdas_what_they_need_and_the_rest_when_it_is_asked_for():
    root = Path(__file__).resolve().parent.parent
    script = textwrap.dedent(LIGHT)
    ran = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=root
    )
    assert ran.returncode == 0, ran.stderr
