"""Packs: models in one file, for nodes without a network.

::

    pack.zip
        phasenet/original.json.v1, original.pt.v1, original.npz.v1, original.sha256.v1
        picker/first.json, ...

``pack.zip/phasenet/original`` is then a name for `dasdist.from_pretrained`, and a pack may stand in
``DASDIST_MODELS``.  Before a model goes into one, it has reproduced its sample, which is made if
there is none.
"""

import hashlib
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from dasdist.api.listing import list_pretrained
from dasdist.api.load import model_of
from dasdist.api.model_names import check_name
from dasdist.api.naming import pair_named
from dasdist.api.pretrained import Pair
from dasdist.errors import DasdistError, InvalidInput
from dasdist.storage.files import replacing
from dasdist.zoo.files import NEEDED, ModelFile
from dasdist.zoo.find import models_in, repositories
from dasdist.zoo.samples import Sample, check_sample

__all__ = ["pack"]

_MADE = 1980, 1, 1, 0, 0, 0  # so that the same models make the same pack


def pack(names: Iterable[str], out: Path) -> list[str]:
    """Write models into a pack, and return their names in it.

    Parameters
    ----------
    names : iterable of str
        As for `dasdist.from_pretrained`; a folder, a URL, or the name of a folder in a repository
        or of a model in SeisBench's cache, for all models there.
    out : Path
        The pack, a ``.zip``; it is replaced if it is there.

    Raises
    ------
    InvalidInput
        If a model is not there, not in files, or does not reproduce its sample.
    OutputUnwritable
        If the pack cannot be written.
    """
    if out.suffix != ".zip":
        raise InvalidInput(f"{out} is no name for a pack; let it end in .zip.")
    files: dict[str, bytes] = {}
    for name in (one for given in names for one in _meant(given)):
        with pair_named(name) as pair:
            found = _files(pair, name)
        for path, data in found.items():
            if files.setdefault(path, data) != data:
                raise InvalidInput(
                    f"Two models would be {path} in the pack; put them into two packs, or rename "
                    "the folder of one."
                )
    with replacing(out) as aside, zipfile.ZipFile(aside, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path, _MADE), data)
    return [path.replace(".json", "") for path in files if ".json" in path.rpartition("/")[2]]


def _files(pair: Pair, name: str) -> dict[str, bytes]:
    """Return the files of a model, with a sample and hashes, by their paths in a pack."""
    described = ModelFile.of(pair.path.name)
    if described is None or pair.whole is not None:
        raise InvalidInput(f"{name} is not in two files; save it with model.save first.")
    model = model_of(pair)
    sample = pair.sample or Sample.of(model)
    check_sample(model, sample, name)

    def called(kind: str) -> str:
        return ModelFile(described.stem, kind, described.version).name

    files = {called(kind): pair.path.with_name(called(kind)).read_bytes() for kind in NEEDED}
    if sample is not None:
        files[called("npz")] = sample.to_bytes()
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, data in files.items())
    files[called("sha256")] = sums.encode()
    return {f"{pair.path.absolute().parent.name}/{file}": data for file, data in files.items()}


def _meant(name: str) -> list[str]:
    """Return the models that a name stands for."""
    for repository in repositories() if "/" not in name and ":" not in name else ():
        try:
            stems = [stem for _, stem in models_in(repository.below(name), deep=False)]
        except InvalidInput:  # the next may answer
            continue
        if stems:
            return [f"{name}/{stem}" for stem in stems]
    if name != "demo" and (found := _inside(name)):
        return found
    try:
        check_name(name)
    except DasdistError:
        if find_spec("seisbench"):
            start = f"seisbench:{name}/".casefold()
            found = [one for one in list_pretrained() if one.casefold().startswith(start)]
            if found:
                return found
        raise
    return [name]


def _inside(name: str) -> list[str]:
    """Return the models in a folder or pack on this machine; none if it is neither."""
    return list_pretrained(name) if Path(name).is_dir() or name.endswith(".zip") else []
