"""Picks by date: folders that readers know as Hive's layout, kept as a single one is."""

import json
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dasdist
from dasdist.callbacks.pick_parts import dates_of
from dasdist.cli import app
from dasdist.geometry import Axis
from tests.toys import Toy, noise, recording

START = np.datetime64("2024-04-30T23:59:50", "ns")
VALUES = noise(2500, 4)  # 25 s: 10 before midnight
OPTIONS = {
    "thresholds": 0.5,
    "min_time_separation": 0.1,
    "blinding": (1, 1),
    "pbar": False,
    "client": False,
}
BLOCK = {"time": 100, "distance": 2}  # 4 s: the third begins before midnight


def classify(out, values=VALUES, **options):
    data = recording(values, start=START)
    given = {**OPTIONS, "by_date": out is not None, **options}
    if out is None:
        del given["by_date"]
    return dasdist.classify(Toy(gain=3.0), data, out=out, **given)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def same(found, expected):
    pd.testing.assert_frame_equal(found, expected)
    assert len(expected) > 50


@pytest.fixture
def out(tmp_path):
    return tmp_path / "picks.parquet"


# ---------------------------------------------------------------- what is where


def test_every_part_holds_the_picks_of_its_date(out):
    result = classify(out, block=BLOCK)
    same(result.picks, classify(None).picks)
    names = list(contents(out))
    assert {name.split("/")[0] for name in names} == {"date=2024-04-30", "date=2024-05-01"}
    blocks = [name.split("/")[1] for name in names]
    both = {name for name in blocks if blocks.count(name) == 2}
    assert both == {"block-000000004.parquet", "block-000000005.parquet"}  # across midnight
    for folder in out.iterdir():
        days = pd.concat(pd.read_parquet(part) for part in folder.iterdir())["time"].dt.date
        assert set(map(str, days)) == {folder.name.removeprefix("date=")}


def with_pandas(path):
    return pd.read_parquet(path)


def with_polars(path):
    return pytest.importorskip("polars").scan_parquet(path).collect().to_pandas()


def with_duckdb(path):
    with pytest.importorskip("duckdb").connect() as connection:
        return connection.sql(f"FROM '{path}/**/*.parquet'").df()


def with_dask(path):
    return pytest.importorskip("dask.dataframe").read_parquet(path).compute()


def with_pyarrow(path):
    import pyarrow.dataset as ds

    return ds.dataset(path, partitioning="hive").to_table().to_pandas()


# dask 2026.8 with pandas 3.1 and categories
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index")
@pytest.mark.parametrize("read", [with_pandas, with_polars, with_duckdb, with_dask, with_pyarrow])
def test_readers_have_the_date_as_a_column(out, read):
    expected = classify(out, block=BLOCK).picks
    found = read(out)
    assert set(found) == {*expected, "date"}
    assert (found["date"].astype(str).str[:10] == found["time"].astype(str).str[:10]).all()
    columns = ["time", "channel_index", "phase"]
    found = found[columns].astype({"phase": str, "time": "datetime64[ns]"})
    found = found.sort_values(columns, ignore_index=True)
    expected = expected[columns].sort_values(columns, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


@given(
    st.integers(-(10**6), 10**6),
    st.fractions(Fraction(1, 900), 700, max_denominator=997),
    st.integers(1, 400),
    st.fractions(-1, 1, max_denominator=10),
)
def test_a_block_has_a_file_for_whatever_date_its_picks_have(offset, spacing, size, off):
    midnight = 1714521600 * 10**9
    axis = Axis("time", Fraction(midnight + offset * 10**6), spacing * 10**9, size, is_time=True)
    dates = dates_of(SimpleNamespace(out_time=axis))
    for sample in (0, size - 1, size // 2):
        exact = axis.start + (sample + off / 2) * axis.step  # within half an output
        assert str(np.datetime64(round(exact), "ns").astype("M8[D]")) in dates
    reach = float((size + 2) * spacing) / 86400
    assert len(dates) <= reach + 2


# ---------------------------------------------------------------- runs that go on


def test_what_is_lost_is_computed_again_byte_for_byte(out):
    first = classify(out, block=BLOCK)
    before = contents(out)
    names = [name for name in before if name.endswith("block-000000004.parquet")]
    assert len(names) == 2  # of which one is lost
    (out / names[0]).unlink()
    again = classify(out)
    assert again.report.before == first.report.blocks - 1
    assert contents(out) == before


def test_a_run_that_died_goes_on(out):
    first = classify(out, block=BLOCK)
    before = contents(out)
    ledger = out.with_name("picks.parquet.dasdist") / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:3]))
    again = classify(out)
    assert again.report.before == 3
    assert contents(out) == before
    same(again.picks, first.picks)


def test_blocks_that_an_archive_outgrew_leave_no_file(out, tmp_path):
    classify(out, VALUES[:1900], block=BLOCK)
    grown = classify(out)
    assert grown.report.before > 0
    fresh = classify(tmp_path / "fresh", block=BLOCK)
    same(grown.picks, fresh.picks)
    assert contents(out).keys() == contents(tmp_path / "fresh").keys()


def test_blocks_that_are_given_up_leave_no_folder(out):
    values = VALUES.copy()
    values[1300:] = np.nan
    values[900:1100] = np.nan
    with pytest.warns(dasdist.DataWarning):
        classify(out, values, block=BLOCK, max_failures="any")
    assert all(any(folder.iterdir()) for folder in out.iterdir())
    with pytest.warns(dasdist.DataWarning):
        again = classify(out, values, max_failures="any")
    assert again.report.before + len(again.report.failures) == again.report.blocks


def test_a_layout_stays_as_it_was_begun_unless_all_is_replaced(out):
    classify(out, block=BLOCK)
    with pytest.raises(dasdist.RunMismatch, match="other by_date: True then, not given now"):
        classify(out, by_date=False)
    (out / "date=2024-04-30" / "thesis.tex").touch()
    with pytest.raises(dasdist.OutputExists, match="date=2024-04-30/thesis"):
        classify(out, overwrite=True)
    (out / "date=2024-04-30" / "thesis.tex").unlink()
    plain = classify(out, by_date=False, overwrite=True)
    assert {path.suffix for path in out.iterdir()} == {".parquet"}
    with pytest.raises(dasdist.RunMismatch, match="other by_date: not given then, True now"):
        classify(out)
    same(classify(out, overwrite=True).picks, plain.picks)
    assert not list(out.glob("*.parquet"))


def test_verify_reads_all_files_of_a_block(out):
    classify(out, block=BLOCK)
    before = contents(out)
    whole = dasdist.verify(out)
    assert whole.intact
    assert whole.bytes == sum(map(len, before.values()))
    name = next(name for name in before if name.endswith("block-000000005.parquet"))
    (out / name).write_bytes(before[name][:-9] + b"x" + before[name][-8:])
    assert list(dasdist.verify(out).damaged) == [5]
    classify(out)
    assert contents(out) == before


def test_status_counts_its_files(out):
    classify(out, block=BLOCK)
    counts = dasdist.status(out).counts
    assert counts["files"] == len(contents(out))
    assert counts["bytes"] == sum(map(len, contents(out).values()))
    assert dasdist.read_manifest(out)["settings"]["by_date"] is True


def test_it_is_a_matter_of_files(tmp_path, out):
    with pytest.raises(dasdist.InvalidInput, match="It goes with out="):
        dasdist.classify(Toy(), recording(VALUES), by_date=True, **OPTIONS)
    recording(VALUES, start=START).to_netcdf(tmp_path / "data.nc")
    words = ["classify", tmp_path / "data.nc", "-m", "tests.toys:Toy", "-o", out, "--by-date"]
    more = ["--threshold", "0.5", "--set", "blinding=[1,1]", "--json"]
    said = CliRunner().invoke(app, [*map(str, words), *more])
    assert said.exit_code == 0, said.output
    assert {path.name for path in out.iterdir()} == {"date=2024-04-30", "date=2024-05-01"}
    again = CliRunner().invoke(app, [*map(str, words), *more])
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout.splitlines()[-1])
