"""Bits that rot on a disk: what is read is what was written, or an error says what is not."""

import shutil

import numpy as np
import pytest
import xarray as xr

import dasdist
from dasdist.callbacks.parquet import StoredPicks
from tests.toys import Toy, noise, recording


def flipped(path, bit):
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def bits(path, number, seed):
    return np.random.default_rng(seed).integers(0, 8 * path.stat().st_size, number)


@pytest.fixture(scope="module")
def data():
    return recording(noise(2000, 6))


ROUNDS = [30, pytest.param(1000, marks=[pytest.mark.deep, pytest.mark.timeout(3000)])]


# ---------------------------------------------------------------- the ledger


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run in three steps, of which the second took blocks back, and its picks."""
    values = noise(2000, 6)
    values[940, 1] = np.nan
    folder = tmp_path_factory.mktemp("begun")
    for data in (recording(values[:1490]), recording(values), recording(values)):
        with pytest.warns(dasdist.DataWarning, match="windows were left out"):
            expected = picks_of(folder, data, retry_failed=True)
    return folder, data, expected


def picks_of(folder, data, **options):
    given = {"thresholds": 0.5, "blinding": (1, 1), "block": {"time": 100}, "pbar": False}
    found = dasdist.classify(Toy(gain=3.0), data, out=folder / "picks", **{**given, **options})
    return found.picks


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_flipped_bit_in_a_ledger_costs_blocks_and_nothing_else(begun, tmp_path, rounds):
    folder, data, expected = begun
    whole = dasdist.status(folder / "picks")
    again = 0
    for bit in bits(folder / "picks.dasdist" / "ledger.jsonl", rounds, seed=3):
        run = tmp_path / str(bit)
        shutil.copytree(folder, run)
        flipped(run / "picks.dasdist" / "ledger.jsonl", int(bit))
        told = dasdist.status(run / "picks")
        assert told.damage
        assert whole.done - 2 <= told.done <= whole.done
        assert all(told.counts[name] <= count for name, count in whole.counts.items())
        with pytest.warns(dasdist.DataWarning) as said:
            picks = picks_of(run, data)
        assert told.damage in [str(one.message) for one in said]
        assert picks.equals(expected)
        found = dasdist.status(run / "picks")
        assert (found.damage, found.state, found.counts) == ("", whole.state, whole.counts)
        again += whole.done - told.done
        shutil.rmtree(run)
    print(f"\n{rounds} flips in a ledger: {again} of {rounds * whole.done} blocks done again")


@pytest.mark.slow
def test_a_flipped_bit_gives_no_other_picks(data, tmp_path):
    out = tmp_path / "picks.parquet"
    dasdist.classify(Toy(gain=3.0), data, thresholds=0.5, blinding=(1, 1), out=out, pbar=False)
    (part,) = out.iterdir()
    before, written = StoredPicks(out).read(), part.read_bytes()
    refused = 0
    for bit in bits(part, 3000, seed=1):
        flipped(part, int(bit))
        try:
            assert StoredPicks(out).read().equals(before)
        except dasdist.UnreadableData:
            refused += 1
        part.write_bytes(written)
    assert refused > 150  # the rest is in what is not read: metadata, padding


def test_a_flipped_bit_gives_no_other_probabilities(data, tmp_path):
    path = tmp_path / "prob.zarr"
    dasdist.annotate(Toy(gain=3.0), data, dasdist.WriterCallback(path), pbar=False)
    shard = next(path.glob("P/c/**/0"))
    while shard.is_dir():
        shard = next(shard.iterdir())
    with xr.open_zarr(path) as found:
        before = found.load()
    written, refused = shard.read_bytes(), 0
    for bit in bits(shard, 100, seed=2):
        flipped(shard, int(bit))
        try:
            with xr.open_zarr(path) as found:
                xr.testing.assert_equal(found.load(), before)
        except (ValueError, RuntimeError):
            refused += 1
        shard.write_bytes(written)
    assert refused > 90
