"""SeisBench's waveform models, applied to every channel of a fibre."""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from dasdist.errors import DataWarning, InvalidInput
from dasdist.geometry.patches import PatchingStructure
from dasdist.models.base import BaseDASModel
from dasdist.models.fold import FoldedNetwork, fold_batch_norms, fold_components

__all__ = ["WaveformWrapper"]

NOISE_LABELS = frozenset({"N", "Noise"})
"""Labels of outputs that carry no information beyond the others."""

NON_PHASE_LABELS = NOISE_LABELS | {"Detection"}
"""Labels of outputs whose peaks are not arrivals."""

LARGEST_PATCH = 1024
"""Channels of a patch, as in SeisBench."""


class WaveformWrapper(BaseDASModel):
    """Apply a SeisBench ``WaveformModel`` channel by channel.

    Parameters
    ----------
    model : seisbench.models.WaveformModel
        A model with ``output_type == "array"``, e.g. PhaseNet or EQTransformer.
    component_strategy : {"clone", "pad"}
        How the one component of a fibre becomes the model's several: repeated, or followed by
        zeros.
    **kwargs
        Arguments of :class:`BaseDASModel`; ``filter_samples`` takes the place of the model's own
        filter.

    Notes
    -----
    Follows ``seisbench.models.DASWaveformModelWrapper``: admissible sampling from half to twice
    the model's rate, patches of up to 1024 channels without overlap, the model's own filter.  Its
    ``annotate_keys`` leave out noise; picking leaves out detections as well.
    """

    channelwise: ClassVar[bool] = True

    def __init__(self, model: Any, component_strategy: str = "clone", **kwargs: Any) -> None:
        _check_kind(model)
        rate = model.sampling_rate
        dt_range = None if rate is None else (0.5 / rate, 2.0 / rate)
        if kwargs.get("filter_samples") is None:
            kwargs["filter_samples"] = filter_of(model, dt_range)
        super().__init__(
            dt_range=dt_range,
            annotate_keys=[x for x in model.labels if x not in NOISE_LABELS],
            default_args={**model.default_args, **kwargs.pop("default_args", {})},
            citation=model.citation,
            **kwargs,
        )
        self.model = model
        self.component_strategy = component_strategy
        blinding = model._annotate_args.get("blinding", ("Outputs to drop at both ends", (0, 0)))
        self._annotate_args = {**BaseDASModel._annotate_args, "blinding": blinding}

    @property
    def component_strategy(self) -> str:
        """``"clone"`` or ``"pad"``."""
        return self._component_strategy

    @component_strategy.setter
    def component_strategy(self, value: str) -> None:
        if value not in ("clone", "pad"):
            raise InvalidInput(f"component_strategy is {value!r}; use 'clone' or 'pad'.")
        self._component_strategy = value

    @property
    def name(self) -> str:
        """Name of the wrapped model."""
        return f"DAS{self.model.name}"

    @property
    def weights_docstring(self) -> str | None:
        """What the file of the wrapped model's weights says of them."""
        return getattr(self.model, "weights_docstring", None)

    @property
    def weights_version(self) -> str | None:
        """The version of the wrapped model's weights."""
        return getattr(self.model, "weights_version", None)

    @property
    def phases(self) -> list[str]:
        """Annotation keys whose peaks are arrivals: the model's own phases, where it names them."""
        own = getattr(self.model, "phases", None)
        known = set(self.model.labels if own is None else own)
        return [key for key in self.annotate_keys if key in known - NON_PHASE_LABELS]

    def get_patching_structure(
        self, data_shape: tuple[int, int], argdict: Mapping[str, Any]
    ) -> PatchingStructure:
        """Return patches of the model's window and all channels, up to 1024."""
        samples, channels = data_shape
        # models with adaptive windows look at the length alone: no memory behind it
        trace = np.broadcast_to(np.zeros(1, dtype=np.float32), (samples,))
        in_samples, (first, last) = self.model._get_in_pred_samples(trace)
        before, after = self._argdict_get_with_default(argdict, "blinding")
        if before < 0 or after < 0 or before + after >= last - first:
            raise InvalidInput(
                f"blinding is {(before, after)} samples, but the model has {last - first} outputs; "
                "use values from 0 up that leave some of them."
            )
        width = min(LARGEST_PATCH, channels)
        return PatchingStructure(
            in_samples=in_samples,
            in_channels=width,
            out_samples=last - first - before - after,
            out_channels=width,
            range_samples=(first + before, last - after),
            range_channels=(0, width),
            overlap_samples=self._overlap(None, "overlap_samples", in_samples, argdict),
            overlap_channels=0,
        )

    def forward(
        self,
        x: torch.Tensor,
        argdict: Mapping[str, Any] | None = None,
        folded: FoldedNetwork | None = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor]:
        """Annotate every channel of ``x``, shape (batch, samples, channels), as a trace.

        With ``folded``, that network computes instead of the model's own.
        """
        argdict = dict(argdict or {})
        batch, samples, channels = x.shape
        traces = x.permute(0, 2, 1).reshape(batch * channels, 1, samples)
        annotations = self._annotate_traces(traces, argdict, folded)
        before, after = self._argdict_get_with_default(argdict, "blinding")
        kept = annotations[:, before : annotations.shape[1] - after]
        per_channel = kept.reshape(batch, channels, kept.shape[1], kept.shape[2])
        return {
            key: per_channel[..., i].transpose(1, 2)
            for i, key in enumerate(self.model.labels)
            if key in self.annotate_keys
        }

    def _components(self, traces: torch.Tensor) -> torch.Tensor:
        count = len(self.model.component_order)
        if self.component_strategy == "clone":
            return traces.repeat(1, count, 1)
        return torch.nn.functional.pad(traces, (0, 0, 0, count - 1))

    def _annotate_traces(
        self, traces: torch.Tensor, argdict: dict[str, Any], folded: FoldedNetwork | None
    ) -> torch.Tensor:
        """Return annotations of shape (traces, samples, labels)."""
        alone = folded is not None and folded.alone
        prepared, piggyback = self._prepare(traces if alone else self._components(traces), argdict)
        if folded is None:
            raw = self.model(prepared)
        else:
            raw = folded.network(prepared[:, : folded.components])
        out: torch.Tensor = self.model.annotate_batch_post(
            raw, piggyback=piggyback, argdict=argdict
        )
        return out

    def _prepare(self, components: torch.Tensor, argdict: dict[str, Any]) -> tuple[Any, Any]:
        prepared = self.model.annotate_batch_pre(components, argdict=argdict)
        return prepared if isinstance(prepared, tuple) else (prepared, None)

    def folded(self, samples: int, argdict: Mapping[str, Any]) -> FoldedNetwork:
        """Return the model's network with less to compute; see :mod:`dasdist.models.fold`.

        Whether one component is prepared alone as it is among its copies, or among zeros, depends
        on how the model normalises: each by itself, or all by one standard deviation, which
        counts samples.  So it is tried, and so is whether they are equal, or zero, after it: but
        for rounding, for a GPU may add the samples of equal components in unequal order.
        """
        random = torch.Generator().manual_seed(0)
        traces = torch.randn(2, 1, samples, generator=random).to(self.device, self.dtype)
        prepared, piggyback = self._prepare(self._components(traces), dict(argdict))
        network = fold_batch_norms(self.model, prepared)
        components = prepared.shape[1]
        others = prepared[:, :1].expand_as(prepared) if self._clones else torch.zeros_like(prepared)
        if piggyback is not None or not _alike(prepared[:, 1:], others[:, 1:]):
            return FoldedNetwork(network, components)
        strategy: Literal["clone", "pad"] = "clone" if self._clones else "pad"
        single = fold_components(network, prepared, strategy)
        if single is None:
            return FoldedNetwork(network, components)
        one, _ = self._prepare(traces.clone(), dict(argdict))
        return FoldedNetwork(single, 1, alone=_alike(one, prepared[:, :1]))

    def invariances(self, samples: int, argdict: Mapping[str, Any]) -> tuple[bool, bool]:
        """Return whether the model's own preparation removes a constant, and a factor.

        Tried on noise: models say neither.
        """
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(4, 1, samples, generator=random).to(self.device, self.dtype)
        before, moved, larger = (
            self._prepare(self._components(traces), dict(argdict))
            for traces in (noise.clone(), noise + 64.0, noise * 1024.0)
        )
        if before[1] is not None:  # the outputs are put back to what was recorded
            return False, False
        constant, factor = (torch.allclose(a[0], before[0], 0, 1e-3) for a in (moved, larger))
        return constant, factor

    @property
    def _clones(self) -> bool:
        return self.component_strategy == "clone"


def _alike(some: torch.Tensor, others: torch.Tensor) -> bool:
    """Return whether prepared samples, which are about 1, are equal but for rounding."""
    return torch.allclose(some, others, rtol=0.0, atol=1e-5)


def _check_kind(model: Any) -> None:
    """Refuse a model that gives no curve for every phase, of one channel by itself.

    Raises
    ------
    InvalidInput
        Saying what to use.
    """
    name = type(model).__name__
    output, labels = getattr(model, "output_type", None), getattr(model, "labels", None)
    if output != "array":
        raise InvalidInput(
            f"{name} has output_type {output!r} and gives no value for every sample, as a fibre's "
            "curves need: use a model with output_type 'array', such as PhaseNet."
        )
    if labels is None or callable(labels):
        raise InvalidInput(
            f"{name} gives waveforms or masks, as denoisers do, and no curve for each phase: "
            "denoise the data beforehand, or derive a dasdist.DASModel from it and call annotate, "
            "and pick with a picker such as PhaseNet."
        )
    if getattr(getattr(model, "_grouping", None), "grouping", None) == "full":
        raise InvalidInput(
            f"{name} looks at several stations at once, and a fibre's channels come one by one: "
            "use a model of single stations, such as PhaseNet."
        )
    own = getattr(type(model), "annotate_stream_pre", None)
    if own is not None and own.__module__ != "seisbench.models.base":
        raise InvalidInput(
            f"{name} prepares whole streams itself (annotate_stream_pre), which blocks of a fibre "
            "do not go through: use a model that takes samples as they are, such as PhaseNet."
        )


def filter_of(
    model: Any, dt_range: tuple[float, float] | None
) -> tuple[str, dict[str, Any]] | None:
    """Translate a waveform model's obspy filter into a causal scipy design.

    Corners above the Nyquist frequency of the slowest admissible sampling are lowered to it.  A
    zero-phase filter runs forwards and backwards, which no block could do alone; it becomes a
    causal one of twice the order, with a warning, as in SeisBench.
    """
    if model.filter_args is None:
        return None
    if isinstance(model.filter_args, dict) or len(model.filter_args) != 1:
        _warn_of_no_filter(model, f"filter_args {model.filter_args!r} are several filters")
        return None
    kind, options = model.filter_args[0], model.filter_kwargs or {}
    corners: dict[str, tuple[str, ...]] = {
        "bandpass": ("freqmin", "freqmax"),
        "bandstop": ("freqmin", "freqmax"),
        "lowpass": ("freq",),
        "highpass": ("freq",),
    }
    if kind not in corners:
        _warn_of_no_filter(model, f"there is no causal equivalent of the filter {kind!r}")
        return None
    missing = [name for name in corners[kind] if name not in options]
    if missing:
        raise InvalidInput(
            f"The {kind} filter of {model.name} lacks {' and '.join(missing)}: give it in the "
            "model's filter_kwargs, or pass filter_samples."
        )
    order = options.get("corners", 4)  # as ObsPy
    if options.get("zerophase", False):
        warnings.warn(
            f"{model.name} was trained with a zero-phase filter, which needs the whole recording; "
            "a causal filter of twice its order is used instead.",
            DataWarning,
            stacklevel=3,
        )
        order *= 2
    highest = np.inf if dt_range is None else 0.999999 * 0.5 / dt_range[1]
    edges = [options[name] for name in corners[kind]]
    edges[-1] = min(edges[-1], highest)
    frequency = edges if len(edges) > 1 else edges[0]
    return "iirfilter", {"N": order, "btype": kind, "ftype": "butter", "Wn": frequency}


def _warn_of_no_filter(model: Any, reason: str) -> None:
    warnings.warn(
        f"The filter of {model.name} is not applied: {reason}. Pass filter_samples, or filter the "
        "data beforehand.",
        DataWarning,
        stacklevel=4,
    )
