"""What dasdist doctor finds, of sites that are well and of sites that are not."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager

import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.cluster.lifetime import walltime_seconds
from dasdist.doctor import findings_here, findings_of_cluster, gpus, locks, workers
from dasdist.doctor.asking import Answers, ask, collect, submit
from dasdist.doctor.folder import check_visible, probe_folder
from dasdist.doctor.replacing import REPEATS, REPLACED, STOP, judge_readings, keep_reading
from dasdist.doctor.sample import differences
from dasdist.doctor.surroundings import look
from tests.conftest import REPOSITORY


def by_name(findings):
    return {finding.name: finding for finding in findings}


def states(findings):
    return {finding.name: finding.state for finding in findings}


# ---------------------------------------------------------------- this machine alone


def test_without_a_cluster_this_machine_is_checked_and_nothing_stays(tmp_path):
    report = dasdist.check_site(folder=tmp_path)
    assert report.wrong == ()
    assert f"dasdist {dasdist.__version__}" in str(report)
    assert states(report.findings)["Files that are replaced"] == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_wrong(tmp_path):
    (found,) = findings_of_cluster(None, tmp_path / "nowhere", 0)
    assert (found.state, str(tmp_path / "nowhere") in found.fact) == ("wrong", True)


def test_no_probe_stays_if_the_user_stops_it(tmp_path, monkeypatch):
    def stop(*args):
        assert list(tmp_path.iterdir()) != []
        raise KeyboardInterrupt

    monkeypatch.setattr(locks, "check_locks", stop)
    with pytest.raises(KeyboardInterrupt):
        dasdist.check_site(folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_raises_is_a_finding_and_the_others_go_on(tmp_path, monkeypatch):
    def broken(folder):
        raise OSError("the disk is on fire")

    monkeypatch.setattr("dasdist.doctor.folder.space", broken)
    found = by_name(findings_of_cluster(None, tmp_path, 0))
    assert found["Free space"].state == "wrong"
    assert "OSError: the disk is on fire" in found["Free space"].fact
    assert found["File locks"].state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_too_old_or_missing_is_wrong(tmp_path, monkeypatch):
    """Real metadata of an old zarr stands first on the path; xdas is asked for by another name."""
    folder = tmp_path / "zarr-2.18.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: zarr\nVersion: 2.18\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("dasdist.doctor.here.requires", lambda name: ["zarr>=3.1.4", "nosuch>=1"])
    found = by_name(findings_here())["Python and packages"]
    assert found.state == "wrong"
    assert "zarr>=3.1.4, but 2.18 is installed" in found.fact
    assert "nosuch>=1, but it is not installed" in found.fact


# ---------------------------------------------------------------- file systems that are not here


def test_a_file_that_is_written_in_place_is_seen_torn(tmp_path):
    """Stands for a file system without atomic renames: the writer is one, the reads are real."""
    path, stop = tmp_path / REPLACED, tmp_path / STOP

    def write_in_place():
        count = 0
        while not stop.exists():
            count += 1
            with path.open("wb", buffering=0) as file:
                for _ in range(16):
                    file.write(f"{count:016d}".encode() * (REPEATS // 16))

    path.write_bytes(b"")
    writer = threading.Thread(target=write_in_place)
    writer.start()
    try:
        reading = keep_reading(str(tmp_path), 60)
    finally:
        stop.touch()
        writer.join()
    assert reading.torn > 0
    assert judge_readings({"a": reading}).state == "wrong"


def test_locks_that_others_do_not_see_are_a_warning():
    """No file system here forgets locks between machines, so the answers are made up."""
    found = locks.judge_locks({"a": "held", "b": "taken"}, {"a": "n1", "b": "n2"}, "n1")
    assert found.state == "warning"
    assert "1 worker took a lock that this process holds: b" in found.fact
    assert locks.judge_locks({"a": "No locks available"}, {}, "n1").state == "wrong"
    assert "on 1 other machines" in locks.judge_locks({"b": "held"}, {"b": "n2"}, "n1").fact


def test_other_picks_are_told_by_number():
    pd = pytest.importorskip("pandas")
    key = {"time": [1, 2], "channel_index": [0, 0], "phase": ["P", "S"]}
    picks = pd.DataFrame({**key, "confidence": [0.5, 0.6]})
    assert differences(picks, picks) == ""
    assert differences(picks[:1], picks) == "1 of 2 picks are missing, 0 are new"
    off = differences(picks.assign(confidence=[0.5, 0.61]), picks)
    assert off.startswith("confidences differ by up to 1.0e-02")


# ---------------------------------------------------------------- a cluster that is well


@pytest.mark.slow
def test_a_cluster_that_is_well_has_nothing_wrong(client, tmp_path):
    findings = list(findings_of_cluster(client, tmp_path, 60))
    assert [f for f in findings if f.state == "wrong"] == []
    sample = by_name(findings)["Two blocks on every node"]
    assert sample.state == "ok"
    assert "On each node (1), and spread over the cluster, the same" in sample.fact
    assert list(tmp_path.iterdir()) == []


def test_workers_that_do_not_come_are_wrong(client):
    found = workers.check_present(client, 3, 0.0, "Look at the logs.")
    assert (found.state, found.remedy) == ("wrong", "Look at the logs.")
    assert "2 workers on 1 machine:" in found.fact
    assert "3 were expected" in found.fact


def test_open_ports_are_a_warning(inproc_client, monkeypatch):
    """What a process listens on is made up, for no test listens on all interfaces."""
    monkeypatch.setattr(workers, "open_addresses", lambda: ("0.0.0.0:8786",))
    found = workers.check_listening(inproc_client)
    assert found.state == "warning"
    assert "on 0.0.0.0:8786" in found.fact


def test_a_scheduler_that_is_gone_is_a_finding(make_cluster, tmp_path):
    from distributed import Client

    with make_cluster(n_workers=1, processes=False) as cluster:
        client = Client(cluster, set_as_default=False)
    client.close()
    last = list(findings_of_cluster(client, tmp_path, 0))[-1]
    assert (last.name, last.state) == ("Other checks of the cluster", "wrong")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- a cluster that is ill


@contextmanager
def process(*command, **environ):
    with subprocess.Popen(
        command, env={**os.environ, **environ}, cwd=REPOSITORY, stderr=subprocess.DEVNULL
    ) as running:
        try:
            yield running
        finally:
            running.terminate()
            running.wait()


@pytest.fixture(scope="module")
def ill(tmp_path_factory):
    """A client of two workers with the same GPU; "odd" sees another folder, and another dasdist."""
    from distributed import Client

    if shutil.which("unshare") is None or subprocess.call(["unshare", "-m", "true"]):
        pytest.skip("needs mount namespaces: unshare -m")
    here = tmp_path_factory.mktemp("ill")
    shared, file = here / "shared", here / "scheduler.json"
    shared.mkdir()
    info = here / "path" / "dasdist-9.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dasdist\nVersion: 9.9.9\n")
    python = (sys.executable, "-m")
    scheduler = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file)
    worker = ("distributed.cli.dask_worker", "--scheduler-file", file, "--host", "127.0.0.1")
    worker = (
        *python,
        *worker,
        "--no-dashboard",
        "--local-directory",
        here,
    )
    path = os.pathsep.join([str(info.parent), str(REPOSITORY)])
    mount = f'mount -t tmpfs none "{shared}" && exec "$@"'
    odd = ("--no-nanny", "--name", "odd", "--nthreads", "99", "--memory-limit", "1GiB")
    with ExitStack() as stack:
        stack.enter_context(process(*python, "distributed.cli.dask_scheduler", *scheduler))
        stack.enter_context(
            process(*worker, "--name", "fine", "--nthreads", "1", CUDA_VISIBLE_DEVICES="0")
        )
        stack.enter_context(
            process(
                *("unshare", "-m", "sh", "-c", mount, "sh", *worker, *odd),
                PYTHONPATH=path,
                CUDA_VISIBLE_DEVICES="0",
                SLURM_MEM_PER_NODE="500",
            )
        )
        client = stack.enter_context(
            Client(scheduler_file=str(file), timeout=60, set_as_default=False)
        )
        client.wait_for_workers(2)
        names = {w["name"]: a for a, w in client.scheduler_info(n_workers=-1)["workers"].items()}
        yield client, shared, names


@pytest.mark.slow
@pytest.mark.deep
def test_a_worker_that_sees_another_folder_is_named(ill):
    client, shared, names = ill
    with probe_folder(shared) as probe:
        found = check_visible(probe, client, 0.0)
    assert found.state == "wrong"
    expected = f"{shared} is not the same for 1 of 2 workers: {names['odd']} (it does not see"
    assert expected in found.fact
    assert list(shared.iterdir()) == []


def test_versions_that_differ_are_wrong(ill):
    client, _, names = ill
    found = workers.check_versions(client)
    assert found.state == "wrong"
    expected = f"dasdist 9.9.9 on worker {names['odd']}, but {dasdist.__version__} here"
    assert found.fact == expected


def test_two_workers_on_one_gpu_that_torch_does_not_see_are_wrong(ill):
    client, _, names = ill
    around = ask(client, look)
    assert around.missing() is None
    found = gpus.check_pinning(around.given)
    assert found.state == "wrong"
    assert "2 workers on" in found.fact
    assert all(address in found.fact for address in names.values())
    import torch

    if not torch.cuda.is_available():
        found = gpus.check_gpus(around.given)
        assert found.state == "wrong"
        assert "2 workers were given GPUs that torch does not see" in found.fact


def test_limits_beyond_the_allocation_are_told(ill):
    client, _, _ = ill
    around = ask(client, look).given
    memory = workers.check_memory(client, around)
    assert memory.state == "wrong"
    assert "may use" in memory.fact
    assert "their job has 0.49 GiB there" in memory.fact
    threads = workers.check_threads(client, around)
    assert (threads.state, "100 task threads" in threads.fact) == ("warning", True)


def test_workers_without_nannies_are_a_warning(ill):
    client, _, names = ill
    found = workers.check_nannies(client)
    assert (found.state, names["odd"] in found.fact) == ("warning", True)
    assert names["fine"] not in found.fact


def test_a_worker_that_dies_meanwhile_gives_no_answer_and_others_do(make_cluster):
    from distributed import Client

    with make_cluster(n_workers=2) as cluster, Client(cluster, set_as_default=False) as client:
        victim, other = client.scheduler_info(n_workers=-1)["workers"]
        futures = submit(client, [victim], os._exit, 1) | submit(client, [other], os.getpid)
        answers = collect(client, futures)
    assert list(answers.given) == [other]
    assert answers.lost == {victim: "it left the cluster"}
    assert answers.missing().fact.startswith("1 of 2 workers did not answer")


def test_answers_of_all_leave_nothing_to_say():
    assert Answers({"a": 1}).missing() is None


# ---------------------------------------------------------------- without SLURM


def test_slurm_that_is_not_here_is_wrong_only_where_it_is_needed(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert states(findings_here())["SLURM's commands"] == "not checked"
    assert states(findings_here({"partition": "gpu"}))["SLURM's commands"] == "wrong"


@pytest.mark.parametrize("text", ["1:2:3:4", "x-1", "", "1:x"])
def test_what_is_no_walltime_is_refused(text):
    with pytest.raises(dasdist.InvalidInput, match="is none"):
        walltime_seconds(text)


# ---------------------------------------------------------------- the command


def run(*words):
    return CliRunner().invoke(app, ["doctor", *map(str, words)])


def test_the_command_ends_with_0_and_a_table_if_nothing_is_wrong(tmp_path):
    shown = run("--folder", tmp_path)
    assert shown.exit_code == 0
    assert "Files that are replaced" in shown.stdout
    quiet = run("--folder", tmp_path, "--quiet")  # but for warnings, of a small disk for instance
    assert quiet.exit_code == 0
    assert "Files that are replaced" not in quiet.output


def test_the_command_ends_with_1_and_the_remedy_if_something_is_wrong(tmp_path):
    shown = run("--folder", tmp_path / "nowhere", "--json")
    assert shown.exit_code == 1
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    wrong = [line for line in lines if line.get("state") == "wrong"]
    assert [(line["event"], line["check"]) for line in wrong] == [("finding", "Folder")]
    assert "--folder" in wrong[0]["remedy"]
    assert (lines[-1]["event"], lines[-1]["wrong"], lines[-1]["exit_code"]) == ("end", 1, 1)


def test_a_scheduler_that_does_not_answer_is_a_finding(tmp_path):
    shown = run("--folder", tmp_path, "--scheduler", tmp_path / "scheduler.json", "--json")
    assert shown.exit_code == 1
    wrong = [json.loads(line) for line in shown.stdout.splitlines() if '"wrong", "f' in line]
    assert [line["check"] for line in wrong] == ["Cluster"]
