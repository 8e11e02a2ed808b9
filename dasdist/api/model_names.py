"""Names of models, and what is wrong with one, told before anything is loaded.

::

    demo                            the picker that comes with dasdist
    seisbench:PhaseNet/original     a class of SeisBench and weights of it
    weights/my_model.json           a pair of files
    my_package.models:build         a callable without arguments that returns a model
    https://host/phasenet/original  and the other names of `dasdist.zoo.find`
"""

import difflib
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from dasdist.errors import InvalidInput
from dasdist.spelling import nearest
from dasdist.zoo.files import NEEDED, ModelFile
from dasdist.zoo.find import is_of_zoo
from dasdist.zoo.places import is_pack

__all__ = ["SEISBENCH", "check_name", "is_factory", "is_pair", "near", "of_seisbench", "pair_files"]

_FORMS = (
    "demo, seisbench:<Class>/<weights>, the path or URL of a .json or .pt file, "
    "<folder>/<weights> of a repository in DASDIST_MODELS, or package.module:factory"
)
SEISBENCH = ("PhaseNet", "EQTransformer", "GPD", "VariableLengthPhaseNet", "PickBlue", "DeepSubDAS")
"""Models of SeisBench that one may mean by a bare name; to import SeisBench takes seconds."""

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def check_name(name: str | Path, *, trust: bool = False) -> None:
    """Refuse what is the name of no model; whether it loads is another matter.

    With ``trust``, weights need no description, for they may be a whole model.

    Raises
    ------
    InvalidInput
        If the name has none of the forms above, a file is missing, or SeisBench is not installed.

    Examples
    --------
    >>> check_name("demo")
    >>> check_name("dmeo")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    dasdist.errors.InvalidInput: There is no model called 'dmeo'. Give demo, ... Near: demo.
    """
    text = str(name)
    if text == "demo":
        return
    if is_pair(name):
        pair_files(name, trust=trust)
    elif is_of_zoo(name):
        return  # a server is asked when it is loaded
    elif isinstance(name, Path):
        pair_files(name)
    elif text.startswith("seisbench:"):
        if find_spec("seisbench") is None:
            raise InvalidInput(
                f"{text} needs SeisBench, which is not installed; install dasdist[seisbench]."
            )
    elif not is_factory(text):
        hint = of_seisbench(text) or near(text, ["demo", *_pairs_here()])
        raise InvalidInput(f"There is no model called {text!r}. Give {_FORMS}.{hint}")


def is_pair(name: str | Path) -> bool:
    """Whether a name is that of either file of a pair on this machine."""
    text = str(name)
    if "://" in text or is_pack(text):
        return False
    found = ModelFile.of(Path(text).name)
    return found is not None and found.kind in NEEDED


def is_factory(name: str) -> bool:
    """Whether a name is that of a callable in a module."""
    return _FACTORY.fullmatch(name) is not None


def pair_files(path: str | Path, *, trust: bool = False) -> tuple[Path, Path]:
    """Return the description and the weights that either of them belongs to.

    With ``trust``, the description may be missing.

    Raises
    ------
    InvalidInput
        If one is missing, or `path` is neither.
    """
    path = Path(path)
    found = ModelFile.of(path.name)
    if found is None or found.kind not in NEEDED:
        raise InvalidInput(
            f"{path} is neither a .json nor a .pt file; pass either one of a pair, or load a model "
            "by name with dasdist.from_pretrained."
        )
    description, weights = (path.with_name(replace(found, kind=kind).name) for kind in NEEDED)
    for part in (weights,) if trust else (description, weights):
        if not part.is_file():
            raise InvalidInput(f"{part} does not exist; a model is a .json and a .pt file.")
    return description, weights


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint at names that are spelt alike, or nothing."""
    folded = {one.casefold(): one for one in known}
    found = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    return f" Near: {', '.join(folded[one] for one in found)}." if found else ""


def of_seisbench(name: str) -> str:
    """Return a hint at a model of SeisBench whose name lacks the form it needs, or nothing.

    Examples
    --------
    >>> of_seisbench("phasenet"), of_seisbench("EQTransfomer/stead"), of_seisbench("mine")
    (' Near: seisbench:PhaseNet/original.', ' Near: seisbench:EQTransformer/stead.', '')
    """
    words = re.split("[:/]", re.sub("^seisbench[:/.]", "", name, flags=re.IGNORECASE))
    found = nearest(words[0], SEISBENCH)
    weights = words[1] if len(words) > 1 and words[1] else "original"
    return f" Near: seisbench:{found[0]}/{weights}." if found else ""


def _pairs_here() -> list[str]:
    return [path.name for path in Path().glob("*.json") if path.with_suffix(".pt").is_file()]
