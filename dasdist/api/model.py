"""The models that users meet: torch modules that annotate and classify."""

import asyncio
from pathlib import Path
from typing import Any, Self

from dasdist.api.functions import annotate, classify
from dasdist.api.naming import pair_named
from dasdist.api.output import ClassifyOutput
from dasdist.api.pretrained import Pair, build_model, named_class
from dasdist.callbacks import DASPickingCallback
from dasdist.models import BaseDASModel, WaveformWrapper
from dasdist.models.arguments import set_on_wrapper
from dasdist.zoo.samples import check_sample

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
    def from_pretrained(
        cls, name: str | Path, version: str | None = None, *, update: bool = False
    ) -> Self:
        """Load a model of this class.

        Parameters
        ----------
        name : str or Path
            Either file of a ``.json`` / ``.pt`` pair, or another name of one for
            :func:`dasdist.from_pretrained`.  The JSON holds ``model_args``, arguments of the
            constructor, and perhaps ``default_args``; weights are read without unpickling anything
            else.
        version : str, optional
            The version of the weights; the newest by default, of those here if there are any.
        update : bool
            Whether to ask the server for a newer version.
        """
        with pair_named(name, version, update=update) as pair:
            found: Self = check_sample(cls._of_pair(pair), pair.sample, name)
            return found

    @classmethod
    def load(cls, path: str | Path, version_str: str | None = None) -> Self:
        """Load what :meth:`save` wrote; the newest version if none is given."""
        return cls.from_pretrained(path, version_str)

    def save(
        self,
        path: str | Path,
        weights_docstring: str = "",
        version_str: str | None = None,
        *,
        sample: Any = None,
    ) -> None:
        """Write the model into files that :meth:`load` and `dasdist.from_pretrained` read.

        Parameters
        ----------
        path : str or Path
            Without an ending: ``models/mine/first`` makes ``first.json``, ``first.pt``,
            ``first.npz`` and ``first.sha256`` in a folder, which is made.  Files of these names are
            replaced.
        weights_docstring : str
            What the weights were trained on, by whom, and what they are good for.
        version_str : str, optional
            Their version; ``.v<version>`` then ends the names of the files.
        sample : array, shape (in_samples, in_channels), optional
            A preprocessed patch, kept with the output that the model gives for it, which whoever
            loads the model has to get; by default noise with an arrival.

        Raises
        ------
        InvalidInput
            If the model could not be made again from what would be written.
        OutputUnwritable
            If the files cannot be written.

        Notes
        -----
        The layout is that of ``seisbench.models.base.SeisBenchModel.save``, whose ``load`` reads
        waveform models of SeisBench that are saved here.
        """
        from dasdist.api.saving import save

        save(self, path, weights_docstring, version_str, sample)

    @classmethod
    def _of_pair(cls, pair: Pair) -> Self:
        model: Self = build_model(cls, pair)
        return model

    @staticmethod
    def list_versions(name: str | Path) -> list[str]:
        """Return the versions of a model; see :func:`dasdist.list_versions`."""
        from dasdist.api.listing import list_versions

        return list_versions(name)


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
    def from_pretrained(
        cls, name: str | Path, version: str | None = None, *, update: bool = False, **kwargs: Any
    ) -> Self:
        """Load a SeisBench waveform model and wrap it; ``kwargs`` are for the wrapper."""
        with pair_named(name, version, update=update) as pair:
            found = cls._around(build_model(named_class(pair), pair), **kwargs)
            if not kwargs:  # else it may well give another output
                check_sample(found, pair.sample, name)
            return found

    @classmethod
    def _of_pair(cls, pair: Pair) -> Self:
        return cls._around(build_model(named_class(pair), pair))

    @classmethod
    def _around(cls, model: Any, **kwargs: Any) -> Self:
        """Wrap a model, with what its description says of the wrapper."""
        wrapped = cls(model, **kwargs)
        described = (getattr(model, "_weights_metadata", None) or {}).get("wrapper", {})
        set_on_wrapper(wrapped, {k: v for k, v in described.items() if k not in kwargs})
        return wrapped
