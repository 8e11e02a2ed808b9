"""Several arrays as one recording, and how recordings are told apart."""

import os

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import xdas

import dasdist
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording

from .toys import START, Toy, noise, recording

HOUR = np.timedelta64(1, "h")
INDICES = ["sample_index", "segment"]


def members():
    """Three arrays that differ in sampling, channels, type and gaps."""
    first = recording(noise(300, 8, seed=1), rate=100.0)
    counts = (noise(400, 12, seed=2) * 300).astype("int16")
    second = recording(counts, rate=200.0, dx=5.0, start=START + HOUR, dims=("distance", "time"))
    gap = recording(noise(200, 8, seed=3, dtype="float64"), start=START + 2 * HOUR)
    third = xdas.concat(
        [gap, recording(noise(150, 8, seed=4, dtype="float64"), start=START + 3 * HOUR)]
    )
    return [first, second, third]


def model():
    return Toy(window=(40, 3), out=(20, 3), covers=((0, 40), (0, 3)), gain=1.0)


OPTIONS = {"thresholds": 0.55, "blinding": (1, 1), "pbar": False}


@pytest.mark.parametrize("kind", ["sequence", "mapping", "nested", "list"])
def test_collections_are_classified_like_each_member_alone(kind):
    arrays = members()
    collection = {
        "sequence": xdas.DataSequence(arrays),
        "mapping": xdas.DataMapping({str(i): array for i, array in enumerate(arrays)}),
        "nested": xdas.DataMapping(
            {"a": xdas.DataSequence(arrays[:1]), "b": xdas.DataSequence(arrays[1:])}
        ),
        "list": arrays,
    }[kind]
    together = dasdist.classify(model(), collection, **OPTIONS).picks
    alone, samples, segments = [], 0, 0
    for array in arrays:
        picks = dasdist.classify(model(), array, **OPTIONS).picks
        assert len(picks) > 0
        alone.append(
            picks.assign(
                sample_index=picks.sample_index + samples, segment=picks.segment + segments
            )
        )
        samples += array.sizes["time"]
        segments += len(dasdist.plan(model(), array).grids)
    order = ["segment", "sample_index", "channel_index", "phase"]
    expected = pd.concat(alone).sort_values(order, ignore_index=True)
    found = together.sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_members_keep_their_values_types_and_times():
    arrays = members()
    opened = open_recording(arrays)
    assert opened.shape == (300 + 400 + 350, 12)
    first = 0
    for array in arrays:
        values = array.transpose("time", "distance").values
        part = opened.select(Region(Span(first, first + len(values)), Span(0, values.shape[1])))
        read = part.read()
        assert read.dtype == values.dtype
        np.testing.assert_array_equal(read, values)
        first += len(values)
    starts = [(s.recorded.time.start, s.time.value(0)) for s in opened.segments]
    assert starts == [
        (0, START),
        (300, START + HOUR),
        (700, START + 2 * HOUR),
        (900, START + 3 * HOUR),
    ]


@pytest.mark.parametrize(
    "region",
    [
        Region(Span(290, 310), Span(0, 8)),
        Region(Span(0, 10), Span(0, 12)),
        Region(Span(1040, 1060), Span(0, 8)),
    ],
)
def test_rectangles_across_members_are_refused(region):
    with pytest.raises(dasdist.InvalidInput, match="are not within one array"):
        open_recording(members()).select(region)


def test_missing_samples_of_a_member_are_told_with_its_times():
    arrays = members()
    arrays[2].values[250] = np.nan
    part = open_recording(arrays).select(Region(Span(900, 1000), Span(0, 8)))
    with pytest.raises(dasdist.UnreadableData, match="samples 950 to 950") as caught:
        part.read()
    assert caught.value.start == START + 3 * HOUR + np.timedelta64(500, "ms")


# ---------------------------------------------------------------- identity


def written(folder, count, samples=50):
    """Files of a recording, one after the other."""
    paths = []
    for i in range(count):
        path = folder / f"{i:03d}.nc"
        if not path.exists():
            step = np.timedelta64(10 * samples * i, "ms")
            recording(noise(samples, 4, seed=i), start=START + step).to_netcdf(path)
            os.utime(path, ns=(0, 10**9 * i))
        paths.append(str(path))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("vtype", ["tiles", "hdf5"])
@pytest.mark.parametrize("before", [1, 2, 3])
def test_an_archive_that_grew_at_its_end_keeps_its_identity_up_to_there(tmp_path, vtype, before):
    def opened(count):
        paths = written(tmp_path, count)
        return open_recording(xdas.open_mfdataarray(paths, engine="xdas", vtype=vtype))

    short, long = opened(before), opened(5)
    assert long.identity(before * 50) == short.identity() == short.identity(before * 50)
    assert long.identity() != short.identity()
    assert long.identity(before * 50 - 1) != short.identity()


@pytest.mark.parametrize("vtype", ["tiles", "hdf5"])
@pytest.mark.parametrize("change", ["name", "size", "time", "gone"])
def test_files_that_changed_change_the_identity(tmp_path, vtype, change):
    paths = written(tmp_path, 3)
    data = xdas.open_mfdataarray(paths, engine="xdas", vtype=vtype)
    before = open_recording(data)
    old, early = before.identity(), before.identity(50)
    if change == "name":
        os.rename(paths[1], tmp_path / "other.nc")
        paths[1] = str(tmp_path / "other.nc")
        data = xdas.open_mfdataarray(paths, engine="xdas", vtype=vtype)
    elif change == "size":
        with open(paths[1], "ab") as file:
            file.write(b"more")
        os.utime(paths[1], ns=(0, 10**9))
    elif change == "time":
        os.utime(paths[1], ns=(0, 12345))
    else:
        os.remove(paths[1])
    after = open_recording(data)
    assert after.identity() != old
    assert after.identity(50) == early


def test_arrays_in_memory_are_told_apart_by_their_bytes():
    values = noise(100, 4)
    old = open_recording(recording(values)).identity()
    assert open_recording(recording(values.copy())).identity() == old
    assert open_recording(recording(values, rate=50.0)).identity() != old
    assert open_recording(recording(values, dx=2.0)).identity() != old
    assert open_recording(recording(values.astype("float64"))).identity() != old
    changed = values.copy()
    changed[99, 3] += 1
    assert open_recording(recording(changed)).identity() != old
    assert open_recording(recording(changed)).identity(99) == open_recording(
        recording(values)
    ).identity(99)


def test_collections_that_grew_by_a_member_keep_their_identity_up_to_there():
    arrays = members()
    assert open_recording(arrays).identity(700) == open_recording(arrays[:2]).identity()
    assert open_recording(arrays[::-1]).identity() != open_recording(arrays).identity()


def test_stores_of_xarray_are_told_apart(tmp_path):
    values = xr.DataArray(
        noise(60, 4),
        {"time": START + np.arange(60) * np.timedelta64(10, "ms"), "distance": np.arange(4.0)},
        ("time", "distance"),
        name="strain",
    )
    path = tmp_path / "plain.nc"
    values.to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        recorded = open_recording(dataset["strain"])
        old = recorded.identity()
        os.utime(path, ns=(0, 1))
        assert recorded.identity() != old


@pytest.mark.parametrize("until", [0, -1, 101])
def test_identities_of_samples_that_are_not_there_are_refused(until):
    with pytest.raises(dasdist.InvalidInput, match="from 1 to 100"):
        open_recording(recording(noise(100, 4))).identity(until)
