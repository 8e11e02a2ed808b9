"""A run of very many blocks costs the client no more than one of a few.

``DASDIST_LONG_RUN=100000 python -m pytest -s tests/test_long_run.py --timeout 3000`` prints the
figures of the full size; the tests here take five thousand blocks.
"""

import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import dask
import numpy as np
import pytest
from distributed import Client

import dasdist
from dasdist.archive.build import build
from dasdist.archive.store import asked_of, load, save
from dasdist.journal.ledger import read_ledger
from tests.toys import recording

BLOCKS = int(os.environ.get("DASDIST_LONG_RUN", "5000"))
SAMPLES = 10  # of a file, which is a block


class Nothing(dasdist.DASModel):
    """Returns its input."""

    def __init__(self):
        structure = dasdist.PatchingStructure(SAMPLES, 2, SAMPLES, 2, (0, SAMPLES), (0, 2), 0, 0)
        super().__init__(patching_structure=structure, annotate_keys=["P"])

    def forward(self, x, argdict=None):
        return {"P": x}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index of so many files, which are all the same one."""
    folder = tmp_path_factory.mktemp("archive")
    values = np.zeros((SAMPLES, 2), dtype=np.float32)
    values[3, 0] = 1.0
    recording(values).to_netcdf(str(folder / "file.nc"))
    one = dasdist.index_archive(folder / "file.nc", folder / "one.nc", processes=1)
    (header,) = load(one.path)
    step = SAMPLES * 10**7  # nanoseconds, at 100 Hz
    headers = [
        replace(header, values=tuple(value + i * step for value in header.values))
        for i in range(BLOCKS)
    ]
    save(folder / "archive.nc", asked_of(one.path), headers, build(headers), [])
    return folder / "archive.nc"


def run(client, index, out):
    callback = dasdist.PicksWriterCallback(out, 0.5, 0.0, (0, 0))
    block = {"time": SAMPLES, "distance": 2}
    return Nothing().annotate(str(index), callback, client=client, block=block, pbar=False)


@pytest.fixture
def client(make_cluster):
    """A cluster that forgets its last messages soon, in the process of its client.

    distributed keeps a thousand of them, blocks and all: memory that grows until they are so many.
    """
    with (
        dask.config.set({"distributed.admin.low-level-log-length": 20}),
        make_cluster(n_workers=2) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


class Watch:
    """Memory of this process and number of blocks done, twice a second."""

    def __init__(self, ledger):
        self.ledger, self.seen, self._over = ledger, [], threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self.seen

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    def _look(self):
        page = os.sysconf("SC_PAGE_SIZE")
        while not self._over.wait(0.5):
            size = self.ledger.stat().st_size if self.ledger.exists() else 0
            self.seen.append((size, page * int(Path("/proc/self/statm").read_text().split()[1])))


@pytest.mark.slow
@pytest.mark.deep
def test_memory_of_the_client_is_flat_and_resuming_is_quick(client, index, tmp_path):
    out = tmp_path / "picks.parquet"
    ledger = tmp_path / "picks.parquet.dasdist/ledger.jsonl"
    with Watch(ledger) as seen:
        report = run(client, index, out)
    assert report.blocks == report.finished == BLOCKS
    size = ledger.stat().st_size
    warm = max(held for written, held in seen if written <= size / 4)
    last = seen[-1][1]
    per_block = 1000 * report.wall_seconds / BLOCKS
    print(
        f"\n{BLOCKS} blocks: {per_block:.2f} ms of wall each, client {warm / 2**20:.0f} MiB after "
        f"a quarter and {last / 2**20:.0f} MiB at the end"
    )
    # what three quarters of the blocks may add: allocators are not exact, and dask.utils.key_split
    # remembers the names of up to 100,000 tasks, half a kilobyte each, of several blocks each
    assert last - warm < 16 * 2**20 + 100 * min(BLOCKS, 100_000)
    assert len(read_ledger(ledger).parts) == BLOCKS
    assert sum(part["picks"] for part in read_ledger(ledger).parts.values()) == BLOCKS

    lines = ledger.read_text().splitlines(keepends=True)
    left = BLOCKS // 100
    ledger.write_text("".join(lines[:-left]))
    began = time.monotonic()
    again = run(client, index, out)
    print(f"the last {left} of them resumed and done in {time.monotonic() - began:.1f} s")
    assert (again.before, again.finished) == (BLOCKS - left, BLOCKS)
