"""Files that are written whole or not at all."""

import os
import stat

import pytest

import dasdist
from dasdist.storage.files import put_in_place, replacing, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "file"
    for data in ("älter", b"newer"):
        write_atomically(path, data)
        assert path.read_bytes() == (data if isinstance(data, bytes) else data.encode())
    assert names(tmp_path) == ["file"]


def test_the_file_and_then_its_folder_are_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda n: synced.append(os.readlink(f"/proc/self/fd/{n}")))
    monkeypatch.setattr(os, "replace", lambda *_: synced.append("renamed"))
    write_atomically(tmp_path / "file", b"all of it")
    with replacing(tmp_path / "other", tmp_path / "aside") as aside:
        aside.write_text("more")
    first, *rest = synced
    assert first.startswith(str(tmp_path / ".file."))
    assert rest == ["renamed", str(tmp_path), str(tmp_path / "aside"), "renamed", str(tmp_path)]


@pytest.mark.parametrize("when", ["write", "rename"])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, when):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, {"write": "fsync", "rename": "replace"}[when], fail)
        with pytest.raises(dasdist.OutputUnwritable, match="file cannot be written: No space left"):
            write_atomically(path, "new")
    assert (names(tmp_path), path.read_text()) == (["file"], "old")
    with pytest.raises(TypeError), replacing(path) as aside:
        aside.write_text(b"not text")
    assert (names(tmp_path), path.read_text()) == (["file"], "old")


def test_what_a_killed_process_left_under_a_name_of_its_own_goes(tmp_path):
    (tmp_path / "aside").write_text("half of an old one")
    with replacing(tmp_path / "file", tmp_path / "aside") as aside:
        assert not aside.exists()
        aside.write_text("new")
    assert names(tmp_path) == ["file"]


def test_permissions_are_those_asked_for_within_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "report", "")
        write_atomically(tmp_path / "key", "", mode=0o600)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("report", "key")]
    assert modes == [0o640, 0o600]


def test_where_nothing_can_be_written_it_says_what_to_do(tmp_path):
    missing = tmp_path / "not there" / "file"
    with pytest.raises(dasdist.OutputUnwritable, match="See that the folder is there"):
        write_atomically(missing, "data")
    with pytest.raises(dasdist.OutputUnwritable, match="See that the folder is there"):
        put_in_place(tmp_path / "aside", missing)
