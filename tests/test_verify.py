"""``dasdist verify``: what rots is found wherever it lies, and the same call makes it good."""

import json
import shutil

import pytest
import xarray as xr

import dasdist
from dasdist.storage.lock import Lock
from tests.test_cli import here
from tests.test_odd_living import EVEN, Archive
from tests.test_rot import bits, flipped
from tests.toys import Toy, noise, recording

DATA = recording(noise(2000, 6))
ROUNDS = [5, pytest.param(1000, marks=[pytest.mark.deep, pytest.mark.timeout(3000)])]


def run(folder, **options):
    given = {"thresholds": 0.5, "blinding": (1, 1), "block": {"time": 128}, "pbar": False}
    return dasdist.classify(
        Toy(gain=3.0),
        DATA,
        out=folder / "picks",
        annotations=folder / "prob.zarr",
        **{**given, **options},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return folder, run(folder).picks


@pytest.fixture
def folder(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "run")
    return tmp_path / "run"


def contents(folder):
    """The bytes of all results."""
    files = [*folder.glob("picks/*"), *folder.glob("prob.zarr/**/*")]
    return {file.relative_to(folder): file.read_bytes() for file in files if file.is_file()}


def kinds(folder):
    """A file of each kind, and the output that it belongs to."""
    shards = sorted(folder.glob("prob.zarr/P/c/*/*"))  # the last ends with the array
    return {
        "part": (folder / "picks" / "block-000000001.parquet", "picks"),
        "shard": (shards[-1], "prob.zarr"),
        "root": (folder / "prob.zarr" / "zarr.json", "prob.zarr"),
        "array": (folder / "prob.zarr" / "S" / "zarr.json", "prob.zarr"),
        "time": (folder / "prob.zarr" / "time" / "c" / "0", "prob.zarr"),
        "distance": (folder / "prob.zarr" / "distance" / "c" / "0", "prob.zarr"),
        "ledger": (folder / "prob.zarr.dasdist" / "ledger.jsonl", "prob.zarr"),
        "run.json": (folder / "picks.dasdist" / "run.json", "picks"),
        "copy": (folder / "picks.dasdist" / "run-copy.json", "picks"),
    }


def test_all_that_was_written_is_read(made):
    folder, _ = made
    for name, files in (("picks", "*"), ("prob.zarr", "[PS]/c/*/*")):
        told = []
        found = dasdist.verify(folder / name, progress=lambda *both, told=told: told.append(both))
        size = sum(file.stat().st_size for file in (folder / name).glob(files))
        assert found.intact
        assert (found.blocks, found.unchecked, found.bytes) == (4, 0, size)
        assert told[-1] == (size, size)
        assert str(found).endswith("nothing is damaged")
        assert dasdist.verify(folder / f"{name}.dasdist").bytes == size


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("kind", ["part", "shard", "root", "array", "time", "ledger", "run.json"])
def test_any_bit_that_rots_is_found_and_the_same_call_makes_it_good(made, folder, kind, rounds):
    whole = contents(made[0])
    file, output = kinds(folder)[kind]
    missed = again = 0
    for bit in bits(file, rounds, seed=11):
        written = file.read_bytes()
        flipped(file, int(bit))
        found = dasdist.verify(folder / output)
        if found.intact:  # nothing that means anything: a space, the name of a checksum
            assert kind in ("root", "array")
            missed += 1
            file.write_bytes(written)
            continue
        assert len(found.damaged) <= 1
        assert dasdist.verify(folder / output).intact
        left = dasdist.status(folder / output)
        result = run(folder)
        assert (
            result.report.before
            == left.done
            == result.report.blocks - len(found.damaged) - (kind == "ledger" and left.done < 4)
        )
        again += result.report.blocks - result.report.before
        assert result.picks.equals(made[1])
        if kind not in ("ledger", "run.json"):
            assert contents(folder) == whole
    assert missed <= rounds / 2
    print(f"\n{rounds} flips in {kind}: {again} blocks done again, {missed} without a meaning")


@pytest.mark.parametrize("kind", ["part", "shard"])
def test_a_block_is_named_that_is_cut_off_or_gone(folder, kind):
    file, output = kinds(folder)[kind]
    file.write_bytes(file.read_bytes()[:-3])
    found = dasdist.verify(folder / output)
    ((block, what),) = found.damaged.items()
    assert what.endswith("has another size than was written")
    assert f"block {block}: 2024-01-01T00:00:" in str(found)
    assert "1 block is marked: the same call or command does them again" in str(found)
    run(folder)
    file.unlink()
    assert [*dasdist.verify(folder / output).damaged] == [block]
    assert dasdist.status(folder / output).state == "unfinished"


@pytest.mark.parametrize("kind", ["distance", "copy"])
def test_what_else_is_damaged_is_written_anew(made, folder, kind):
    file, output = kinds(folder)[kind]
    written = file.read_bytes()
    flipped(file, 8 * 20)
    found = dasdist.verify(folder / output)
    assert not found.intact
    assert not found.damaged
    assert "was damaged, and is written anew" in str(found)
    assert file.read_bytes() == written
    with (
        xr.open_zarr(folder / "prob.zarr") as again,
        xr.open_zarr(made[0] / "prob.zarr") as before,
    ):
        xr.testing.assert_identical(again.load(), before.load())


def test_a_run_of_an_earlier_version_is_not_said_to_be_checked(folder):
    ledger = folder / "picks.dasdist" / "ledger.jsonl"
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    for line in lines:
        for key in ("n", "again", "after", "crc32"):
            del line[key]
        del line["part"]["crc32c"]
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = dasdist.verify(folder / "picks")
    assert (found.intact, found.unchecked) == (True, 4)
    assert "4 blocks of an earlier version of dasdist have no checksum" in str(found)
    assert run(folder).report.before == 4


def test_blocks_with_other_numbers_than_places_are_found(tmp_path):
    """After an archive changed, what a block wrote bears the number that it had then."""
    archive = Archive(tmp_path / "archive", range(10, 20))

    def pick():
        options = {"thresholds": 0.5, "blinding": (1, 1), "block": {"time": 50}, "pbar": False}
        outputs = {"out": tmp_path / "picks", "annotations": tmp_path / "prob.zarr"}
        return dasdist.classify(Toy(gain=3.0, **EVEN), archive.open(), **options, **outputs)

    pick()
    archive.change([("late", number) for number in range(10)])
    expected = pick()
    run_json = json.loads((tmp_path / "picks.dasdist" / "run.json").read_text())
    assert run_json["numbers"][0] != run_json["numbers"][1]
    for name, files in (("picks", "*"), ("prob.zarr", "**/[PS]/c/*/*")):
        assert dasdist.verify(tmp_path / name).intact
        file = sorted((tmp_path / name).glob(files))[3]
        flipped(file, 400)
        found = dasdist.verify(tmp_path / name)
        assert len(found.damaged) == 1
        assert file.name in str(found)
        again = pick()
        assert again.report.before == again.report.blocks - 1
        assert again.picks.equals(expected.picks)
        assert dasdist.verify(tmp_path / name).intact


def test_an_output_that_a_run_holds_is_left_alone(folder):
    with (
        Lock(folder / "picks.dasdist" / "lock", "abcd"),
        pytest.raises(dasdist.OutputInUse, match="in use by run abcd"),
    ):
        dasdist.verify(folder / "picks")


def test_what_cannot_be_verified_is_said_in_one_sentence(folder):
    with pytest.raises(dasdist.InvalidInput, match="holds no run of dasdist"):
        dasdist.verify(folder)
    for name in ("run.json", "run-copy.json"):
        (folder / "picks.dasdist" / name).write_bytes(b"")
    with pytest.raises(dasdist.UnreadableData, match=r"run\.json is not JSON.* overwrite=True"):
        dasdist.verify(folder / "picks")


def test_the_command_ends_with_2_if_anything_is_damaged(folder):
    found = here("verify", folder / "picks")
    assert found.exit_code == 0
    assert "4 blocks" in found.output
    assert "nothing is damaged" in found.output
    flipped(folder / "picks" / "block-000000003.parquet", 300)
    found = here("verify", folder / "picks", "--json")
    *_, event, end = map(json.loads, found.stdout.splitlines())
    assert found.exit_code == end["exit_code"] == 2
    assert event["event"] == "verified"
    assert event["damaged"][0]["block"] == 3
    assert here("verify", folder / "picks").exit_code == 0
