"""What dasdist doctor finds of a real SLURM."""

import json
import subprocess

import pytest

from dasdist.doctor import findings_here
from tests.test_doctor import by_name, run

pytestmark = pytest.mark.slurm


@pytest.mark.parametrize(
    ("asked", "name", "facts"),
    [
        ({"partition": "nope"}, "Partition", ["There is no partition nope", "normal", "gpu"]),
        ({"walltime": "9-00:00:00"}, "Walltime", ["longer than 1:00:00", "normal"]),
        ({"walltime": "soon"}, "Walltime", ["soon is not a walltime"]),
        ({"gpus_per_job": 3}, "GPUs of a job", ["No node of normal has 3 gpu", "gpu:fake:1"]),
        (
            {"job_extra": ["--gres=gpu:a100:1"]},
            "GPUs of a job",
            ["No node of normal has 1 gpu:a100", "gpu:fake:1"],
        ),
        ({"cores": 64}, "Size of a job", ["64 cores", "up to 2 cores and 4000 MiB"]),
        ({"memory": "1TiB"}, "Size of a job", ["1048576 MiB", "up to 2 cores and 4000 MiB"]),
        ({"job_extra": ["--constraint=nope"]}, "Submission", ["Invalid feature specification"]),
        ({"interface": "ib7"}, "Address of a scheduler", ["no interface ib7", "lo (127.0.0.1)"]),
    ],
)
def test_what_slurm_does_not_have_is_said_with_what_there_is(asked, name, facts):
    found = by_name(findings_here({"cores": 2, "memory": "2GiB", "interface": "lo", **asked}))
    assert found[name].state == "wrong"
    assert found[name].remedy
    assert [fact for fact in facts if fact not in found[name].fact] == []


def test_a_job_that_fits_is_taken():
    asked = {"partition": "gpu", "gpus_per_job": 1, "cores": 2, "memory": "2GiB"}
    found = list(findings_here({**asked, "interface": "lo", "walltime": "00:10:00"}))
    assert [f for f in found if f.state != "ok"] == []


@pytest.mark.slow
def test_jobs_on_two_nodes_are_checked_and_gone_afterwards(tmp_path):
    """The GPUs are fake: each worker has its own, and torch sees none of them."""
    words = ["--cluster", "slurm", "--jobs", "2", "--gpus-per-job", "1", "--partition", "gpu"]
    words += ["--cores", "2", "--memory", "3GB", "--interface", "lo", "--walltime", "00:10:00"]
    shown = run(*words, "--folder", tmp_path, "--cluster-folder", tmp_path / "cluster", "--json")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    found = {line["check"]: line for line in lines if line["event"] == "finding"}
    assert found["Two blocks on every node"]["state"] == "ok"
    assert "On each node (2)" in found["Two blocks on every node"]["fact"]
    assert found["One GPU a worker"]["state"] == "ok"
    wrong = {name for name, line in found.items() if line["state"] == "wrong"}
    assert wrong <= {"GPUs of the workers"}
    name = next(line["jobs"] for line in lines if line["event"] == "cluster")
    queue_of = subprocess.run(
        ["squeue", "--noheader", f"--name={name}"], capture_output=True, text=True, check=True
    )
    assert [line for line in queue_of.stdout.splitlines() if " CG " not in line] == []
    assert [path.name for path in tmp_path.iterdir()] in ([], ["cluster"])
