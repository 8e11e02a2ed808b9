"""Load a model by name or from files."""

from pathlib import Path
from typing import Any

from dasdist.api.model import DASModel, DASWaveformModelWrapper
from dasdist.api.model_names import check_name
from dasdist.api.naming import is_in_files, named_model, pair_named
from dasdist.api.pretrained import Pair, build_model, named_class
from dasdist.models import as_das_model
from dasdist.zoo.samples import check_sample

__all__ = ["from_pretrained", "model_of"]


def from_pretrained(
    name: str | Path, version: str | None = None, *, trust: bool = False, update: bool = False
) -> Any:
    """Load a model.

    Parameters
    ----------
    name : str or Path
        ``"demo"``, the small picker that comes with dasdist; ``"seisbench:PhaseNet/original"``, a
        class of SeisBench and weights of it; the path of either file of a ``.json`` / ``.pt`` pair
        of SeisBench's (also with a version at the end, as in ``original.json.v1``), whose hashes
        are checked if ``sha256sum x.json x.pt > x.sha256`` left them there; the same without an
        ending, as in ``models/phasenet/original``, for the newest version; the same in a pack, as
        in ``pack.zip/phasenet/original``, or at a URL that fsspec knows, such as
        ``https://host/models/phasenet/original`` or ``s3://bucket/phasenet/original``, from where
        it goes into a cache (``DASDIST_CACHE``, or ``~/.cache/dasdist/models``);
        ``"phasenet/original"`` alone is sought in the folders, packs and URLs that
        ``DASDIST_MODELS`` names, with spaces between them, until one has it; or
        ``"package.module:factory"``, a callable without arguments that returns a model.
    version : str, optional
        The version of the weights; the newest by default, of those in the cache if there are any.
    trust : bool
        Whether the files may run code: weights may then be a pickled module, and a description may
        name a class of any module.  Only for files that you know the maker of.
    update : bool
        Whether to ask the server for a newer version than those in the cache.

    Returns
    -------
    DASModel
        Waveform models of SeisBench come wrapped; DAS models of SeisBench come as they are.  On the
        CPU, whatever device the weights were saved on.

    Raises
    ------
    InvalidInput
        If there is no such model, a file is missing, damaged or cannot be had, it does not say
        which class it belongs to, or the model does not reproduce the sample that it came with.

    Examples
    --------
    >>> import dasdist
    >>> dasdist.from_pretrained("demo").annotate_keys
    ['P', 'S']
    """
    check_name(name, trust=trust)
    if is_in_files(name):
        with pair_named(name, version, trust=trust, update=update) as pair:
            return check_sample(model_of(pair, trust=trust), pair.sample, name)
    return _as_ours(named_model(name, version, update=update))


def model_of(pair: Pair, *, trust: bool = False) -> Any:
    """Return the model of a pair, whether it reproduces its sample or not."""
    return _as_ours(pair.whole or build_model(named_class(pair, trust=trust), pair))


def _as_ours(model: Any) -> Any:
    if isinstance(model, DASModel):
        return model
    if hasattr(model, "_get_in_pred_samples"):  # as as_das_model knows a waveform model
        return DASWaveformModelWrapper._around(model)
    return as_das_model(model)
