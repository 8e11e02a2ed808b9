"""What a command refuses before it loads a library or starts a cluster."""

import os
from collections.abc import Iterable
from pathlib import Path

from dasdist.errors import OutputExists, OutputUnwritable
from dasdist.storage.files import writing
from dasdist.storage.lock import refuse_held
from dasdist.storage.staging import journal_of

__all__ = ["check_folder", "check_outputs"]

_NAMED = 5  # of the files that are in the way


def check_outputs(outputs: Iterable[str | Path], *, overwrite: bool) -> None:
    """Refuse outputs that cannot be written, or that something else has taken.

    Parameters
    ----------
    outputs : iterable of str or Path
        Folders; of those at a URL nothing is asked.
    overwrite : bool
        Whether what dasdist wrote there may be replaced.

    Raises
    ------
    OutputExists, OutputInUse, OutputUnwritable
    """
    for output in outputs:
        name = str(output).removeprefix("file://")
        if "://" not in name:
            with writing(name):  # also if not even that can be asked: a name may be too long
                _check(Path(name), overwrite=overwrite)


def check_folder(path: Path) -> None:
    """Refuse a folder that cannot be made or written to; nothing is made.

    Raises
    ------
    OutputUnwritable
    """
    with writing(path):
        _check_one_of(path, (path, *path.absolute().parents))


def _check_one_of(path: Path, folders: Iterable[Path]) -> None:
    there = next((one for one in folders if one.exists()), path)
    if not there.is_dir():
        raise OutputUnwritable(f"{path} cannot be written: {there} is a file, not a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputUnwritable(f"{path} cannot be written: you may not write to {there}.")


def _check(path: Path, *, overwrite: bool) -> None:
    _check_one_of(path, path.absolute().parents)  # the journal lies beside the output
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputUnwritable(f"{path} cannot be written: you may not write to {path}.")
    if path.is_file():
        raise OutputExists(
            f"{path} is a file, and the output is a folder of this name. Choose another path, or "
            "move the file away."
        )
    journal = journal_of(path)
    refuse_held(journal / "lock")
    begun = any((journal / name).exists() for name in ("run.json", "begun"))
    found = sorted(os.listdir(path)) if path.is_dir() else []
    if found and not begun and not overwrite:
        raise OutputExists(
            f"{path} already holds {', '.join(found[:_NAMED])}, and no run that could be resumed. "
            "Choose another path, or replace with --overwrite what dasdist wrote there."
        )
