"""Put files into an output whole or not at all, and only while the run owns the output.

::

    picks.parquet.dasdist/staging-<run>/    write, fsync    what dies here leaves nothing below
             |
             v  rename
    picks.parquet/                          readers see the old file or the new one

The journal stands beside the output, not in it: polars, duckdb and dask read every file below the
folder that they are given, and zarr and xarray warn of what is no node.

A newer run moves the staging folders of older ones away before it begins.  A task of an older run
that is still alive then has nothing left to rename: its output belongs to another.
"""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dasdist.errors import InvalidInput
from dasdist.storage.files import removed_on_error, write_synced, writing

__all__ = ["ROOT_COPY", "Staging", "had_a_run", "journal_of"]

ROOT_COPY = "zarr-copy.json"
"""In the journal of a store: its root metadata once more."""


def journal_of(path: Path) -> Path:
    """Return the journal of an output: beside it, and where it really is if it is a link.

    Raises
    ------
    InvalidInput
        If this can be the name of no folder.

    Examples
    --------
    >>> journal_of(Path("/data/prob.zarr")).as_posix()
    '/data/prob.zarr.dasdist'
    """
    try:
        real = path.resolve()
        return real.with_name(f"{real.name}.dasdist")
    except (ValueError, RuntimeError) as error:  # "/", NUL; before Python 3.13, links in a circle
        raise InvalidInput(f"{path} cannot be an output ({error}); name another path.") from error


def had_a_run(path: Path) -> bool:
    """Tell whether the journal of an output says that a run wrote there, however damaged both are.

    Also while a run that replaces it has laid the journal aside.
    """
    folder = journal_of(path)
    names = ("run.json", "ledger.jsonl")
    return any((at / name).is_file() for at in (folder / "before", folder) for name in names)


@dataclass(frozen=True, slots=True)
class Staging:
    """The folder in which the files of one run are written before they are renamed.

    Parameters
    ----------
    folder : Path
        ``staging-<run>`` in the journal of an output, on the same file system as the output.

    Examples
    --------
    >>> staging = Staging.make(Path("picks.parquet.dasdist"), "1f0c")  # doctest: +SKIP
    >>> staging.write(Path("picks.parquet/block-000000000.parquet"), b"...")  # doctest: +SKIP
    3
    """

    folder: Path

    @classmethod
    def make(cls, journal: Path, run: str) -> "Staging":
        """Make the folder of a run unless it is there; only a client does, before any block.

        Raises
        ------
        OutputUnwritable
            If that is not possible.
        """
        staging = cls(journal / f"staging-{run or 'unnamed'}")
        with writing(staging.folder):
            journal.mkdir(parents=True, exist_ok=True)
            staging.folder.mkdir(mode=0o700, exist_ok=True)
        return staging

    def write(self, target: Path, data: Any) -> int:
        """Write a file, or replace it.

        Parameters
        ----------
        target : Path
            The file, with the permissions that a new file of this process has.  Folders between it
            and the output are made.
        data : bytes-like
            All of it.

        Returns
        -------
        int
            Its size in bytes, which are on the disk when this returns.

        Raises
        ------
        OutputUnwritable
            If the disk is full, a quota is used up or writing is not allowed; the target is then
            as it was.
        RunSuperseded
            If the staging folder is gone.
        """
        aside = self.folder / f"{target.name}.{secrets.token_hex(8)}"
        with writing(target, self.folder), removed_on_error(aside):
            size = write_synced(aside, data)
            _place(aside, target)
        return size


def _place(aside: Path, target: Path) -> None:
    # The folder of the target is not synced: a rename that a power cut undoes leaves a block that
    # is missing, and a resumed run looks for those.
    try:
        os.replace(aside, target)
    except FileNotFoundError:
        if not aside.exists():  # superseded: not even a folder may be made in the output
            raise
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside, target)
