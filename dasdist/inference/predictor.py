"""Apply a model on its device to batches of one constant shape."""

import threading
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from dasdist.errors import ModelMismatch
from dasdist.inference.batch_pieces import in_pieces
from dasdist.inference.device import finish, give_back, out_of_memory, using
from dasdist.inference.refine import SHARES, computed_again
from dasdist.inference.variant import (
    LARGEST_DIFFERENCE,
    PLAIN,
    PRECISIONS,
    Variant,
    build,
    largest_difference,
    less,
)
from dasdist.models import FoldedNetwork, ModelSpec
from dasdist.safe_text import logger
from dasdist.signal import FKFilter, full_precision, in_tf32

__all__ = ["Predictor"]

_log = logger()

_KEPT = 8
"""Folded networks that a predictor keeps: as many as there are arguments in use at a time."""

_UNKNOWN: Any = object()

_DEVICE_LOCKS: dict[torch.device, threading.RLock] = {}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Options of one call of a predictor."""

    arguments: Mapping[str, Any]
    spacing: tuple[float, float]
    variant: Variant
    exact_above: Mapping[str, float]


class Predictor:
    """Apply a model to batches.

    Several threads of a worker may share a predictor.  A lock per device lets one compute while
    the others read, and keeps their memory apart; only folded networks, which keep no state,
    compute in several threads at once.

    Parameters
    ----------
    model : torch.nn.Module
        A DAS model in evaluation mode, on its device; nothing else may use it.

    Attributes
    ----------
    lock : threading.RLock
        Held while the device computes; hold it to have the model for oneself.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.spec = ModelSpec.of(model)
        tensors = chain(model.parameters(), model.buffers(), [torch.empty(0)])
        first = next(tensor for tensor in tensors if tensor.is_floating_point())
        self.device = first.device
        self.dtype = first.dtype
        self.lock = _DEVICE_LOCKS.setdefault(self.device, threading.RLock())
        self._fk_filters: dict[tuple[float, float], FKFilter] = {}
        self._most: dict[int, int] = {}
        self._folded: dict[tuple[Any, ...], FoldedNetwork | None] = {}
        self._float32_only: set[Variant] = set()
        self._notes: dict[tuple[Variant, str], None] = {}

    def note(self, variant: Variant, text: str) -> None:
        """Log that something is done differently than asked for, and keep it for the report."""
        _log.warning("%s: %s", self.spec.name, text)
        self._notes[variant, text] = None

    def notes(self, variant: Variant) -> tuple[str, ...]:
        """Return the notes about a variant."""
        return tuple(text for noted, text in list(self._notes) if noted == variant)

    def __call__(
        self,
        batch: torch.Tensor,
        arguments: Mapping[str, Any],
        spacing: tuple[float, float],
        variant: Variant = PLAIN,
        exact_above: Mapping[str, float] = MappingProxyType({}),
    ) -> dict[str, torch.Tensor]:
        """Annotate a batch.

        Parameters
        ----------
        batch : Tensor, shape (batch, in_samples, in_channels)
            Preprocessed patches.
        arguments : mapping
            Arguments of ``annotate``, for the model's ``argdict``.
        spacing : tuple of float
            Seconds per sample and metres per channel, for the f-k filter.
        variant : Variant
            How the model computes.  What differs from the plain model on the first batch computes
            plainly from then on, with a warning; so does, in float32, what cannot compute in the
            precision of the variant.
        exact_above : mapping of str to float
            By annotation key, the value from which on something reads it.  Where lower precision
            sees something near it, float32 computes again; where this is empty, nowhere.

        Returns
        -------
        dict of str to Tensor of float32, each of shape (batch, out_samples, out_channels)
            On the model's device.

        Raises
        ------
        MemoryError, torch.OutOfMemoryError, RuntimeError
            If the device has no memory for a single patch.

        Notes
        -----
        A batch that is too large for the device's memory is halved until it fits.  This process
        then keeps to that size, again a constant one.
        """
        axis = 2 if self.spec.channelwise and batch.shape[0] == 1 else 0
        total = batch.shape[axis]
        asked = _Asked(arguments, spacing, variant, exact_above)
        while True:
            size = min(self._most.get(axis, total), total)
            outputs = self._in_pieces(batch, axis, size, asked)
            if outputs is not None:
                return outputs
            # only here is everything free that the attempt held
            give_back(self.device)
            # another thread may have found out more in the meantime
            self._most[axis] = min(-(-size // 2), self._most.get(axis, size))
            self.note(
                variant,
                f"batches of {size} do not fit into the memory of {self.device}; going on with "
                f"batches of {self._most[axis]}.",
            )

    def _in_pieces(
        self, batch: torch.Tensor, axis: int, size: int, asked: _Asked
    ) -> dict[str, torch.Tensor] | None:
        """Annotate a batch in pieces of one size; return None if that is too large."""
        try:
            return in_pieces(batch, axis, size, lambda piece: self._annotate(piece, axis, asked))
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not out_of_memory(error):
                raise
            return None

    def _annotate(self, batch: torch.Tensor, axis: int, asked: _Asked) -> dict[str, torch.Tensor]:
        folded = None if asked.variant.kind == "plain" else self._network(batch, asked)

        def exact(some: torch.Tensor) -> dict[str, torch.Tensor]:
            return self._forward(some, asked, "float32", folded)

        precision = asked.variant.precision
        on_gpu = self.device.type == "cuda"
        if precision == "tf32" and not on_gpu and asked.variant not in self._float32_only:
            self._float32_only.add(asked.variant)
            self.note(asked.variant, "tf32 is a precision of GPUs, so float32 is used")
        if precision == "float32" or asked.variant in self._float32_only:
            return exact(batch)
        rough, reason = None, ""
        # models may change their input, and on a GPU it is a copy anyway
        inputs = batch if on_gpu else batch.clone()
        try:
            rough = self._forward(inputs, asked, precision, folded)
        except (RuntimeError, TypeError) as error:
            if out_of_memory(error, surely=True):  # else float32 tells what it was
                raise
            reason = f"{type(error).__name__}: {str(error)[:500]}"
        if rough is None:  # the error is gone, and what it held
            found = exact(batch)
            self._float32_only.add(asked.variant)
            self.note(
                asked.variant, f"it cannot compute in {precision}, so float32 is used: {reason}"
            )
            return found
        if not asked.exact_above:
            return rough
        return computed_again(rough, batch, axis, asked.exact_above, exact, SHARES[precision])

    def _network(self, batch: torch.Tensor, asked: _Asked) -> FoldedNetwork | None:
        """Return the network of the variant, or None if the plain model computes."""
        # how much shares a batch matters to what is made for one shape
        shape = batch.shape[1] if asked.variant.kind == "folded" else tuple(batch.shape)
        key = (asked.variant, shape, repr(sorted(asked.arguments.items(), key=str)))
        folded: FoldedNetwork | None = self._folded.get(key, _UNKNOWN)
        if folded is _UNKNOWN:
            with self.lock:
                if key not in self._folded:
                    while len(self._folded) >= _KEPT:
                        self._folded.pop(next(iter(self._folded)))
                    self._folded[key] = self._checked(batch, asked, asked.variant)
                folded = self._folded[key]
        return folded

    def _checked(
        self, batch: torch.Tensor, asked: _Asked, variant: Variant
    ) -> FoldedNetwork | None:
        """Build a variant and compare it with the plain model, on noise and on the first batch."""
        model: Any = self.model
        shape = (batch.shape[0] * batch.shape[2], batch.shape[1])
        try:
            with torch.no_grad(), using(self.device):
                folded = build(model, variant, shape, asked.arguments)
            noise = torch.randn(batch.shape, generator=torch.Generator().manual_seed(1))
            off = max(
                largest_difference(
                    self._forward(same.clone(), asked, "float32"),
                    self._forward(same.clone(), asked, "float32", folded),
                )
                for same in (noise, batch)
            )
            reason = f"results differ by {off:.1e}, allowed are {LARGEST_DIFFERENCE:.0e}"
        except Exception as error:  # of any kind: torch and compilers have many
            if out_of_memory(error):
                raise  # says nothing about the variant
            off, reason = np.inf, f"{type(error).__name__}: {str(error)[:500]}"
        if off <= LARGEST_DIFFERENCE:
            alone = ", prepared alone" if folded.alone else ""
            told = f"{folded.components} of its components{alone}, {off:.1e} off the plain one"
            _log.info("%s: the %s model computes %s", self.spec.name, variant.kind, told)
            return folded
        other = less(variant)
        self.note(
            asked.variant,
            f"the {variant.kind} model is not used ({reason}); going on with the {other.kind} one.",
        )
        return None if other.kind == "plain" else self._checked(batch, asked, other)

    def _forward(
        self,
        batch: torch.Tensor,
        asked: _Asked,
        precision: str,
        folded: FoldedNetwork | None = None,
    ) -> dict[str, torch.Tensor]:
        inputs = batch.to(self.device, self.dtype)
        if inputs is batch and self.device.type == "cuda":
            inputs = batch.clone()  # if memory runs out it is tried again, and models may change it
        kwargs = dict(getattr(self.model, "annotate_forward_kwargs", {}))
        if folded is not None:
            kwargs["folded"] = folded
        lower = PRECISIONS[precision]
        reduced = nullcontext() if lower is None else torch.autocast(self.device.type, lower)
        # a folded network keeps no state, so that several threads may use it at once
        together = folded is not None and self.device.type in ("cpu", "cuda")
        alone = nullcontext() if together else self.lock
        # a model without parameters may compute on any device, hence on the one its data is on
        exact = in_tf32(self.device) if precision == "tf32" else full_precision(self.device)
        with alone, torch.inference_mode(), using(self.device), reduced, exact:
            if self.spec.fk_filter_args is not None:
                inputs = self._fk_filter(asked.spacing)(inputs)
            outputs = self.model(inputs, argdict=dict(asked.arguments), **kwargs)
            if not isinstance(outputs, Mapping):
                raise ModelMismatch(
                    f"{self.spec.name} returned a {type(outputs).__name__}; its forward method "
                    f"must return a dict with the keys {list(self.spec.annotate_keys)}."
                )
            missing = [key for key in self.spec.annotate_keys if key not in outputs]
            if missing:
                raise ModelMismatch(
                    f"{self.spec.name} has annotate_keys {list(self.spec.annotate_keys)}, but its "
                    f"forward method returned {sorted(outputs)}; correct one of them."
                )
            found = {
                key: torch.as_tensor(outputs[key]).to(torch.float32)
                for key in self.spec.annotate_keys
            }
            if not together:  # it may be in another thread's stream that its memory is used next
                finish(self.device)
            return found

    def _fk_filter(self, spacing: tuple[float, float]) -> FKFilter:
        """Return the f-k filter for a sampling; its mask is built once per shape."""
        if spacing not in self._fk_filters:
            options = dict(self.spec.fk_filter_args or {})
            self._fk_filters[spacing] = FKFilter(dt=spacing[0], dx=spacing[1], **options)
        return self._fk_filters[spacing]
