"""Checks of SLURM: whether it answers, and has what jobs will ask for.

Each limit is compared with what ``sinfo`` says; in the end ``sbatch --test-only`` is asked, which
knows accounts, limits of users and all other options, and queues nothing.
"""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from dasdist.cluster.lifetime import walltime_seconds
from dasdist.doctor.finding import NotChecked, Outcome, check, named_few, ok
from dasdist.errors import InvalidInput

__all__ = [
    "Node",
    "check_commands",
    "check_gres",
    "check_partition",
    "check_size",
    "check_submission",
    "check_walltime",
    "count_gres",
    "read_nodes",
]

COMMANDS = ("sbatch", "squeue", "sinfo", "scancel")

_PATIENCE = 60.0  # seconds
_DOWN = ("down", "drain", "fail", "maint", "unk", "no_respond", "not_responding")


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as a partition has it.

    Parameters
    ----------
    partition : str
        The partition.
    default : bool
        Whether jobs go there that name none.
    name : str
        The node's.
    cpus : int
        CPUs.
    memory : int
        MiB.
    gres : str
        Generic resources, as SLURM writes them.
    most : str
        The partition's longest walltime, as SLURM writes it.
    up : bool
        Whether partition and node take jobs.
    """

    partition: str
    default: bool
    name: str
    cpus: int
    memory: int
    gres: str
    most: str
    up: bool


def read_nodes(text: str) -> tuple[Node, ...]:
    """Read what ``sinfo`` says of all nodes in all partitions.

    Examples
    --------
    >>> read_nodes("gpu*|n1|32|256000|gpu:a100:4(S:0-1)|1-00:00:00|idle|up")[0].partition
    'gpu'
    """
    rows = [line.strip().split("|") for line in text.splitlines() if line.strip()]
    return tuple(
        Node(
            partition=partition.rstrip("*"),
            default=partition.endswith("*"),
            name=name,
            cpus=_whole(cpus),
            memory=_whole(memory),
            gres="" if gres == "(null)" else gres,
            most=most,
            up=available == "up" and not state.startswith(_DOWN) and not state.endswith("*"),
        )
        for partition, name, cpus, memory, gres, most, state, available in rows
    )


def _whole(text: str) -> int:
    return int(re.match(r"\d+", text)[0])  # type: ignore[index] # a "+" may follow


def count_gres(gres: str, wanted: str) -> int:
    """Count the generic resources of a kind, such as ``gpu`` or ``gpu:a100``, that a node has.

    Examples
    --------
    >>> count_gres("gpu:a100:4(S:0-1),gpu:v100:2,nvme:1", "gpu")
    6
    >>> count_gres("gpu:a100:4(S:0-1),gpu:v100:2,nvme:1", "gpu:v100")
    2
    >>> count_gres("gpu:2", "gpu:a100")
    0
    """
    total = 0
    for entry in filter(None, re.sub(r"\([^)]*\)", "", gres).split(",")):
        *kind, number = entry.split(":") if ":" in entry else (entry, "1")
        if wanted in (kind[0], ":".join(kind)):
            total += int(number) if number.isdigit() else 1
    return total


def _said(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        raise NotChecked(f"There is no SLURM here: {command[0]} is not on the PATH.")
    return subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)


def _nodes() -> tuple[Node, ...]:
    said = _said("sinfo", "--noheader", "--all", "--Node", "--format=%P|%N|%c|%m|%G|%l|%T|%a")
    if said.returncode:
        raise NotChecked(f"sinfo does not answer: {said.stderr.strip()}")
    return read_nodes(said.stdout)


def _chosen(asked: Mapping[str, Any]) -> tuple[Node, ...]:
    """Return the nodes that take the jobs."""
    name = asked.get("partition")
    nodes = [n for n in _nodes() if (n.partition == name if name else n.default)]
    if not nodes:
        raise NotChecked("There is no such partition.")
    return tuple(nodes)


@check("SLURM's commands")
def check_commands(*, needed: bool = False) -> Outcome:
    """Look whether SLURM is there, and answers."""
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        fact = f"There is no {', '.join(absent)} on the PATH."
        if not needed:
            raise NotChecked(fact)
        return Outcome("wrong", fact, "Run this on a login node, or load SLURM's module.")
    said = [_said("sinfo", "--noheader"), _said("squeue", "--noheader", "--me")]
    silent = [s for s in said if s.returncode]
    if silent:
        fact = "; ".join(
            f"{s.args[0]} ended with {s.returncode}: {s.stderr.strip()}" for s in silent
        )
        if not needed:
            raise NotChecked(fact)
        return Outcome(
            "wrong", fact, "Ask whether SLURM's controller is up; scontrol ping says it."
        )
    return ok(_said("sinfo", "--version").stdout.strip() + " answers.")


@check("Partition")
def check_partition(asked: Mapping[str, Any]) -> Outcome:
    """Look whether the partition exists, and takes jobs."""
    nodes, name = _nodes(), asked.get("partition")
    known = list(dict.fromkeys(n.partition for n in nodes))
    mine = [n for n in nodes if (n.partition == name if name else n.default)]
    if not mine:
        return Outcome(
            "wrong",
            f"There is no partition {name}; there are {', '.join(known)}."
            if name
            else f"No partition is named, and none is the default; there are {', '.join(known)}.",
            "Name one of these with --partition.",
        )
    up = [n for n in mine if n.up]
    fact = f"{mine[0].partition}: {len(up)} of {len(mine)} nodes take jobs."
    if not up:
        return Outcome("wrong", fact, "Wait, or name another partition; sinfo -R says why.")
    return ok(fact)


def _seconds(walltime: str) -> float:
    seconds = walltime_seconds(walltime)
    return inf if seconds is None else seconds


@check("Walltime")
def check_walltime(asked: Mapping[str, Any]) -> Outcome:
    """Compare the walltime with the partition's longest."""
    most = _chosen(asked)[0]
    wanted = asked.get("walltime")
    if wanted is None:
        return ok(f"None is asked for; {most.partition} allows {most.most}.")
    try:
        longer = _seconds(wanted) > _seconds(most.most)
    except InvalidInput:
        return Outcome("wrong", f"{wanted} is no walltime.", "Write HH:MM:SS or D-HH:MM:SS.")
    if longer:
        return Outcome(
            "wrong",
            f"{wanted} is longer than {most.most}, the longest that {most.partition} allows; such "
            "jobs would wait for ever.",
            f"Ask for --walltime {most.most} at the most; runs resume, so shorter does as well.",
        )
    return ok(f"{wanted} of at most {most.most}.")


@check("GPUs of a job")
def check_gres(asked: Mapping[str, Any]) -> Outcome:
    """Look whether any node has the generic resources that a job asks for."""
    wanted = _gres(asked)
    if not wanted:
        raise NotChecked("No job asks for GPUs (--gpus-per-job).")
    nodes = _chosen(asked)
    for kind, number in wanted:
        if not any(count_gres(n.gres, kind) >= number for n in nodes):
            there = list(dict.fromkeys(n.gres or "none" for n in nodes))
            return Outcome(
                "wrong",
                f"No node of {nodes[0].partition} has {number} {kind}; per node there is "
                f"{named_few(there)}.",
                "Ask for what a node has, or name another partition.",
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
    """Look whether any node has the cores and the memory that a job asks for."""
    nodes = _chosen(asked)
    cores, mebibytes = _size(asked)
    most = max(n.cpus for n in nodes), max(n.memory for n in nodes)
    fact = f"{cores} cores and {mebibytes} MiB a job"
    if not any(n.cpus >= cores and n.memory >= mebibytes for n in nodes):
        return Outcome(
            "wrong",
            f"{fact} do not fit on any node of {nodes[0].partition}, which have up to {most[0]} "
            f"cores and {most[1]} MiB.",
            "Ask for less with --cores and --memory.",
        )
    return ok(f"{fact} fit; nodes of {nodes[0].partition} have up to {most[0]} and {most[1]} MiB.")


def _size(asked: Mapping[str, Any]) -> tuple[int, int]:
    from dasdist.cluster.slurm import Job

    job = Job.of(asked.get("cores"), asked.get("memory"), asked.get("gpus_per_job") or 0)
    return job.cores, -(-job.memory // 2**20)


@check("Submission")
def check_submission(asked: Mapping[str, Any]) -> Outcome:
    """Ask SLURM whether it would take a job; none is queued."""
    command = ["sbatch", "--test-only", *submission(asked), "--wrap=true"]
    said = _said(*command)
    text = " ".join((said.stderr + said.stdout).split())
    if said.returncode:
        return Outcome(
            "wrong",
            f"SLURM would not take a job: {text}",
            f"Try what it takes, and pass that on: {' '.join(command)}",
        )
    return ok(text.removeprefix("sbatch: "))


def submission(asked: Mapping[str, Any]) -> Sequence[str]:
    """Return the options of ``sbatch`` for a job."""
    cores, mebibytes = _size(asked)
    named = {
        "partition": asked.get("partition"),
        "account": asked.get("account"),
        "time": asked.get("walltime"),
        "gres": f"gpu:{asked['gpus_per_job']}" if asked.get("gpus_per_job") else None,
    }
    return [
        *(f"--{name}={value}" for name, value in named.items() if value is not None),
        f"--cpus-per-task={cores}",
        f"--mem={mebibytes}M",
        *(asked.get("job_extra") or ()),
    ]
