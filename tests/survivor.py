"""A run that a test kills: `run`, in a process of its own.

Every block leaves a line in ``FOLDER/begun``, when it begins, and in ``FOLDER/finished``, when its
results are written, with the process that it ran in, so that a test can count what ran twice.  A
process that kills itself leaves in ``FOLDER/lost`` how many blocks it takes with it: those that
it began and that are in no ledger yet.  Options::

    scheduler   address of a cluster; else two worker processes of its own
    die         blocks that kill their process once, by the phase in which they do
    client_dies [n, "before" or "after"]: kill this process when block n goes into the ledger
    pause       seconds that every block takes at the least
    overwrite   whether to begin anew, whatever there is
"""

import json
import os
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dasdist
from dasdist.journal.journal import Journal
from dasdist.journal.ledger import read_ledger
from dasdist.storage.staging import Staging
from tests.forked import fork_workers
from tests.toys import Toy, noise, recording

BLOCK = {"time": 100, "distance": 6}
BLOCKS = 60


def data():
    return recording(noise(400 * BLOCKS // 2, 12))  # an output for every fourth sample


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def once(folder: Path, name: str) -> bool:
    """Whether nobody asked for this name before, in any process."""
    try:
        (folder / f"once-{name}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def note(path: Path, number: int) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"%d %d\n" % (number, os.getpid()))
    os.close(file)


def noted(path: Path) -> list[tuple[int, int]]:
    """Read what `note` wrote: numbers and processes."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def done(folder: Path) -> set[int]:
    """Return the blocks that are in both ledgers."""
    ledgers = [folder / f"{name}.dasdist/ledger.jsonl" for name in ("picks.parquet", "prob.zarr")]
    return set.intersection(*(set(read_ledger(path).parts) for path in ledgers))


def held(folder: Path, process: int) -> int:
    """Return how many blocks a process has begun that are in no ledger: what its death costs."""
    return len({b for b, pid in noted(folder / "begun") if pid == process} - done(folder))


class Watched(dasdist.MultiCallback):
    """Callbacks that note their blocks, and kill the process where it is told to."""

    def __init__(self, callbacks, folder, options):
        super().__init__(callbacks)
        self.folder, self.options = Path(folder), options

    def mapper(self):
        deaths = {block: phase for phase, block in self.options.get("die", {}).items()}
        return WatchedMapper(super().mapper(), self.folder, deaths, self.options.get("pause", 0.0))


@dataclass(frozen=True)
class WatchedMapper:
    inner: Any
    folder: Path
    deaths: dict
    pause: float

    def __call__(self, block):
        note(self.folder / "begun", block.index)
        if "SLURMD_NODENAME" in os.environ:
            (self.folder / f"node-{os.environ['SLURMD_NODENAME']}").touch()
        phase = self.deaths.get(block.index)
        accumulator = WatchedBlock(self, self.inner(block), block.index, phase)
        accumulator.die_in("read")  # which comes next
        time.sleep(self.pause)
        return accumulator


@dataclass
class WatchedBlock:
    mapper: WatchedMapper
    inner: Any
    block: int
    phase: str | None

    def die_in(self, phase):
        if self.phase == phase and once(self.mapper.folder, phase):
            note(self.mapper.folder / "lost", held(self.mapper.folder, os.getpid()))
            die()

    def add(self, patch):
        self.die_in("model")  # between two patches of it
        self.inner.add(patch)

    def part(self):
        if self.phase == "write" and once(self.mapper.folder, "write"):
            note(self.mapper.folder / "lost", held(self.mapper.folder, os.getpid()))
            with dying_in_mid_write():
                self.inner.part()
        part = self.inner.part()
        self.die_in("written")  # and the ledger does not know
        note(self.mapper.folder / "finished", self.block)
        return part


@contextmanager
def dying_in_mid_write():
    """Write half of a file, then die."""

    def write(self, target, values):
        half = bytes(memoryview(values).cast("B"))[: max(1, memoryview(values).nbytes // 2)]
        (self.folder / f"{target.name}.half").write_bytes(half)
        die()

    Staging.write = write
    yield


def watch_ledger(number: int, when: str) -> None:
    """Kill this process just before or after the entry of so many blocks."""
    add, count = Journal.add, iter(range(10**6))

    def dying_add(self, *args):
        last = next(count) == number
        if last and when == "before":
            die()
        add(self, *args)
        if last:
            die()

    Journal.add = dying_add


def callback(folder: Path, options):
    anew = {"overwrite": options.get("overwrite", False)}
    picks = dasdist.PicksWriterCallback(folder / "picks.parquet", 0.5, blinding=(1, 1), **anew)
    store = dasdist.WriterCallback(folder / "prob.zarr", **anew)
    return Watched([picks, store], folder, options)


def run(folder: Path, options: dict[str, Any]) -> None:
    """Run, in a process that does nothing else; ``FOLDER/report.json`` says how it went."""
    from distributed import Client, LocalCluster

    np.seterr(all="raise")
    warnings.simplefilter("ignore")
    fork_workers("tests.survivor")
    if "client_dies" in options:
        watch_ledger(*options["client_dies"])
    if "scheduler" in options:
        client = Client(options["scheduler"], timeout=20)
    else:
        cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        )
        client = Client(cluster)
    report = Toy(gain=3.0).annotate(
        data(), callback(folder, options), block=BLOCK, client=client, pbar=False
    )
    found = {"before": report.before, "finished": report.finished}
    (folder / "report.json").write_text(json.dumps(found))
    client.close()
