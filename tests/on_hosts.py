"""A cluster on the hosts of `tests.hosts`, and runs on it that wait where a test wants them to.

A run waits in a phase of a block, once: the worker that has it leaves its host's name in
``FOLDER/at-NAME-BLOCK-PHASE``, and goes on when there is ``FOLDER/open-NAME-BLOCK-PHASE``.
"""

import json
import logging
import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np

import dasdist
from dasdist.cluster import worker
from dasdist.cluster.certificates import make_certificates
from dasdist.storage.staging import Staging
from tests.hosts import ADDRESSES, Hosts
from tests.toys import Toy, noise, recording

BLOCK = {"time": 100, "distance": 6}
BLOCKS = 40
PORT = 8786


def data():
    return recording(noise(400 * BLOCKS // 2, 12))  # an output for every fourth sample


# ---------------------------------------------------------------- the cluster


class OnHosts:
    """Scheduler and workers on hosts, started as the package starts them.

    Parameters
    ----------
    hosts : Hosts
        The hosts.
    tcp : str
        ``distributed.comm.timeouts.tcp`` of all: when a silent connection counts as lost.
    death : str
        How long workers wait for a scheduler.
    """

    def __init__(self, hosts: Hosts, tcp: str = "30s", death: str = "300s") -> None:
        self.hosts, self.tcp, self.death = hosts, tcp, death
        self.folder = hosts.folder / "cluster"
        self.file = self.folder / "scheduler.json"
        make_certificates(self.folder)
        self.scheduler = self.start_scheduler()
        self.workers = {host: self.start_worker(host) for host in ADDRESSES if "worker" in host}

    def start_scheduler(self):
        self.file.unlink(missing_ok=True)
        scheduler = self.hosts.start("scheduler", run_scheduler, self.folder, self.tcp)
        assert scheduler.wait_for(lambda: self.file.exists() and "}" in self.file.read_text())
        return scheduler

    def start_worker(self, host):
        return self.hosts.start(host, run_worker, host, self.folder, self.tcp, self.death)

    def run(self, name, **options):
        """Start a run on the client's host."""
        return self.hosts.start("client", run, self.hosts.folder, name, self.tcp, options)


def _settings(folder: Path, tcp: str) -> None:
    """Set what deploy/slurm/run.sh exports."""
    comm = "distributed.comm"
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    settings = {f"{comm}.timeouts.tcp": tcp, f"{comm}.require-encryption": True}
    settings[f"{comm}.tls.ca-file"] = certificate
    for role in ("scheduler", "worker", "client"):
        settings |= {f"{comm}.tls.{role}.cert": certificate, f"{comm}.tls.{role}.key": key}
    dask.config.set(settings)


def run_scheduler(folder: Path, tcp: str) -> None:
    from distributed.cli import dask_scheduler

    _settings(folder, tcp)
    words = ["--protocol", "tls", "--host", ADDRESSES["scheduler"], "--port", PORT]
    words += ["--no-dashboard", "--scheduler-file", folder / "scheduler.json"]
    dask_scheduler.main(list(map(str, words)))


def run_worker(host: str, folder: Path, tcp: str, death: str) -> None:
    _settings(folder, tcp)
    os.environ["DASDIST_TEST_HOST"] = host
    words = ["--scheduler-file", folder / "scheduler.json", "--towards", ADDRESSES["scheduler"]]
    words += ["--nworkers", 1, "--nthreads", 1, "--memory-limit", "1GiB", "--name", host]
    words += ["--local-directory", folder.parent / host, "--no-dashboard", "--death-timeout", death]
    worker.main(list(map(str, words)))


# ---------------------------------------------------------------- runs


def run(folder: Path, name: str, tcp: str, options: dict[str, Any]) -> None:
    """Run; ``FOLDER/NAME.json`` says how it went."""
    np.seterr(all="raise")
    warnings.simplefilter("ignore")
    logging.basicConfig(level=logging.WARNING)
    dask.config.set({"distributed.comm.timeouts.tcp": tcp})
    gates = options.pop("gates", {})
    found: dict[str, Any] = {}
    try:
        with dasdist.connect(folder / "cluster") as client:
            client.wait_for_workers(3)
            report = annotate(folder, name, gates, client=client, **options)
            found = {"before": report.before, "finished": report.finished, "notes": report.notes}
    except dasdist.DasdistError as error:  # as the command line
        found = {"error": type(error).__name__, "reason": str(error)}
    (folder / f"{name}.json").write_text(json.dumps(found))


def annotate(folder, name, gates, **options):
    """Write picks and annotations of the same data, with a client or without."""
    picks = dasdist.PicksWriterCallback(folder / name / "picks.parquet", 0.5, blinding=(1, 1))
    store = dasdist.WriterCallback(folder / name / "prob.zarr")
    callback = Waiting([picks, store], folder, name, gates)
    options = {"block": BLOCK, "pbar": False} | options
    return Toy(gain=3.0).annotate(data(), callback, **options)


class Waiting(dasdist.MultiCallback):
    """Callbacks that wait in a phase of a block: ``gates`` maps blocks to phases."""

    def __init__(self, callbacks, folder, name, gates):
        super().__init__(callbacks)
        self.folder, self.name = Path(folder), name
        self.gates = {int(block): phase for block, phase in gates.items()}

    def mapper(self):
        return WaitingMapper(super().mapper(), self.folder, self.name, self.gates)


@dataclass(frozen=True)
class WaitingMapper:
    inner: Any
    folder: Path
    name: str
    gates: dict

    def __call__(self, block):
        self.note(block.index)
        accumulator = WaitingBlock(self, self.inner(block), block.index)
        accumulator.wait_in("read")  # which comes next
        return accumulator

    def note(self, index):
        host = os.environ.get("DASDIST_TEST_HOST", "here")
        file = os.open(self.folder / f"begun-{self.name}", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{index} {host}\n".encode())
        os.close(file)


@dataclass
class WaitingBlock:
    mapper: WaitingMapper
    inner: Any
    block: int

    def wait_in(self, phase):
        if self.mapper.gates.get(self.block) != phase:
            return
        folder, gate = self.mapper.folder, f"{self.mapper.name}-{self.block}-{phase}"
        try:
            with (folder / f"at-{gate}").open("x") as file:
                file.write(os.environ["DASDIST_TEST_HOST"])
        except FileExistsError:
            return
        while not (folder / f"open-{gate}").exists():
            time.sleep(0.02)

    def add(self, patch):
        self.wait_in("compute")  # between two patches of it
        self.inner.add(patch)

    def part(self):
        with waiting_in_mid_write(self):
            try:
                return self.inner.part()
            except dasdist.RunSuperseded:
                (self.mapper.folder / f"late-{self.mapper.name}-{self.block}").touch()
                raise


@contextmanager
def waiting_in_mid_write(block):
    write = Staging.write

    def waiting(self, target, values):
        half = bytes(memoryview(values).cast("B"))[: max(1, memoryview(values).nbytes // 2)]
        (self.folder / f"{target.name}.half").write_bytes(half)
        block.wait_in("write")
        (self.folder / f"{target.name}.half").unlink(missing_ok=True)
        return write(self, target, values)

    if block.mapper.gates.get(block.block) != "write":
        yield
        return
    Staging.write = waiting
    try:
        yield
    finally:
        Staging.write = write
