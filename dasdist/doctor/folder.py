"""Check the shared folder: whether client and all workers see the same one, and have space there.

::

    client   makes FOLDER/.dasdist-doctor-1f2e3d4c/ with a secret word in it
    workers  read the word (it is the same folder), write files of their own
    client   sees these, and so do all other workers
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

from dasdist.doctor.asking import ask, collect, submit
from dasdist.doctor.finding import Outcome, check, named_few, ok
from dasdist.errors import OutputUnwritable
from dasdist.storage.files import write_atomically
from dasdist.units import count_of

__all__ = [
    "check_space",
    "check_visible",
    "not_there",
    "probe_folder",
]

WORD = "word"

SEEN_AFTER = 30.0
"""Seconds for a file to be seen elsewhere; network file systems remember that it was not there."""

LATE = 5.0
"""Seconds after which that is worth a warning."""


SPACE = 10 * 2**30
"""Free bytes below which there is a warning."""


@contextmanager
def probe_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a new folder in a folder, and remove it with all that is in it.

    Raises
    ------
    OSError
        If there cannot be one, or it cannot be removed.
    """
    path = Path(tempfile.mkdtemp(prefix=".dasdist-doctor-", dir=Path(folder).absolute()))
    try:
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a folder into which somebody may be writing for another moment."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.1)
    shutil.rmtree(path)


def write_own(folder: str, word: str, name: str, patience: float) -> str:
    """Write a file if the folder holds the word; return what is wrong, or nothing."""
    path = Path(folder)
    end = time.monotonic() + patience
    while (found := _text(path / WORD)) != word:
        if found is not None:
            return "it sees another folder there"
        if time.monotonic() > end:
            return "it does not see the folder"
        time.sleep(0.2)
    try:
        write_atomically(path / name, word)
    except OutputUnwritable as error:
        return str(error)
    return ""


def find_all(folder: str, word: str, names: list[str], patience: float) -> tuple[list[str], float]:
    """Return the files of others that do not appear, and the seconds until the last one did."""
    begin = time.monotonic()
    missing = names
    while missing := [name for name in missing if _text(Path(folder) / name) != word]:
        if time.monotonic() - begin > patience:
            break
        time.sleep(0.2)
    return missing, time.monotonic() - begin


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


@check("Shared folder")
def check_visible(probe: Path, client: Client | None, patience: float = SEEN_AFTER) -> Outcome:
    """Check that client and all workers see the same folder, and what each writes there."""
    word = os.urandom(8).hex()
    write_atomically(probe / WORD, word)
    if client is None:
        return ok(
            f"{probe.parent} can be written here; whether workers see it needs a cluster to check."
        )
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    names = {address: f"of-{number}" for number, address in enumerate(workers)}
    futures = {
        a: f
        for address, name in names.items()
        for a, f in submit(client, [address], write_own, str(probe), word, name, patience).items()
    }
    wrote = collect(client, futures)
    bad = {a: said for a, said in wrote.given.items() if said}
    if bad:
        return _unseen(probe.parent, bad, len(names))
    if wrote.lost:
        return wrote.missing() or ok("")
    mine, seconds = find_all(str(probe), word, list(names.values()), patience)
    if mine:
        lost = {
            a: "files that it writes do not appear here"
            for a, name in names.items()
            if name in mine
        }
        return _unseen(probe.parent, lost, len(names))
    seen = ask(client, find_all, str(probe), word, list(names.values()), patience)
    blind = {
        a: f"it does not see {count_of(len(m), 'file')} of others"
        for a, (m, _) in seen.given.items()
        if m
    }
    if blind:
        return _unseen(probe.parent, blind, len(names))
    latest = max([seconds, *(late for _, late in seen.given.values())])
    return seen.missing() or _timely(probe.parent, len(names), latest)


def _unseen(folder: Path, bad: Mapping[str, str], workers: int) -> Outcome:
    return Outcome(
        "wrong",
        f"{folder} is not the same for {len(bad)} of {count_of(workers, 'worker')}: "
        + named_few([f"{address} ({said})" for address, said in bad.items()]),
        "Use a folder that all nodes mount at the same path and that you may write, for --folder "
        "and for archives and outputs.",
    )


def _timely(folder: Path, workers: int, seconds: float) -> Outcome:
    fact = (
        f"The client and {count_of(workers, 'worker')} see {folder}, and what each of them writes "
        "there"
    )
    if seconds > LATE:
        return Outcome(
            "warning",
            f"{fact}, but only after {seconds:.0f} s.",
            "Ask your administrators for a shorter attribute cache on that file system (NFS: "
            "actimeo=3).",
        )
    return ok(f"{fact}.")


def space(folder: str) -> tuple[int, int]:
    """Return the free and all bytes of a file system, as the user has them."""
    found = shutil.disk_usage(folder)
    return found.free, found.total


@check("Free space")
def check_space(probe: Path, client: Client | None) -> Outcome:
    """Check how much space is free."""
    free, total = space(str(probe))
    if client is not None:
        there = ask(client, space, str(probe)).given
        free, total = min([(free, total), *there.values()])
    fact = f"{free / 2**30:,.1f} of {total / 2**30:,.1f} GiB are free on {probe.parent}"
    if free < SPACE:
        return Outcome("warning", f"{fact}.", "Free some space; a run stops when the disk is full.")
    return ok(f"{fact}; quotas are not checked.")


def not_there(folder: str | Path, error: OSError) -> Outcome:
    """Return the outcome for a folder that cannot be written."""
    return Outcome(
        "wrong",
        f"{Path(folder).absolute()} cannot be written: {error.strerror or error}",
        "Pass --folder with a folder that exists and that you may write.",
    )
