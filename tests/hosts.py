"""Hosts with addresses of their own, on this one machine: network namespaces on a switch.

::

    client 10.77.0.1    scheduler 10.77.0.2    worker 1 10.77.0.11    worker 2 ...
        |                    |                      |                     |
    ====== switch: a bridge in a namespace of its own, joined to nothing else ======

Nothing of this is joined to the machine's own network.  Names carry the process that made them, so
that what a killed run of tests left is removed when the next one begins.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.forked import Forked

ADDRESSES = {"client": "10.77.0.1", "scheduler": "10.77.0.2"} | {
    f"worker{n}": f"10.77.0.{10 + n}" for n in (1, 2, 3)
}

_NAME = re.compile(r"dasdist-(\d+)-\w+")
_NEWNET = 0x40000000


def lacking() -> str:
    """Return why there can be no hosts here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if shutil.which("ip") is None:
        return "needs ip, of the package iproute2"
    name = f"dasdist-{os.getpid()}-try"
    tried = subprocess.run(
        ["ip", "netns", "add", name], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        ip("netns", "del", name)
        return ""
    return f"needs network namespaces: {tried.stderr.strip()}"


def ip(*words: str) -> str:
    """Run ip, and return what it prints."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def leftovers() -> list[str]:
    """Return the namespaces of processes that are gone."""
    names = [line.split()[0] for line in ip("netns", "list").splitlines()]
    made = [(name, _NAME.fullmatch(name)) for name in names]
    return [name for name, by in made if by and not psutil.pid_exists(int(by[1]))]


def remove(names: Iterable[str]) -> None:
    """End what runs in namespaces, and remove them with their links."""
    for name in names:
        for pid in ip("netns", "pids", name).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", name)


class Hosts:
    """Hosts on a switch; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started = 0

    def __enter__(self) -> "Hosts":
        remove(leftovers())
        try:
            self._wire()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        mine = [self.space(host) for host in (*ADDRESSES, "switch")]
        there = [line.split()[0] for line in ip("netns", "list").splitlines()]
        remove(name for name in mine if name in there)

    def space(self, host: str) -> str:
        """Return the name of a host's namespace."""
        return f"dasdist-{os.getpid()}-{host}"

    def _wire(self) -> None:
        switch = self.space("switch")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        for host, address in ADDRESSES.items():
            space = self.space(host)
            ip("netns", "add", space)
            peer = ["peer", "name", "eth0", "netns", space]
            ip("-n", switch, "link", "add", "name", host, "type", "veth", *peer)
            ip("-n", switch, "link", "set", host, "master", "bridge", "up")
            ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
            for link in ("lo", "eth0"):
                ip("-n", space, "link", "set", link, "up")

    def cut(self, host: str) -> None:
        """Take a host's link down, as if its cable were pulled."""
        ip("-n", self.space("switch"), "link", "set", host, "down")

    def join(self, host: str) -> None:
        """Bring a host's link up again."""
        ip("-n", self.space("switch"), "link", "set", host, "up")

    def start(self, host: str, function: Callable[..., None], *args: object) -> Forked:
        """Start a function in a process on a host."""
        self._started += 1
        log = self.folder / f"{host}.{self._started}.log"
        return Forked(log, _on_host, self.space(host), function, args)


def _on_host(space: str, function: Callable[..., None], args: tuple[object, ...]) -> None:
    import dask

    with open(f"/run/netns/{space}", "rb") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {space}")
    # the server of the tests is on no host, and its forks would not be, either
    dask.config.set({"distributed.worker.multiprocessing-method": "fork"})
    function(*args)
