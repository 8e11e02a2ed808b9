"""Check this machine: packages, open files, encryption, network address."""

import platform
import resource
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from packaging.requirements import Requirement

from dasdist.cluster.jobs import node_addresses
from dasdist.cluster.network import listening_address
from dasdist.doctor.finding import NotChecked, Outcome, check, ok
from dasdist.errors import InvalidInput
from dasdist.units import count_of

__all__ = ["check_address", "check_open_files", "check_packages"]

SHOWN = ("dasdist", "torch", "dask", "distributed", "xdas", "xarray", "zarr", "numpy")

FILES = 1024
"""Files that a process with a scheduler should be able to open, at least."""

FILES_PER_WORKER = 4
"""Connections of a scheduler to a worker, of which some only last for a moment."""


@check("Python and packages")
def check_packages() -> Outcome:
    """Compare what is installed with what dasdist needs."""
    bad = list(_unmet())
    here = f"Python {platform.python_version()}, " + ", ".join(
        f"{name} {_installed(name) or 'missing'}" for name in SHOWN
    )
    if not bad:
        return ok(here)
    return Outcome(
        "wrong",
        f"dasdist needs {'; '.join(f'{need}, but {there}' for need, there in bad)}. Found: {here}",
        "python -m pip install "
        + " ".join(f"'{need}'" for need, _ in bad)
        + ", for the client and on all nodes.",
    )


def _unmet() -> Iterator[tuple[str, str]]:
    """Yield what dasdist needs, and what there is instead."""
    for line in requires("dasdist") or ():
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate({"extra": ""}):
            continue
        there = _installed(need.name)
        if there is None:
            yield f"{need.name}{need.specifier}", "it is not installed"
        elif not need.specifier.contains(there, prereleases=True):
            yield f"{need.name}{need.specifier}", f"{there} is installed"


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@check("Open files")
def check_open_files(workers: int = 0) -> Outcome:
    """Check whether this process may open as many connections as a scheduler needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = max(FILES, FILES // 4 + FILES_PER_WORKER * workers)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return ok(f"This process may open {soft if soft >= 0 else 'any number of'} files.")
    return Outcome(
        "warning",
        f"This process may open {soft} files; a scheduler with "
        f"{count_of(max(workers, 1), 'worker')} needs up "
        f"to {need}.",
        f"Run `ulimit -n {need}` first; the hard limit is {hard if hard >= 0 else 'none'}.",
    )


@check("Address of a scheduler")
def check_address(asked: Mapping[str, Any]) -> Outcome:
    """Find the address on which a scheduler for workers on other machines would listen."""
    interface, partition = asked.get("interface"), asked.get("partition")
    try:
        nodes = node_addresses(partition)
    except InvalidInput as error:
        if interface is None:
            raise NotChecked("SLURM lists no nodes that it would have to reach.") from error
        nodes = ()
    try:
        address = listening_address(interface, nodes)
    except InvalidInput as error:
        return Outcome("wrong", str(error), "Name an interface with --interface.")
    how = f"address of {interface}" if interface else "address that leads to the nodes"
    return ok(f"A scheduler here would listen only on {address}, the {how}.")
