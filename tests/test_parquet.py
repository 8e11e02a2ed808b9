"""Picks in Parquet: the picks of memory, a part per block, the same bytes whoever writes them."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dasdist
from dasdist.callbacks import DASPickingCallback, PicksWriterCallback, StoredPicks
from dasdist.callbacks.base import Context
from dasdist.errors import DasdistError, InvalidInput
from dasdist.geometry import PatchGrid, Region, Span

from .test_stacking import NoiseModel, make_grid, patches_of, run
from .toys import Toy, noise, recording

duckdb = pytest.importorskip("duckdb")
pl = pytest.importorskip("polars")

ROWS, COLUMNS = PatchGrid(47, 12, 7, 12, (0, 12)), PatchGrid(11, 4, 3, 4, (0, 4))
GRID = make_grid(ROWS, COLUMNS, core=(10, 5))
OTHER = make_grid(
    PatchGrid(20, 12, 7, 12, (0, 12)),
    COLUMNS,
    core=(10, 5),
    index=1,
    first_block=len(GRID),
    recorded=Region(Span(2000, 2020), Span(20, 31)),
    time=GRID.time.transform(offset=1000, stride=1, size=20),
)
OPTIONS = {"thresholds": {"P": 0.5, "S": 0.9}, "min_time_separation": 0.03, "blinding": (1, 1)}


def writing(path, **options):
    return PicksWriterCallback(path, **{**OPTIONS, **options})


def begun(path, grids=(GRID,), **context):
    callback = writing(path)
    callback.setup(Context(("P", "S"), tuple(grids), ("time", "distance"), {"model": "x"}))
    return callback


def write(callback, grid, number, model=None):
    mapper = pickle.loads(pickle.dumps(callback.mapper()))
    accumulator = mapper(grid.block(number))
    for patch in patches_of(grid.block(number), model or NoiseModel()):
        accumulator.add(patch)
    return accumulator.part()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# ---------------------------------------------------------------- what is written


def test_the_dataset_holds_the_picks_of_memory(tmp_path):
    in_memory = run(DASPickingCallback(**OPTIONS), [GRID, OTHER])["picks"]
    callback = writing(tmp_path / "picks.parquet")
    stored = run(callback, [GRID, OTHER], order=3)["picks"]
    assert len(in_memory) > 50
    assert in_memory["segment"].nunique() == in_memory["phase"].nunique() == 2
    pd.testing.assert_frame_equal(callback.picks, in_memory)
    pd.testing.assert_frame_equal(stored.read(), in_memory)
    phases = in_memory["phase"].value_counts()
    size = sum(len(data) for data in contents(callback.path).values())
    expected = {"picks": len(in_memory), "P": phases["P"], "S": phases["S"], "bytes": size}
    assert callback.counts == expected == stored.counts
    assert len(stored) == len(in_memory)


def test_a_cluster_writes_the_bytes_of_the_serial_loop(tmp_path, client):
    data = recording(noise(3000, 24))
    for name, where in (("a", None), ("b", client)):
        callback = writing(tmp_path / name, thresholds=0.5, blinding=(0, 0))
        block = {"time": 200, "distance": 8}
        dasdist.annotate(Toy(), data, callback, client=where, block=block, pbar=False)
    assert callback.counts["picks"] > 1000
    assert len(contents(tmp_path / "a")) == 12
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_every_block_has_a_part_of_its_name(tmp_path):
    callback = writing(tmp_path / "picks.parquet", thresholds=2.0)
    run(callback, [GRID, OTHER])
    names = [f"block-{i:09d}.parquet" for i in range(len(GRID) + len(OTHER))]
    assert sorted(contents(callback.path)) == names
    assert [pq.read_metadata(callback.path / name).num_rows for name in names] == [0] * len(names)
    assert callback.counts == {"picks": 0, "P": 0, "S": 0, "bytes": callback.counts["bytes"]}
    assert callback.picks.dtypes.equals(run(DASPickingCallback(**OPTIONS), [GRID])["picks"].dtypes)


def test_columns_have_types_units_and_provenance(tmp_path):
    callback = writing(tmp_path / "picks.parquet")
    run(callback, [GRID], attrs={"model": "PhaseNet", "arguments": "{'batch_size': 3}"})
    kinds = {
        "time": pa.timestamp("ns"),
        "distance": pa.float64(),
        "channel_index": pa.int64(),
        "phase": pa.string(),
        "confidence": pa.float32(),
        "sample_index": pa.int64(),
        "segment": pa.int64(),
    }
    for path in callback.path.iterdir():
        schema = pq.read_schema(path)
        assert dict(zip(schema.names, schema.types, strict=True)) == kinds
        assert schema.metadata == {
            b"model": b"PhaseNet",
            b"arguments": b"{'batch_size': 3}",
            b"weights": b"",  # which only a run knows
            b"thresholds": b'{"P": 0.5, "S": 0.9}',
            b"min_time_separation": b"0.03",
            b"blinding": b"[1, 1]",
            b"dasdist_rows": b"%d" % pq.read_metadata(path).num_rows,
            b"dasdist_format": b"1",
        }
        assert schema.field("time").metadata == {b"unit": b"ns since 1970-01-01T00:00:00"}
        assert schema.field("distance").metadata[b"unit"] == b"m"
        column = pq.read_metadata(path).row_group(0).column(0) if pq.read_table(path) else None
        assert column is None or column.compression == "ZSTD"


# ---------------------------------------------------------------- readers, while it grows


def with_pandas(path):
    return pd.read_parquet(path)


def with_polars(path):
    return pl.scan_parquet(path).collect().to_pandas()


def with_duckdb(path):
    with duckdb.connect() as connection:
        return connection.sql(f"FROM '{path}/*.parquet'").df()


def with_dask(path):
    import dask.dataframe as dd

    return dd.read_parquet(path).compute(scheduler="synchronous").reset_index(drop=True)


dask_under_pandas_3_1 = pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset")


@pytest.mark.parametrize(
    "read",
    [
        with_pandas,
        with_polars,
        with_duckdb,
        pytest.param(with_dask, marks=dask_under_pandas_3_1),
    ],
)
def test_the_folder_is_readable_while_it_grows(tmp_path, read):
    callback = begun(tmp_path / "picks.parquet")
    (output,) = callback.outputs
    (output.journal / "run.json").write_text("{}")
    (staging,) = output.journal.glob("staging-*")
    (staging / "block-000000007.parquet.0123").write_bytes(b"PAR1, and then the power went")
    quiet = NoiseModel()
    quiet.levels = 1  # all zero: no picks
    write(callback, GRID, 0, quiet)
    for number in range(1, 5):
        write(callback, GRID, number)
        found, expected = read(callback.path), StoredPicks(callback.path).read()
        by = ["time", "channel_index", "phase"]
        found = found.sort_values(by, ignore_index=True).astype(expected.dtypes)
        assert len(found) > 0
        pd.testing.assert_frame_equal(found, expected)


# ---------------------------------------------------------------- what is there already


def test_a_resumed_run_keeps_the_parts(tmp_path):
    callback = begun(tmp_path / "picks.parquet")
    for number in range(4):
        write(callback, GRID, number)
    before = contents(callback.path)
    again = writing(callback.path)
    context = Context(("P", "S"), (GRID,), ("time", "distance"), {"model": "x"}, resume=True)
    again.setup(replace(context, run="2"))
    assert contents(callback.path) == before
    for number in range(4, len(GRID)):
        write(again, GRID, number)
    run(writing(tmp_path / "whole"), [GRID], attrs={"model": "x"})
    assert contents(callback.path) == contents(tmp_path / "whole")


def test_lost_parts_are_found(tmp_path):
    callback = begun(tmp_path / "picks.parquet")
    parts = {number: write(callback, GRID, number) for number in range(5)}
    assert callback.lost(parts) == []
    path = callback.path / "block-000000003.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    (callback.path / "block-000000001.parquet").unlink()
    assert callback.lost(parts) == [1, 3]
    assert callback.lost({7: parts[0]}) == [7]
    for path in callback.path.iterdir():
        path.unlink()
    callback.path.rmdir()
    assert callback.lost(parts) == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- arguments


def test_wrong_arguments(tmp_path):
    with pytest.raises(InvalidInput, match="is a URL"):
        writing("s3://bucket/picks.parquet")
    with pytest.raises(InvalidInput, match="give seconds"):
        writing(tmp_path / "out", min_time_separation=-1)
    with pytest.raises(InvalidInput, match="has no value for 'S'"):
        run(writing(tmp_path / "out", thresholds={"P": 0.1}), [GRID])
    with pytest.raises(InvalidInput, match="'bytes'"):
        run(writing(tmp_path / "out", thresholds=0.1), [GRID], NoiseModel(keys=("P", "bytes")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(DasdistError, match="pass the callback to annotate first"):
        writing(tmp_path / "out").counts  # noqa: B018


def test_a_block_may_reach_as_far_as_its_picks_compete(tmp_path):
    assert writing(tmp_path / "out").needs.pick_halo == np.float64(0.03)
