"""The cluster of ``--workers N``: whom it takes, and what if workers die as it starts."""

import json
import logging
import os
import threading
from contextlib import contextmanager, suppress

import dask
import psutil
import pytest
from distributed import Client

import dasdist
from dasdist.cluster.folder import running, write_facts
from dasdist.cluster.local import local_client

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_who_knows_only_the_port_is_refused():
    with local_client(1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for protocol in ("tcp", "tls"):
            with pytest.raises((OSError, TypeError, ValueError)):
                Client(address.replace("tls", protocol), timeout="2s", set_as_default=False)
        assert client.submit(os.getpid).result() != os.getpid()


@contextmanager
def deaths(number):
    """Kill the first worker processes that are forked, so many."""
    over, killed = threading.Event(), []
    me = psutil.Process()
    others = set(me.children(recursive=True))  # of clusters that other tests hold

    def kill():
        while len(killed) < number and not over.wait(0.01):
            for child in set(me.children(recursive=True)) - others:
                with suppress(psutil.Error):
                    if "forkserver" in " ".join(child.cmdline()) and child.ppid() != me.pid:
                        child.kill()
                        child.wait()
                        killed.append(child.pid)
                        break

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_worker_that_dies_as_the_cluster_starts_is_tried_once_more(caplog):
    with (
        caplog.at_level(logging.WARNING, "dasdist"),
        deaths(1) as killed,
        local_client(1) as client,
    ):
        assert client.submit(os.getpid).result() != os.getpid()
    assert len(killed) == 1
    assert [r.getMessage() for r in caplog.records if r.name == "dasdist"] == [
        "A worker process died while the cluster started; trying once more."
    ]


def test_workers_that_go_on_dying_are_one_sentence():
    words = "did not start: a worker process died, and when"
    with pytest.raises(dasdist.DasdistError, match=words), deaths(2), local_client(1):
        pass


class TestSchedulerFiles:
    """A client runs what its scheduler says, so nobody else may choose the scheduler."""

    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "cluster"
        folder.mkdir(mode=0o700)
        write_facts(folder, "tcp://127.0.0.1:1", {"name": "mine"})
        return folder

    @pytest.mark.parametrize(
        ("what", "mode"), [(".", 0o770), (".", 0o707), ("scheduler.json", 0o666)]
    )
    def test_one_that_others_can_write_is_refused(self, folder, what, mode):
        (folder / what).chmod(mode)
        for where in (folder, folder / "scheduler.json"):
            with pytest.raises(dasdist.InvalidInput, match=f"mode {mode:o}.*chmod go-rwx"):
                dasdist.connect(where)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
    @pytest.mark.parametrize("what", [".", "scheduler.json"])
    def test_one_of_somebody_else_is_refused(self, folder, what):
        os.chown(folder / what, 12345, -1)
        with pytest.raises(dasdist.InvalidInput, match="owner 12345"):
            dasdist.connect(folder)

    def test_a_key_in_a_folder_that_others_can_read_is_refused(self, folder):
        (folder / "key.pem").write_text("")
        folder.chmod(0o755)
        with pytest.raises(dasdist.InvalidInput, match="mode 755"):
            dasdist.connect(folder)

    def test_one_of_dask_in_a_folder_that_others_can_read_is_taken(self, folder):
        (folder / "scheduler.json").write_text(json.dumps({"address": "tcp://127.0.0.1:1"}))
        (folder / "scheduler.json").chmod(0o644)
        folder.chmod(0o755)
        with pytest.raises(dasdist.InvalidInput, match="No scheduler answers"):
            dasdist.connect(folder, timeout="1s")

    def test_a_list_of_clusters_leaves_it_out_and_says_so(self, tmp_path, folder, caplog):
        with dask.config.set({"jobqueue.slurm.shared-temp-directory": str(tmp_path)}):
            from dasdist.cluster.folder import home

            home().mkdir(mode=0o700)
            folder.rename(home() / "one")
            assert [facts["name"] for facts in running()] == ["mine"]
            (home() / "one").chmod(0o777)
            assert running() == []
        assert "Others could have written" in caplog.text

    @pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
    def test_a_folder_that_somebody_made_first_in_a_shared_place_is_refused(self, tmp_path):
        from dasdist.cluster.folder import home, new_folder

        with dask.config.set({"jobqueue.slurm.shared-temp-directory": str(tmp_path)}):
            assert home().parent == tmp_path
            home().mkdir(mode=0o700)
            os.chown(home(), 12345, -1)
            with pytest.raises(dasdist.InvalidInput, match="owner 12345"):
                new_folder("mine")
