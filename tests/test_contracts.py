"""Our callbacks, sinks, executors and sources keep the contracts that anyone's are checked by."""

import threading

import numpy as np
import pandas as pd
import pytest
import xarray

import dasdist
from dasdist.executors.cluster import ClusterExecutor
from dasdist.executors.serial import SerialExecutor
from dasdist.sources import open_recording
from dasdist.sources.selection import ArraySource
from dasdist.testing import check_callback, check_executor, check_sink, check_source

PICKING = {"thresholds": 0.6, "min_time_separation": 0.1, "blinding": (2, 2)}


class Patchwise:
    """As for SeisBench."""

    def __init__(self):
        self.sums = []

    def handle_patch(self, annotations, in_coords, out_coords):
        self.sums.append(float(annotations["P"].sum()))

    def get_results_dict(self):
        return {"sums": self.sums}


class Largest(dasdist.DASAnnotateCallback):
    """The largest value on every channel."""

    def map_block(self, block, annotations):
        places = [(block.segment, x) for x in block.out_distance.values()]
        return dict(zip(places, np.nanmax(annotations["P"], axis=0).tolist(), strict=True))

    def combine(self, parts):
        places = {place for part in parts for place in part}
        return {place: max(p[place] for p in parts if place in p) for place in places}

    def finalize(self, part):
        self.largest = part

    def get_results_dict(self):
        return {"largest": self.largest}


@pytest.mark.parametrize(
    "make",
    [
        lambda: dasdist.DASPickingCallback(**PICKING),
        dasdist.InMemoryCollectionCallback,
        lambda: dasdist.InMemoryCollectionCallback("max"),
        lambda: dasdist.MultiCallback([dasdist.DASPickingCallback(**PICKING), Largest()]),
        Largest,
    ],
)
def test_callbacks(make):
    check_callback(make)


def test_a_callback_for_seisbench():
    check_callback(Patchwise, segments=1)


class Counting(Largest):
    """Keeps something from block to block."""

    calls = 0

    def map_block(self, block, annotations):
        self.calls += 1
        return {**super().map_block(block, annotations), (-1, self.calls): 0.0}


class OrderMatters(Largest):
    def combine(self, parts):
        return dict(list(parts[0].items())[:1]) if parts else {}


class Unpicklable(Largest):
    def setup(self, context):
        super().setup(context)
        self.lock = threading.Lock()


class NothingToCombine(Largest):
    def finalize(self, part):
        self.largest = max(part.values())


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Counting, "keep nothing between blocks"),
        (OrderMatters, "whatever the order and the grouping"),
        (Unpicklable, "cannot be pickled"),
        (NothingToCombine, "Without any part"),
    ],
)
def test_a_callback_that_breaks_its_contract_is_told_how(make, why):
    with pytest.raises(AssertionError, match=why):
        check_callback(make)


@pytest.mark.parametrize(
    "make", [lambda path: dasdist.PicksWriterCallback(path, **PICKING), dasdist.WriterCallback]
)
def test_sinks(make, tmp_path):
    check_sink(make, tmp_path)


class Careless(dasdist.PicksWriterCallback):
    """Finds nothing lost."""

    def __init__(self, path):
        super().__init__(path, **PICKING)

    def lost(self, parts):
        return []


class Eager(dasdist.WriterCallback):
    """Replaces what is there, unasked."""

    def setup(self, context):
        self.overwrite = True
        super().setup(context)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "why"),
    [(Careless, "lost\\(\\) does not name block 0"), (Eager, "accepted an output that holds")],
)
def test_a_sink_that_breaks_its_contract_is_told_how(make, why, tmp_path):
    with pytest.raises(AssertionError, match=why):
        check_sink(make, tmp_path)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_serial_executor(threads):
    check_executor(lambda: SerialExecutor(threads))


def test_the_cluster_executor(client):
    check_executor(lambda: ClusterExecutor(client))


class Backwards:
    """Yields the last block first, and does not care what was asked for."""

    def run(self, spec, tasks, stop, listen):
        yield from reversed(list(SerialExecutor().run(spec, tasks, stop, listen)))


def test_an_executor_that_breaks_its_contract_is_told_how():
    with pytest.raises(AssertionError, match="Asked for the order of the plan"):
        check_executor(Backwards)


@pytest.fixture
def opened(tmp_path, request):
    """A recording of 40 samples x 6 channels, opened in some way."""
    values = np.random.default_rng(0).standard_normal((40, 6)).astype("float32")
    time = np.datetime64("2024-01-01", "ns") + np.arange(40) * np.timedelta64(10, "ms")
    data = xarray.DataArray(values, {"time": time, "distance": 5.0 * np.arange(6)}, name="strain")
    if request.param == "numpy":
        return data
    if request.param == "dask":
        return data.chunk({"time": 7, "distance": 4})
    if request.param == "zarr":
        data.to_dataset().to_zarr(tmp_path / "data.zarr", zarr_format=3, consolidated=False)
        return xarray.open_zarr(tmp_path / "data.zarr", consolidated=False, chunks=None)["strain"]
    return dasdist.SourceArray(
        ArraySource(values), np.float32, data.time.values, data.distance.values
    )


@pytest.mark.parametrize("opened", ["numpy", "dask", "zarr", "of one's own"], indirect=True)
def test_sources(opened):
    (member,) = open_recording(opened).members
    check_source(member.source, (40, 6))


class Shifted(ArraySource):
    """Reads the wrong channels."""

    def read(self):
        return np.roll(self.values, self.values.shape[1] // 2, axis=1)


def test_a_source_that_breaks_its_contract_is_told_how():
    with pytest.raises(AssertionError, match="gave other values"):
        check_source(Shifted(np.arange(200.0).reshape(20, 10)), (20, 10))


# ---------------------------------------------------------------- formats of one's own


class TextSource:
    """Rows of a text file; a line is a sample."""

    def __init__(self, path, rows, columns):
        self.path, self.rows, self.columns = path, rows, columns

    def select(self, region):
        rows, columns = self.rows[region.time.slice], self.columns[region.distance.slice]
        return TextSource(self.path, rows, columns)

    def read(self):
        lines = np.loadtxt(self.path, dtype="float32", ndmin=2)
        return lines[self.rows.start : self.rows.stop, self.columns.start : self.columns.stop]

    def files(self):
        return [(dasdist.Span(0, len(self.rows)), self.path)]

    def chunks(self):
        return None

    def identity(self):
        yield self.path.encode()


def open_text(path):
    values = np.loadtxt(path, dtype="float32", ndmin=2)
    start = np.datetime64(int(values[0, 0]), "s").astype("datetime64[ns]")
    samples, channels = values.shape
    time = start + np.arange(samples) * np.timedelta64(10, "ms")
    source = TextSource(path, range(samples), range(channels))
    return dasdist.SourceArray(source, np.float32, time, 10.0 * np.arange(channels))


def test_a_format_that_was_registered_is_read_like_any_other(tmp_path, monkeypatch):
    from .toys import Toy, noise, recording

    monkeypatch.setattr("dasdist.sources.formats._registered", {})
    values = noise(600, 5, seed=4)
    paths = []
    for part in range(2):
        piece = values[300 * part : 300 * (part + 1)].copy()
        piece[0, 0] = 3 * part  # the time of the first sample, in seconds
        paths.append(tmp_path / f"{part}.txt")
        np.savetxt(paths[-1], piece)
    dasdist.register_format("text", open_text)
    data = dasdist.open_files(paths, "text")
    (member,) = open_recording(data).members
    check_source(member.source, (600, 5))
    options = {"thresholds": 0.6, "blinding": (1, 1), "pbar": False, "block": {"time": 100}}
    picks = dasdist.classify(Toy(), data, **options).picks
    whole = np.concatenate([np.loadtxt(path, dtype="float32") for path in paths])
    expected = dasdist.classify(Toy(), recording(whole), **options).picks
    assert len(picks) > 10
    columns = ["channel_index", "phase", "sample_index", "confidence", "segment"]
    pd.testing.assert_frame_equal(picks[columns], expected[columns])  # across the files' border
    with pytest.raises(dasdist.InvalidInput, match="did you mean 'text'"):
        dasdist.open_files(paths, "txt")
    with pytest.raises(dasdist.InvalidInput, match="registered already"):
        dasdist.register_format("text", print)


def test_a_format_of_a_package_is_found_by_its_entry_point(tmp_path, monkeypatch):
    package = tmp_path / "reader-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: reader\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[dasdist.formats]\nh5text = reader:open_it\n")
    (tmp_path / "reader.py").write_text("def open_it(path):\n    return ('opened', path)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "h5text" in dasdist.sources.known_formats()
    assert list(dasdist.open_files(["a.h5"], "h5text")) == [("opened", "a.h5")]
    with pytest.raises(dasdist.InvalidInput, match="pass a list"):
        dasdist.open_files("a.h5", "h5text")
    with pytest.raises(dasdist.InvalidInput, match="pass a function"):
        dasdist.register_format("h5", 5)
