"""What somebody put in the place of our files: it is left as it is, and one sentence says so."""

import os

import pytest

import dasdist
from dasdist.callbacks.parquet import PicksWriterCallback
from tests.toys import Toy, noise, recording

NAMES = [
    "picks.parquet.dasdist/lock",
    "picks.parquet.dasdist",
    ".index.nc.scan",
]


def write(name, folder):
    """Write the output, or the index, to which a name belongs."""
    data = recording(noise(400, 4))
    if "picks" in name:
        model = Toy(gain=3.0)
        out = folder / "picks.parquet"
        dasdist.annotate(model, data, PicksWriterCallback(out, 0.5, blinding=(1, 1)), pbar=False)
        return
    (folder / "files").mkdir(exist_ok=True)
    data.to_netcdf(folder / "files/data.nc")
    dasdist.index_archive(folder / "files", folder / "index.nc")


@pytest.mark.parametrize("name", NAMES)
def test_a_link_is_not_followed(name, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious\n")
    link = tmp_path / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(elsewhere)
    with pytest.raises(dasdist.InvalidInput, match=f"{link.name} is a link"):
        write(name, tmp_path)
    assert elsewhere.read_text() == "precious\n"
    link.unlink()
    write(name, tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("name", NAMES)
def test_what_belongs_to_another_user_is_left_alone(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".dasdist":
        path.mkdir()
    else:
        path.write_text("precious\n")
    os.chown(path, 12345, -1)
    with pytest.raises(dasdist.InvalidInput, match=r"belongs to another user \(12345\)"):
        write(name, tmp_path)
    assert path.is_dir() or path.read_text() == "precious\n"


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(".dasdist")])
def test_a_pipe_does_not_hold_a_run_up(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)
    with pytest.raises(dasdist.InvalidInput, match="no plain file"):
        write(name, tmp_path)


def test_a_run_goes_on_with_its_own_ledger_alone(tmp_path):
    name = "picks.parquet.dasdist/ledger.jsonl"
    write(name, tmp_path)
    ledger = (tmp_path / name).replace(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(ledger)
    before = ledger.read_bytes()
    with pytest.raises(dasdist.InvalidInput, match=r"ledger.jsonl is a link"):
        write(name, tmp_path)
    assert ledger.read_bytes() == before
