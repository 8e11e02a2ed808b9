"""Check whether readers always see a whole file while another process replaces it."""

import errno
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from dasdist.doctor.asking import PATIENCE, Answers, ask, collect, submit
from dasdist.doctor.finding import Outcome, check, named_few, ok
from dasdist.errors import OutputUnwritable
from dasdist.storage.files import write_atomically
from dasdist.units import count_of

__all__ = ["Reading", "check_renames", "judge_readings", "keep_reading", "keep_replacing"]

REPLACED = "replaced"
STOP = "stop"

GENERATIONS = 20
"""Versions of the file that a reader must see before the check is over."""

READ_FOR = 10.0
"""Seconds after which the check is over with fewer."""

REPEATS = 4096  # of 16 bytes: more than one page, and more than one packet


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader saw of a file that another process replaces all the time.

    Parameters
    ----------
    generations : int
        Different files it saw.
    missing, torn, stale : int
        How often it was missing, incomplete, or removed while it was read.
    """

    generations: int
    missing: int = 0
    torn: int = 0
    stale: int = 0


def keep_replacing(folder: str, seconds: float) -> int:
    """Replace a file again and again, until the stop file appears."""
    path = Path(folder)
    end = time.monotonic() + seconds
    count = 0
    while not (path / STOP).exists() and time.monotonic() < end:
        count += 1
        try:
            write_atomically(path / REPLACED, f"{count:016d}".encode() * REPEATS)
        except OutputUnwritable:
            if path.is_dir():
                raise
            break  # nobody reads any more
    return count


def keep_reading(folder: str, seconds: float) -> Reading:
    """Read a file that is replaced again and again, until it has changed often enough."""
    path = Path(folder) / REPLACED
    end = time.monotonic() + seconds
    seen: set[bytes] = set()
    missing = torn = stale = 0
    while len(seen) < GENERATIONS and time.monotonic() < end:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            missing += 1
            continue
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            stale += 1
            continue
        if len(data) == 16 * REPEATS and data == data[:16] * REPEATS:
            seen.add(data[:16])
        else:
            torn += 1
    return Reading(len(seen), missing, torn, stale)


@check("Files that are replaced")
def check_renames(probe: Path, client: Client | None) -> Outcome:
    """Check whether readers always see a whole file while another process replaces it."""
    first = _replaced_here(probe, client)
    readings = {f"{who}, written here": r for who, r in first.given.items()}
    lost = dict(first.lost)
    if client is not None:
        second, writer = _replaced_there(probe, client)
        readings |= {f"{who}, written by {writer}": r for who, r in second.given.items()}
        lost |= second.lost
    return judge_readings(readings) or Answers(readings, lost).missing() or _whole(readings)


def _begin(probe: Path) -> None:
    (probe / STOP).unlink(missing_ok=True)
    (probe / REPLACED).write_bytes(b"0" * 16 * REPEATS)


def _replaced_here(probe: Path, client: Client | None) -> Answers[Reading]:
    """Replace a file here, and let all workers read; without any, another thread here."""
    _begin(probe)
    writer = threading.Thread(target=keep_replacing, args=(str(probe), PATIENCE), daemon=True)
    writer.start()
    try:
        if client is None:
            return Answers({"this process": keep_reading(str(probe), READ_FOR)})
        return ask(client, keep_reading, str(probe), READ_FOR)
    finally:
        (probe / STOP).touch()
        writer.join()


def _replaced_there(probe: Path, client: Client) -> tuple[Answers[Reading], str]:
    """Let a worker replace a file, and all others and this process read it."""
    _begin(probe)
    workers = list(client.scheduler_info(n_workers=-1)["workers"])
    writing = submit(client, workers[:1], keep_replacing, str(probe), PATIENCE)
    try:
        futures = submit(client, workers[1:], keep_reading, str(probe), READ_FOR)
        here = keep_reading(str(probe), READ_FOR)
        there = collect(client, futures)
    finally:
        (probe / STOP).touch()
    wrote = collect(client, writing)
    return Answers({"this process": here, **there.given}, {**there.lost, **wrote.lost}), workers[0]


def judge_readings(readings: Mapping[str, Reading]) -> Outcome | None:
    """Return what is wrong with what readers saw; None if nothing is."""
    harmed = {who: r for who, r in readings.items() if r.missing or r.torn}
    if harmed:
        who, worst = next(iter(harmed.items()))
        return Outcome(
            "wrong",
            f"{count_of(len(harmed), 'reader')} found a file missing or incomplete while it was "
            "replaced, "
            f"such as {who}: {worst.missing} times missing, {worst.torn} times incomplete. Files "
            "of a run would be read like that, too.",
            "Write outputs to a file system with atomic renames: NFS, Lustre, GPFS, BeeGFS, or a "
            "local disk.",
        )
    unmoved = [who for who, r in readings.items() if r.generations < 2]
    if unmoved:
        return Outcome(
            "warning",
            f"{count_of(len(unmoved), 'reader')} saw no change within {READ_FOR:.0f} s of a file "
            "that was "
            f"replaced all the time: {named_few(unmoved)}.",
            "Ask your administrators for a shorter attribute cache on that file system (NFS: "
            "actimeo=3).",
        )
    return None


def _whole(readings: Mapping[str, Reading]) -> Outcome:
    stale = sum(r.stale for r in readings.values())
    least = min(r.generations for r in readings.values())
    note = f" ({count_of(stale, 'read')} had to start again)" if stale else ""
    return ok(
        f"{count_of(len(readings), 'reader')} always saw a whole file while it was replaced, in "
        "at least "
        f"{count_of(least, 'version')}{note}."
    )
