"""Folders of clusters: whose they are, and which are removed when they are old."""

import os
import subprocess
import sys
import time

import dask
import pytest

import dasdist
from dasdist.cluster.folder import new_folder
from dasdist.cluster.jobs import user_name
from dasdist.cluster.old_folders import LOCK, remove_old_folders
from dasdist.storage.lock import Lock

DAY = 86400.0


@pytest.fixture
def home(tmp_path):
    """The folder of all clusters."""
    with dask.config.set({"jobqueue.slurm.shared-temp-directory": str(tmp_path)}):
        folder = tmp_path / f"dasdist-{user_name()}"
        folder.mkdir(mode=0o700)
        yield folder


def ended(home, name, days, lock=True):
    """Make the folder of a cluster that ended some days ago."""
    folder = home / name
    (folder / "logs").mkdir(parents=True)
    folder.chmod(0o700)
    (folder / "logs/job.err").write_text("what went wrong\n")
    if lock:
        with Lock(folder / LOCK, name):
            pass
    past = time.time() - days * DAY
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (past, past))
    return folder


def test_a_new_cluster_removes_what_ended_more_than_two_weeks_ago(home):
    old = [ended(home, "dasdist-00000001", 15), ended(home, "night-00000002", 400, lock=False)]
    recent = ended(home, "dasdist-00000003", 13)
    ours = new_folder("dasdist-00000004")
    assert sorted(home.iterdir()) == [recent, ours]
    assert (recent / "logs/job.err").exists()
    assert not any(folder.exists() for folder in old)


def test_the_folder_of_a_cluster_that_runs_stays_however_old_its_files_are(home):
    folder = ended(home, "dasdist-00000001", 300)
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from dasdist.storage.lock import Lock\n"
            "with Lock(Path(sys.argv[1]), 'running'): print(flush=True); sys.stdin.read()",
            str(folder / LOCK),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        holder.stdout.readline()
        os.utime(folder / LOCK, (0, 0))  # as if its process had slept since
        assert remove_old_folders(home) == []
        with pytest.raises(dasdist.InvalidInput, match="is the folder of another cluster"):
            new_folder("any", folder)
    assert (folder / "logs/job.err").exists()
    os.utime(folder / LOCK, (0, 0))
    assert remove_old_folders(home) == [folder]


def test_the_folder_of_a_cluster_on_another_machine_stays(home):
    folder = ended(home, "dasdist-00000001", 300)
    (folder / LOCK).write_text('{"host": "login2", "pid": 1, "run": "dasdist-00000001"}')
    assert remove_old_folders(home) == []  # touched just now


def test_what_the_user_named_or_linked_stays(home, tmp_path):
    kept = [ended(home, "my-cluster", 300), ended(tmp_path / "elsewhere", "dasdist-00000001", 300)]
    link = home / "dasdist-00000002"
    link.symlink_to(kept[1])
    (home / "dasdist-00000003").write_text("a file")
    assert remove_old_folders(home) == []
    assert all((folder / "logs/job.err").exists() for folder in kept)


def test_a_key_without_a_lock_is_of_an_earlier_version_that_may_run(home):
    folder = ended(home, "dasdist-00000001", 300, lock=False)
    (folder / "key.pem").touch()
    os.utime(folder, (0, 0))
    assert remove_old_folders(home) == []


def test_folders_given_by_the_user_have_no_neighbours_removed(home, tmp_path):
    old = ended(home, "dasdist-00000001", 300)
    new_folder("any", tmp_path / "mine")
    assert old.exists()
