"""The models that users meet: torch modules that annotate and classify."""

import asyncio
from pathlib import Path
from typing import Any, Self

from dasdist.api.functions import annotate, classify
from dasdist.api.output import ClassifyOutput
from dasdist.api.pretrained import build_model, named_class, read_pair
from dasdist.callbacks import DASPickingCallback
from dasdist.models import BaseDASModel, WaveformWrapper

__all__ = ["DASModel", "DASWaveformModelWrapper"]


class DASModel(BaseDASModel):
    """A model for DAS data; subclasses define ``forward``.

    See :class:`dasdist.models.BaseDASModel` for its parameters, and
    :func:`dasdist.annotate` and :func:`dasdist.classify` for the arguments of its methods.
    """

    def annotate(self, data: Any, callback: Any = None, **kwargs: Any) -> Any:
        """Annotate a recording; see :func:`dasdist.annotate`."""
        return annotate(self, data, callback, **kwargs)

    def classify(self, data: Any, **kwargs: Any) -> ClassifyOutput:
        """Classify a recording; see :func:`dasdist.classify`."""
        return classify(self, data, **kwargs)

    async def annotate_async(self, data: Any, callback: Any = None, **kwargs: Any) -> Any:
        """Annotate a recording in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(annotate, self, data, callback, **kwargs)

    async def classify_async(self, data: Any, **kwargs: Any) -> ClassifyOutput:
        """Classify a recording in a thread, so that the event loop goes on."""
        return await asyncio.to_thread(classify, self, data, **kwargs)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a model of this class from a ``.json`` / ``.pt`` pair.

        Parameters
        ----------
        path : str or Path
            Either file of the pair.  The JSON holds ``model_args``, arguments of the constructor,
            and perhaps ``default_args``; weights are read without unpickling anything else.
        """
        pair = read_pair(path)
        model: Self = build_model(cls, pair)
        return model


class DASWaveformModelWrapper(DASModel, WaveformWrapper):
    """A SeisBench waveform model, such as PhaseNet, applied to every channel.

    Parameters
    ----------
    model : seisbench.models.WaveformModel
        The model.
    component_strategy : {"clone", "pad"}
        How the one component of a fibre becomes the model's several: repeated, or followed by
        zeros.

    Examples
    --------
    >>> phasenet = seisbench.models.PhaseNet.from_pretrained("original")  # doctest: +SKIP
    >>> dasdist.DASWaveformModelWrapper(phasenet).classify(data).picks  # doctest: +SKIP
    """

    @property
    def classify_callback(self) -> type[DASPickingCallback]:
        """Picking."""
        return DASPickingCallback

    @classmethod
    def from_pretrained(cls, path: str | Path, **kwargs: Any) -> Self:
        """Load a SeisBench waveform model from a ``.json`` / ``.pt`` pair and wrap it."""
        pair = read_pair(path)
        return cls(build_model(named_class(pair), pair), **kwargs)
