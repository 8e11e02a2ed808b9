"""The base class of DAS models: a torch module with a patching structure and named outputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar

import torch

from dasdist.errors import InvalidInput
from dasdist.geometry.patches import PatchingStructure
from dasdist.safe_text import as_html

__all__ = ["BaseDASModel"]


class BaseDASModel(torch.nn.Module, ABC):
    """A model that annotates patches of DAS data.

    Parameters
    ----------
    dt_range : tuple of float, optional
        Admissible sample spacing in seconds; other data is resampled to the model's own spacing,
        the geometric mean of the range.
    dx_range : tuple of float, optional
        The same along the fibre, in metres.
    patching_structure : PatchingStructure, optional
        Shape of patches and outputs.  Leave it out if you override
        :meth:`get_patching_structure`.
    annotate_keys : list of str, optional
        Names of the outputs to use.
    annotate_forward_kwargs : dict, optional
        Further keyword arguments of :meth:`forward`.
    default_args : dict, optional
        Defaults for keyword arguments of ``annotate`` and ``classify``; those of picking are
        ``thresholds``, or ``P_threshold`` and so on for each phase, and ``blinding``.
    fk_filter_args : dict, optional
        ``v_min``, ``v_max``, ``mode`` of a :class:`dasdist.signal.FKFilter` applied to each patch.
    filter_samples : tuple of str and dict, optional
        Causal filter along time: a scipy.signal design function and its arguments, corners in Hz.
    citation : str, optional
        How to cite the model.

    Notes
    -----
    Arguments and methods are those of ``seisbench.models.DASModel``, without its state: nothing
    that one instance sets reaches another.
    """

    channelwise: ClassVar[bool] = False
    """Whether outputs of a channel depend on that channel alone, so that windows of any patches
    and channels may share a batch."""

    _weights_docstring: str | None = None
    _weights_version: str | None = None
    _weights_metadata: Mapping[str, Any] = MappingProxyType({})

    _annotate_args: Mapping[str, tuple[str, Any]] = {
        "batch_size": ("Patches per batch; None chooses for the device", None),
        "pbar": ("Show a progress bar", True),
        "overlap_samples": ("Overlap of patches in time: fraction below 1, samples from 1", 0.5),
        "overlap_channels": ("Overlap along the fibre: fraction below 1, channels from 1", 0.5),
        "channel_coord_name": ("Name of the channel dimension; None finds it", None),
    }

    def __init__(
        self,
        dt_range: tuple[float, float] | None = None,
        dx_range: tuple[float, float] | None = None,
        patching_structure: PatchingStructure | None = None,
        annotate_forward_kwargs: Mapping[str, Any] | None = None,
        annotate_keys: list[str] | None = None,
        default_args: Mapping[str, Any] | None = None,
        fk_filter_args: Mapping[str, Any] | None = None,
        filter_samples: tuple[str, Mapping[str, Any]] | None = None,
        citation: str | None = None,
    ) -> None:
        super().__init__()
        self.dt_range = dt_range
        self.dx_range = dx_range
        self.patching_structure = patching_structure
        self.annotate_forward_kwargs = dict(annotate_forward_kwargs or {})
        self.annotate_keys = list(annotate_keys or [])
        self.default_args = dict(default_args or {})
        self.fk_filter_args = fk_filter_args
        self.filter_samples = filter_samples
        self.citation = citation

    @property
    def name(self) -> str:
        """Name of the model."""
        return type(self).__name__

    @property
    def weights_docstring(self) -> str | None:
        """What the file of the weights says of them; None if they came from no file."""
        return self._weights_docstring

    @property
    def weights_version(self) -> str | None:
        """The version of the weights; None if they came from no file."""
        return self._weights_version

    def get_model_args(self) -> dict[str, Any]:
        """Return the arguments of the constructor, as :meth:`save` writes them.

        They are looked for in attributes of the same names; override this where the model keeps
        them elsewhere.
        """
        from dasdist.models.arguments import arguments_of

        return arguments_of(self, self._weights_metadata.get("model_args", {}))

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return next((p.device for p in self.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""
        return next((p.dtype for p in self.parameters()), torch.float32)

    @abstractmethod
    def forward(
        self, x: torch.Tensor, argdict: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Mapping[str, torch.Tensor]:
        """Annotate a batch of patches.

        Parameters
        ----------
        x : Tensor, shape (batch, in_samples, in_channels)
            Preprocessed data.
        argdict : mapping, optional
            Arguments of ``annotate``.

        Returns
        -------
        mapping of str to Tensor, each of shape (batch, out_samples, out_channels)
            One entry per annotation key.
        """

    def get_patching_structure(
        self, data_shape: tuple[int, int], argdict: Mapping[str, Any]
    ) -> PatchingStructure:
        """Return the patching structure for a segment.

        Parameters
        ----------
        data_shape : tuple of int
            Samples and channels of the segment at the model's sampling.
        argdict : mapping
            Arguments of ``annotate``.

        Returns
        -------
        PatchingStructure
            With its overlaps filled in.
        """
        structure = self.patching_structure
        if structure is None:
            raise InvalidInput(
                f"{self.name} has no patching structure; pass patching_structure to its "
                "constructor, or override get_patching_structure."
            )
        return replace(
            structure,
            overlap_samples=self._overlap(
                structure.overlap_samples, "overlap_samples", structure.in_samples, argdict
            ),
            overlap_channels=self._overlap(
                structure.overlap_channels, "overlap_channels", structure.in_channels, argdict
            ),
        )

    def _overlap(self, fixed: int | None, key: str, window: int, argdict: Mapping[str, Any]) -> int:
        if fixed is not None:
            return fixed
        overlap = self._argdict_get_with_default(argdict, key)
        if isinstance(overlap, bool) or not isinstance(overlap, Real) or not float(overlap) >= 0:
            raise InvalidInput(
                f"{key} is {overlap!r}; use a fraction of a patch from 0 to below 1, or a number "
                "of samples or channels from 1 up."
            )
        return int(float(overlap) * window) if float(overlap) < 1 else int(float(overlap))

    def _argdict_get_with_default(self, argdict: Mapping[str, Any], key: str) -> Any:
        """Return an argument or its default; models written for SeisBench call it by this name."""
        return argdict[key] if key in argdict else self._annotate_args[key][1]

    def _repr_html_(self) -> str:
        rows = {"outputs": ", ".join(self.annotate_keys)}
        if self.dt_range is not None:
            slowest, fastest = (1 / dt for dt in reversed(self.dt_range))
            rate = (slowest * fastest) ** 0.5
            rows["rate"] = f"{rate:g} Hz; resamples what is not {slowest:g} to {fastest:g} Hz"
        if self.patching_structure is not None:
            window = self.patching_structure
            rows["window"] = f"{window.in_samples:,} samples x {window.in_channels:,} channels"
        rows["parameters"] = f"{sum(p.numel() for p in self.parameters()):,}"
        rows["citation"] = self.citation or "not stated"
        cells = "".join(
            f"<tr><th style='text-align:left'>{as_html(name)}</th>"
            f"<td style='text-align:left'>{as_html(value)}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table><caption>{as_html(self.name)}</caption>{cells}</table>"

    @property
    def classify_callback(self) -> type:
        """The callback class that ``classify`` uses; picking models return a picking callback."""
        raise InvalidInput(
            f"{self.name} has no classify_callback; override that property, or call annotate with "
            "a callback."
        )
