"""Certificates of one cluster: only who has them can connect to it.

Scheduler, workers and clients of a run share one self-signed certificate and its key, which lie in
a folder that only their user can read.  All connections are encrypted with it; a connection without
it is refused.
"""

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dasdist.errors import InvalidInput
from dasdist.storage.files import make_folder, write_atomically

if TYPE_CHECKING:
    from distributed import Security

__all__ = [
    "check_ours",
    "make_certificates",
    "private_folder",
    "remove_certificates",
    "security_of",
]

CERTIFICATE = "certificate.pem"
KEY = "key.pem"

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_folder(folder: str | Path) -> Path:
    """Make a folder that only this user can read; one that exists must already be like that.

    Raises
    ------
    InvalidInput
        If others can read it, or it is somebody else's.
    OutputUnwritable
        If it cannot be made.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = private_folder(Path(mkdtemp()) / "run")
    >>> oct(path.stat().st_mode & 0o777)
    '0o700'
    """
    path = Path(folder).absolute()
    make_folder(path, mode=0o700)
    found = path.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InvalidInput(
            f"The key of a cluster would lie in {path}, but others can read that folder (mode "
            f"{found.st_mode & 0o777:o}, owner {found.st_uid}). Name a folder that does not exist, "
            f"or make it private: chmod 700 {path}"
        )
    return path


def check_ours(file: Path) -> None:
    """Refuse a scheduler file that somebody else could have written.

    Who chooses the scheduler that a client connects to chooses what code the client runs.  A file
    beside a key must be in a folder that others cannot even read.

    Parameters
    ----------
    file : Path
        The file; if it is not there, nothing is refused.

    Raises
    ------
    InvalidInput
        If it or its folder is another user's, or open to others.
    """
    try:
        found, folder = file.stat(), file.parent.stat()
    except OSError:
        return
    if (file.parent / KEY).exists():
        forbidden = _OTHERS
    elif folder.st_mode & stat.S_ISVTX:  # like /tmp: others may add files, but not replace this one
        forbidden = 0
    else:
        forbidden = _OTHERS_WRITE
    wrong = [
        f"{path} (owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):o})"
        for path, status, bits in ((file.parent, folder, forbidden), (file, found, _OTHERS_WRITE))
        if status.st_uid not in (os.getuid(), 0) or status.st_mode & bits
    ]
    if wrong:
        raise InvalidInput(
            f"Others could have written or changed {' and '.join(wrong)}, so it may not be your "
            "cluster that it leads to. If it is yours, close it to them: "
            f"chmod go-rwx {file.parent} {file}"
        )


def make_certificates(folder: str | Path) -> "Security":
    """Make a certificate and its key for a cluster, valid for a year.

    Parameters
    ----------
    folder : str or Path
        Made with mode 0700 if it is not there; the files in it have mode 0600.  Workers on other
        machines must see it at the same path.

    Returns
    -------
    distributed.Security
        It holds the paths of the files, so that command lines of workers do not show the key.

    Raises
    ------
    InvalidInput
        If others can read the folder.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> security = make_certificates(mkdtemp())
    >>> security.require_encryption
    True
    """
    from distributed import Security

    path = private_folder(folder)
    made = Security.temporary()
    for name, text in ((CERTIFICATE, made.tls_ca_file), (KEY, made.tls_client_key)):
        write_atomically(path / name, text, mode=0o600)  # never readable by others
    return _security(path)


def security_of(folder: str | Path) -> "Security | None":
    """Return the certificates that lie in a folder; None if there are none."""
    path = Path(folder).absolute()
    return _security(path) if (path / KEY).is_file() else None


def remove_certificates(folder: str | Path) -> None:
    """Remove certificate and key: nobody can connect to the cluster any more."""
    for name in (KEY, CERTIFICATE):
        Path(folder, name).unlink(missing_ok=True)


def _security(folder: Path) -> "Security":
    from distributed import Security

    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{
            f"tls_{role}_{kind}": path
            for role in ("client", "scheduler", "worker")
            for kind, path in (("cert", certificate), ("key", key))
        },
    )
