"""From a name to the files of a model on this machine.

::

    models/phasenet/original            a path without an ending: the newest version there
    https://host/models/phasenet/original, s3://bucket/...     the same; it goes into the cache
    .../original.json.v1                either file: this version
    pack.zip/phasenet/original          in a pack; pack.zip alone, if there is but one model in it
    phasenet/original                   in the repositories that DASDIST_MODELS names, in order
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from dasdist.errors import InvalidInput
from dasdist.safe_text import logger
from dasdist.spelling import nearest
from dasdist.zoo.cache import cached, cached_versions, read_model, write_model
from dasdist.zoo.files import NEEDED, ModelFile, in_order
from dasdist.zoo.places import Folder, Pack, Place, Remote, Unreachable, is_pack, place_of

__all__ = ["Entry", "find", "is_of_zoo", "models_in", "repositories", "versions_of"]

_log = logger()


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of a model, and where it is.

    Parameters
    ----------
    place : Place
        The folder.
    file : ModelFile
        Its description there.
    version : str
        Its version, also if no name has it.
    """

    place: Place
    file: ModelFile
    version: str

    @property
    def name(self) -> str:
        """Folder and weights, such as ``phasenet/original``."""
        return f"{self.place.name}/{self.file.stem}"

    @contextmanager
    def here(self) -> Iterator[Path]:
        """Yield the path of its description, with the other files beside it.

        Raises
        ------
        InvalidInput
            If they are missing, damaged, or cannot be had.
        """
        if isinstance(self.place, Folder):
            yield self.place.path / self.file.name
        elif isinstance(self.place, Remote):
            yield cached(self.place, self.file, self.version)
        else:
            with TemporaryDirectory(prefix="dasdist-") as made:
                folder = Path(made) / self.place.name
                write_model(folder, read_model(self.place, self.file), self.file)
                yield folder / self.file.name


def repositories() -> list[Place]:
    """Return the places that ``DASDIST_MODELS`` names, with spaces between them."""
    return [place_of(word) for word in os.environ.get("DASDIST_MODELS", "").split()]


def is_of_zoo(name: str | Path) -> bool:
    """Whether a name is for `find`: at a URL, in a pack, or of models in a folder or repository."""
    text = str(name)
    if "://" in text or is_pack(text):
        return True
    if ":" in text or not text:
        return False
    place, stem = _parted(text)
    if _descriptions(place, stem) or (repositories() and text.count("/") == 1):
        return True
    return "/" in text and bool(models_in(place, deep=False))  # and `find` says which there are


def find(name: str, version: str | None = None, *, update: bool = False) -> Entry:
    """Find a model.

    Parameters
    ----------
    name : str
        As in the module.
    version : str, optional
        The newest one by default: of those in the cache, if there are any.
    update : bool
        Ask the server for a newer one also then.

    Raises
    ------
    InvalidInput
        If there is no such model or version; says what there is.
    """
    reasons = []
    for place, last in _candidates(name):
        try:
            exact = ModelFile.of(last)
            if exact is not None and exact.kind in NEEDED:
                return _exact(place, exact, version)
            return _chosen(place, last, version, update=update)
        except InvalidInput as error:  # the next repository may have it
            reasons.append(error)
    if len(reasons) == 1:
        raise reasons[0]
    raise InvalidInput(
        f"{name} is in none of the repositories of DASDIST_MODELS: "
        + " ".join(str(reason) for reason in reasons)
    )


def versions_of(name: str) -> list[str]:
    """Return the versions of a model, from the oldest to the newest, in the cache or not."""
    found: dict[str, ModelFile] = {}
    reasons = []
    for place, stem in _candidates(name):
        found |= cached_versions(place, stem)
        try:
            found |= _described(place, stem)
        except InvalidInput as error:
            reasons.append(error)
    if not found and reasons:
        raise reasons[0]
    for reason in reasons:
        _log.warning("%s", reason)
    return in_order(found)


def models_in(place: Place, *, deep: bool = True) -> list[tuple[Place, str]]:
    """Return the models of a folder and of the folders in it: where, and the name of the weights.

    Without ``deep``, of the folder alone.

    Raises
    ------
    InvalidInput
        If it cannot be listed.
    """
    found = []
    for folder in [place, *(place.folders() if deep else ())]:
        files = [file for file in map(ModelFile.of, folder.files()) if file is not None]
        weighed = {(file.stem, file.version) for file in files if file.kind == "pt"}
        stems = {
            file.stem
            for file in files
            if file.kind == "json" and (file.stem, file.version) in weighed
        }
        found += [(folder, stem) for stem in sorted(stems)]
    return found


def _candidates(name: str) -> list[tuple[Place, str]]:
    """Return where a model of a name may be, and what it is called there."""
    if is_pack(name):
        return [_in_pack(place_of(name))]
    place, last = _parted(name)
    found = repositories() if "://" not in name and name.count("/") == 1 else []
    exact = ModelFile.of(last)
    if not found or _descriptions(place, last) or (exact and exact.kind in NEEDED):
        return [(place, last)]
    folder = name.partition("/")[0]
    return [(repository.below(folder), last) for repository in found]


def _in_pack(pack: Any) -> tuple[Place, str]:
    folder, _, last = pack.folder.rpartition("/")
    if last:
        return Pack(pack.file, folder), last
    inside = models_in(pack)
    if len(inside) != 1:
        names = ", ".join(f"{pack}/{place.name}/{stem}" for place, stem in inside)
        raise InvalidInput(
            f"{pack} holds {len(inside)} models, and the name does not say which: write one of "
            f"{names or 'a pack that dasdist models pack made'}."
        )
    return inside[0]


def _parted(name: str) -> tuple[Place, str]:
    """Return the folder of a name, and its last part."""
    if "://" not in name:
        path = Path(name)
        return Folder(path.parent), path.name
    if name.startswith("file://"):
        return _parted(name.removeprefix("file://"))
    parts = urlsplit(name)
    folder, _, last = parts.path.rstrip("/").rpartition("/")
    if not last:
        raise InvalidInput(f"{name} does not say which model; list them with dasdist models list.")
    return place_of(urlunsplit(parts._replace(path=folder))), last


def _exact(place: Place, file: ModelFile, version: str | None) -> Entry:
    if version is not None and version != file.version:
        raise InvalidInput(
            f"{place}/{file.name} names its version already; leave out version={version!r}, or "
            f"name it without its ending: {place}/{file.stem}."
        )
    described = ModelFile(file.stem, "json", file.version)
    known = cached_versions(place, file.stem)
    stated = next((one for one, name in known.items() if name == described), None)
    return Entry(place, described, file.version or stated or _stated(place, described))


def _chosen(place: Place, stem: str, version: str | None, *, update: bool) -> Entry:
    known = cached_versions(place, stem)
    if version is None and known and not update:
        version = in_order(known)[-1]
    if version is None or version not in known:
        try:
            known = {**known, **_described(place, stem)}
        except Unreachable as error:
            if version is not None:
                known = {version: ModelFile(stem, "json", version)}
            elif known:
                _log.warning("%s Going on with version %s.", error, in_order(known)[-1])
            else:
                raise
    if not known:
        names = [other for _, other in _models_of(place)]
        near = nearest(stem, names)
        hint = f" Did you mean {near[0]}?" if near else f" It has {', '.join(names) or 'none'}."
        raise InvalidInput(f"There is no model {stem} in {place}.{hint}")
    version = version or in_order(known)[-1]
    if version not in known:
        raise InvalidInput(
            f"{place}/{stem} has no version {version}; it has {', '.join(in_order(known))}."
        )
    return Entry(place, known[version], version)


def _models_of(place: Place) -> list[tuple[Place, str]]:
    try:
        return models_in(place, deep=False)
    except InvalidInput:
        return []


def _descriptions(place: Place, stem: str) -> list[ModelFile]:
    """Return the descriptions of a model in a place."""
    files = [ModelFile.of(name) for name in place.files()]
    return [file for file in files if file and (file.stem, file.kind) == (stem, "json")]


def _described(place: Place, stem: str) -> dict[str, ModelFile]:
    """Return the versions of a model in a place, each with its description."""
    return {file.version or _stated(place, file): file for file in _descriptions(place, stem)}


def _stated(place: Place, file: ModelFile) -> str:
    """Return the version that a description states; 1 where it states none, as in SeisBench."""
    try:
        return str(json.loads(place.read(file.name)).get("version", "1"))
    except FileNotFoundError as error:
        raise InvalidInput(f"{place}/{file.name} does not exist.") from error
    except (ValueError, AttributeError) as error:
        raise InvalidInput(
            f"{place}/{file.name} is no description of a model ({error})."
        ) from error
