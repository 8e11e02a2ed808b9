"""Chunks that are decompressed here are what HDF5 reads."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasdist.sources import inflate as module
from dasdist.sources.inflate import can_inflate, inflate


def stored(path, values, chunks, **options):
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, chunks=chunks, **options)
    return h5py.File(path, "r+")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "_LEAST_BYTES", 1)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_part_is_what_hdf5_reads(tmp_path_factory, data):
    shape = tuple(data.draw(st.integers(1, 40)) for _ in range(2))
    chunks = tuple(data.draw(st.integers(1, size)) for size in shape)
    dtype = data.draw(st.sampled_from(["<f4", ">f4", "<i2", ">i2", "u1", "<f8"]))
    values = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    index = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        index.append(slice(start, data.draw(st.integers(start + 1, size))))
    path = tmp_path_factory.mktemp("chunks") / "file.h5"
    with stored(path, values, chunks, compression="gzip", shuffle=data.draw(st.booleans())) as file:
        assert can_inflate(file["data"], index)
        target = np.empty([part.stop - part.start for part in index], dtype)
        inflate(file["data"], index, target)
    np.testing.assert_array_equal(target, values[tuple(index)])


def test_chunks_that_were_never_written_are_filled(tmp_path):
    with h5py.File(tmp_path / "file.h5", "w") as file:
        options = {"chunks": (10, 4), "compression": "gzip", "fillvalue": 7}
        dataset = file.create_dataset("data", (30, 4), "f4", **options)
        dataset[10:20] = 1.0
        target = np.empty((25, 4), "f4")
        inflate(dataset, (slice(5, 30), slice(0, 4)), target)
        np.testing.assert_array_equal(target, dataset[5:30])
        assert set(target.ravel()) == {1.0, 7.0}


@pytest.mark.parametrize(
    ("options", "index"),
    [
        ({"compression": "lzf"}, (slice(0, 9), slice(0, 4))),
        ({"compression": "gzip", "fletcher32": True}, (slice(0, 9), slice(0, 4))),
        ({}, (slice(0, 9), slice(0, 4))),
        ({"compression": "gzip"}, (slice(0, 9, 2), slice(0, 4))),
        ({"compression": "gzip"}, (slice(0, 9), 2)),
    ],
)
def test_all_else_is_left_to_hdf5(tmp_path, options, index):
    with stored(tmp_path / "file.h5", np.zeros((30, 4)), (10, 4), **options) as file:
        assert not can_inflate(file["data"], index)


def test_numbers_of_fewer_bits_are_left_to_hdf5(tmp_path):
    """HDF5 extends the sign of such a number, which is not in the stored bytes."""
    kind = h5py.h5t.STD_I16LE.copy()
    kind.set_precision(12)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((10, 4))
    properties.set_deflate(4)
    with h5py.File(tmp_path / "file.h5", "w") as file:
        space = h5py.h5s.create_simple((30, 4))
        h5py.h5d.create(file.id, b"data", kind, space, properties)
        file["data"][:] = np.full((30, 4), -1000, np.int16)
        assert not can_inflate(file["data"], (slice(0, 30), slice(0, 4)))


@pytest.mark.parametrize("damage", ["bytes", "short", "long"])
def test_a_damaged_chunk_is_an_error(tmp_path, damage):
    with stored(tmp_path / "file.h5", np.zeros((30, 4)), (10, 4), compression="gzip") as file:
        chunk = {
            "bytes": b"no zlib at all",
            "short": module.zlib.compress(b"0" * 10),
            "long": module.zlib.compress(b"0" * 10_000),
        }[damage]
        file["data"].id.write_direct_chunk((10, 0), chunk)
        with pytest.raises(OSError, match=r"compressed chunk of /data|filter returned failure"):
            inflate(file["data"], (slice(0, 30), slice(0, 4)), np.empty((30, 4)))
