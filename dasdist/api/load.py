"""Load a model by name or from files."""

from pathlib import Path
from typing import Any

from dasdist.api.model import DASModel, DASWaveformModelWrapper
from dasdist.api.naming import named_model
from dasdist.models import as_das_model

__all__ = ["from_pretrained"]


def from_pretrained(name: str | Path) -> Any:
    """Load a model.

    Parameters
    ----------
    name : str or Path
        ``"demo"``, the small picker that comes with dasdist; ``"seisbench:PhaseNet/original"``, a
        class of SeisBench and weights of it; the path of either file of a ``.json`` / ``.pt`` pair
        of SeisBench's (also with a version at the end, as in ``original.json.v1``), whose hashes
        are checked if ``sha256sum x.json x.pt > x.sha256`` left them there; or
        ``"package.module:factory"``, a callable without arguments that returns a model.

    Returns
    -------
    DASModel
        Waveform models of SeisBench come wrapped; DAS models of SeisBench come as they are.

    Raises
    ------
    InvalidInput
        If there is no such model, a file is missing, or it does not say which class it belongs to.

    Examples
    --------
    >>> import dasdist
    >>> dasdist.from_pretrained("demo").annotate_keys
    ['P', 'S']
    """
    model = named_model(name)
    if isinstance(model, DASModel):
        return model
    if hasattr(model, "_get_in_pred_samples"):  # as as_das_model knows a waveform model
        return DASWaveformModelWrapper(model)
    return as_das_model(model)
