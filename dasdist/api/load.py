"""Load a model by name or from files."""

from importlib.resources import as_file, files
from pathlib import Path

from dasdist.api.model import DASModel, DASWaveformModelWrapper
from dasdist.api.pretrained import build_model, named_class, read_pair

__all__ = ["from_pretrained"]


def from_pretrained(name: str | Path) -> DASModel:
    """Load a model.

    Parameters
    ----------
    name : str or Path
        ``"demo"``, the small picker that comes with dasdist; or the path of either file of a
        ``.json`` / ``.pt`` pair of SeisBench's (also with a version at the end, as in
        ``original.json.v1``).

    Returns
    -------
    DASModel
        Waveform models of SeisBench come wrapped.

    Raises
    ------
    InvalidInput
        If a file is missing, or it does not say which class it belongs to.

    Examples
    --------
    >>> import dasdist
    >>> dasdist.from_pretrained("demo").annotate_keys
    ['P', 'S']
    """
    if name == "demo":
        with as_file(files("dasdist.demo") / "demo.json") as path:
            pair = read_pair(path)
    else:
        pair = read_pair(name)
    model = build_model(named_class(pair), pair)
    return model if isinstance(model, DASModel) else DASWaveformModelWrapper(model)
