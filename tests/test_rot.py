"""Bits that rot on a disk: what is read is what was written, or an error says what is not."""

import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
import torch
import xarray as xr

import dasdist
from dasdist.api import naming
from dasdist.archive_changes import ArchiveChange, FileChange
from dasdist.callbacks.parquet import StoredPicks
from dasdist.journal import changes, origins_file
from dasdist.sources.origins import Origins
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


# ---------------------------------------------------------------- what says what a run is


@pytest.fixture(scope="module")
def both(data, tmp_path_factory):
    """A run with picks and annotations, and its picks."""
    folder = tmp_path_factory.mktemp("both")
    return folder, picks_of(folder, data, annotations=folder / "prob.zarr")


@pytest.fixture
def damaged(both, tmp_path):
    """The same, to be damaged."""
    shutil.copytree(both[0], tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_flipped_bit_in_run_json_is_told_and_mended(both, data, damaged, rounds):
    description = damaged / "picks.dasdist" / "run.json"
    written = description.read_bytes()
    for bit in bits(description, rounds, seed=4):
        flipped(description, int(bit))
        told = dasdist.status(damaged / "picks")
        assert f"{description} " in told.damage
        assert "Its copy, run-copy.json, is whole" in told.damage
        assert (told.state, told.counts) == ("complete", {**told.counts, "picks": len(both[1])})
        with pytest.warns(dasdist.DataWarning, match=r"run\.json .* Its copy"):
            found = picks_of(damaged, data, annotations=damaged / "prob.zarr")
        assert found.equals(both[1])
        assert dasdist.status(damaged / "picks").damage == ""
        assert description.read_bytes() == written


HALVES = {"empty": 0, "half": 0.5, "all but a byte": -1}


@pytest.mark.parametrize("left", HALVES)
def test_without_a_whole_run_json_the_error_says_what_to_do(both, data, damaged, left):
    out = damaged / "picks"
    for name in ("run.json", "run-copy.json"):
        cut_off(damaged / "picks.dasdist" / name, HALVES[left])
    again = {"annotations": damaged / "prob.zarr"}
    for use in (lambda: dasdist.status(out), lambda: picks_of(damaged, data, **again)):
        with pytest.raises(dasdist.UnreadableData, match=r"run\.json .* no whole copy") as error:
            use()
        assert "overwrite=True (--overwrite)" in str(error.value)
    anew = picks_of(damaged, data, overwrite=True, **again)  # also: nobody holds the output
    assert anew.equals(both[1])
    assert dasdist.status(out).state == "complete"


def cut_off(path, share):
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: share if share < 0 else int(share * size)])


@pytest.mark.parametrize("seed", [0, pytest.param(range(1, 35), marks=pytest.mark.deep)])
def test_a_run_json_of_before_that_is_damaged_ends_in_no_traceback(data, damaged, seed):
    """It has neither checksum nor copy: what its text still is, it is taken for."""
    description = damaged / "picks.dasdist" / "run.json"
    run = {k: v for k, v in json.loads(description.read_text()).items() if k != "crc32"}
    del run["taken_back"]
    told = set()
    for bit in [bit for s in np.atleast_1d(seed) for bit in bits(description, 30, seed=s)]:
        (damaged / "picks.dasdist" / "run-copy.json").unlink()
        description.write_text(json.dumps(run, indent=1))
        if bit // 8 < description.stat().st_size:
            flipped(description, int(bit))
        try:
            told.add(dasdist.status(damaged / "picks").state)
        except dasdist.UnreadableData:
            told.add("refused")
        try:
            picks_of(damaged, data, annotations=damaged / "prob.zarr")
        except dasdist.DasdistError:
            shutil.copy(description, description.with_name("run-copy.json"))
    assert told >= {"complete", "refused"}


@pytest.mark.parametrize("rounds", ROUNDS)
def test_a_flipped_bit_in_the_metadata_of_a_store_is_told_and_mended(both, data, damaged, rounds):
    root = damaged / "prob.zarr" / "zarr.json"
    written = root.read_bytes()
    with dasdist.open_annotations(both[0] / "prob.zarr") as found:
        expected = found.load()
    refused = 0
    for bit in bits(root, rounds, seed=5):
        flipped(root, int(bit))
        try:
            with dasdist.open_annotations(root.parent) as found:
                assert found.load().equals(expected)
            continue  # in a space between two members, or in the name of the checksum
        except dasdist.UnreadableData:
            refused += 1
        with pytest.warns(dasdist.DataWarning, match=r"zarr\.json is .* takes its place"):
            picks_of(damaged, data, annotations=damaged / "prob.zarr")
        assert root.read_bytes() == written
    assert refused > 0.7 * rounds


@pytest.mark.parametrize("left", HALVES)
def test_without_whole_metadata_a_store_is_begun_anew_when_that_is_asked_for(
    both, data, damaged, left
):
    store, again = damaged / "prob.zarr", {"annotations": damaged / "prob.zarr"}
    for path in (store / "zarr.json", damaged / "prob.zarr.dasdist" / "zarr-copy.json"):
        cut_off(path, HALVES[left])
    for use in (lambda: dasdist.open_annotations(store), lambda: picks_of(damaged, data, **again)):
        with pytest.raises(dasdist.UnreadableData, match="overwrite=True") as error:
            use()
        assert f"{store}/zarr.json is not JSON" in str(error.value)
    assert picks_of(damaged, data, overwrite=True, **again).equals(both[1])
    with (
        dasdist.open_annotations(store) as found,
        dasdist.open_annotations(both[0] / "prob.zarr") as expected,
    ):
        xr.testing.assert_equal(found.load(), expected.load())


def test_picks_whose_first_part_is_damaged_are_replaced_when_that_is_asked_for(both, data, damaged):
    for part in (damaged / "picks").iterdir():
        part.write_bytes(b"")
    anew = picks_of(damaged, data, annotations=damaged / "prob.zarr", overwrite=True)
    assert anew.equals(both[1])


@pytest.mark.parametrize("rounds", ROUNDS)
def test_what_else_lies_in_a_journal_may_rot(tmp_path, rounds):
    folder = tmp_path / "journal"
    folder.mkdir()
    paths = [f"/data/{number}.h5" for number in range(9)]
    times = np.arange(18, dtype=np.int64).reshape(9, 2)
    origins = Origins(np.arange(10), np.arange(9), np.arange(9), times, paths)
    origins_file.save(folder, "ab" * 16, origins)
    change = ArchiveChange((FileChange("a", "new", "t", "u"),), {"new": 1}, (), 3, 4, "now")
    changes.note(folder, change)
    (file,) = folder.glob("files-*.npz")
    for bit in bits(file, rounds, seed=6):
        flipped(file, int(bit))
        if origins_file.saved(folder, "ab" * 16):  # the name of the checksum is what was hit
            assert origins_file.load(folder, "ab" * 16).paths == paths
        origins_file.save(folder, "ab" * 16, origins)
        assert origins_file.load(folder, "ab" * 16).paths == paths
    for bit in bits(folder / "changes.json", rounds, seed=7):
        flipped(folder / "changes.json", int(bit))
        assert changes.last(folder) in (None, (change, False))
        changes.settle(folder)
        changes.note(folder, change)
    assert changes.last(folder) == (change, False)


# ---------------------------------------------------------------- results


@pytest.mark.slow
def test_a_flipped_bit_gives_no_other_picks(data, tmp_path):
    out = tmp_path / "picks.parquet"
    dasdist.classify(Toy(gain=3.0), data, thresholds=0.5, blinding=(1, 1), out=out, pbar=False)
    (part,) = out.iterdir()
    before, written = StoredPicks(out).read(), part.read_bytes()
    refused = 0
    for bit in bits(part, 1000, seed=1):
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


# ---------------------------------------------------------------- weights


@pytest.fixture
def saved(tmp_path):
    """Weights of a model, in a pair of files."""
    torch.manual_seed(0)
    torch.save(Toy(gain=2.0).state_dict(), tmp_path / "toy.pt")
    (tmp_path / "toy.json").write_text('{"model_args": {}}')
    return tmp_path / "toy.pt"


@pytest.mark.parametrize("rounds", [100, pytest.param(1000, marks=pytest.mark.deep)])
def test_a_flipped_bit_in_weights_gives_no_other_model(saved, rounds):
    written, refused = saved.read_bytes(), 0
    for bit in bits(saved, rounds, seed=9):
        flipped(saved, int(bit))
        try:
            assert Toy.from_pretrained(saved).gain == 2.0
        except dasdist.InvalidInput:
            refused += 1
        saved.write_bytes(written)
    assert refused > rounds / 10  # the rest is padding, and what nobody reads


@pytest.mark.parametrize("which", ["toy.json", "toy.pt"])
def test_a_list_of_hashes_beside_a_model_is_checked(saved, which):
    listed = saved.with_suffix(".sha256")
    command = ["sha256sum", "toy.json", "toy.pt"]
    listed.write_bytes(subprocess.check_output(command, cwd=saved.parent))
    assert Toy.from_pretrained(saved).gain == 2.0
    (saved.parent / which).write_bytes((saved.parent / which).read_bytes() + b" ")
    with pytest.raises(dasdist.InvalidInput, match=f"{which} is damaged: its hash .* toy.sha256"):
        Toy.from_pretrained(saved)
    listed.write_text("0" * 64 + "  ../toy.pt\n")
    with pytest.raises(dasdist.InvalidInput, match=r"toy.sha256 is damaged: it lists '\.\./toy"):
        Toy.from_pretrained(saved)


def test_torch_alone_would_not_notice(saved):
    """If this fails, torch has begun to look, and need not be helped any more."""
    data = bytearray(saved.read_bytes())
    data[data.index(np.float32(2.0).tobytes() + b"PK")] ^= 1
    saved.write_bytes(data)
    assert torch.load(saved, weights_only=True)["gain"] != 2.0
    with pytest.raises(dasdist.InvalidInput, match=r"toy\.pt is damaged: the checksum of .*data/0"):
        Toy.from_pretrained(saved)


@pytest.mark.parametrize("name", ["demo.pt", "demo.json"])
def test_the_picker_that_comes_with_dasdist_is_what_was_trained(monkeypatch, tmp_path, name):
    for file in ("demo.pt", "demo.json", "demo.sha256"):
        shutil.copy(files("dasdist.demo") / file, tmp_path)
    monkeypatch.setattr(naming, "files", lambda _: tmp_path)
    before = dasdist.from_pretrained("demo").state_dict()
    assert before.keys() == torch.load(tmp_path / "demo.pt", weights_only=True).keys()
    flipped(tmp_path / name, 8 * 400)
    with pytest.raises(dasdist.InvalidInput, match=f"{name} is damaged: .* installing dasdist"):
        dasdist.from_pretrained("demo")


@pytest.mark.seisbench
def test_weights_in_the_cache_of_seisbench_are_checked(shared_data, monkeypatch, tmp_path):
    models = pytest.importorskip("seisbench.models")
    cached = models.PhaseNet._model_path() / "original.pt.v1"
    if not cached.is_file():
        pytest.skip("no weights of PhaseNet in the cache")
    shutil.copytree(cached.parent, tmp_path / "phasenet")
    monkeypatch.setattr(models.PhaseNet, "_model_path", lambda: tmp_path / "phasenet")
    assert dasdist.from_pretrained("seisbench:PhaseNet/original").annotate_keys
    file = tmp_path / "phasenet" / "original.pt.v1"
    flipped(file, 4 * file.stat().st_size)
    with pytest.raises(dasdist.InvalidInput, match=r"original\.pt\.v1 is damaged"):
        dasdist.from_pretrained("seisbench:PhaseNet/original")
