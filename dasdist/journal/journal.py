"""The journal: what a run keeps beside its output, so that it can be resumed, watched and fenced.

::

    picks.parquet.dasdist/   or   prob.zarr.dasdist/
        run.json          the fingerprint of the run: what it must be to go on
        run-copy.json     the same once more, for disks rot
        files-….npz       the files that the run computed from
        ledger.jsonl      blocks that are done, and those that were given up
        changes.json      what changed in the archive since the run began
        lock              held by the run that writes now
        staging-<run>/    files that are being written; renamed into the output when whole
        report.json/.txt  what the last run covered, and what it did not
        manifest.json     what the output is made of, for whoever gets it later

A run that begins moves the staging folders of earlier ones away.  A task of theirs that still runs
somewhere then has nothing left to rename: nothing late gets into the output.
"""

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.archive_changes import ArchiveChange
from dasdist.errors import DataWarning, RunMismatch
from dasdist.geometry import SegmentGrid
from dasdist.journal import changes, manifest, origins_file, run_file
from dasdist.journal.comparing import Now, follow_recording
from dasdist.journal.fingerprint import plain
from dasdist.journal.following import Followed, renumbered
from dasdist.journal.ledger import History, Ledger, read_ledger
from dasdist.journal.mismatch import another_model, another_output, other_values
from dasdist.journal.reading import bounds, grids_of, read_fingerprint
from dasdist.report import BlockResult, Failure
from dasdist.safe_text import without_secrets
from dasdist.storage.files import check_own_folder, make_folder, write_atomically, writing
from dasdist.storage.lock import Lock
from dasdist.storage.seal import seal
from dasdist.storage.staging import ROOT_COPY

if TYPE_CHECKING:
    from dasdist.callbacks.sink import Output

__all__ = ["Journal"]

_REPORTS = ("report.json", "report.txt")
_KEPT = (
    run_file.NAME,
    run_file.COPY,
    "ledger.jsonl",
    "changes.json",
    manifest.NAME,
    ROOT_COPY,
    *_REPORTS,
)
_NAMED = 12  # differences in a message; the rest is counted


class Journal:
    """The journals of all outputs of a run; a context manager.

    Parameters
    ----------
    outputs : sequence of Output
        Each has its own journal: a block is done when all of them say so.
    run : str
        Names the run.
    overwrite : bool
        Whether to begin anew, whatever is there.

    Raises
    ------
    OutputInUse
        On entering, if another run holds one of them.
    UnreadableData
        On entering, if what they hold is damaged beyond repair.
    """

    def __init__(self, outputs: "Sequence[Output]", run: str, *, overwrite: bool) -> None:
        self._outputs = tuple(outputs)
        self._folders = [output.journal for output in outputs]
        self._run = run
        self._overwrite = overwrite
        self._new: list[Path] = []
        self._settled = False
        self._held = ExitStack()
        self._ledgers: list[Ledger] = []

    def __enter__(self) -> "Journal":
        with ExitStack() as stack:
            for folder in self._folders:
                self._new += [folder] if _make(folder) else []
                stack.enter_context(Lock(folder / "lock", self._run))
                _fence(folder, self._run)
                told = "" if self._overwrite else run_file.mend(folder)
                if told:
                    warnings.warn(told, DataWarning, stacklevel=2)
            self._held = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self.retire_staging()
        for folder in self._folders:
            if not self._settled:
                self._restore(folder)
        self._held.close()

    @property
    def begun(self) -> bool:
        """Whether the outputs hold a run that got past setting them up.

        Raises
        ------
        RunMismatch
            If some of them do and some do not.
        """
        if self._overwrite or self.half_begun:
            return False
        held = [read_fingerprint(folder) is not None for folder in self._folders]
        if not any(held):
            return False
        if not all(held):
            old = [str(o.path) for o, h in zip(self._outputs, held, strict=True) if h]
            new = [str(o.path) for o, h in zip(self._outputs, held, strict=True) if not h]
            raise RunMismatch(
                f"{', '.join(old)} was begun without {', '.join(new)}. Leave the latter out and "
                "write it in a run of its own, or begin both anew with overwrite=True "
                "(--overwrite)."
            )
        return True

    @property
    def half_begun(self) -> bool:
        """Whether an earlier run died while it set its outputs up: then nothing counts."""
        flagged = any((folder / "begun").exists() for folder in self._folders)
        ledgers = [folder / "ledger.jsonl" for folder in self._folders]
        return flagged and not any(path.exists() and path.stat().st_size for path in ledgers)

    def grids(self) -> tuple[SegmentGrid, ...]:
        """Return the segments, with their blocks, of the run that the outputs hold."""
        if not self.begun:
            return ()
        return grids_of(read_fingerprint(self._folders[0]) or {})

    def scale(self) -> float:
        """Return the factor of the samples in the run that the outputs hold."""
        return float((read_fingerprint(self._folders[0]) or {}).get("scale", 1.0))

    def follow(
        self,
        fingerprint: Mapping[str, Any],
        grids: Sequence[SegmentGrid],
        now: Now,
    ) -> list[Followed]:
        """Compare with what the outputs hold, and find out which of their blocks stand.

        Parameters
        ----------
        fingerprint : mapping
            Of this run.
        grids : sequence of SegmentGrid
            Its segments.
        now : Now
            Its recording.

        Returns
        -------
        list of Followed
            For each output.

        Raises
        ------
        RunMismatch
            If the outputs hold another run.
        """
        each = []
        for output, folder in zip(self._outputs, self._folders, strict=True):
            held = read_fingerprint(folder) or {}
            told = list(_differences(held, fingerprint))
            followed = None
            if not told:
                followed, told = follow_recording(
                    folder, held, fingerprint, (grids_of(held), grids), now
                )
            if followed is None:
                more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
                raise RunMismatch(
                    f"{output.path} holds another run than this one: "
                    f"{'; '.join(told[:_NAMED])}{more}. Write to another output (-o), go back to "
                    "what this one was begun with, or replace it with overwrite=True (--overwrite)."
                )
            each.append(followed)
        return each

    def begin(self) -> None:
        """Say that the outputs are being set up, and lay aside what the journals hold."""
        for folder in self._folders:
            with writing(folder):
                (folder / "begun").touch()
                (folder / "before").mkdir(exist_ok=True)
                for name in _KEPT:
                    if (folder / name).exists():
                        os.replace(folder / name, folder / "before" / name)

    def write(
        self, fingerprint: Mapping[str, Any], each: Sequence[Followed], now: Now, blocks: int
    ) -> None:
        """Say that the outputs are set up, for a run with this fingerprint."""
        identity = fingerprint["recording"]["identity"]
        for folder, ledger, followed in zip(self._folders, self._ledgers, each, strict=True):
            if not origins_file.saved(folder, identity) and any(now.origins.paths):
                origins_file.save(folder, identity, now.origins)
            run = {**fingerprint, **followed.described(blocks), "taken_back": ledger.again}
            run_file.write(folder, run)
            origins_file.remove_others(folder, identity)
            (folder / "begun").unlink(missing_ok=True)
            shutil.rmtree(folder / "before", ignore_errors=True)
        self._settled = True

    def describe(
        self, fingerprint: Mapping[str, Any], grids: Sequence[SegmentGrid], citation: str | None
    ) -> None:
        """Leave beside each output what it is made of, for whoever gets it later."""
        run = {"run": self._run, "started": datetime.now(UTC).isoformat(timespec="seconds")}
        for output, folder in zip(self._outputs, self._folders, strict=True):
            name = without_secrets(str(output.path)).rstrip("/").rpartition("/")[2]
            manifest.write(
                folder,
                name,
                plain(output.settings),
                run,
                fingerprint=fingerprint,
                grids=grids,
                citation=citation,
            )

    def _restore(self, folder: Path) -> None:
        """Leave a journal as it was: its output could not be set up."""
        if folder in self._new:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for path in (folder / "before").glob("*"):
            os.replace(path, folder / path.name)
        (folder / "begun").unlink(missing_ok=True)

    def histories(self) -> list[History]:
        """Return what each ledger says, by the numbers of its blocks."""
        return [read_ledger(folder / "ledger.jsonl", *bounds(folder)) for folder in self._folders]

    def open(self) -> None:
        """Open the ledgers for writing; what is damaged in them goes, with a `DataWarning`."""
        for folder in self._folders:
            ledger = self._held.enter_context(Ledger(folder / "ledger.jsonl", *bounds(folder)))
            self._ledgers.append(ledger)
            if ledger.damage:
                warnings.warn(ledger.damage, DataWarning, stacklevel=2)

    def check_in_place(self) -> None:
        """Make sure that no ledger was removed since it was opened."""
        for ledger in self._ledgers:
            ledger.check_in_place()

    def retire_staging(self) -> None:
        """Let nothing be written any more: what a worker still finishes stays outside."""
        for folder in self._folders:
            shutil.rmtree(folder / f"staging-{self._run}", ignore_errors=True)

    def forget(self, each: Sequence[Iterable[int]]) -> None:
        """Write in each ledger which numbers are to be computed again."""
        for ledger, numbers in zip(self._ledgers, each, strict=True):
            ledger.forget(numbers)

    def add(self, result: BlockResult, parts: Sequence[Any], each: Sequence[Followed]) -> None:
        """Write that a block is done; ``parts`` are those of the outputs."""
        for ledger, part, followed in zip(self._ledgers, parts, each, strict=True):
            number, partial = followed.numbers[result.block], result.partial
            lacking = None if partial is None else renumbered(partial, number)
            ledger.add(replace(result, part=part, block=number, partial=lacking))

    def add_failure(self, failure: Failure, each: Sequence[Followed]) -> None:
        """Write that a block was given up."""
        for ledger, followed in zip(self._ledgers, each, strict=True):
            ledger.add(replace(failure, block=followed.numbers[failure.block]))

    def note_change(self, change: ArchiveChange) -> None:
        """Write down what changed in the archive, for as long as its blocks are not done again."""
        for folder in self._folders:
            changes.note(folder, change)

    def last_change(self) -> ArchiveChange | None:
        """Return what changed in the archive, if the blocks concerned are not done again yet."""
        found = (changes.last(folder) for folder in self._folders)
        return next((change for change, settled in filter(None, found) if not settled), None)

    def settle_change(self) -> None:
        """Write down that all is done again."""
        for folder in self._folders:
            changes.settle(folder)

    def report(self, summary: Mapping[str, Any], as_text: str) -> None:
        """Leave the report of this run."""
        for folder in self._folders:
            write_atomically(folder / "report.json", seal(summary, indent=1))
            write_atomically(folder / "report.txt", as_text)


def _differences(held: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if held["format"] != now["format"]:
        yield "it was written by a version of dasdist whose runs this one cannot continue"
    yield from another_model(held["model"], now["model"])
    yield from other_values(held["arguments"], now["arguments"])
    yield from another_output(held["output"], now["output"])
    yield from other_values({"scale": held.get("scale", 1.0)}, {"scale": now.get("scale", 1.0)})


def _make(folder: Path) -> bool:
    new = not os.path.lexists(folder)
    if not new:
        check_own_folder(folder)
    make_folder(folder)
    return new


def _fence(folder: Path, run: str) -> None:
    """Make this run's staging folder and move those of earlier runs away."""
    with writing(folder):
        for left in folder.glob("staging-*"):
            away = folder / f"moved-{left.name}"
            os.rename(left, away)
        for left in folder.glob("moved-*"):
            shutil.rmtree(left, ignore_errors=True)
        (folder / f"staging-{run}").mkdir(mode=0o700)
