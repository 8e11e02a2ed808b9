"""The cache of models that came from a URL: whole or not at all, for all processes of a user.

::

    ~/.cache/dasdist/models/https-host-models-v3-phasenet-5f3a91c2/
        .original.v1.lock              one process brings a model, the others wait for it
        .original.v1~8d02c6f1/         what is being brought, checked, and renamed
        original.v1/phasenet/          original.json.v1, original.pt.v1, original.sha256.v1

``DASDIST_CACHE`` names another folder.  A model that rots there is brought again.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from dasdist.errors import InvalidInput
from dasdist.safe_text import logger
from dasdist.storage.files import make_folder, write_synced, writing
from dasdist.zoo.files import KINDS, NEEDED, ModelFile
from dasdist.zoo.places import Denied, Place, Unreachable
from dasdist.zoo.weights import check_sums, check_tensors, sums_of

__all__ = [
    "cache_folder",
    "cached",
    "cached_models",
    "cached_versions",
    "read_model",
    "write_model",
]

_log = logger()

_TRIES = 3
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def cache_folder() -> Path:
    """Return the folder of the cache: ``DASDIST_CACHE``, or where the desktop's caches are."""
    given = os.environ.get("DASDIST_CACHE")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "dasdist" / "models"


def cached_versions(place: Place, stem: str) -> dict[str, ModelFile]:
    """Return the versions of a model of a place that are in the cache, and their descriptions."""
    found = {}
    for description in _folder_of(place).glob(f"{escape(stem)}.v*/{escape(place.name)}/*.json*"):
        name = ModelFile.of(description.name)
        if name is not None and name.stem == stem:
            found[description.parts[-3].removeprefix(f"{stem}.v")] = name
    return found


def cached_models(place: Place) -> list[str]:
    """Return the models in the cache that came from the folders of a place, as folder/weights."""
    found = []
    for description in cache_folder().glob("*/*.v*/*/*.json*"):
        name, folder = ModelFile.of(description.name), description.parent.name
        if name is not None and description.parts[-4] == _folder_of(place.below(folder)).name:
            found.append(f"{folder}/{name.stem}")
    return sorted(set(found))


def cached(place: Place, name: ModelFile, version: str) -> Path:
    """Return the description of a model in the cache, which is brought there if it is not whole.

    Parameters
    ----------
    place : Place
        Where it comes from.
    name : ModelFile
        Its description there.
    version : str
        Its version, also if its name lacks it.

    Raises
    ------
    InvalidInput
        If it is not there, does not come whole, or is not what its hashes say.
    OutputUnwritable
        If the cache cannot be written.
    """
    entry = _folder_of(place) / f"{name.stem}.v{version}"
    description = entry / place.name / name.name
    if _whole(description):
        return description
    make_folder(entry.parent)
    with _locked(entry.with_name(f".{entry.name}.lock")):
        if not _whole(description):  # another process may have brought it in the meantime
            _bring(place, name, entry)
    return description


def read_model(place: Place, name: ModelFile) -> dict[str, bytes]:
    """Return the files of a model, by their names; those that it need not have may be missing.

    Raises
    ------
    InvalidInput
        If its description or its weights are missing or cannot be had.
    """
    found = {}
    for kind in KINDS:
        file = ModelFile(name.stem, kind, name.version).name
        try:
            found[file] = place.read(file)
        except FileNotFoundError:
            if kind in NEEDED:
                raise InvalidInput(
                    f"{place}/{file} does not exist; a model is a .json and a .pt file."
                ) from None
        except Denied:
            if kind in NEEDED:
                raise
    return found


def write_model(folder: Path, files: Mapping[str, bytes], name: ModelFile) -> None:
    """Write the files of a model into a new folder, with their hashes, and check them.

    Raises
    ------
    InvalidInput
        If they are not what they should be.
    """
    with writing(folder):
        folder.mkdir(parents=True)
        for file, data in files.items():
            write_synced(folder / file, data)
        sums = folder / ModelFile(name.stem, "sha256", name.version).name
        if not sums.exists():
            write_synced(sums, sums_of(*(folder / file for file in files)).encode())
    check_sums(sums)
    check_tensors(folder / ModelFile(name.stem, "pt", name.version).name)
    try:
        json.loads(files[ModelFile(name.stem, "json", name.version).name])
    except ValueError as error:
        raise InvalidInput(f"{name.name} is damaged: it is not JSON ({error}).") from error


def _bring(place: Place, name: ModelFile, entry: Path) -> None:
    for left in entry.parent.glob(f".{escape(entry.name)}~????????"):  # of processes that died
        shutil.rmtree(left, ignore_errors=True)
    if entry.exists():
        _log.warning("%s is damaged; it is brought again from %s.", entry, place)
        with writing(entry):
            shutil.rmtree(entry)
    aside = entry.with_name(f".{entry.name}~{secrets.token_hex(4)}")
    for attempt in range(_TRIES):
        files = read_model(place, name)
        try:
            write_model(aside / place.name, files, name)
        except InvalidInput as error:
            if attempt == _TRIES - 1:
                raise Unreachable(
                    f"{name.stem} of {place} did not come as it was put there, in {_TRIES} tries: "
                    f"{str(error).replace(f'{aside}/{place.name}/', '')}"
                ) from error
        else:
            with writing(entry):
                aside.rename(entry)
            return
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _whole(description: Path) -> bool:
    name = ModelFile.of(description.name)
    if name is None or not description.is_file():
        return False
    try:
        check_sums(description.with_name(ModelFile(name.stem, "sha256", name.version).name))
    except (InvalidInput, OSError):
        return False
    return True


def _folder_of(place: Place) -> Path:
    """Return the folder of a place; its name tells people where from, its hash which."""
    told = re.sub(r"[^\w.]+", "-", place.address).strip("-")[-80:]
    return cache_folder() / f"{told}-{hashlib.sha256(place.address.encode()).hexdigest()[:8]}"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other process holds a lock; where there are no locks, go on."""
    with writing(path):
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        with suppress(OSError):
            os.close(number)
