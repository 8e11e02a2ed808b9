"""Checks of SLURM: whether it answers, and whether its nodes have what jobs will ask for.

Each limit is compared with what ``sinfo`` says; last comes ``sbatch --test-only``, which knows
accounts, limits of users and all other options, and queues nothing.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from dasdist.cluster.job_size import Job
from dasdist.cluster.lifetime import walltime_seconds
from dasdist.cluster.partition import SINFO, Node, count_gres, nodes_of_partition, read_nodes
from dasdist.doctor.finding import NotChecked, Outcome, check, named_few, ok
from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = [
    "check_commands",
    "check_gres",
    "check_partition",
    "check_size",
    "check_submission",
    "check_walltime",
]

COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")

_PATIENCE = 60.0  # seconds


# ---------------------------------------------------------------- asking SLURM


def _said(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        raise NotChecked(f"SLURM is not installed here: {command[0]} is not on the PATH.")
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)


def _nodes() -> tuple[Node, ...]:
    said = _said(*SINFO)
    if said.returncode:
        raise NotChecked(f"sinfo does not answer: {said.stderr.strip()}")
    return read_nodes(said.stdout)


def _chosen(asked: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the nodes of the partition that jobs go to."""
    nodes = nodes_of_partition(_nodes(), asked.get("partition"))
    if not nodes:
        raise NotChecked("There is no such partition.")
    return nodes


def _job(asked: Mapping[str, Any], nodes: Sequence[Node]) -> Job:
    """Return what `dasdist.slurm_cluster` would ask for."""
    return Job.of(
        cores=asked.get("cores"),
        memory=asked.get("memory"),
        gpus=asked.get("gpus_per_job") or 0,
        walltime=asked.get("walltime"),
        nodes=nodes,
    )


@check("SLURM's commands")
def check_commands(*, needed: bool = False) -> Outcome:
    """Check whether SLURM's commands are installed and its controller answers."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        fact = f"SLURM's commands are not on the PATH: {', '.join(absent)}."
        if not needed:
            raise NotChecked("There is no SLURM here.")
        return Outcome("wrong", fact, "Run this on a login node, or load SLURM's module.")
    said = [_said("sinfo", "--noheader"), _said("squeue", "--noheader", "--me")]
    silent = [s for s in said if s.returncode]
    if silent:
        fact = "; ".join(
            f"{s.args[0]} failed with exit code {s.returncode}: {s.stderr.strip()}" for s in silent
        )
        if not needed:
            raise NotChecked("SLURM does not answer here.")
        return Outcome("wrong", fact, "Look with `scontrol ping` whether SLURM's controller is up.")
    return ok(_said("sinfo", "--version").stdout.strip() + " answers.")


@check("Partition")
def check_partition(asked: Mapping[str, Any]) -> Outcome:
    """Check whether the partition exists and takes jobs."""
    nodes, name = _nodes(), asked.get("partition")
    known = list(dict.fromkeys(n.partition for n in nodes))
    mine = nodes_of_partition(nodes, name)
    if not mine:
        return Outcome(
            "wrong",
            f"There is no partition {name}; there are {', '.join(known)}."
            if name
            else f"No partition was given, and SLURM has no default one; there are "
            f"{', '.join(known)}.",
            "Name one of these with --partition.",
        )
    up = [n for n in mine if n.up]
    fact = f"{mine[0].partition}: {len(up)} of {len(mine)} nodes take jobs."
    if not up:
        return Outcome(
            "wrong", fact, "Name another partition with --partition, or wait; `sinfo -R` says why."
        )
    return ok(fact)


def _seconds(walltime: str) -> float:
    seconds = walltime_seconds(walltime)
    return inf if seconds is None else seconds


@check("Walltime")
def check_walltime(asked: Mapping[str, Any]) -> Outcome:
    """Compare the walltime with the partition's longest."""
    nodes = _chosen(asked)
    most, wanted = nodes[0], _job(asked, nodes).walltime
    try:
        longer = _seconds(wanted) > _seconds(most.most)
    except InvalidInput:
        return Outcome(
            "wrong",
            f"{wanted} is not a walltime.",
            "Write --walltime as HH:MM:SS or D-HH:MM:SS, such as 04:00:00.",
        )
    if longer:
        return Outcome(
            "wrong",
            f"{wanted} is longer than {most.most}, the longest that {most.partition} allows; such "
            "jobs would wait for ever.",
            f"Ask for --walltime {most.most} or less; jobs that end are replaced, so shorter ones "
            "do as well.",
        )
    return ok(f"A job runs for {wanted}; {most.partition} allows at most {most.most}.")


@check("GPUs of a job")
def check_gres(asked: Mapping[str, Any]) -> Outcome:
    """Check whether any node has the GPUs and other generic resources that a job asks for."""
    wanted = _gres(asked)
    if not wanted:
        raise NotChecked("Jobs do not ask for GPUs (--gpus-per-job).")
    nodes = _chosen(asked)
    for kind, number in wanted:
        if not any(count_gres(n.gres, kind) >= number for n in nodes):
            there = list(dict.fromkeys(n.gres or "none" for n in nodes))
            return Outcome(
                "wrong",
                f"No node of {nodes[0].partition} has {number} {kind}; a node has "
                f"{named_few(there)}.",
                "Ask for at most that with --gpus-per-job, or name another --partition.",
            )
    having = [n for n in nodes if all(count_gres(n.gres, kind) >= num for kind, num in wanted)]
    asks = ", ".join(f"{number} {kind}" for kind, number in wanted)
    return ok(f"{len(having)} of {len(nodes)} nodes of {nodes[0].partition} have {asks}.")


def _gres(asked: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the generic resources of a job, of its GPUs and of its other options."""
    found = [("gpu", int(asked["gpus_per_job"]))] if asked.get("gpus_per_job") else []
    for option in asked.get("job_extra") or ():
        name, _, value = option.partition("=")
        for entry in filter(None, value.split(",") if name == "--gres" else ()):
            kind, _, number = entry.rpartition(":")
            found.append((kind, int(number)) if kind and number.isdigit() else (entry, 1))
    return found


@check("Size of a job")
def check_size(asked: Mapping[str, Any]) -> Outcome:
    """Check whether any node has the cores and the memory that a job asks for."""
    nodes = _chosen(asked)
    job = _job(asked, nodes)
    most = max(n.cpus for n in nodes), max(n.memory for n in nodes)
    fact = f"{count_of(job.cores, 'core')} and {job.mebibytes} MiB of memory a job"
    if not any(n.cpus >= job.cores and n.memory >= job.mebibytes for n in nodes):
        return Outcome(
            "wrong",
            f"{fact} do not fit on any node of {nodes[0].partition}, which have up to {most[0]} "
            f"cores and {most[1]} MiB.",
            "Ask for less with --cores and --memory.",
        )
    return ok(
        f"{fact} fit; nodes of {nodes[0].partition} have up to {most[0]} cores and {most[1]} MiB."
    )


@check("Submission")
def check_submission(asked: Mapping[str, Any]) -> Outcome:
    """Ask SLURM whether it would take a job, without queueing one."""
    command = ["sbatch", "--test-only", *submission(asked), "--wrap=true"]
    said = _said(*command)
    text = " ".join((said.stderr + said.stdout).split())
    if said.returncode:
        return Outcome(
            "wrong",
            f"SLURM would not take a job: {text}",
            "Change the options of this command until SLURM takes it, then pass the same ones: "
            + " ".join(command),
        )
    return ok(text.removeprefix("sbatch: "))


def submission(asked: Mapping[str, Any]) -> Sequence[str]:
    """Return the options of ``sbatch`` for a job."""
    job = _job(asked, _chosen(asked))
    named = {
        "partition": asked.get("partition"),
        "account": asked.get("account"),
        "time": job.walltime,
        "gres": f"gpu:{asked['gpus_per_job']}" if asked.get("gpus_per_job") else None,
    }
    return [
        *(f"--{name}={value}" for name, value in named.items() if value is not None),
        f"--cpus-per-task={job.cores}",
        f"--mem={job.mebibytes}M",
        *(asked.get("job_extra") or ()),
    ]
