"""Write a file whole or not at all: aside, synced, and renamed into its place.

::

    .run.json.5f3a91c2    write, sync     what dies here leaves the old file as it was
        |
        v  rename, sync the folder
    run.json              readers see the old file or the new one, also after a power cut

The file is synced before the rename, else a power cut can leave an empty file under the new name.
Its folder is synced after it, else a power cut can undo the rename: what is written here is written
once in a run, and others count on it.  The files of blocks, of which there are many, go without the
latter: see :mod:`dasdist.storage.staging`.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from dasdist.errors import DasdistError, InvalidInput, OutputUnwritable, RunSuperseded

__all__ = [
    "check_own_folder",
    "check_writable",
    "make_folder",
    "open_own",
    "put_in_place",
    "removed_on_error",
    "replacing",
    "write_atomically",
    "write_synced",
    "writing",
]

_GONE = (errno.ENOENT, errno.ESTALE)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LONGEST = 200  # bytes of a name, of 255, that leave room for what is added to it
_ANYONE = 0o666  # what the process's umask leaves of it, as for any new file


def write_atomically(path: Path, data: Any, *, mode: int = _ANYONE) -> None:
    """Write a file, or replace it: it is there either whole or not at all.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    data : str or bytes-like
        All of it; text is written as UTF-8.
    mode : int
        Its permissions, from its first byte on, as far as the umask leaves them.

    Raises
    ------
    OutputUnwritable
        If the disk is full, a quota is used up or writing is not allowed; the file is then as it
        was.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "report.txt"
    >>> write_atomically(path, "two picks")
    >>> path.read_text(), [entry.name for entry in path.parent.iterdir()]
    ('two picks', ['report.txt'])
    """
    aside = _aside(path)
    with writing(path), removed_on_error(aside):
        write_synced(aside, data.encode() if isinstance(data, str) else data, mode)
        _rename(aside, path)


def make_folder(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises
    ------
    OutputUnwritable
        If that is not possible.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=mode, exist_ok=True)


@contextmanager
def replacing(path: Path, aside: Path | None = None) -> Iterator[Path]:
    """Yield where to write a file that takes its place when the block ends without an error.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    aside : Path, optional
        Where it is written, on the same file system; by default a private, hidden name beside it.
        With a name of one's own, a later try removes what a killed process left.

    Raises
    ------
    OutputUnwritable
        As for :func:`write_atomically`.
    """
    aside = aside or _aside(path)
    with writing(path), removed_on_error(aside):
        aside.unlink(missing_ok=True)
        yield aside
        put_in_place(aside, path)


def put_in_place(aside: Path, path: Path) -> None:
    """Rename a file that was written into its place, for good.

    Raises
    ------
    OutputUnwritable
        If that is not possible.
    """
    with writing(path):
        _sync(aside)
        _rename(aside, path)


def open_own(path: Path, *, read: bool = False) -> FileIO:
    """Open a file to append to, make it if need be, and refuse what somebody put in its way.

    A name that is known before the file is made can be taken by a link, and then what is written or
    cut off is a file elsewhere.  As Linux does in folders like /tmp (``fs.protected_regular``), a
    file is taken only from this user or from the owner of its folder.

    Parameters
    ----------
    path : Path
        The file.
    read : bool
        Whether it is to be read, too.

    Raises
    ------
    InvalidInput
        If it is a link, no plain file, or of another user.
    OSError
        If it cannot be opened.
    """
    flags = os.O_CREAT | os.O_APPEND | (os.O_RDWR if read else os.O_WRONLY)
    try:  # a pipe in its place would not open without somebody at its other end
        number = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _ANYONE)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
        raise InvalidInput(_in_the_way(path, "is a link or no plain file")) from error
    found = os.fstat(number)
    wrong = ""
    if not stat.S_ISREG(found.st_mode):
        wrong = "is no plain file"
    elif found.st_uid not in (os.geteuid(), path.parent.stat().st_uid):
        wrong = f"belongs to another user ({found.st_uid})"
    if wrong:
        os.close(number)
        raise InvalidInput(_in_the_way(path, wrong))
    return FileIO(number, "a+b" if read else "ab")


def check_own_folder(path: Path) -> None:
    """Refuse a folder that is a link, no folder, or of another user; as for `open_own`.

    Raises
    ------
    InvalidInput
        If it is.
    """
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise InvalidInput(_in_the_way(path, "is a link or no folder"))
    if found.st_uid not in (os.geteuid(), path.parent.stat().st_uid):
        raise InvalidInput(_in_the_way(path, f"belongs to another user ({found.st_uid})"))


def _in_the_way(path: Path, wrong: str) -> str:
    return (
        f"{path} {wrong}, and dasdist did not put it there, so it is left alone. Remove it, or "
        "choose another output."
    )


def write_synced(path: Path, data: Any, mode: int = _ANYONE) -> int:
    """Write a new file, down to the disk, and return its size in bytes.

    Raises
    ------
    OSError
        If it is there already, or cannot be written.
    """
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        size = file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return size


@contextmanager
def removed_on_error(path: Path) -> Iterator[None]:
    """Remove a file if the block ends with an error of any kind."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _rename(aside: Path, path: Path) -> None:
    os.replace(aside, path)
    with suppress(OSError):  # not all file systems can sync a folder, and the file is there
        _sync(path.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def writing(target: Any, staging: Path | None = None) -> Iterator[None]:
    """Turn the system's errors while an output is written into errors that say what to do.

    Parameters
    ----------
    target : Path or str
        What is written.
    staging : Path, optional
        The staging folder that must be there.

    Raises
    ------
    OutputUnwritable, RunSuperseded
        In place of `OSError`; errors of dasdist pass.
    """
    try:
        yield
    except DasdistError:
        raise
    except OSError as error:
        if staging is not None and error.errno in _GONE and not os.path.isdir(staging):
            raise RunSuperseded(
                f"{target} was not written, because the run's folder {staging} is gone: a newer "
                "run has taken the output over. This one can do no more; let it end."
            ) from error
        raise OutputUnwritable(_reason(error, target, staging)) from error


def _reason(error: OSError, target: Any, staging: Path | None) -> str:
    """Say what could not be written, why, how much space is left, and what to do."""
    why = error.strerror or next(iter(str(error).splitlines()), type(error).__name__)
    fact = f"{target} cannot be written: {why}"
    resumes = "then the same call or command resumes."
    if error.errno == errno.EXDEV:
        return f"{fact}: {staging} lies on another file system. Choose a folder within one of them."
    if error.errno == errno.ENAMETOOLONG:
        return f"{fact}. Choose a shorter one, of at most {_LONGEST} bytes for what a run adds."
    above = Path(target).parents if isinstance(target, str | Path) else ()
    folder = next((p for p in [staging, *above] if p and p.exists()), Path())
    if not folder.is_dir():
        return f"{fact}: {folder} is a file. Choose another path, or move the file away."
    if error.errno not in _FULL:
        return f"{fact}. See that the folder is there and that you may write to it; {resumes}"
    free = "an unknown number of"
    with suppress(OSError):
        free = f"{shutil.disk_usage(folder).free:,}"
    return f"{fact}; {free} bytes are free where {folder} lies. Make space there; {resumes}"


def check_writable(folder: Path) -> None:
    """Make sure that files can be put into a folder, whatever its permissions say.

    Raises
    ------
    OutputUnwritable
        If they cannot.
    """
    inside = folder / f".{secrets.token_hex(8)}"
    with writing(inside):
        inside.mkdir()  # no reader of the folder takes it for data
        inside.rmdir()
