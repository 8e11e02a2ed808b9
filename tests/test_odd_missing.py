"""Missing is never data, whatever opened it; and what is lost is what cannot be computed, no more.

Expected values come from the clean recording and from counting by hand, not from the code tested.
"""

import json
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import xarray
import xdas
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording

from .crossed import crossed
from .toys import START, Toy, noise, recording

OPTIONS = {"thresholds": 0.6, "blinding": (1, 1), "min_time_separation": 0.2, "pbar": False}
CHOICE = {"max_failures": "any"}
COLUMNS = ["time", "channel_index", "phase"]
STEP = np.timedelta64(10, "ms")
VALUES = noise(4000, 12)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*left out.*:dasdist.DataWarning"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata"),
    pytest.mark.filterwarnings("ignore:saving variable strain with floating point"),
    pytest.mark.filterwarnings("ignore:Failed to open Zarr store with consolidated"),
]


class Each(dasdist.DASModel):
    """Treats every channel on its own: what it says depends on the whole window of that channel."""

    channelwise = True

    def __init__(self, window=64, covers=(0, 64), overlap=32, width=3, **kwargs):
        size = covers[1] - covers[0]
        structure = dasdist.PatchingStructure(
            window, width, size, width, covers, (0, width), overlap, 0
        )
        super().__init__(patching_structure=structure, annotate_keys=["P", "S"], **kwargs)
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, argdict=None):
        first, last = self.patching_structure.range_samples
        inside = self.gain * x[:, first:last] + 0.1 * x.mean(dim=1, keepdim=True)
        return {"P": torch.sigmoid(inside), "S": torch.sigmoid(-inside)}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


class Spikes(dasdist.DASModel):
    """P is the sample itself, in windows of 40."""

    channelwise = True

    def __init__(self):
        structure = dasdist.PatchingStructure(40, 1, 40, 1, (0, 40), (0, 1), 8, 0)
        super().__init__(patching_structure=structure, annotate_keys=["P"])
        self.gain = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, argdict=None):
        return {"P": self.gain * x}

    @property
    def classify_callback(self):
        return dasdist.DASPickingCallback


def pointed(picks):
    return picks[COLUMNS].astype({"phase": str}).sort_values(COLUMNS, ignore_index=True)


def windows_of(size, window, shift):
    """Start of every window, as the README says: the last one is moved back to the end."""
    count = -(-(size - window) // shift) + 1
    return [min(i * shift, size - window) for i in range(count)]


# ---------------------------------------------------------------- only the windows that touch


@st.composite
def holed(draw):
    """Values with random holes: single samples, stretches, channels."""
    shape = (draw(st.integers(64, 500)), draw(st.integers(4, 9)))
    mask = np.zeros(shape, dtype=bool)
    for _ in range(draw(st.integers(1, 4))):
        start, length = draw(st.integers(0, shape[0] - 1)), draw(st.sampled_from([1, 2, 30, 500]))
        first, width = draw(st.integers(0, shape[1] - 1)), draw(st.sampled_from([1, 2, 9]))
        mask[start : start + length, first : first + width] = True
    values = noise(*shape, seed=draw(st.integers(0, 99)))
    values[mask] = draw(st.sampled_from([np.nan, np.inf, 9.969209968386869e36]))
    block = {"time": draw(st.integers(1, 150)), "distance": draw(st.integers(1, 9))}
    return values, mask, block


def by_hand(model, values, mask, stacking):
    """Annotate every window by itself, and stack those without a missing sample, in float64."""
    structure = model.patching_structure
    window, width = structure.in_samples, structure.in_channels
    rows = windows_of(len(values), window, window - (structure.overlap_samples or 0))
    columns = windows_of(values.shape[1], width, width - (structure.overlap_channels or 0))
    best = np.full(values.shape, -np.inf)
    total, weights = np.zeros(values.shape), np.zeros(values.shape)
    ramps = [
        np.clip(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2, 1e-5, None) for n in (window, width)
    ]
    for row in rows:
        for column in columns:
            here = (slice(row, row + window), slice(column, column + width))
            patch = np.where(mask[here], 0, values[here]).astype("float32")
            with torch.inference_mode():
                found = model(torch.from_numpy(patch[None].copy()))["P"][0].numpy()
            fine = ~mask[here].any(axis=0) if model.channelwise else ~mask[here].any()
            kept = np.broadcast_to(fine, found.shape)
            taper = np.ones(found.shape)
            total[here] += np.where(kept, found * taper, 0)
            weights[here] += np.where(kept, taper, 0)
            best[here] = np.where(kept, np.maximum(best[here], found), best[here])
    del ramps
    with np.errstate(invalid="ignore"):
        mean = total / weights
    return {"avg": mean, "max": np.where(weights > 0, best, np.nan)}[stacking]


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@pytest.mark.parametrize(
    ("kind", "stacking"),
    [
        ("patchwise", "avg"),
        ("channelwise", "max"),
        pytest.param("patchwise", "max", marks=pytest.mark.deep),
        pytest.param("channelwise", "avg", marks=pytest.mark.deep),
    ],
)
@given(case=holed())
def test_annotations_are_those_of_the_windows_without_missing_samples(kind, stacking, case):
    values, mask, block = case
    if kind == "channelwise":
        model = Each()
    else:
        model = Toy(window=(64, 4), out=(64, 4), covers=((0, 64), (0, 4)), overlap=(32, 2))
    expected = by_hand(model, values, mask, stacking)
    data, options = recording(values), {"stacking": stacking, **CHOICE}
    whole = dasdist.annotate(model, data, block={"time": 10**6}, **options)["P"].values
    parts = dasdist.annotate(model, data, block=block, **options)["P"].values
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@pytest.mark.parametrize("model", [Each(), Toy(overlap=(32, 2))])
@given(case=holed())
def test_picks_do_not_depend_on_blocks_where_samples_are_missing(model, case):
    values, _, block = case
    data = recording(values)

    def picks(block):
        try:
            return dasdist.classify(model, data, block=block, **CHOICE, **OPTIONS).picks
        except dasdist.TooManyFailures as error:  # there is not a window without a hole
            tried = re.search(r"first (\d+) blocks failed, of ([\d,]+),", str(error))
            assume(tried is None or tried[1] == tried[2])  # or not in the first blocks
            return pd.DataFrame({name: [] for name in COLUMNS}).assign(told=str(error))

    whole, parts = picks({"time": 10**6}), picks(block)
    pd.testing.assert_frame_equal(pointed(parts), pointed(whole), check_dtype=len(whole) > 0)


@pytest.mark.filterwarnings("ignore::dasdist.DataWarning")
@settings(max_examples=max(8, settings().max_examples // 3))
@given(
    hole=st.integers(0, 2399),
    length=st.integers(1, 200),
    channel=st.integers(0, 5),
    block=st.data(),
)
def test_filters_and_resampling_take_nothing_from_a_hole(hole, length, channel, block):
    """What is computed is what it is without the hole; and all is, but around the hole."""
    band = ("butter", {"N": 2, "Wn": [2, 15], "btype": "bandpass"})
    model = Each(dt_range=(0.019, 0.021), filter_samples=band)
    values = noise(2400, 6, seed=2)
    clean = dasdist.annotate(model, recording(values))["P"].values
    values[hole : hole + length, channel] = np.nan
    size = {"time": block.draw(st.integers(20, 900)), "distance": block.draw(st.integers(1, 6))}
    found = dasdist.annotate(model, recording(values), block=size, **CHOICE)["P"].values
    assert np.isfinite(np.delete(found, channel, axis=1)).all()
    np.testing.assert_allclose(
        np.delete(found, channel, axis=1), np.delete(clean, channel, axis=1), atol=1e-5
    )
    there = np.isfinite(found[:, channel])
    # beside a window that stands alone, another is stacked in the clean run: compare inside
    lone = np.convolve(there, np.ones(2 * 64 + 1), "same") < 2 * 64 + 1
    same = there & ~lone
    np.testing.assert_allclose(found[same, channel], clean[same, channel], atol=2e-5)
    assert not there[hole // 2 : (hole + length + 1) // 2].any()
    # a filter of these corners settles within 5 s, which is 250 samples at the model's 50 Hz
    assert there[: max(0, hole // 2 - 2 * 64 - 20)].all()
    assert there[(hole + length) // 2 + 250 + 2 * 64 + 20 :].all()


def test_one_nan_costs_the_windows_of_its_channel_only():
    values = VALUES.copy()
    values[2222, 7] = np.nan
    clean = dasdist.classify(Each(), recording(VALUES), **OPTIONS).picks
    with pytest.raises(dasdist.UnreadableData, match=r'max_failures="any"') as caught:
        dasdist.classify(Each(), recording(values), **OPTIONS)
    assert "sample" in str(caught.value)
    with pytest.warns(dasdist.DataWarning, match="windows were left out"):
        found = dasdist.classify(Each(), recording(values), **CHOICE, **OPTIONS)  # as advised
    # windows of 64 samples, 32 apart: those from 2176 and 2208 hold the sample
    touched = (clean.channel_index == 7) & clean.sample_index.between(2176, 2271)
    sure = pointed(clean[~touched])
    both = pd.merge(sure, pointed(found.picks), how="left", on=COLUMNS, indicator=True)
    assert (both["_merge"] == "both").mean() > 0.999  # a pick may compete with one in the hole
    far = clean[(clean.channel_index != 7) | ~clean.sample_index.between(2140, 2310)]
    mine = found.picks
    mine = mine[(mine.channel_index != 7) | ~mine.sample_index.between(2140, 2310)]
    pd.testing.assert_frame_equal(pointed(mine), pointed(far))
    (missing,) = found.report.missing
    assert (missing.channels, missing.kind) == ((7, 8), "unreadable")
    assert missing.start == missing.stop == str(START + 2222 * STEP)
    assert not found.report.complete
    assert not found.report.failures


def test_a_dead_channel_costs_no_other():
    values = VALUES.copy()
    values[:, 4] = np.nan
    clean = dasdist.classify(Each(), recording(VALUES), **OPTIONS).picks
    found = dasdist.classify(Each(), recording(values), block={"time": 500}, **CHOICE, **OPTIONS)
    pd.testing.assert_frame_equal(pointed(found.picks), pointed(clean[clean.channel_index != 4]))
    assert {m.channels for m in found.report.missing} == {(4, 5)}


def test_a_recording_that_is_missing_whole_says_so_without_the_advice_that_failed():
    with pytest.raises(dasdist.TooManyFailures, match="none was done") as caught:
        dasdist.classify(Toy(), recording(np.full((500, 4), np.nan, "f4")), **CHOICE, **OPTIONS)
    assert str(caught.value).count("Fix the cause") == 1


def test_callbacks_written_for_seisbench_get_nan_where_nothing_was_computed():
    values = VALUES[:1000].copy()
    values[500, 6] = np.nan

    class Old:
        def __init__(self):
            self.patches = {}

        def handle_patch(self, annotations, in_coords, out_coords):
            self.patches[in_coords.sample_int, in_coords.channel_int] = annotations["P"]

    old = Old()
    dasdist.annotate(Toy(overlap=(32, 2)), recording(values), old, **CHOICE, pbar=False)
    rows, columns = windows_of(1000, 64, 32), windows_of(12, 4, 2)
    assert sorted(old.patches) == [(r, c) for r in rows for c in columns]
    for (row, column), patch in old.patches.items():
        touched = row <= 500 < row + 64 and column <= 6 < column + 4
        assert np.isnan(patch).all() == touched
        assert np.isnan(patch).any() == touched


@pytest.mark.seisbench
def test_one_nan_in_a_real_earthquake(das_file, phasenet):
    model = dasdist.DASWaveformModelWrapper(phasenet)
    data = xdas.open_dataarray(str(das_file("lapalma_20211120_uniform.nc"))).load()
    clean = dasdist.classify(model, data, thresholds=0.3, pbar=False).picks
    assert data.size == 225_120
    holed = data.copy()
    holed.values[3000, 30] = np.nan
    with pytest.raises(dasdist.UnreadableData):
        dasdist.classify(model, holed, thresholds=0.3, pbar=False)
    found = dasdist.classify(model, holed, thresholds=0.3, pbar=False, **CHOICE)
    others = clean.channel_index != 30
    pd.testing.assert_frame_equal(
        pointed(found.picks[found.picks.channel_index != 30]), pointed(clean[others])
    )
    assert len(found.picks[found.picks.phase == "P"].channel_index.unique()) >= 66


# ---------------------------------------------------------------- files


MINUTE = 600
FILES = 12


def write_files(folder, values):
    folder.mkdir()
    for number in range(len(values) // MINUTE):
        part = values[number * MINUTE : (number + 1) * MINUTE]
        piece = recording(part, start=START + number * MINUTE * STEP)
        piece.to_netcdf(str(folder / f"{number:03d}.nc"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "files"
    write_files(folder, noise(MINUTE * FILES, 6, seed=5))
    return folder


BAD = {2: "missing", 5: "truncated", 9: "garbage"}


def spoil(folder):
    for number, how in BAD.items():
        path = folder / f"{number:03d}.nc"
        held = path.read_bytes()
        if how == "missing":
            path.unlink()
        elif how == "truncated":
            path.write_bytes(held[: len(held) // 2])
        else:
            path.write_bytes(np.random.default_rng(0).bytes(len(held)))


def outside(picks, margin=100):
    """Picks that no window which touches a bad file could have made, or beaten."""
    fine = np.ones(len(picks), dtype=bool)
    for number in BAD:
        low, high = number * MINUTE - margin, (number + 1) * MINUTE + margin
        fine &= ~picks.sample_index.between(low, high)
    return pointed(picks[fine])


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("block", [{"time": 10**7}, None])
def test_three_bad_minutes_of_two_hours_cost_three_minutes(tmp_path, block):
    bad = (17, 63, 118)
    for number in range(120):
        values = np.zeros((6000, 3), dtype="f4")
        values[np.arange(70, 6000, 1000), number % 3] = 1.0  # six arrivals a minute
        piece = recording(values, start=START + number * 6000 * STEP)
        piece.to_netcdf(str(tmp_path / f"{number:03d}.nc"))
    data = xdas.open_mfdataarray(f"{tmp_path}/*.nc", vtype="tiles")
    for number in bad:
        (tmp_path / f"{number:03d}.nc").write_bytes(b"")
    found = dasdist.classify(Spikes(), data, block=block, **CHOICE, **OPTIONS)
    expected = [
        (number * 6000 + k, number % 3)
        for number in range(120)
        if number not in bad
        for k in range(70, 6000, 1000)
    ]
    picks = found.picks.sort_values("sample_index")
    assert [*zip(picks.sample_index, picks.channel_index, strict=True)] == expected
    told = {Path(missing.path).name for missing in found.report.missing}
    assert told | {f.error.split(".nc")[0][-3:] + ".nc" for f in found.report.failures} == {
        f"{number:03d}.nc" for number in bad
    }


@pytest.mark.parametrize("opened", ["tiles", "hdf5", "index"])
def test_bad_files_cost_their_own_samples(archive, tmp_path, opened):
    """Three of twelve, in one block: what the others hold is picked, and the three are listed."""
    folder = tmp_path / "files"
    shutil.copytree(archive, folder)
    if opened == "index":
        path = dasdist.index_archive(folder, tmp_path / "index.dat").path
        data = dasdist.open_archive(path)
    else:
        data = xdas.open_mfdataarray(f"{folder}/*.nc", vtype=opened)
    clean = dasdist.classify(Toy(overlap=(32, 2)), data, **OPTIONS).picks
    spoil(folder)
    out = tmp_path / "picks"
    for block in ({"time": 10**6}, {"time": 400}):
        found = dasdist.classify(
            Toy(overlap=(32, 2)), data, out=out, overwrite=True, block=block, **CHOICE, **OPTIONS
        )
        picks = pd.read_parquet(out)
        pd.testing.assert_frame_equal(outside(picks), outside(clean))
        told = [m.path for m in found.report.missing] + [f.error for f in found.report.failures]
        for number in BAD:
            assert any(f"{number:03d}.nc" in text for text in told)
        assert not found.report.complete
    status = dasdist.status(out)
    assert status.state == "failures"
    assert "002.nc" in json.dumps(status.to_dict())
    for number in BAD:
        shutil.copy2(archive / f"{number:03d}.nc", folder / f"{number:03d}.nc")
    if opened != "index":  # which knows when a file was last written
        again = dasdist.classify(
            Toy(overlap=(32, 2)), data, out=tmp_path / "whole", **CHOICE, **OPTIONS
        )
        assert again.report.complete


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_a_damaged_chunk_costs_about_its_own_samples(tmp_path, vtype):
    path = tmp_path / "file.nc"
    encoding = {"chunks": (100, 12), "compression": "gzip", "fletcher32": True}
    recording(VALUES).to_netcdf(str(path), encoding=encoding)
    with h5py.File(path) as file:
        name = next(key for key in file if file[key].ndim == 2)
        place = file[name].id.get_chunk_info_by_coord((2000, 0))
    with path.open("r+b") as file:
        file.seek(place.byte_offset + place.size // 2)
        file.write(b"not what was written")
    data = xdas.open_mfdataarray(str(path), vtype=vtype)
    reading = open_recording(data).select(Region(Span(0, 4000), Span(0, 12))).reading()
    lost = np.flatnonzero(reading.missing.all(axis=1))
    assert set(range(2000, 2100)) <= set(lost.tolist()) <= set(range(1900, 2200))
    fine = ~reading.missing
    np.testing.assert_array_equal(reading.values[fine], VALUES[fine])
    assert str(path) in {absence.path for absence in reading.absences}


def test_blocks_done_in_part_are_kept_and_done_again_when_asked(tmp_path):
    values = VALUES.copy()
    values[1000:1010, 2] = np.nan
    data, out, store = recording(values), tmp_path / "picks", tmp_path / "prob.zarr"
    options = {"out": out, "annotations": store, "block": {"time": 1000}, **CHOICE, **OPTIONS}
    first = dasdist.classify(Each(), data, **options)
    concerned = {m.block for m in first.report.missing}
    assert concerned
    again = dasdist.classify(Each(), data, **options)
    assert again.report.before == again.report.blocks
    assert again.report.missing == first.report.missing
    retried = dasdist.classify(Each(), data, retry_failed=True, **options)
    assert retried.report.before == retried.report.blocks - len(concerned)
    assert retried.report.missing == first.report.missing
    pd.testing.assert_frame_equal(pointed(retried.picks), pointed(first.picks))
    with dasdist.open_annotations(store) as annotations:
        there = np.isfinite(annotations["P"].values)
    report = json.loads((tmp_path / "picks.dasdist" / "report.json").read_text())
    assert report["state"] == "failures"
    assert report["data"]["covered"] == pytest.approx(there.mean(), abs=1e-12)
    (lost,) = {(h["first"], h["last"]) for h in report["data"]["not_covered"]}
    assert lost == (20.0, 20.0)  # the third channel, in metres
    # the windows from 960 and 992 hold the hole; the one before ends at 992, the one after is 1024
    assert np.argwhere(~there).tolist() == [[i, 2] for i in range(992, 1024)]
    status = dasdist.status(out)
    assert (status.state, status.done, status.failures) == ("failures", first.report.blocks, ())
    assert "channel 2" in str(status)
    assert "x" in str(status.coverage)
    json.dumps(status.to_dict())


def test_a_block_in_part_counts_as_a_failure_but_not_as_a_lost_one():
    values = VALUES.copy()
    values[[500, 1500, 2500], 3] = np.nan
    options = {"block": {"time": 1000}, **OPTIONS}
    with pytest.raises(dasdist.TooManyFailures, match="2 blocks failed, 2 in part, and") as caught:
        dasdist.classify(Each(), recording(values), max_failures=1, **options)
    assert "All of the first" not in str(caught.value)
    found = dasdist.classify(Each(), recording(values), max_failures=6, **options)
    assert found.report.finished == found.report.blocks


def test_an_archive_may_begin_with_a_long_hole():
    values = VALUES.copy()
    values[:2400] = np.nan
    options = {"block": {"time": 64}, "max_failures": "any", **OPTIONS}
    found = dasdist.classify(Each(), recording(values), **options)
    clean = dasdist.classify(Each(), recording(VALUES), **options).picks
    assert len(found.report.failures) > 10
    late = START + 2464 * STEP  # the first window without missing samples ends there
    after = pointed(clean[clean.time >= late])
    assert 0 < len(after) < len(clean)
    pd.testing.assert_frame_equal(pointed(found.picks[found.picks.time >= late]), after)


def test_if_all_is_missing_the_run_says_so():
    with pytest.raises(
        dasdist.TooManyFailures, match=r"^All [0-9]+ blocks failed and none was done"
    ):
        dasdist.classify(
            Each(),
            recording(np.full_like(VALUES, np.nan)),
            block={"time": 64},
            max_failures="any",
            **OPTIONS,
        )


# ---------------------------------------------------------------- declared missing


def packed(path, values, *, engine="h5netcdf", attrs=None, **encoding):
    time = START + np.arange(len(values)) * STEP
    coords = {"time": time, "distance": 10.0 * np.arange(values.shape[1])}
    array = xarray.DataArray(values, coords, ("time", "distance"), name="strain", attrs=attrs or {})
    dataset = array.to_dataset().assign_attrs(Conventions="CF-1.8")
    dataset.to_netcdf(path, engine=engine, encoding={"strain": encoding})
    return path


def opened_every_way(path, folder):
    index = folder / "index.dat"
    if not index.exists():
        dasdist.index_archive([path], index)
    return {
        "xdas stack": xdas.open_mfdataarray(str(path)),
        "xdas tiles": xdas.open_mfdataarray(str(path), vtype="tiles"),
        "xdas one": xdas.open_dataarray(str(path)),
        "index": dasdist.open_archive(index),
        "xarray": xarray.open_dataset(path)["strain"],
        "xarray dask": xarray.open_dataset(path, chunks={})["strain"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding",
    [
        {"dtype": "i2", "scale_factor": 0.001, "_FillValue": -32768},
        {"dtype": "i2", "scale_factor": 0.001, "add_offset": 3.0, "_FillValue": -32768},
        {"dtype": "i4", "scale_factor": 1e-6, "_FillValue": -999, "zlib": True},
        {"dtype": "u2", "scale_factor": 0.001, "add_offset": -20.0, "_FillValue": 65535},
        {"dtype": "f4", "_FillValue": -999.0},
        {"dtype": "f8", "_FillValue": 1e20},
    ],
)
def test_declared_fill_values_are_missing_whatever_opens_the_file(tmp_path, encoding):
    values = VALUES[:1500].astype("f8")
    values[700:720] = values[40, 3] = np.nan
    path = packed(tmp_path / "file.nc", values, **encoding)
    expected = xarray.open_dataset(path)["strain"].load().values
    mask = np.isnan(expected)
    assert mask.sum() == 20 * 12 + 1
    for way, data in opened_every_way(path, tmp_path).items():
        opened = open_recording(data)
        selection = opened.select(Region(Span(0, 1500), Span(0, 12)))
        reading = pickle.loads(pickle.dumps(selection)).reading()
        np.testing.assert_array_equal(reading.missing, mask, err_msg=way)
        fine = reading.values[~mask]
        np.testing.assert_allclose(fine, expected[~mask], rtol=1e-6, err_msg=way)
        with pytest.raises(dasdist.UnreadableData, match="21 of 1,500 samples"):
            selection.read()


def test_missing_value_and_valid_range_are_declarations_too(tmp_path):
    counts = np.random.default_rng(1).integers(-900, 900, (1000, 6)).astype("i2")
    counts[100, 2], counts[200:300], counts[5, 5] = 7777, 5000, -5000
    attrs = {"missing_value": np.int16(7777), "valid_range": np.array([-1000, 1000], "i2")}
    path = packed(tmp_path / "file.nc", counts, attrs=attrs)
    mask = np.abs(counts) > 1000
    for way, data in opened_every_way(path, tmp_path).items():
        opened = open_recording(data)
        reading = opened.select(Region(Span(0, 1000), Span(0, 6))).reading()
        np.testing.assert_array_equal(reading.missing, mask, err_msg=way)
        np.testing.assert_array_equal(reading.values[~mask], counts[~mask], err_msg=way)


def test_a_valid_range_of_packed_numbers_is_in_their_unit(tmp_path):
    counts = np.arange(-300, 300).reshape(100, 6).astype("i2")
    path = tmp_path / "file.nc"
    attrs = {"valid_min": np.int16(-250), "valid_max": np.int16(200)}
    packed(path, counts * 0.5 + 1, attrs=attrs, dtype="i2", scale_factor=0.5, add_offset=1.0)
    mask = (counts < -250) | (counts > 200)
    for way, data in opened_every_way(path, tmp_path).items():
        reading = open_recording(data).select(Region(Span(0, 100), Span(0, 6))).reading()
        np.testing.assert_array_equal(reading.missing, mask, err_msg=way)


def test_an_earthquake_beside_declared_missing_samples_keeps_its_picks(tmp_path):
    """As counts, its fill values once made two picks of 144."""
    model = dasdist.from_pretrained("demo")
    values = 0.02 * noise(12000, 6, seed=8)
    onset = 5000 + 4 * np.arange(6)
    for channel, first in enumerate(onset):
        time = np.arange(1500) / 100
        values[first : first + 1500, channel] += 9 * np.sin(40 * time) * np.exp(-time)
    options = {"thresholds": 0.3, "pbar": False}
    clean = dasdist.classify(model, recording(values), **options).picks
    kept = clean[clean.sample_index.between(4500, 6500)]
    assert len(kept) >= 6
    holed = values.astype("f8")
    holed[9500:9900] = np.nan
    path = packed(
        tmp_path / "file.nc", holed, dtype="i2", scale_factor=1e-3, _FillValue=np.int16(-32768)
    )
    for way, data in opened_every_way(path, tmp_path).items():
        found = dasdist.classify(model, data, **CHOICE, **options)
        mine = found.picks[found.picks.sample_index.between(4500, 6500)]
        assert pointed(mine).equals(pointed(kept)), way
        assert not found.report.complete, way
    done = CliRunner().invoke(
        app,
        [
            "classify",
            str(path),
            "--model",
            "demo",
            "-o",
            str(tmp_path / "picks"),
            "--threshold",
            "0.3",
            "--json",
        ],
    )
    assert done.exit_code == 2, done.output
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(one["event"] == "missing" and "-32768" in one["what"] for one in told)
    picks = pd.read_parquet(tmp_path / "picks")
    assert pointed(picks[picks.sample_index.between(4500, 6500)]).equals(pointed(kept))


@pytest.mark.seisbench
def test_the_144_picks_of_an_earthquake_stay_beside_declared_missing_samples(
    das_file, phasenet, tmp_path
):
    model = dasdist.DASWaveformModelWrapper(phasenet)
    quake = np.asarray(xdas.open_dataarray(str(das_file("lapalma_20211120_uniform.nc"))).values)
    quake = quake / quake.std()
    clean = dasdist.classify(model, recording(quake), thresholds=0.3, pbar=False).picks
    assert len(clean) == 144
    dead = np.full((len(quake), 1), np.nan)
    encoding = {"dtype": "i4", "scale_factor": 1e-6, "_FillValue": np.int32(-(2**31))}
    path = packed(tmp_path / "a.nc", np.hstack([quake, dead]), **encoding)
    for way, data in opened_every_way(path, tmp_path).items():
        found = dasdist.classify(model, data, thresholds=0.3, pbar=False, **CHOICE)
        assert pointed(found.picks).equals(pointed(clean)), way
        assert {missing.channels for missing in found.report.missing} == {(67, 68)}, way


# ---------------------------------------------------------------- never written


def unfinished(path, values, written, chunk=(500, 12), **storage):
    """An xdas file whose recorder stopped: chunks beyond were never allocated."""
    recording(values).to_netcdf(str(path), encoding={"chunks": chunk})
    with h5py.File(path, "r+") as file:
        name = next(key for key in file if file[key].ndim == 2)
        old = file[name]
        new = file.create_dataset("new", values.shape, values.dtype, chunks=chunk, **storage)
        new[:written] = old[:written]
        for key in old.attrs:
            if key not in ("DIMENSION_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates"):
                new.attrs[key] = old.attrs[key]
        for axis, dim in enumerate(old.dims):
            for scale in dim.values():
                new.dims[axis].attach_scale(scale)
        del file[name]
        file.move("new", name)
    return path


@pytest.mark.parametrize(
    ("storage", "vtype"),
    crossed([{}, {"compression": "gzip", "shuffle": True}], ["hdf5", "tiles"]),
)
@pytest.mark.parametrize("chunk", [(500, 12), (250, 4)])
def test_chunks_that_were_never_written_are_missing(tmp_path, vtype, storage, chunk):
    path = unfinished(tmp_path / "file.nc", VALUES, 2000, chunk, **storage)
    data = xdas.open_mfdataarray(str(path), vtype=vtype)
    selection = open_recording(data).select(Region(Span(1500, 3100), Span(3, 9)))
    reading = selection.reading()
    expected = np.zeros((1600, 6), dtype=bool)
    expected[500:] = True
    np.testing.assert_array_equal(reading.missing, expected)
    np.testing.assert_array_equal(reading.values[:500], VALUES[1500:2000, 3:9])
    with pytest.raises(dasdist.UnreadableData, match="never written") as caught:
        selection.read()
    assert caught.value.path == str(path)
    clean = dasdist.classify(Each(), recording(VALUES[:2000]), **OPTIONS).picks
    found = dasdist.classify(Each(), data, **CHOICE, **OPTIONS)
    early = clean.sample_index < 1850
    mine = found.picks[found.picks.sample_index < 1850]
    pd.testing.assert_frame_equal(pointed(mine), pointed(clean[early]))
    assert found.picks.sample_index.max() < 2000


def test_zeros_that_were_written_are_data(tmp_path):
    values = VALUES[:1000].copy()
    values[:, 0] = values[300:400] = 0
    path = unfinished(tmp_path / "file.nc", values, 1000, (100, 4))
    whole = Region(Span(0, 1000), Span(0, 12))
    for vtype in ("hdf5", "tiles"):
        data = xdas.open_mfdataarray(str(path), vtype=vtype)
        np.testing.assert_array_equal(open_recording(data).select(whole).read(), values)


def test_a_contiguous_dataset_that_was_never_allocated_is_missing(tmp_path):
    path = tmp_path / "file.nc"
    recording(VALUES[:500]).to_netcdf(str(path))
    with h5py.File(path, "r+") as file:
        name = next(key for key in file if file[key].ndim == 2)
        kept = dict(file[name].attrs)
        scales = [list(dim.values()) for dim in file[name].dims]
        del file[name]
        new = file.create_dataset(name, (500, 12), "f4")
        for key in set(kept) - {"DIMENSION_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates"}:
            new.attrs[key] = kept[key]
        for axis, ends in enumerate(scales):
            for scale in ends:
                new.dims[axis].attach_scale(scale)
    selection = open_recording(xdas.open_dataarray(str(path))).select(
        Region(Span(0, 500), Span(0, 12))
    )
    assert selection.reading().missing.all()


@pytest.mark.parametrize("vtype", ["hdf5", "tiles"])
def test_a_vendor_s_file_that_was_not_finished_says_so(das_file, tmp_path, vtype):
    path = tmp_path / "prodml.h5"
    shutil.copy2(das_file("prodml_2.0.h5"), path)
    with h5py.File(path, "r+") as file:
        raw = file["Acquisition/Raw[0]"]
        values, attrs = raw["RawData"][:], dict(raw["RawData"].attrs)
        del raw["RawData"]
        new = raw.create_dataset("RawData", values.shape, values.dtype, chunks=(100, 512))
        new[:1200] = values[:1200]
        new.attrs.update(attrs)
    data = xdas.open_dataarray(str(path), engine="prodml", vtype=vtype)
    reading = open_recording(data).select(Region(Span(1000, 1500), Span(0, 512))).reading()
    expected = np.zeros((500, 512), dtype=bool)
    expected[200:] = True
    np.testing.assert_array_equal(reading.missing, expected)
    np.testing.assert_array_equal(reading.values[:200], values[1000:1200])
    assert {absence.path for absence in reading.absences} == {str(path)}


def test_virtual_datasets_tell_what_their_links_lack(tmp_path):
    """A file that is gone, one that was never finished, and rows that nothing links to."""
    whole = noise(2000, 4, seed=1)
    recording(whole[:500]).to_netcdf(str(tmp_path / "a.nc"))
    recording(whole[500:1000], start=START + 500 * STEP).to_netcdf(str(tmp_path / "b.nc"))
    unfinished(tmp_path / "c.nc", whole[1000:1500], 200, (100, 4))
    layout = h5py.VirtualLayout((2000, 4), "f4")
    for number, name in enumerate("abc"):
        with h5py.File(tmp_path / f"{name}.nc") as file:
            key = next(k for k in file if file[k].ndim == 2)
            source = h5py.VirtualSource(str(tmp_path / f"{name}.nc"), key, (500, 4))
            layout[500 * number : 500 * (number + 1)] = source
    recording(whole).to_netcdf(str(tmp_path / "all.nc"))
    with h5py.File(tmp_path / "all.nc", "r+") as file:
        name = next(key for key in file if file[key].ndim == 2)
        kept = {k: v for k, v in file[name].attrs.items() if k.startswith("coordinate")}
        scales = [list(dim.values()) for dim in file[name].dims]
        del file[name]
        new = file.create_virtual_dataset(name, layout, fillvalue=0)
        new.attrs.update(kept)
        for axis, ends in enumerate(scales):
            for scale in ends:
                new.dims[axis].attach_scale(scale)
    (tmp_path / "b.nc").unlink()
    expected = np.zeros((2000, 4), dtype=bool)
    expected[500:1000] = expected[1200:] = True
    for vtype in ("hdf5", "tiles"):
        data = xdas.open_dataarray(str(tmp_path / "all.nc"), vtype=vtype)
        reading = open_recording(data).select(Region(Span(0, 2000), Span(0, 4))).reading()
        np.testing.assert_array_equal(reading.missing, expected)
        assert str(tmp_path / "b.nc") in {absence.path for absence in reading.absences}
        np.testing.assert_array_equal(reading.values[~expected], whole[~expected])


# ---------------------------------------------------------------- Zarr


def zarr_store(path, values, lost, **encoding):
    time = START + np.arange(len(values)) * STEP
    coords = {"time": time, "distance": 10.0 * np.arange(values.shape[1])}
    array = xarray.DataArray(values, coords, ("time", "distance"), name="strain")
    version = encoding.pop("zarr_format", 3)
    encoding = {"strain": encoding}
    array.to_dataset().to_zarr(path, encoding=encoding, zarr_format=version, consolidated=False)
    for name in lost:
        gone = path / "strain" / name if "." in name else path / "strain" / "c" / name
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    return path


COUNTS = np.rint(40 * VALUES).astype("i2")


@pytest.mark.parametrize(
    ("encoding", "lost", "rows"),
    [
        ({"chunks": (500, 12)}, ["2", "5"], [(1000, 1500), (2500, 3000)]),
        ({"chunks": (100, 12), "shards": (500, 12)}, ["3"], [(1500, 2000)]),
        (
            {"chunks": (500, 12), "zarr_format": 2},
            ["2.0"],
            [(1000, 1500)],
        ),  # it states no fill value
    ],
)
def test_chunks_that_a_zarr_store_lacks_are_missing(tmp_path, encoding, lost, rows):
    path = zarr_store(tmp_path / "a.zarr", COUNTS, lost, **encoding)
    clean = dasdist.classify(Each(), recording(COUNTS), **OPTIONS).picks
    mask = np.zeros(COUNTS.shape, dtype=bool)
    far = np.ones(len(clean), dtype=bool)
    for start, stop in rows:
        mask[start:stop] = True
        far &= ~clean.sample_index.between(start - 100, stop + 100)
    lazy = xarray.open_zarr(path, chunks=None)["strain"]
    for data in (lazy, xarray.open_zarr(path)["strain"]):
        selection = open_recording(data).select(Region(Span(0, 4000), Span(0, 12)))
        reading = pickle.loads(pickle.dumps(selection)).reading()
        np.testing.assert_array_equal(reading.missing, mask)
        np.testing.assert_array_equal(reading.values[~mask], COUNTS[~mask])
        with pytest.raises(dasdist.UnreadableData, match="never written"):
            dasdist.classify(Each(), data, **OPTIONS)
        picks = dasdist.classify(Each(), data, block={"time": 700}, **CHOICE, **OPTIONS).picks
        fine = np.ones(len(picks), dtype=bool)
        for start, stop in rows:
            fine &= ~picks.sample_index.between(start - 100, stop + 100)
        pd.testing.assert_frame_equal(pointed(picks[fine]), pointed(clean[far]))
    low, high = rows[0][0] - 50, rows[0][1] + 50
    part = lazy[low:high:2, ::3]
    reading = open_recording(part).select(Region(Span(0, part.shape[0]), Span(0, 4))).reading()
    np.testing.assert_array_equal(reading.missing, mask[low:high:2, ::3])
    turned = open_recording(lazy.T).select(Region(Span(900, 1600), Span(2, 7))).reading()
    np.testing.assert_array_equal(turned.missing, mask[900:1600, 2:7])


def test_of_52_arrivals_the_36_that_are_stored_are_picked_and_the_rest_is_told(tmp_path):
    values = np.zeros((5200, 4), dtype="i2")
    values[50::100, 1] = 1  # one arrival a second
    lost = (2, 5, 6, 9)  # of 13 chunks, four arrivals in each
    path = zarr_store(tmp_path / "a.zarr", values, map(str, lost), chunks=(400, 4))
    found = dasdist.classify(Spikes(), xarray.open_zarr(path)["strain"], **CHOICE, **OPTIONS)
    there = [k for k in range(50, 5200, 100) if k // 400 not in lost]
    assert len(there) == 36
    assert found.picks.sample_index.tolist() == there
    assert not found.report.complete
    told = [(m.start, m.stop, m.channels) for m in found.report.missing]
    spans = [(800, 1199), (2000, 2799), (3600, 3999)]
    assert told == [(str(START + a * STEP), str(START + b * STEP), (0, 4)) for a, b in spans]


def test_slices_of_a_store_that_lacks_chunks_are_refused_through_dask(tmp_path):
    path = zarr_store(tmp_path / "a.zarr", COUNTS, ["2"], chunks=(500, 12))
    with pytest.raises(dasdist.InvalidInput, match=r"1 of 8 chunks.*chunks=None"):
        open_recording(xarray.open_zarr(path)["strain"][100:2000])
    with pytest.warns(dasdist.DataWarning, match="1 of 8 chunks"):
        open_recording(xarray.open_zarr(path)["strain"] * 2)
    # as advised
    open_recording(xarray.open_zarr(path, chunks=None)["strain"][100:2000])


def test_the_command_line_knows_which_chunks_a_store_lacks(tmp_path):
    path = zarr_store(tmp_path / "a.zarr", COUNTS, ["2"], chunks=(500, 12))
    words = ["classify", str(path), "--model", f"{__name__}:Each", "--set", "blinding=[1, 1]"]
    words += ["--threshold", "0.6", "--json", "--from", str(START + 200 * STEP), "-o"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "picks")])
    assert done.exit_code == 2, done.output
    (missing, *_) = [
        one for one in map(json.loads, done.stdout.splitlines()) if one["event"] == "missing"
    ]
    assert (missing["start"], missing["stop"]) == (
        str(START + 1000 * STEP),
        str(START + 1499 * STEP),
    )
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "none"), "--max-failures", "0"])
    assert refused.exit_code == 1
    assert "--max-failures any" in refused.output


def test_a_store_that_is_whole_is_read_as_it_was(tmp_path):
    path = zarr_store(tmp_path / "a.zarr", COUNTS, [], chunks=(500, 12))
    data = open_recording(xarray.open_zarr(path)["strain"])
    assert data.graph is not None
    np.testing.assert_array_equal(data.select(Region(Span(0, 4000), Span(0, 12))).read(), COUNTS)


# ---------------------------------------------------------------- models that return NaN


class Fragile(Each):
    """Divides by a power that is infinite where samples are huge, as normalisations may."""

    def forward(self, x, argdict=None):
        power = x**2
        found = super().forward(x)
        return {key: v + 0 * power / power.mean(1, keepdim=True) for key, v in found.items()}


@pytest.mark.parametrize("where", [(2, 5), (1234, 1240)])
def test_nan_of_a_model_is_told_with_time_and_channel(where):
    values = VALUES.copy()
    values[slice(*where), 5] = 1e25  # finite, but its variance is not
    data = recording(values)
    with pytest.raises(dasdist.ModelFault, match=r"channels 5 to 5.*max_failures") as caught:
        dasdist.classify(Fragile(), data, **OPTIONS)
    assert "2024-01-01T00:00" in str(caught.value)
    found = dasdist.classify(Fragile(), data, **CHOICE, **OPTIONS)
    assert not found.report.complete
    assert {(m.kind, m.channels) for m in found.report.missing} == {("model", (5, 6))}
    for missing in found.report.missing:
        start, stop = np.datetime64(missing.start), np.datetime64(missing.stop)
        assert start <= START + where[0] * STEP <= START + (where[1] - 1) * STEP <= stop
    annotations = dasdist.annotate(Fragile(), data, block={"time": 333}, **CHOICE)["P"].values
    clean = dasdist.annotate(Fragile(), recording(VALUES))["P"].values
    np.testing.assert_array_equal(np.delete(annotations, 5, 1), np.delete(clean, 5, 1))
    lost = np.flatnonzero(np.isnan(annotations[:, 5]))
    starts = [s for s in windows_of(4000, 64, 32) if s < where[1] and where[0] < s + 64]
    good = [s for s in windows_of(4000, 64, 32) if s not in starts]
    covered = {i for s in good for i in range(s, s + 64)}
    assert lost.tolist() == [i for i in range(4000) if i not in covered]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_netcdf_s_own_fill_value_is_missing(dtype):
    values = VALUES.astype(dtype)
    values[800:900] = 9.969209968386869e36
    data = recording(values)
    with pytest.raises(dasdist.UnreadableData, match=r"100 of 4,000 samples.*9\.96921e\+36"):
        dasdist.classify(Each(), data, **OPTIONS)
    found = dasdist.classify(Each(), data, **CHOICE, **OPTIONS)
    clean = dasdist.classify(Each(), recording(VALUES), **OPTIONS).picks
    far, mine = (p[~p.sample_index.between(700, 1000)] for p in (clean, found.picks))
    pd.testing.assert_frame_equal(pointed(mine), pointed(far))
    assert [m.what.split(",")[0] for m in found.report.missing] == ["samples are 9.96921e+36"]


# ---------------------------------------------------------------- what is data after all


def test_the_lowest_integer_in_memory_is_data():
    lowest = np.iinfo("i2").min
    values = COUNTS.copy()
    values[1000:1010] = lowest  # on all channels
    values[:, 3] = lowest  # a channel that is clipped
    found = dasdist.classify(Each(), recording(values), **OPTIONS)
    same = dasdist.classify(Each(), recording(values.astype("f4")), **OPTIONS)
    assert found.report.complete
    pd.testing.assert_frame_equal(pointed(found.picks), pointed(same.picks))


def test_zeros_of_unsigned_integers_are_data(tmp_path):
    values = np.clip(COUNTS.astype("i4") + 300, 0, None).astype("u2")
    values[1000:1100] = values[:, 2] = 0
    recording(values).to_netcdf(str(tmp_path / "file.nc"))
    for data in (recording(values), xdas.open_mfdataarray(str(tmp_path / "file.nc"))):
        assert dasdist.classify(Each(), data, **OPTIONS).report.complete


def test_a_clipped_channel_of_files_that_could_be_missing_is_data(tmp_path):
    lowest = np.iinfo("i2").min
    values = COUNTS[:1200].copy()
    values[:, 3] = lowest
    values[700, 5] = lowest
    write_files(tmp_path / "files", values)
    both = xdas.open_mfdataarray(f"{tmp_path}/files/*.nc")
    both.to_netcdf(tmp_path / "master.h5", virtual=True)
    data = xdas.open_dataarray(str(tmp_path / "master.h5"))
    selection = open_recording(data).select(Region(Span(0, 1200), Span(0, 12)))
    np.testing.assert_array_equal(selection.read(), values)
    alone = open_recording(data).select(Region(Span(650, 750), Span(3, 4)))
    assert (alone.read() == lowest).all()
    (tmp_path / "files" / "001.nc").unlink()
    reading = selection.reading()
    assert reading.missing[600:].all()
    assert not reading.missing[:600].any()
    with pytest.raises(dasdist.UnreadableData, match=r"001\.nc"):
        selection.read()


# ---------------------------------------------------------------- the command line


def test_channels_can_be_chosen_on_the_command_line(tmp_path):
    values = VALUES.copy()
    values[:, 0] = np.nan  # what the fibre has before it leaves the building
    path = tmp_path / "file.nc"
    recording(values).to_netcdf(str(path))
    dasdist.index_archive([path], tmp_path / "index.dat")
    expected = dasdist.classify(Each(), recording(VALUES)[:, 2:9], **OPTIONS).picks
    assert expected.distance.min() >= 20
    for number, data in enumerate((path, tmp_path / "index.dat", f"{tmp_path}/f*.nc")):
        out = tmp_path / f"picks{number}"
        words = [str(data), "--model", f"{__name__}:Each", "--channels", "2:9"]
        options = ["--threshold", "0.6", "--set", "blinding=[1, 1]"]
        options += ["--set", "min_time_separation=0.2"]
        done = CliRunner().invoke(app, ["classify", *words, "-o", str(out), *options])
        assert done.exit_code == 0, done.output
        picks = pd.read_parquet(out)
        pd.testing.assert_frame_equal(pointed(picks), pointed(expected))
        assert sorted(set(picks.distance)) == sorted(set(expected.distance))
    plan = CliRunner().invoke(app, ["plan", *words, "--json"])
    assert plan.exit_code == 0, plan.output
    done = CliRunner().invoke(app, ["annotate", *words, "-o", str(tmp_path / "prob.zarr")])
    assert done.exit_code == 0, done.output
    with dasdist.open_annotations(tmp_path / "prob.zarr") as annotations:
        assert annotations["P"].distance.values.tolist() == [10.0 * i for i in range(2, 9)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("5", "is not FIRST:END"),
        (":", "is not FIRST:END"),
        ("a:b", "is not FIRST:END"),
        ("9:2", "has no channels"),
        ("3:40", "the data has 12 channels, 0:12"),
        ("12:", "the data has 12 channels, 0:12"),
    ],
)
def test_channels_that_make_no_sense_are_refused(tmp_path, words, told):
    path = tmp_path / "file.nc"
    recording(VALUES[:200]).to_netcdf(str(path))
    done = CliRunner().invoke(
        app, ["plan", str(path), "--model", f"{__name__}:Each", "--channels", words]
    )
    assert done.exit_code == 1
    assert told in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_bad_files_on_the_command_line(archive, tmp_path):
    folder = tmp_path / "files"
    shutil.copytree(archive, folder)
    index = tmp_path / "index.dat"
    dasdist.index_archive(folder, index)
    clean = dasdist.classify(Each(), index, **OPTIONS).picks
    spoil(folder)
    words = ["classify", str(index), "--model", f"{__name__}:Each", "--threshold", "0.6"]
    words += ["--set", "blinding=[1, 1]", "--set", "min_time_separation=0.2"]
    refused = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "a"), "--max-failures", "0"])
    assert refused.exit_code == 1
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "b"), "--max-failures", "any"])
    assert done.exit_code == 2, done.output
    pd.testing.assert_frame_equal(outside(pd.read_parquet(tmp_path / "b")), outside(clean))
    shown = CliRunner().invoke(app, ["status", str(tmp_path / "b"), "--json"])
    (status,) = [e for e in map(json.loads, shown.stdout.splitlines()) if e["event"] == "status"]
    named = {Path(one["path"]).name for one in status["missing"]}
    assert named == {f"{number:03d}.nc" for number in BAD}
