"""What a partition of SLURM has: its nodes, their GPUs, and how long jobs may run there."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from dasdist.cluster.lifetime import walltime_seconds
from dasdist.errors import InvalidInput

__all__ = ["SINFO", "Node", "count_gres", "nodes_of", "nodes_of_partition", "read_nodes"]

SINFO = ("sinfo", "--noheader", "--all", "--Node", "--format=%P|%N|%c|%m|%G|%l|%L|%T|%a")
"""The command whose output `read_nodes` reads."""

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
        Whether jobs that name no partition go there.
    name : str
        The node's name.
    cpus : int
        CPUs.
    memory : int
        MiB.
    gres : str
        Generic resources, as SLURM writes them.
    most : str
        The partition's longest walltime, as SLURM writes it.
    usual : str
        Walltime of jobs that ask for none, as SLURM writes it; ``n/a`` where that is the longest.
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
    usual: str
    up: bool

    @property
    def gpus(self) -> int:
        """GPUs of the node."""
        return count_gres(self.gres, "gpu")

    @property
    def longest(self) -> float | None:
        """Longest walltime of a job in seconds; None if there is no limit."""
        return _seconds(self.most)

    @property
    def unasked(self) -> float | None:
        """Walltime in seconds of a job that asks for none; None if SLURM states none."""
        return _seconds(self.usual)


def _seconds(text: str) -> float | None:
    try:
        return walltime_seconds(text)
    except InvalidInput:  # n/a
        return None


def nodes_of(partition: str | None) -> tuple[Node, ...]:
    """Ask SLURM for the nodes of a partition.

    Parameters
    ----------
    partition : str or None
        One, several separated by commas, or None for the default one.

    Returns
    -------
    tuple of Node
        Empty if there is no such partition, or SLURM does not answer.
    """
    try:
        said = subprocess.run(SINFO, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return () if said.returncode else nodes_of_partition(read_nodes(said.stdout), partition)


def nodes_of_partition(nodes: Iterable[Node], partition: str | None) -> tuple[Node, ...]:
    """Choose the nodes of a partition, of several separated by commas, or of the default one."""
    named = partition.split(",") if partition else []
    return tuple(n for n in nodes if (n.partition in named if named else n.default))


def read_nodes(text: str) -> tuple[Node, ...]:
    """Read what ``sinfo`` lists of all nodes in all partitions.

    Examples
    --------
    >>> read_nodes("gpu*|n1|32|256000|gpu:a100:4(S:0-1)|1-00:00:00|n/a|idle|up")[0].gpus
    4
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
            usual=usual,
            up=available == "up" and not state.startswith(_DOWN) and not state.endswith("*"),
        )
        for partition, name, cpus, memory, gres, most, usual, state, available in rows
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
