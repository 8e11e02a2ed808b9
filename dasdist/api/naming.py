"""Load what a name of `dasdist.api.model_names` stands for."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from dasdist.api.model_names import is_pair, near, of_seisbench
from dasdist.api.pretrained import Pair, of_version, read_pair
from dasdist.errors import InvalidInput
from dasdist.zoo.files import ModelFile
from dasdist.zoo.find import find, is_of_zoo
from dasdist.zoo.weights import check_sums, check_tensors

__all__ = ["is_in_files", "named_model", "pair_named"]


def is_in_files(name: str | Path) -> bool:
    """Whether a name is that of files which `pair_named` reads without SeisBench's help."""
    return str(name) == "demo" or is_pair(name) or is_of_zoo(name)


def named_model(name: str | Path, version: str | None = None, *, update: bool = False) -> Any:
    """Load the model of a name that is not in files of its own.

    Parameters
    ----------
    name : str or Path
        As `check_name` allows it.
    version : str, optional
        Of models that have several; the newest by default.
    update : bool
        Whether to ask a server for a newer version than those that are here.

    Returns
    -------
    torch.nn.Module
        A DAS model or a waveform model.

    Raises
    ------
    InvalidInput
        If there is no such model; says what there is.
    """
    text = str(name)
    if text.startswith("seisbench:"):
        return _of_seisbench(text.removeprefix("seisbench:"), version, update=update)
    if version is not None:
        raise InvalidInput(f"{text} is code, which has no versions; leave out version={version!r}.")
    return _made_by(text)


@contextmanager
def pair_named(
    name: str | Path, version: str | None = None, *, trust: bool = False, update: bool = False
) -> Iterator[Pair]:
    """Yield the files of a model; of SeisBench's, those in its cache.

    Raises
    ------
    InvalidInput
        If they are missing, damaged or cannot be had, or the name is that of code.
    """
    if str(name) == "demo":
        with as_file(files("dasdist.demo")) as folder:
            check_sums(folder / "demo.sha256")
            yield of_version(read_pair(folder / "demo.json"), version)
    elif is_pair(name):
        yield of_version(read_pair(name, trust=trust), version)
    elif str(name).startswith("seisbench:"):
        theirs = named_model(name, version, update=update)
        stem = str(name).rpartition("/")[2]
        file = ModelFile(stem, "json", theirs.weights_version)
        yield read_pair(type(theirs)._model_path() / file.name)
    elif not is_of_zoo(name):
        raise InvalidInput(f"{name} is code, not files; save its model with model.save first.")
    else:
        with find(str(name), version, update=update).here() as path:
            yield read_pair(path, trust=trust)


def _of_seisbench(name: str, version: str | None, *, update: bool) -> Any:
    import seisbench.models as known

    class_name, _, weights = name.partition("/")
    classes = {
        key: value
        for key, value in vars(known).items()
        if isinstance(value, type) and issubclass(value, (known.WaveformModel, known.DASModel))
    }
    model_class: Any = classes.get(class_name)
    if model_class is None:
        raise InvalidInput(
            f"SeisBench has no model {class_name!r}.{near(class_name, classes)} It has "
            f"{', '.join(sorted(classes))}."
        )
    here = model_class.list_pretrained(remote=False)
    if not weights:
        raise InvalidInput(
            f"seisbench:{name} does not say which weights; write seisbench:{class_name}/<weights>. "
            f"{_in_cache(here)}"
        )
    try:
        model = model_class.from_pretrained(weights, version_str=version or "latest", update=update)
    except (OSError, ValueError) as error:  # no network, or no such weights
        raise InvalidInput(
            f"SeisBench could not load the weights {weights!r} of {class_name} "
            f"({type(error).__name__}).{near(weights, here)} {_in_cache(here)} To bring others "
            f"there, call seisbench.models.{class_name}.from_pretrained({weights!r}) where there "
            "is a network; SEISBENCH_CACHE_ROOT names the cache's folder."
        ) from error
    for file in model_class._model_path().glob(f"{weights}.pt*"):
        check_tensors(file)
    return model


def _in_cache(weights: Iterable[str]) -> str:
    return f"In its cache are {', '.join(sorted(weights)) or 'none'}."


def _made_by(name: str) -> Any:
    module_name, _, path = name.partition(":")
    try:
        found: Any = import_module(module_name)
    except Exception as error:
        raise InvalidInput(
            f"{name}: the module {module_name} could not be imported "
            f"({type(error).__name__}: {error}); install it, or set PYTHONPATH to its folder."
            + of_seisbench(name)
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            public = [key for key in dir(found) if callable(getattr(found, key)) and key[0] != "_"]
            raise InvalidInput(
                f"{name}: there is no {part!r} in {module_name}.{near(part, public)}"
            )
        found = getattr(found, part)
    if not callable(found):
        raise InvalidInput(
            f"{name} is a {type(found).__name__}; name a callable that returns the model."
        )
    try:
        return found()
    except Exception as error:
        raise InvalidInput(
            f"{name}() failed: {type(error).__name__}: {error}. It is called without arguments "
            "and returns the model."
        ) from error
