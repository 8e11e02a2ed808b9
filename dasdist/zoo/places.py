"""Where models lie: a folder, a pack (a zip archive) or a URL that fsspec knows.

All three say which files are there and what one holds; that is all that the rest of the zoo asks.
"""

import os
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from dasdist.errors import InvalidInput
from dasdist.safe_text import shown, without_secrets

__all__ = ["Denied", "Folder", "Pack", "Place", "Remote", "Unreachable", "is_pack", "place_of"]

_PACK = re.compile(r"(.*\.zip)(?:/+(.*))?")
_TRIES = 3
_SILENCE = 30.0  # seconds after which another repository is asked


class Unreachable(InvalidInput):
    """A place that does not answer, or not with what it should; another one may."""


class _BrokenOff(Unreachable):
    """A connection that could not be made or broke off: it may work at once when tried again."""


class Denied(Unreachable):
    """What may not be read; S3 also says so of what is not there to those who may not list."""


class Place(Protocol):
    """A folder of models, wherever it is."""

    @property
    def address(self) -> str:
        """Where it is, without user, password and query."""
        ...

    @property
    def name(self) -> str:
        """The last part of where it is: in SeisBench's layout, the model's class in lower case."""
        ...

    def files(self) -> list[str]:
        """Return the names of the files in it; none if there is no such folder."""
        ...

    def folders(self) -> "list[Place]":
        """Return the folders in it."""
        ...

    def below(self, name: str) -> "Place":
        """Return the folder of a name in it, whether it is there or not."""
        ...

    def read(self, name: str) -> bytes:
        """Return what a file holds.

        Raises
        ------
        FileNotFoundError
            If there is none.
        Unreachable
            If it cannot be had.
        """
        ...


def place_of(where: str | Path) -> Place:
    """Return the folder that a path or URL names.

    Examples
    --------
    >>> place_of("models/phasenet"), place_of("pack.zip/phasenet")
    (Folder(path=PosixPath('models/phasenet')), Pack(file=PosixPath('pack.zip'), folder='phasenet'))
    >>> print(place_of("https://ana:secret@host/models?token=1"))
    https://host/models
    """
    text = str(where).removeprefix("file://")
    if "://" in text:
        return Remote(text.rstrip("/") if "?" not in text else text)
    packed = _PACK.fullmatch(text)
    if packed is not None and not Path(text).is_dir():
        return Pack(Path(packed[1]), (packed[2] or "").strip("/"))
    return Folder(Path(text))


def is_pack(text: str) -> bool:
    """Whether a path is that of a pack, or of something in one."""
    return "://" not in text and _PACK.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on this machine."""

    path: Path

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.absolute().name

    def files(self) -> list[str]:
        """Return the names of the files in it."""
        return sorted(e.name for e in self.path.iterdir()) if self.path.is_dir() else []

    def folders(self) -> list[Place]:
        """Return the folders in it."""
        inside = sorted(self.path.iterdir()) if self.path.is_dir() else []
        return [Folder(entry) for entry in inside if entry.is_dir()]

    def below(self, name: str) -> Place:
        """Return the folder of a name in it."""
        return Folder(self.path / name)

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return (self.path / name).read_bytes()

    @property
    def address(self) -> str:
        """Its path."""
        return str(self.path)

    def __str__(self) -> str:
        return shown(self.path)


@dataclass(frozen=True, slots=True)
class Pack:
    """A folder in a zip archive."""

    file: Path
    folder: str = ""

    @property
    def name(self) -> str:
        """The name of the folder, or of the archive."""
        return self.folder.rpartition("/")[2] or self.file.stem

    def files(self) -> list[str]:
        """Return the names of the files in it."""
        return sorted(name for folder, name in self._entries() if folder == self.folder)

    def folders(self) -> list[Place]:
        """Return the folders in it that have files."""
        below = {folder for folder, _ in self._entries() if folder != self.folder}
        start = f"{self.folder}/" if self.folder else ""
        return [Pack(self.file, one) for one in sorted(below) if one.startswith(start)]

    def below(self, name: str) -> Place:
        """Return the folder of a name in it."""
        return Pack(self.file, f"{self.folder}/{name}".strip("/"))

    def read(self, name: str) -> bytes:
        """Return what a file holds; zip archives have checksums, which are looked at."""
        path = f"{self.folder}/{name}" if self.folder else name
        data: bytes = self._opened(lambda archive: _member(archive, path))
        return data

    def _entries(self) -> list[tuple[str, str]]:
        names: list[str] = self._opened(zipfile.ZipFile.namelist)
        split = [name.rpartition("/") for name in names]
        return [(folder, name) for folder, _, name in split if name]

    def _opened(self, use: Callable[[zipfile.ZipFile], Any]) -> Any:
        try:
            with zipfile.ZipFile(self.file) as archive:
                return use(archive)
        except (zipfile.BadZipFile, OSError) as error:
            if isinstance(error, FileNotFoundError) and self.file.is_file():
                raise
            raise Unreachable(
                f"{self.file} could not be read as a pack of models: {error}. Make one where there "
                "is a network with dasdist models pack NAME -o pack.zip, and copy it once more."
            ) from error

    @property
    def address(self) -> str:
        """Its path, through the archive."""
        return f"{self.file}/{self.folder}" if self.folder else str(self.file)

    def __str__(self) -> str:
        return shown(self.address)


def _member(archive: zipfile.ZipFile, path: str) -> bytes:
    if path not in archive.namelist():
        raise FileNotFoundError(path)
    return archive.read(path)


@dataclass(frozen=True, slots=True, repr=False)
class Remote:
    """A folder at a URL that fsspec knows, such as ``https://`` and ``s3://``.

    What logs in is looked for where fsspec looks for it: in the environment, or in the URL, whose
    user, password and query stand in no message.
    """

    url: str

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.address.rstrip("/").rpartition("/")[2]

    def files(self) -> list[str]:
        """Return the names of what is in it."""
        return [name for name, folder in self._listed() if not folder]

    def folders(self) -> list[Place]:
        """Return the folders in it."""
        return [self.below(name) for name, folder in self._listed() if folder]

    def below(self, name: str) -> Place:
        """Return the folder of a name in it; a query stays at the end of the URL."""
        return Remote(self._at(name))

    def read(self, name: str) -> bytes:
        """Return what a file holds; what breaks off on its way is asked for again."""
        data: bytes = self._tried(name, lambda files, path: files.cat_file(path))
        return data

    def _listed(self) -> list[tuple[str, bool]]:
        try:
            found = self._tried("", lambda files, path: files.ls(path, detail=True))
        except FileNotFoundError:
            return []
        entries = []
        for entry in found:
            # of links, what stands behind this URL and its query
            path = str(entry["name"]).removeprefix(self.url).partition("?")[0]
            folder = entry["type"] == "directory" or path.endswith("/")
            entries.append((os.path.basename(path.rstrip("/")), folder))
        return sorted({entry for entry in entries if entry[0]})

    def _tried(self, name: str, use: Callable[[Any, str], Any]) -> Any:
        for _ in range(_TRIES - 1):
            with suppress(_BrokenOff):
                return self._once(name, use)
        return self._once(name, use)

    def _once(self, name: str, use: Callable[[Any, str], Any]) -> Any:
        # from None: what libraries say of a URL shows its password and its query
        try:
            files, path = _opened(self._at(name))
            return use(files, path)
        except InvalidInput:
            raise
        except FileNotFoundError as error:
            raise FileNotFoundError(without_secrets(str(error))) from None
        except PermissionError:
            raise Denied(self._unread(name, "access is denied")) from None
        except Exception as error:  # noqa: BLE001 - each file system has its own; all are told
            answered = isinstance(error, TimeoutError) or getattr(error, "status", None) is not None
            reason = f"{type(error).__name__}: {str(error)[:300]}".rstrip(": .")
            kind = Unreachable if answered else _BrokenOff
            raise kind(self._unread(name, reason)) from None

    def _unread(self, name: str, reason: str) -> str:
        return (
            f"{without_secrets(self._at(name))} could not be read: {without_secrets(reason)}. Try "
            "again later, name another repository in DASDIST_MODELS, or use a pack (dasdist models "
            "pack)."
        )

    def _at(self, name: str) -> str:
        if not name:
            return self.url
        parts = urlsplit(self.url) if "?" in self.url else None
        if parts is None:
            return f"{self.url}/{name}"
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))

    @property
    def address(self) -> str:
        """Its URL, without user, password and query."""
        return str(without_secrets(self.url))

    def __str__(self) -> str:
        return shown(self.url)

    def __repr__(self) -> str:
        return f"Remote({shown(self.url)!r})"


def _opened(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs

        # a listing that is kept would hide what came to the server since
        options: dict[str, Any] = {"use_listings_cache": False}
        if url.startswith("http"):
            from aiohttp import ClientTimeout

            limit = ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
            options["client_kwargs"] = {"timeout": limit}
        files, path = url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise InvalidInput(
            f"{url} cannot be opened: {error}. Models at URLs need the package for their kind of "
            "URL: aiohttp for https, s3fs for s3; dasdist[remote] installs both."
        ) from None
    return files, path
