"""Odd times: periods as text, clocks without a fix, zones, overlaps, rounded steps, jitter.

Right times come from the sample at which a spike was written, and from exact fractions.
"""

import json
import warnings
from fractions import Fraction
from itertools import product

import h5py
import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr
import xdas
from typer.testing import CliRunner

import dasdist
from dasdist.archive import ArchiveIndex
from dasdist.archive.build import build
from dasdist.archive.header import Header, Problem
from dasdist.archive.reader import read_header
from dasdist.archive.store import save as save_index
from dasdist.cli import app
from dasdist.cli.period import parse_time, within
from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources import SourceArray, TimeRange, array_selection, open_recording
from dasdist.sources.joined import JoinedFiles
from dasdist.sources.kept import KeptSource
from dasdist.sources.selection import ArraySource
from dasdist.testing import check_source
from tests.crossed import crossed
from tests.toys import START, Toy

pytestmark = [
    pytest.mark.filterwarnings("ignore:No o.*specified", "ignore:.*could not open"),
    pytest.mark.slow,
]


class Spikes(Toy):
    """A model whose probabilities are the samples: what is picked is what was written."""

    def __init__(self, samples=40):
        window = (samples, 3)
        super().__init__(window=window, out=window, covers=((0, samples), (0, 3)))

    def forward(self, x, argdict=None):
        return {"P": x, "S": -x}


def picked(data, model=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dasdist.DataWarning)
        found = dasdist.classify(
            model or Spikes(), data, thresholds=0.5, blinding=(0, 0), pbar=False, **options
        )
    return found


def command(*words):
    run = ["--model", "tests.test_odd_time:Spikes", "--json", "--threshold", "0.5"]
    return CliRunner().invoke(app, [*map(str, words), *run, "--set", "blinding=[0,0]"])


def exactly(start, sample, rate):
    """The time of a sample at a rate in hertz, to the nearest nanosecond."""
    return start + np.timedelta64(round(sample * Fraction(10**9) / Fraction(rate)), "ns")


def spikes(samples, at=(), channels=6):
    """Zeros, and 0.9 at each (sample, channel)."""
    values = np.zeros((samples, channels), "float32")
    for place in at:
        values[place] = 0.9
    return values


# ---------------------------------------------------------------- periods as text


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025", "2025-01-01T00:00:00"),
        ("2025-06", "2025-06-01T00:00:00"),
        ("20250602", "2025-06-02T00:00:00"),
        ("20250602T1430", "2025-06-02T14:30:00"),
        ("20250602T143015.25Z", "2025-06-02T14:30:15.25"),
        ("2025-06-02 14", "2025-06-02T14:00:00"),
        ("2025-06-02T14:30:00+02:00", "2025-06-02T12:30:00"),
        ("2025-06-02T14:30-0330", "2025-06-02T18:00:00"),
        ("2025-06-02T01:00+05", "2025-06-01T20:00:00"),
        ("2025-06-02T14:30:00.123456789", "2025-06-02T14:30:00.123456789"),
    ],
)
def test_dates_and_zones_of_iso_8601_are_understood(text, time):
    assert parse_time(text, "--from") == np.datetime64(time, "ns")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "NaT",
        "now",
        "today",
        "1748822400",
        "1748822400.5",
        "2025-13",
        "2025-06-31",
        "20250631",
        "2025-W23",
        "2025-153",
        "06/02/2025",
        "2025-6-2",
        "2025-06-02T25:00",
        "2025-06-02T12:00 Europe/Rome",
        "2025-06-02T12:00+99:00",
        "1600-01-01",
        "2300",
    ],
)
def test_other_texts_are_refused_with_an_example(text):
    with pytest.raises(typer.BadParameter, match="2024-03-01T12:00") as refusal:
        parse_time(text, "--to")
    assert repr(text) in refusal.value.message


@pytest.mark.parametrize("text", ["", "NaT", "1748822400"])
def test_the_command_line_refuses_them_in_a_sentence(text, tmp_path):
    save(tmp_path / "a.nc", spikes(100), 0.0)
    done = command("plan", tmp_path / "a.nc", "--from", text)
    assert done.exit_code in (1, 2)
    assert "20240301" in done.output
    assert "Traceback" not in done.output


# ---------------------------------------------------------------- beyond nanoseconds; zones

YEARS = ["0001-01-01T00:00:07", "1600-02-03", "1754-08-30", "2262-04-11", "2300-01-01"]


def stamped(first, unit="ms", samples=100):
    return np.datetime64(first, unit) + np.arange(samples) * np.timedelta64(10, "ms")


def as_xarray(times):
    values = spikes(len(times))
    return xr.DataArray(values, {"time": times, "distance": 10.0 * np.arange(values.shape[1])})


def as_xdas(times):
    ties = {"tie_indices": [0, len(times) - 1], "tie_values": times[[0, -1]]}
    distance = 10.0 * np.arange(6)
    return xdas.DataArray(spikes(len(times)), {"time": ties, "distance": distance})


def as_source(times):
    values = spikes(len(times))
    whole = array_selection(values, Region(Span(0, len(values)), Span(0, values.shape[1])))
    return SourceArray(whole.source, values.dtype, times, 10.0 * np.arange(values.shape[1]))


@pytest.mark.parametrize("first", YEARS)
@pytest.mark.parametrize("kind", [as_xarray, as_xdas, as_source])
def test_times_that_nanoseconds_cannot_count_are_refused(kind, first):
    with pytest.raises(InvalidInput, match="1900-01-01 to 2262-04-10") as refusal:
        picked(kind(stamped(first)))
    assert f"begins at {stamped(first)[0]}" in str(refusal.value)


@pytest.mark.parametrize("first", ["1900-01-01", "1970-01-01", "2262-04-10"])
def test_times_that_they_can_count_are_exact(first):
    (segment,) = open_recording(as_xarray(stamped(first))).segments
    np.testing.assert_array_equal(segment.time.values(), stamped(first).astype("M8[ns]"))


def test_files_of_such_times_are_problems_of_an_index(tmp_path):
    late = prodml(tmp_path / "late.h5", spikes(100), 100, np.datetime64("2300-01-01", "us"))
    try:
        as_xdas(stamped("0001-01-01")).to_netcdf(tmp_path / "wrapped.nc")  # xdas writes 1754
        wraps = True
    except OverflowError:  # from numpy 2.5 on, which refuses
        wraps = False
        (tmp_path / "wrapped.nc").unlink(missing_ok=True)
    save(tmp_path / "right.nc", spikes(100), 0.0)
    index = indexed([late, *tmp_path.glob("*.nc")], tmp_path / "index")
    told = {path.rpartition("/")[2]: why for path, _, why in index.problems.itertuples(index=False)}
    assert index.files == 1
    assert "begins at 2300-01-01" in told["late.h5"]
    assert not wraps or "begins at 1754-08-30" in told["wrapped.nc"]


@pytest.mark.parametrize("zone", ["Europe/Rome", "+09:00", "UTC"])
@pytest.mark.parametrize(
    "kind",
    [
        as_xarray,
        lambda times: as_xarray(list(times)),
        lambda times: as_xarray(times.to_pydatetime()),
        as_source,
    ],
    ids=["index", "stamps", "datetimes", "source"],
)
def test_times_with_a_zone_are_converted_to_utc(kind, zone):
    utc = pd.date_range("2024-05-01T10:00", periods=100, freq="10ms", tz="UTC")
    (segment,) = open_recording(kind(utc.tz_convert(zone))).segments
    assert segment.time.value(0) == np.datetime64("2024-05-01T10:00")
    assert segment.time.step == 10**7


def test_times_of_which_some_have_a_zone_are_refused():
    times = list(pd.date_range("2024-05-01", periods=10, freq="10ms", tz="Europe/Rome"))
    with pytest.raises(InvalidInput, match="with a time zone and times without"):
        open_recording(as_xarray([*times[:-1], times[-1].tz_localize(None)]))


# ---------------------------------------------------------------- overlaps


def save(path, values, at, rate=100):
    """Write an xdas file that starts ``at`` seconds after START."""
    first = exactly(START, Fraction(at) * rate, rate)
    last = exactly(START, Fraction(at) * rate + len(values) - 1, rate)
    time = {"tie_indices": [0, len(values) - 1], "tie_values": [first, last]}
    distance = 10.0 * np.arange(values.shape[1])
    xdas.DataArray(values, {"time": time, "distance": distance}).to_netcdf(path)
    return str(path)


FILES = {
    "one sample": [(0, 5000), (4999, 5000)],
    "many": [(0, 5000), (4400, 5000)],
    "inside another": [(0, 5000), (4400, 500), (5000, 3000)],
    "twice": [(0, 5000), (0, 5000), (5000, 3000)],
    "three at once": [(0, 5000), (4600, 3000), (4800, 4000)],
}
"""First sample and size of each file."""


def of_xdas(vtype):
    return lambda paths, _: xdas.open_mfdataarray(paths, vtype=vtype)


def of_xarray(chunks):
    def opened(paths, _):
        arrays = [xdas.open_dataarray(path).to_xarray() for path in paths]
        arrays = [array.chunk({"time": chunks}) for array in arrays] if chunks else arrays
        return xr.concat(arrays, "time")

    return opened


def of_netcdf(paths, folder):
    for path in paths:
        plain = xdas.open_dataarray(path).to_xarray().rename("strain")
        plain.to_dataset().to_netcdf(f"{path}.plain", engine="h5netcdf")
    plain = [f"{path}.plain" for path in paths]
    opened = xr.open_mfdataset(plain, combine="nested", concat_dim="time", engine="h5netcdf")
    return opened["strain"]


def indexed(paths, out):
    """Index files as `index_archive` does, but in this process, which is quicker to start."""
    found = [read_header(str(path)) for path in sorted(map(str, paths))]
    headers = [header for header in found if isinstance(header, Header)]
    built = build(headers)
    problems = [*built.problems, *(one for one in found if isinstance(one, Problem))]
    save_index(out, {}, headers, built, sorted(problems, key=lambda problem: problem.path))
    return ArchiveIndex.read(out)


def of_index(paths, folder):
    return indexed(paths, folder / "index.nc").open()


OPENERS = {
    "xdas tiles": of_xdas("tiles"),
    "xdas hdf5": of_xdas("hdf5"),
    "xarray in memory": of_xarray(None),
    "xarray of dask": of_xarray(700),
    "xarray files": of_netcdf,
    "index": of_index,
}


def written(folder, files, at, rate=100):
    """Write files that all hold the spikes at these samples of the whole."""
    paths = []
    for number, (first, size) in enumerate(files):
        inside = [(sample - first, 2) for sample in at if first <= sample < first + size]
        start = Fraction(first, rate)
        paths.append(save(folder / f"{number}.nc", spikes(size, inside), start, rate))
    return paths


@pytest.mark.parametrize(("case", "opener"), crossed(FILES, OPENERS))
def test_an_arrival_in_an_overlap_is_picked_once(tmp_path, case, opener):
    at = [1234, 4450, 4999, 5600]
    data = OPENERS[opener](written(tmp_path, FILES[case], at), tmp_path)
    found = picked(data)
    np.testing.assert_array_equal(found.picks.time, [exactly(START, k, 100) for k in at])
    # what overlaps is left out, and what is left is one stretch: windows cross the border
    assert found.picks.segment.tolist() == [0] * len(at)
    assert found.report.complete
    if opener != "index":
        (note,) = found.report.notes
        sizes = {"one sample": 1, "many": 600, "inside another": 500, "twice": 5000}
        size = sizes.get(case, 400 + 2800)
        assert note.startswith(f"{size:,} sample{'s' if size > 1 else ''} left out")
    block = {"time": 333, "distance": 3}
    pd.testing.assert_frame_equal(picked(data, block=block).picks, found.picks)


@pytest.mark.parametrize(
    ("case", "as_index"), crossed(["one sample", "inside another"], [True, False])
)
def test_on_the_command_line_too(tmp_path, case, as_index):
    at = [1234, 4450, 4999, 5600]
    written(tmp_path, FILES[case], at)
    data = tmp_path / "*.nc"
    if as_index:
        done = CliRunner().invoke(app, ["index", str(data), "-o", str(tmp_path / "index")])
        assert done.exit_code == 0, done.output
        assert "overlap" in done.output
        data = tmp_path / "index"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dasdist.DataWarning)
        done = command("classify", data, "-o", tmp_path / "picks")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["counts"]["P"] == len(at)
    times = pd.read_parquet(tmp_path / "picks").time.sort_values()
    np.testing.assert_array_equal(times, [exactly(START, k, 100) for k in at])
    report = json.loads((tmp_path / "picks.dasdist" / "report.json").read_text())
    told = [*report["notes"], *(file["reason"] for file in report["data"]["files"])]
    assert any("left out" in line for line in told)
    assert report["data"]["not_covered"] == []


def test_a_period_of_files_that_overlap_is_cut_by_time(tmp_path):
    paths = written(tmp_path, FILES["three at once"], [1234, 4850, 7000])
    data = TimeRange(
        xdas.open_mfdataarray(paths), exactly(START, 4000, 100), exactly(START, 7000, 100)
    )
    found = picked(data)
    assert found.picks.time.tolist() == [pd.Timestamp(exactly(START, 4850, 100))]
    assert open_recording(data).shape[0] == 3000


def test_files_in_the_wrong_order_are_counted_by_time():
    """The one that starts first counts, wherever it stands."""
    times = [START + np.arange(n, n + 1000) * np.timedelta64(10, "ms") for n in (800, 0)]
    late, early = (
        xr.DataArray(np.full((1000, 3), k, "f4"), {"time": t, "distance": [0.0, 1.0, 2.0]})
        for k, t in zip((2, 1), times, strict=True)
    )
    recording = open_recording(xr.concat([late, early], "time"))
    (segment,) = recording.segments
    assert (segment.time.value(0), segment.time.size) == (START, 1800)
    values = recording.select(segment.recorded).read()[:, 0]
    np.testing.assert_array_equal(values, np.repeat([1, 2], [1000, 800]))


def test_kept_stretches_are_a_source_like_any_other():
    values = np.arange(600.0).reshape(200, 3)
    bounds = np.array([(100, 200), (0, 50), (60, 61)])
    source = KeptSource(ArraySource(values), bounds, Span(0, 3))
    np.testing.assert_array_equal(
        source.read(), np.concatenate([values[100:], values[:50], values[60:61]])
    )
    check_source(source, (151, 3))


def test_arrays_of_other_fibres_at_the_same_time_are_kept():
    one, other = as_xdas(stamped("2024-05-01")), as_xdas(stamped("2024-05-01"))
    assert len(open_recording([one, other]).segments) == 2


# ---------------------------------------------------------------- an index, and gaps inside files


def with_gap(path, pieces, at=(), rate=100):
    """Write an xdas file of pieces, each a first sample of the whole and a size."""
    indices, values, parts, start = [], [], [], 0
    for first, size in pieces:
        indices += [start, start + size - 1]
        values += [exactly(START, first, rate), exactly(START, first + size - 1, rate)]
        parts.append(spikes(size, [(k - first, 2) for k in at if first <= k < first + size], 3))
        start += size
    time = {"tie_indices": indices, "tie_values": values}
    array = xdas.DataArray(np.concatenate(parts), {"time": time, "distance": [0.0, 10.0, 20.0]})
    array.to_netcdf(path)
    return str(path)


@pytest.mark.parametrize(("overlap", "gap"), crossed([1, 40, 1500], [150, 7]))
def test_a_file_with_a_gap_loses_no_more_than_overlaps(tmp_path, overlap, gap):
    at = [300, 4990, 5500, 7100 + gap]
    second = 5000 - overlap
    paths = [
        with_gap(tmp_path / "a.nc", [(0, 5000)], at),
        with_gap(tmp_path / "b.nc", [(second, 2000), (second + 2000 + gap, 3000)], at),
        with_gap(tmp_path / "c.nc", [(second + 5000 + gap, 4000)], at),
    ]
    index = dasdist.index_archive(paths, tmp_path / "index.nc") if overlap == 1 else None
    index = index or indexed(paths, tmp_path / "index.nc")
    assert index.files == 3
    (problem,) = index.problems.itertuples()
    assert (problem.path, problem.kind) == (paths[1], "overlap")
    assert f"its first {overlap} of 5000 samples" in problem.reason
    opened = dasdist.open_archive(tmp_path / "index.nc")
    assert opened.shape[0] == 14000 - overlap
    found = picked(opened)
    here = [k for k in at if not second + 2000 <= k < second + 2000 + gap]
    np.testing.assert_array_equal(found.picks.time, [exactly(START, k, 100) for k in here])


def test_a_file_that_fills_the_gap_of_another_is_put_there(tmp_path):
    at = [300, 2100, 4000]
    paths = [
        with_gap(tmp_path / "a.nc", [(0, 2000), (2300, 3000)], at),
        with_gap(tmp_path / "b.nc", [(1950, 360)], at),
    ]
    index = indexed(paths, tmp_path / "index.nc")
    assert index.files == 2
    (segment,) = open_recording(index.open()).segments
    assert (segment.time.value(0), segment.time.size) == (START, 5300)
    np.testing.assert_array_equal(
        picked(index.open()).picks.time, [exactly(START, k, 100) for k in at]
    )
    told = {problem.path: problem.reason for problem in index.problems.itertuples()}
    assert "50 of its 360 samples" in told[paths[1]] or "first 50 of 360" in told[paths[1]]


# ---------------------------------------------------------------- steps that are rounded

EPOCH = np.datetime64("2024-04-29T13:20:00", "ns")


def febus(path, values, rate, block=1.0, start=0.0, step=None):
    """Write a Febus file: the stamp of each block is that of its middle sample, in seconds."""
    n = round(rate * block)
    blocks = len(values) // n
    with h5py.File(path, "w") as file:
        source = file.create_group("fa1-0/Source1")
        zone = source.create_group("Zone1")
        source["time"] = EPOCH.astype(int) / 1e9 + start + block * np.arange(blocks)
        zone.attrs["BlockRate"] = [1000 / block]
        zone.attrs["Spacing"] = [10.0, 1000 / rate if step is None else step, 1.0]
        zone.attrs["Extent"] = [0, values.shape[1] - 1, 0, n - 1, 0, 0]
        zone.attrs["Origin"] = [0.0, 0.0, 0.0]
        zone["StrainRate"] = values[: blocks * n].reshape(blocks, n, -1)
    return str(path)


def febus_files(folder, rate, block, files=3, blocks=4, **options):
    """Write files, and return them, samples of spikes, and the time of the first sample."""
    n = round(rate * block)
    at = [7, n + 11, 2 * n + n // 3, files * blocks * n - 5]
    values = spikes(files * blocks * n, [(k, 2) for k in at])
    parts = np.split(values, files)
    paths = [
        febus(folder / f"{k}.h5", part, rate, block, start=k * blocks * block, **options)
        for k, part in enumerate(parts)
    ]
    return paths, at, exactly(EPOCH, -(n // 2), rate)


RATES = [(1500, 1.0), (2100, 1.0), (3000, 1.0), (1050, 2.0), (1200, 2.0), (700, 4.0), (2048, 1.0)]


@pytest.mark.parametrize(
    ("rate", "block", "opener"),
    crossed(RATES, ["xdas", "index", "pattern", "saved", "sampled", "xarray"]),
)
def test_a_febus_is_one_segment_at_its_exact_rate(tmp_path, rate, block, opener):
    paths, at, first = febus_files(tmp_path, rate, block)
    options = {"engine": "febus"}
    if opener == "sampled":
        options["ctype"] = "sampled"
    if opener == "index":
        index = indexed(paths, tmp_path / "index.nc")
        assert set(index.problems.kind) == {"guess"}  # the files do not say how they overlap
        assert index.table().sampling_interval.tolist() == [pytest.approx(1 / rate)] * 3
        data = index.open()
    elif opener == "pattern":
        data = xdas.open_mfdataarray(str(tmp_path / "*.h5"))
    else:
        data = xdas.open_mfdataarray(paths, **options)
    if opener == "saved":  # its header is lost: the rate can only be told from block times
        data.load().to_netcdf(tmp_path / "saved.nc")
        data = xdas.open_dataarray(tmp_path / "saved.nc")
    if opener == "xarray":
        data = data.load().to_xarray()
    (segment,) = open_recording(data).segments
    assert segment.time.step == Fraction(10**9, rate)
    found = picked(data).picks
    assert found.sample_index.tolist() == at
    off = found.time.to_numpy() - np.array([exactly(first, k, rate) for k in at])
    assert np.abs(off).max() <= np.timedelta64(1, "us")  # to which xdas rounds stamps


def test_the_rate_is_told_from_block_times_where_the_header_rounds_it_too(tmp_path):
    paths, _, first = febus_files(tmp_path, 2100, 1.0, step=0.4762)
    (segment,) = open_recording(xdas.open_mfdataarray(paths, engine="febus")).segments
    assert segment.time.step == Fraction(10**9, 2100)
    # xdas places the stamp by the rounded step, half a block of it
    assert abs(segment.time.value(0) - first) < np.timedelta64(210, "us")


def test_a_single_block_takes_the_rate_of_its_header(tmp_path):
    path = febus(tmp_path / "one.h5", spikes(3000, [(2990, 1)]), 3000)
    found = picked(xdas.open_dataarray(path, engine="febus")).picks
    assert found.time[0] == exactly(EPOCH, 1490, 3000)


@pytest.mark.parametrize("cut", [1, 700, 2099, 2100, 3000])
def test_a_slice_of_blocks_keeps_the_exact_times(tmp_path, cut):
    paths, _, first = febus_files(tmp_path, 2100, 1.0)
    data = xdas.open_mfdataarray(paths, engine="febus")[cut:]
    (segment,) = open_recording(data).segments
    assert segment.time.step == Fraction(10**9, 2100)
    assert abs(segment.time.value(0) - exactly(first, cut, 2100)) <= np.timedelta64(1, "us")


def test_a_block_that_is_missing_is_a_gap(tmp_path):
    paths, _, first = febus_files(tmp_path, 2100, 1.0, files=3)
    data = xdas.open_mfdataarray([paths[0], paths[2]], engine="febus")
    one, two = open_recording(data).segments
    assert one.time.step == two.time.step == Fraction(10**9, 2100)
    assert (one.time.size, two.time.size) == (8400, 8400)
    assert two.time.value(0) == first + np.timedelta64(8, "s")


@pytest.mark.parametrize("lost", [1, 5, 20])
def test_a_regular_gap_is_no_rounded_step(lost):
    """Each file of 10 ms samples is followed by the same gap: no other rate, but gaps."""
    starts = START + np.arange(6) * np.timedelta64(10 * (1000 + lost), "ms")
    ties = np.stack([starts, starts + np.timedelta64(9990, "ms")], axis=1).ravel()
    indices = np.arange(6)[:, None] * 1000 + [0, 999]
    time = {"tie_indices": indices.ravel(), "tie_values": ties}
    data = xdas.DataArray(spikes(6000), {"time": time, "distance": 10.0 * np.arange(6)})
    segments = open_recording(data).segments
    assert [segment.time.size for segment in segments] == [1000] * 6
    assert {segment.time.step for segment in segments} == {10**7}
    np.testing.assert_array_equal([segment.time.value(0) for segment in segments], starts)


def test_files_of_hours_whose_step_was_rounded_to_nanoseconds_are_one_segment():
    n = 2100 * 3600
    starts = START + np.arange(3) * np.timedelta64(3600, "s")
    lasts = starts + (n - 1) * np.timedelta64(476190, "ns")  # 3.6 ms too early
    time = {
        "tie_indices": (np.arange(3)[:, None] * n + [0, n - 1]).ravel(),
        "tie_values": np.stack([starts, lasts], axis=1).ravel(),
    }
    values = np.broadcast_to(np.float32(0), (3 * n, 2))
    data = xdas.DataArray(values, {"time": time, "distance": [0.0, 10.0]})
    (segment,) = open_recording(data).segments
    assert segment.time.step == Fraction(10**9, 2100)
    assert segment.time.value(2 * n) == starts[2]


# ---------------------------------------------------------------- what xdas cannot slice


def prodml(path, values, rate, first, end_is_next=True, header_rate=True):
    """Write a ProdML 2.0 file whose end is its last sample, or the next file's first."""
    count = len(values)
    step = np.timedelta64(round(1e6 / rate), "us")
    stamp = first.astype("M8[us]")
    ends = (np.bytes_(f"{t}+00:00") for t in (stamp, stamp + step * (count - (not end_is_next))))
    start, end = ends
    with h5py.File(path, "w") as file:
        acquisition = file.create_group("Acquisition")
        acquisition.attrs.update(SpatialSamplingInterval=10.0, StartLocusIndex=0)
        raw = acquisition.create_group("Raw[0]")
        if header_rate:
            raw.attrs["OutputDataRate"] = float(rate)
        raw.create_dataset("RawData", data=values)
        raw["RawData"].attrs.update(PartStartTime=start, PartEndTime=end)
        raw["RawDataTime"] = (stamp + np.arange(count) * step).astype("i8")
    return str(path)


@pytest.mark.parametrize(
    ("rate", "header_rate", "opener"),
    crossed(product([100, 500], [True, False]), ["tiles", "hdf5", "index"]),
)
def test_prodml_files_that_end_with_the_next_one(tmp_path, rate, header_rate, opener):
    at = [5, 3999, 6000, 11990]
    parts = np.split(spikes(12000, [(k, 2) for k in at]), 3)
    starts = [exactly(START, 4000 * k, rate) for k in range(3)]
    paths = [
        prodml(tmp_path / f"{k}.h5", part, rate, start, header_rate=header_rate)
        for k, (part, start) in enumerate(zip(parts, starts, strict=True))
    ]
    if opener == "index":
        index = indexed(paths, tmp_path / "index.nc")
        assert len(index.problems) == 0
        data = index.open()
    else:
        data = xdas.open_mfdataarray(paths, engine="prodml", vtype=opener)
    (segment,) = open_recording(data).segments
    assert (segment.time.step, segment.time.size) == (Fraction(10**9, rate), 12000)
    found = picked(data).picks
    np.testing.assert_array_equal(found.time, [exactly(START, k, rate) for k in at])
    period = TimeRange(data, exactly(START, 3000, rate), exactly(START, 5000, rate))
    assert picked(period).picks.time.tolist() == [pd.Timestamp(exactly(START, 3999, rate))]


@pytest.mark.parametrize(("rate", "as_index"), crossed([2048, 2100], [True, False]))
def test_prodml_files_with_stamps_in_microseconds_have_the_exact_rate(tmp_path, rate, as_index):
    paths = []
    for k in range(3):
        first = exactly(START, 3000 * k, rate)
        paths.append(prodml(tmp_path / f"{k}.h5", spikes(3000), rate, first, end_is_next=False))
        with h5py.File(paths[-1], "r+") as file:
            last = exactly(START, 3000 * k + 2999, rate).astype("M8[us]")
            attrs = file["Acquisition/Raw[0]/RawData"].attrs
            attrs["PartEndTime"] = np.bytes_(f"{last}+00:00")
            del file["Acquisition/Raw[0]/RawDataTime"]
    if as_index:
        data = indexed(paths, tmp_path / "index.nc").open()
    else:
        data = xdas.open_mfdataarray(paths, engine="prodml", vtype="tiles")
    (segment,) = open_recording(data).segments
    assert (segment.time.step, segment.time.size) == (Fraction(10**9, rate), 9000)


def test_files_of_a_format_of_ones_own_count_once_too():
    parts = [as_xarray(stamped("2024-05-01T00:00:00", samples=500))]
    parts.append(as_xarray(stamped("2024-05-01T00:00:04", samples=500)))
    parts[0][450, 2] = parts[1][50, 2] = 0.9
    files = JoinedFiles(tuple(parts))
    found = picked(files)
    assert found.picks.time.tolist() == [pd.Timestamp("2024-05-01T00:00:04.5")]
    assert found.report.notes[0].startswith("100 samples left out")
    period = TimeRange(files, np.datetime64("2024-05-01T00:00:04"), None)
    assert open_recording(period).shape[0] == 500


def test_prodml_files_that_share_a_sample_still_do(tmp_path):
    """The end is the last sample here, and the next file starts with it."""
    starts = [exactly(START, 3999 * k, 100) for k in range(2)]
    paths = [
        prodml(tmp_path / f"{k}.h5", spikes(4000), 100, start, end_is_next=False)
        for k, start in enumerate(starts)
    ]
    recording = open_recording(xdas.open_mfdataarray(paths, engine="prodml", vtype="tiles"))
    (segment,) = recording.segments
    assert (segment.time.size, segment.time.step) == (7999, 10**7)
    assert recording.notes[0].startswith("1 sample left out")


@pytest.mark.parametrize("opener", ["tiles", "hdf5", "index", "path"])
def test_a_terra15_is_cut_by_time(das_file, tmp_path, opener):
    path = str(das_file("terra15_v5_test_file.hdf5"))
    with h5py.File(path, "r") as file:
        gps = file["data_product"]["gps_time"][[0, -1]]
    first, last = (np.datetime64(round(Fraction(t) * 10**9), "ns") for t in gps)
    step = Fraction(int((last - first).astype(int)), 2059)
    if opener == "index":
        data = indexed([path], tmp_path / "index.nc").open()
        assert data[100:200].shape == (100, 43)
    elif opener == "path":
        indexed([path], tmp_path / "index.nc")
        data = tmp_path / "index.nc"
    else:
        data = xdas.open_dataarray(path, engine="terra15", vtype=opener)
    whole = open_recording(data)
    start, stop = (first + np.timedelta64(ms, "ms") for ms in (100, 300))
    cut = open_recording(within(data, str(start), str(stop)))
    (segment,) = cut.segments
    # samples k with start <= first + k * step < stop, by exact fractions
    low = -(-Fraction(100 * 10**6) // step)
    high = -(-Fraction(300 * 10**6) // step)
    assert (segment.time.step, segment.time.size) == (step, high - low)
    off = segment.time.value(0) - (first + np.timedelta64(round(low * step), "ns"))
    assert abs(off) <= np.timedelta64(300, "ns")  # gps_time has as many digits
    samples = Span(int(low), int(high))
    expected = whole.select(Region(samples, Span(0, 43))).read()
    np.testing.assert_array_equal(cut.select(segment.recorded).read(), expected)
    assert len(dasdist.plan(Spikes(), within(data, str(start), str(stop)))) > 0


# ---------------------------------------------------------------- jitter


def jittering(count=20_000, rms=0.1, seed=0):
    """100 Hz with stamps that are off by ``rms`` samples."""
    off = np.random.default_rng(seed).normal(0, rms, count)
    return START + np.rint((np.arange(count) + off) * 1e7).astype("m8[ns]"), off


def test_jitter_is_told_by_how_much_and_what_to_do():
    times, off = jittering()
    with pytest.raises(InvalidInput, match=r"jitter.*by 0\.1 samples \(rms\)") as refusal:
        dasdist.plan(Spikes(3001), as_xarray(times))
    assert "longer stretch" not in str(refusal.value)
    line = off - np.polyval(np.polyfit(np.arange(len(off)), off, 1), np.arange(len(off)))
    assert f"up to {np.ptp(line) / 2:.2g}" in str(refusal.value)
    advised = float(str(refusal.value).partition("tolerance=")[2].partition("tolerance=")[2][:4])
    (grid,) = dasdist.plan(Spikes(3001), as_xarray(times), tolerance=advised).grids
    assert float(grid.time.step) == pytest.approx(1e7, rel=1e-5)


def test_where_jitter_costs_only_some_segments_the_warning_says_so():
    with pytest.warns(dasdist.DataWarning, match=r"too short.*jitter.*tolerance=0\.\d+"):
        dasdist.plan(Spikes(), as_xarray(jittering()[0]))


def test_no_sample_is_left_out_for_jitter():
    """A stamp that is early by 0.6 samples overlaps nothing."""
    times, _ = jittering(2000, rms=0.02)
    times[1000] -= np.timedelta64(6, "ms")
    recording = open_recording(as_xarray(times))
    assert recording.notes == ()
    assert sum(segment.time.size for segment in recording.segments) == 2000


@pytest.mark.parametrize(("rate", "unit"), crossed([1024, 1200, 800], ["ns", "ms"]))
def test_stamps_rounded_to_milliseconds(rate, unit):
    at = 3000
    exact = np.arange(20_000) * Fraction(1000, rate)
    times = START + np.array([round(t) for t in exact]).astype("m8[ms]")
    data = as_xarray(times.astype(f"M8[{unit}]"))
    data[at, 2] = 0.9
    with pytest.raises(InvalidInput, match="are rounded, and so deviate") as refusal:
        picked(data)
    advised = float(str(refusal.value).partition("tolerance=")[2].partition("tolerance=")[2][:4])
    found = picked(data, tolerance=advised).picks
    assert abs(found.time[0] - exactly(START, at, rate)) <= np.timedelta64(5 * 10**5, "ns")
    (segment,) = open_recording(data, tolerance=advised).segments
    assert float(segment.time.step) == pytest.approx(1e9 / rate, rel=2e-5)


@pytest.mark.parametrize("rate", [250, 400, 500, 1000])
def test_stamps_in_milliseconds_that_are_even_enough_are_no_jitter(rate):
    times = START + np.rint(np.arange(5000) * 1000 / rate).astype("m8[ms]")
    (segment,) = open_recording(as_xarray(times)).segments
    assert segment.time.step == Fraction(10**9, rate)
