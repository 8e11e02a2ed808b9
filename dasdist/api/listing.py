"""Which models and versions there are."""

from importlib.util import find_spec
from pathlib import Path

from dasdist.api.model_names import is_pair
from dasdist.errors import InvalidInput
from dasdist.safe_text import logger
from dasdist.zoo.cache import cached_models
from dasdist.zoo.files import ModelFile, in_order
from dasdist.zoo.find import models_in, repositories, versions_of
from dasdist.zoo.places import place_of

__all__ = ["list_pretrained", "list_versions"]

_log = logger()


def list_pretrained(where: str | Path | None = None) -> list[str]:
    """Return the names of models that `from_pretrained` takes.

    Parameters
    ----------
    where : str or Path, optional
        A folder, a pack or a URL; models in it and in the folders in it are listed.  Without one,
        the picker that comes with dasdist, those in the repositories of ``DASDIST_MODELS``, also
        if they are in the cache only, and those in SeisBench's cache if SeisBench is installed.

    Raises
    ------
    InvalidInput
        If `where` cannot be listed.  A repository of ``DASDIST_MODELS`` that does not answer is a
        warning in the log.

    Examples
    --------
    >>> import dasdist
    >>> dasdist.list_pretrained()[0]
    'demo'
    """
    if where is not None:
        return [f"{place.address}/{stem}" for place, stem in models_in(place_of(where))]
    found = {"demo": None, **dict.fromkeys(_in_repositories())}
    return [*found, *(_of_seisbench() if find_spec("seisbench") else ())]


def list_versions(name: str | Path) -> list[str]:
    """Return the versions of a model, from the oldest to the newest.

    Parameters
    ----------
    name : str or Path
        As for `from_pretrained`; of models at URLs, those in the cache count as well.

    Raises
    ------
    InvalidInput
        If nothing is there, and the place cannot be looked at.

    Examples
    --------
    >>> import dasdist
    >>> dasdist.list_versions("demo")
    ['1']
    """
    text = str(name)
    if text == "demo":
        return ["1"]
    if text.startswith("seisbench:"):
        return _versions_of_seisbench(*text.removeprefix("seisbench:").partition("/")[::2])
    if is_pair(name):
        file = ModelFile.of(Path(name).name)
        text = str(Path(name).with_name(file.stem)) if file else text
    return versions_of(text)


def _in_repositories() -> list[str]:
    found = []
    for repository in repositories():
        try:
            found += [f"{place.name}/{stem}" for place, stem in models_in(repository)]
        except InvalidInput as error:
            _log.warning("%s", error)
        found += cached_models(repository)
    return sorted(set(found))


def _of_seisbench() -> list[str]:
    import seisbench
    import seisbench.models

    folders = {folder.name: folder for folder in place_of(seisbench.cache_model_root).folders()}
    classes = [one for one in vars(seisbench.models).values() if isinstance(one, type)]
    names = {one.__name__.lower(): one.__name__ for one in classes}
    return [
        f"seisbench:{names[name]}/{stem}"
        for name, folder in folders.items()
        if name in names
        for _, stem in models_in(folder)
    ]


def _versions_of_seisbench(class_name: str, weights: str) -> list[str]:
    import seisbench.models

    found = getattr(seisbench.models, class_name, None)
    if found is None:
        raise InvalidInput(f"SeisBench has no model {class_name!r}.")
    return in_order(found.list_versions(weights, remote=False))
