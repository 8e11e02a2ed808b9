"""Remove the folders of clusters that ended long ago: their logs are all that is left in them.

::

    ~/.dasdist/
        dasdist-1f2e3d4c/   lock held          a cluster that runs: stays
        dasdist-5b6a7988/   ended 3 days ago   stays, for its logs may say why it failed
        dasdist-90817263/   ended 20 days ago  removed when the next cluster starts
        my-cluster/                            named by the user: stays
"""

import os
import re
import shutil
import time
from pathlib import Path

from dasdist.cluster.certificates import KEY
from dasdist.errors import OutputInUse
from dasdist.storage.lock import Lock, holder_of

__all__ = ["LOCK", "remove_old_folders"]

LOCK = "lock"
"""File in a cluster's folder that its process holds, and touches, as long as it lives."""

_KEPT = 14 * 86400.0
"""Seconds for which the folder of a cluster that has ended is kept."""

_OURS = re.compile(r".+-[0-9a-f]{8}")
"""Names that `dasdist.cluster.jobs.job_name` gives; a folder of another name is the user's."""


def remove_old_folders(home: Path) -> list[Path]:
    """Remove the folders of clusters that ended more than 14 days ago.

    A folder stays if its cluster runs, on this machine or another; if it is not this user's; if
    the user gave it its name; and if a cluster of an earlier dasdist, which held no lock, did not
    end in order.

    Parameters
    ----------
    home : Path
        The folder of all clusters; it need not exist.

    Returns
    -------
    list of Path
        The folders that were removed.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> remove_old_folders(Path(mkdtemp()))
    []
    """
    removed = []
    for folder in sorted(home.glob("*")):
        try:
            if _is_old(folder) and _remove(folder):
                removed.append(folder)
        except OSError:  # somebody else removes it, or it cannot be looked into
            continue
    return removed


def _is_old(folder: Path) -> bool:
    if not _OURS.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
        return False
    lock, found = folder / LOCK, folder.stat()
    if found.st_uid != os.getuid():
        return False
    if lock.exists():
        last = lock.stat().st_mtime
    elif (folder / KEY).exists():
        return False
    else:
        last = max([found.st_mtime, *(path.stat().st_mtime for path in folder.iterdir())])
    return time.time() - last > _KEPT and holder_of(lock) is None


def _remove(folder: Path) -> bool:
    """Remove a folder while holding its lock, so that no cluster begins in it meanwhile."""
    try:
        with Lock(folder / LOCK, "removal", patience=0):
            for path in folder.iterdir():
                if path.name != LOCK:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
    except OutputInUse:
        return False
    shutil.rmtree(folder)
    return True
