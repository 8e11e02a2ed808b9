"""What an output holds: asked from another process, while a run writes it or after it died."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dasdist.archive_changes import ArchiveChange
from dasdist.errors import InvalidInput, UnreadableData
from dasdist.journal import changes, manifest, run_file
from dasdist.journal.coverage import Coverage, cover
from dasdist.journal.manifest import manifest_lines
from dasdist.journal.reading import grids_of, read_fingerprint, read_history
from dasdist.journal.report_file import change_lines
from dasdist.report import Failure, Missing, Partial
from dasdist.safe_text import as_html, one_line, shown
from dasdist.storage.checksum import CHECKSUM
from dasdist.storage.lock import holder_of
from dasdist.storage.seal import unseal
from dasdist.storage.staging import journal_of
from dasdist.units import count_of, results_of

__all__ = ["Status", "is_complete", "journal_folder", "no_run", "read_manifest", "status"]

_PICTURE = (16, 64)  # cells along the fibre and along time
_LISTED = 10


@dataclass(frozen=True, slots=True, eq=False)
class Status:
    """How far an output is.

    Parameters
    ----------
    path : str
        The output.
    state : {"running", "complete", "failures", "unfinished"}
        A run writes it; all blocks are done; all are done, in part, or given up; blocks are left,
        and nobody computes them.
    model : str
        Name of the model.
    blocks, done : int
        Blocks of the run, and those of them that are done.
    failures : tuple of Failure
        Blocks that were given up.
    partial : mapping of int to Partial
        What blocks that are done could not compute, by index.
    counts : mapping of str to int
        What the results amount to, such as the number of picks.
    coverage : Coverage
        Where results are; printed as a picture.
    holder : mapping or None
        Host, pid and run of who writes it.
    report : mapping or None
        The report of the last run that ended.
    change : ArchiveChange or None
        What changed in the archive since earlier blocks were computed, the last time that it did.
    damage : str
        What is wrong with the journal, if anything; the rest of this is what can be vouched for.
    manifest : mapping or None
        What the output is made of, see :func:`read_manifest`; None if nothing says so.
    """

    path: str
    state: str
    model: str
    blocks: int
    done: int
    failures: tuple[Failure, ...]
    counts: Mapping[str, int]
    coverage: Coverage
    holder: Mapping[str, Any] | None
    report: Mapping[str, Any] | None
    damage: str = ""
    partial: Mapping[int, Partial] = field(default_factory=dict)
    change: ArchiveChange | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Why windows of blocks that are done were left out, by block."""
        return tuple(m for block in sorted(self.partial) for m in self.partial[block].missing)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the picture as plain JSON."""
        return {
            "path": self.path,
            "state": self.state,
            "model": self.model,
            "blocks": self.blocks,
            "done": self.done,
            "failed": len(self.failures),
            "left": self.blocks - self.done - len(self.failures),
            "in_part": len(self.partial),
            "missing": [asdict(missing) for missing in self.missing],
            "counts": dict(self.counts),
            "failures": [
                {
                    "block": f.block,
                    "kind": f.kind,
                    "error": f.error,
                    "start": f.start,
                    "stop": f.stop,
                }
                for f in self.failures
            ],
            "holder": self.holder,
            "report": self.report,
            "damage": self.damage,
            "change": None if self.change is None else asdict(self.change),
            "manifest": self.manifest,
        }

    def __str__(self) -> str:
        share = self.done / self.blocks if self.blocks else 1.0
        by = (
            f" by process {self.holder.get('pid')} on {self.holder.get('host')}" * bool(self.holder)
            if self.holder
            else ""
        )
        lines = [
            f"{self.path}: {self.state}{by}",
            f"{self.model}: {self.done:,} of {count_of(self.blocks, 'block')} done ({share:.1%}), "
            f"{len(self.failures):,} failed"
            + f", {len(self.partial):,} of them in part"
            * bool(self.partial),
            *manifest_lines(self.manifest),
            *([self.damage] if self.damage else []),
            results_of(self.counts),
            *change_lines(None if self.change is None else asdict(self.change)),
            "",
            str(self.coverage),
            "  # @ done   . : - = + * in part   x failed or missing   (blank: nothing recorded)",
        ]
        for failure in self.failures[:_LISTED]:
            error, _, _ = failure.error.partition("\n")
            lines.append(f"  block {failure.block} ({failure.kind}): {one_line(error)}")
        if len(self.failures) > _LISTED:
            lines.append(f"  ... and {len(self.failures) - _LISTED} more")
        lines += [f"  block {m.block} lacks {m}" for m in self.missing[:_LISTED]]
        if len(self.missing) > _LISTED:
            lines.append(f"  ... and {len(self.missing) - _LISTED} more (--json has all)")
        return shown("\n".join(lines))

    def _repr_html_(self) -> str:
        from dasdist.journal.coverage_svg import coverage_svg

        lines = str(self).partition("\n\n")
        _, _, failures = lines[2].partition("(blank: nothing recorded)")
        said = f"<pre>{as_html(lines[0])}</pre>"
        return f"{said}{coverage_svg(self.coverage)}<pre>{as_html(failures.strip())}</pre>"


def status(path: str | Path) -> Status:
    """Tell how far an output is: while a run writes it, after it ended, or after it died.

    Parameters
    ----------
    path : str or Path
        What was passed as ``out`` to :func:`classify`, or to :class:`WriterCallback`; or the
        journal beside it.

    Returns
    -------
    Status
        Prints its counts and a picture of its coverage, distance down and time to the right.

    Raises
    ------
    InvalidInput
        If no run wrote there.
    UnreadableData
        If what says which run that was is damaged, and so is its copy.

    Examples
    --------
    >>> print(dasdist.status("picks.parquet"))  # doctest: +SKIP
    """
    folder = journal_folder(path)
    found = run_file.read(folder) if folder else None
    if folder is None or found is None:
        raise no_run(path)
    fingerprint = found.run
    grids = grids_of(fingerprint)
    total = sum(map(len, grids))
    history = read_history(folder, fingerprint)
    done, failed = np.zeros(total, dtype=bool), np.zeros(total, dtype=bool)
    done[list(history.parts)] = True
    failed[list(history.failures)] = True
    holder = holder_of(folder / "lock")
    changed = changes.last(folder)
    counts: dict[str, int] = {}
    for part in history.parts.values():
        for name, count in part.items():
            if name != CHECKSUM:
                counts[name] = counts.get(name, 0) + count
    return Status(
        path=str(path),
        state=_state(
            int(done.sum()),
            int(failed.sum()),
            total,
            running=holder is not None,
            partly=bool(history.partial),
        ),
        model=fingerprint["model"]["name"],
        blocks=total,
        done=int(done.sum()),
        failures=tuple(sorted(history.failures.values(), key=lambda f: f.block)),
        counts=counts,
        coverage=cover(grids, done, failed, _PICTURE, history.partial),
        holder=holder,
        report=_report(folder),
        damage=" ".join(filter(None, (found.damage, history.damage))),
        partial=history.partial,
        change=changed[0] if changed else None,
        manifest=_manifest(folder),
    )


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read what an output is made of: model, arguments, archive, and the runs that wrote it.

    Parameters
    ----------
    path : str or Path
        What was passed as ``out`` to :func:`classify`, or to :class:`WriterCallback`; or the
        journal beside it, ``OUTPUT.dasdist``, which holds it as ``manifest.json``.

    Returns
    -------
    dict
        ``"output"``, its name; ``"model"`` (``name``, ``class``, ``weights`` and ``settings``: the
        first 32 digits of SHA-256 of its tensors and its options; ``citation`` or None);
        ``"arguments"`` of model and run; ``"settings"`` of what was written, such as
        ``thresholds``; ``"archive"`` (``identity``, ``samples``, ``channels``, ``dtype``, ``start``
        and ``stop``, times of the first and the last sample); ``"runs"``, the oldest first
        (``run``, ``started``, and ``versions`` of dasdist, torch, numpy and pyarrow).  URLs in it
        have no user, password or query.

    Raises
    ------
    InvalidInput
        If no run wrote there, or only runs of versions that left no manifest.
    UnreadableData
        If it is damaged.

    Examples
    --------
    >>> dasdist.read_manifest("picks.parquet")["settings"]["thresholds"]  # doctest: +SKIP
    0.3
    """
    folder = journal_folder(path)
    if folder is None:
        raise no_run(path)
    found = manifest.read(folder)
    if found is None:
        raise InvalidInput(
            f"{path} was written by a version of dasdist that left no manifest. The next run that "
            "goes on with it writes one."
        )
    return found


def no_run(path: str | Path) -> InvalidInput:
    """Return the error of a path where no run wrote."""
    return InvalidInput(
        f"{path} holds no run of dasdist; give the path that was passed as out (-o), or to "
        "WriterCallback. A run that is still being planned has written nothing yet."
    )


def is_complete(path: str | Path, identity: str) -> bool:
    """Tell whether a run left no block of a recording to compute, done or given up.

    Parameters
    ----------
    path : str or Path
        The output.
    identity : str
        Of the recording, see :meth:`dasdist.sources.Recording.identity`.
    """
    folder = journal_folder(path)
    fingerprint = read_fingerprint(folder) if folder else None
    if folder is None or fingerprint is None or (folder / "begun").exists():
        return False
    total = sum(map(len, grids_of(fingerprint)))
    history = read_history(folder, fingerprint)
    return (
        not history.damage
        and len(history.parts) + len(history.failures) == total
        and fingerprint["recording"]["identity"] == identity
    )


def journal_folder(path: str | Path) -> Path | None:
    """Return the journal of an output, if it has one here."""
    name = str(path).removeprefix("file://").rstrip("/")
    beside = name.rpartition("/")[2] if "://" in name else name
    for folder in (journal_of(Path(beside)), Path(name)):
        if (folder / "run.json").is_file():
            return folder
    return None


def _state(done: int, failed: int, total: int, *, running: bool, partly: bool) -> str:
    if running:
        return "running"
    if done == total and not partly:
        return "complete"
    return "failures" if done + failed == total else "unfinished"


def _manifest(folder: Path) -> dict[str, Any] | None:
    with suppress(UnreadableData):  # only what is asked for by itself must be whole
        return manifest.read(folder)
    return None


def _report(folder: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        return unseal((folder / "report.json").read_bytes())[0]
    return None
