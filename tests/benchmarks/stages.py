"""The stages of a block, each against the library that one would use by itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import h5py
import numpy as np
import scipy.signal
import torch
import xdas
import zarr
from torch.utils.flop_counter import FlopCounterMode

import dasdist
from dasdist.callbacks import Needs
from dasdist.callbacks.peaks import find_peaks
from dasdist.geometry import Region
from dasdist.geometry.patches import Patch
from dasdist.inference import annotate_patches, prepare
from dasdist.inference.replica import predictor_of
from dasdist.run.options import RunOptions
from dasdist.run.request import Request
from dasdist.sources import open_recording
from tests.benchmarks import inputs, rivals
from tests.benchmarks.harness import Contest, Timed, benchmark
from tests.toys import recording

# ---------------------------------------------------------------- read


def _stored(folder: Path, quick: bool, chunks: tuple[int, int] | None) -> list[Path]:
    """Files of a minute: plain floats, or compressed counts."""
    samples, channels = (12_000, 16) if quick else (60_000, 1000)
    values = inputs.quiet(samples, channels)
    if chunks is None:
        return inputs.write_files(values, folder, 100.0, inputs.MINUTE)
    paths = inputs.write_files((100 * values).astype(np.int16), folder, 100.0, inputs.MINUTE)
    for path in paths:
        name = inputs.dataset_of(path)
        with h5py.File(path, "r+") as file:
            held, attrs = file[name][()], dict(file[name].attrs)
            scales = [list(dim.keys()) for dim in file[name].dims]
            del file[name]
            made = file.create_dataset(
                name, data=held, chunks=chunks, compression="gzip", compression_opts=1
            )
            for key, value in attrs.items():
                if key not in ("DIMENSION_LIST",):
                    made.attrs[key] = value
            assert len(scales) == 2
    return paths


@contextmanager
def _read(
    quick: bool, chunks: tuple[int, int] | None = None, threads: int = 1
) -> Iterator[Contest]:
    with TemporaryDirectory(prefix="dasdist-benchmark-") as folder:
        paths = _stored(Path(folder), quick, chunks)
        name = inputs.dataset_of(paths[0])
        data = xdas.open_mfdataarray(f"{folder}/*.nc", vtype="tiles")
        found = open_recording(data)
        model = inputs.ours()
        block = {"time": 7500 if quick else 15_000}
        plan = Request.of(model, data, RunOptions(block=block), {}).plan(Needs(), None)
        reads = [b.read for b in plan]
        minute = int(100 * inputs.MINUTE)
        starts = list(range(0, data.shape[0] + minute, minute))

        def one_with_h5py(region: Region) -> float:
            values = np.empty(region.shape, dtype=found.dtype)
            for path, (first, last) in zip(paths, pairwise(starts), strict=False):
                low = max(first, region.time.start)
                high = min(last, region.time.stop, data.shape[0])
                if low < high:
                    with h5py.File(path, "r") as file:
                        file[name].read_direct(
                            values,
                            np.s_[low - first : high - first, region.distance.slice],
                            np.s_[low - region.time.start : high - region.time.start],
                        )
            return float(values[::100].sum())

        def one_with_dasdist(region: Region) -> float:
            return float(found.select(region).read()[::100].sum())

        pool = ThreadPoolExecutor(threads)

        def with_h5py() -> list[float]:
            return list(pool.map(one_with_h5py, reads))

        def with_dasdist() -> list[float]:
            return list(pool.map(one_with_dasdist, reads))

        yield Contest(
            {"h5py": with_h5py, "dasdist": with_dasdist},
            _equal,
            {"MB": sum(r.shape[0] * r.shape[1] for r in reads) * found.dtype.itemsize / 1e6},
            turns=9,
        )


def _equal(one: Any, other: Any) -> None:
    assert one == other


@benchmark("read", at_least=0.8, aim=0.95)
def read(quick: bool) -> Iterator[Contest]:
    """The blocks of a plan from contiguous float32 files."""
    with _read(quick) as contest:
        yield contest


@benchmark("read-compressed", at_least=0.8, aim=0.95)
def read_compressed(quick: bool) -> Iterator[Contest]:
    """The blocks of a plan from chunked and compressed int16 files."""
    with _read(quick, chunks=(1000, 16 if quick else 100)) as contest:
        yield contest


@benchmark("read-side-by-side", at_least=1.2, aim=1.9)
def read_side_by_side(quick: bool) -> Iterator[Contest]:
    """The same in two threads of one process, where HDF5 lets one at a time decompress."""
    with _read(quick, chunks=(1000, 16 if quick else 100), threads=2) as contest:
        yield contest


# ---------------------------------------------------------------- preprocess


BAND = ("butter", {"N": 2, "Wn": [2.0, 45.0], "btype": "bandpass"})


@contextmanager
def _preprocess(quick: bool, band: Any) -> Iterator[Contest]:
    """Counts at 1000 Hz to 100 Hz, against scipy on the same block and the same two cores."""
    samples, channels = (40_000, 8) if quick else (60_000, 512)
    counts = (1000 * inputs.quiet(samples, channels)).astype(np.int16)
    model = inputs.ours()
    model.dt_range = (0.0099, 0.0101)
    model.filter_samples = band
    options = RunOptions(block={"time": samples, "distance": channels})
    plan = Request.of(model, recording(counts, rate=1000.0), options, {}).plan(Needs(), None)
    (block,) = plan
    sections = plan.sections[0]
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(cores)
    halves = [slice(c * channels // cores, (c + 1) * channels // cores) for c in range(cores)]

    def half_with_scipy(own: slice) -> np.ndarray:
        values = scipy.signal.resample_poly(counts[:, own], 1, 10, axis=0).astype(np.float32)
        if sections is None:
            return values
        state = scipy.signal.sosfilt_zi(sections)[:, :, None] * values[0]
        filtered, _ = scipy.signal.sosfilt(sections, values, axis=0, zi=state)
        return filtered.astype(np.float32)

    def with_scipy() -> np.ndarray:
        return np.concatenate(list(pool.map(half_with_scipy, halves)), axis=1)

    def with_dasdist() -> np.ndarray:
        return prepare(counts, block, sections, cores=cores).values

    def agree(one: np.ndarray, other: np.ndarray) -> None:
        # scipy sees zeros beyond the ends, dasdist a mirror image; then the filter settles
        inner = slice(500, min(len(one), len(other)) - 500)
        np.testing.assert_allclose(one[inner], other[inner], atol=1e-5 * float(np.abs(one).max()))

    yield Contest(
        {"scipy": with_scipy, "dasdist": with_dasdist}, agree, {"samples": counts.size}, turns=5
    )


@benchmark("preprocess", at_least=8, aim=20)
def preprocess(quick: bool) -> Iterator[Contest]:
    """Counts at 1000 Hz, resampled to 100 Hz."""
    with _preprocess(quick, None) as contest:
        yield contest


@benchmark("preprocess-filtered", at_least=8, aim=20)
def preprocess_filtered(quick: bool) -> Iterator[Contest]:
    """The same, with a band-pass."""
    with _preprocess(quick, BAND) as contest:
        yield contest


# ---------------------------------------------------------------- model


@benchmark("model", at_least=3, aim=4)
def model(quick: bool) -> Iterator[Contest]:
    """Windows through PhaseNet: eager at SeisBench's batch, and as dasdist does it."""
    rows, channels = (2, 8) if quick else (4, 1024)
    theirs, ours = inputs.theirs(), inputs.ours()
    values = inputs.quiet(inputs.WINDOW + 1500 * (rows - 1), channels)
    options = RunOptions(block={"time": len(values), "distance": channels})
    request = Request.of(ours, recording(values), options, {})
    plan = request.plan(Needs(), None)
    (block,), (grid,) = plan, plan.grids
    predictor = predictor_of(request.payload.token)
    prepared = prepare(values, block, None)
    starts = [grid.rows.start(row) for row in range(grid.rows.count)]
    patches = [values[s : s + inputs.WINDOW] for s in starts]
    assert len(patches) == rows

    def eager() -> Timed:
        return process.submit(_eager, patches).result()

    def with_dasdist() -> list[dict[str, np.ndarray]]:
        found = annotate_patches(prepared, block, predictor, plan.batching, request.arguments)
        return [patch.annotations for patch in found]

    def agree(one: Any, other: Any) -> None:
        for a, b in zip(one, other, strict=True):
            for key in a:
                np.testing.assert_allclose(a[key], b[key], atol=1e-4)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        theirs(torch.zeros(1, inputs.WINDOW, 1), argdict={})
    flop = counter.get_total_flops() * rows * channels
    peak = _matmul_peak(256 if quick else 2048)

    def facts(medians: dict[str, float]) -> dict[str, float]:
        return {
            "FLOP per window sample": flop / (rows * channels * inputs.WINDOW),
            "matmul peak, GFLOP/s": peak / 1e9,
            **{f"{s}, share of that peak": flop / t / peak for s, t in medians.items()},
        }

    work = {"window samples": rows * channels * inputs.WINDOW, "FLOP": flop}
    with rivals.apart() as process:
        yield Contest({"eager": eager, "dasdist": with_dasdist}, agree, work, facts=facts)


def _eager(patches: list[np.ndarray]) -> Timed:
    """What SeisBench does: two patches to a batch, results to numpy one by one."""
    model = inputs.theirs()
    started, cpu = perf_counter(), process_time()
    found = []
    for first in range(0, len(patches), 2):
        batch = torch.tensor(np.stack(patches[first : first + 2]))
        with torch.no_grad():
            outputs = model(batch, argdict={})
        found += [
            {key: outputs[key][i].cpu().numpy() for key in model.annotate_keys}
            for i in range(len(batch))
        ]
    return Timed(perf_counter() - started, found, process_time() - cpu)


def _matmul_peak(size: int) -> float:
    """Return the FLOP per second of a large product of matrices."""
    one, other = torch.rand(size, size), torch.rand(size, size)
    best = np.inf
    for _ in range(5):
        started = perf_counter()
        one @ other
        best = min(best, perf_counter() - started)
    return 2 * size**3 / best


# ---------------------------------------------------------------- picks


@benchmark("picks", at_least=100, aim=1000)
def picks(quick: bool) -> Iterator[Contest]:
    """Probability patches to picks, against SeisBench's callback."""
    from seisbench.models.das_base import DASPickingCallback, PatchCoordinate
    from seisbench.models.das_base import VirtualTransformedDataArray as Virtual

    channels, rows, every = (8, 2, 600) if quick else (1024, 2, 600)
    theirs = inputs.light(channels)
    length = 3000 + 1500 * (rows - 1)
    # as models give them: the samples of a channel lie next to each other
    curves = np.asfortranarray(np.abs(inputs.spikes(length, channels, every)))
    data = recording(curves)
    structure = theirs.get_patching_structure(curves.shape, {})
    options = {"thresholds": 0.5}

    def cut(row: int) -> np.ndarray:
        return curves[1500 * row : 1500 * row + 3000]

    def with_seisbench() -> Timed:
        started, cpu = perf_counter(), process_time()
        callback = DASPickingCallback(**options)
        callback.setup(Virtual(data, structure), structure, ["P"])
        for row in range(rows):
            place = PatchCoordinate(1500 * row, 0, 3000, channels)
            callback.handle_patch({"P": cut(row)}, place, place)
        callback.finalize()
        seconds, cpu = perf_counter() - started, process_time() - cpu
        return Timed(seconds, rivals.as_table(callback.get_results_dict()), cpu)

    callback = dasdist.DASPickingCallback(**options)
    block_size = RunOptions(block={"time": length, "distance": channels})
    request = Request.of(theirs, data, block_size, {})
    plan = request.plan(callback.needs, None)
    (block,) = plan

    def with_dasdist() -> Any:
        callback.setup(request.context(plan))
        accumulator = callback.mapper()(block)
        for row in range(rows):
            accumulator.add(Patch(row, 0, 1500 * row, 0, 0, channels, {"P": cut(row)}))
        callback.finalize(accumulator.part())
        return callback.picks

    yield Contest(
        {"SeisBench": with_seisbench, "dasdist": with_dasdist},
        rivals.same_picks,
        {"picks": len(with_dasdist())},
        turns=2,
    )


@benchmark("peaks", at_least=1, aim=10)
def peaks(quick: bool) -> Iterator[Contest]:
    """Peaks alone, against scipy channel by channel: the very same ones."""
    channels = 8 if quick else 1024
    curves = np.asfortranarray(np.abs(inputs.spikes(3000, channels, 150)))

    def with_scipy() -> list[tuple[int, int]]:
        found = []
        for channel in range(channels):
            at, _ = scipy.signal.find_peaks(curves[:, channel], height=0.5, distance=100)
            found += [(int(sample), channel) for sample in at]
        return found

    def with_dasdist() -> list[tuple[int, int]]:
        samples, of, _ = find_peaks(curves, 0.5, 100)
        return list(zip(samples.tolist(), of.tolist(), strict=True))

    yield Contest(
        {"scipy": with_scipy, "dasdist": with_dasdist}, _equal, {"samples": curves.size}, turns=9
    )


# ---------------------------------------------------------------- write


@benchmark("write", at_least=0.8, aim=0.95)
def write(quick: bool) -> Iterator[Contest]:
    """A stacked block to Zarr, against zarr alone with the same shards and codecs."""
    samples, channels = (4500, 16) if quick else (33_000, 1024)
    ours = inputs.ours()
    values = inputs.quiet(samples, channels)
    with TemporaryDirectory(prefix="dasdist-benchmark-") as folder:
        options = RunOptions(block={"time": samples, "distance": channels})
        request = Request.of(ours, recording(values), options, {})
        callback = dasdist.WriterCallback(f"{folder}/ours.zarr", "max")
        plan = request.plan(callback.needs, None)
        (block,), (grid,) = plan, plan.grids
        callback.setup(request.context(plan))
        accumulator: Any = callback.mapper()(block)
        probability = np.abs(values[: grid.shape[0]]) % 1
        for total in accumulator.stacker.totals.values():
            total[:] = probability
        accumulator.stacker.weights[:] = 1
        plain = {}
        for key in ours.annotate_keys:
            like = zarr.open_array(f"{folder}/ours.zarr", path=key, mode="r")
            plain[key] = zarr.create_array(
                f"{folder}/plain.zarr",
                name=key,
                shape=like.shape,
                shards=like.shards,
                chunks=like.chunks,
                dtype=like.dtype,
                compressors=like.compressors,
                fill_value=like.fill_value,
            )

        def with_zarr() -> str:
            for array in plain.values():
                array[:] = probability
            return f"{folder}/plain.zarr"

        def with_dasdist() -> str:
            accumulator.part()
            return f"{folder}/ours.zarr"

        def agree(one: str, other: str) -> None:
            for key in plain:
                a, b = (zarr.open_array(path, path=key, mode="r")[:] for path in (one, other))
                np.testing.assert_array_equal(a, b)

        yield Contest(
            {"zarr": with_zarr, "dasdist": with_dasdist},
            agree,
            {"MB": len(plain) * probability.nbytes / 1e6},
        )
