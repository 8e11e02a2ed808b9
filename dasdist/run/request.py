"""What was asked for: a model, a recording, arguments and options, checked and ready to plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from os import PathLike
from types import MappingProxyType
from typing import Any

import torch
from distributed import Client

from dasdist.callbacks.base import Context
from dasdist.callbacks.needs import Needs
from dasdist.executors.clients import current_client
from dasdist.executors.resources import resources_of
from dasdist.geometry.choose import DEFAULT_LIMITS, Limits
from dasdist.inference.replica import Payload, pack, predictor_of, remember
from dasdist.models import ModelSpec, as_das_model, check_arguments
from dasdist.planning.block_size import HeldCore
from dasdist.planning.fit import make_plan
from dasdist.planning.plan import Plan
from dasdist.run.options import RunOptions
from dasdist.sources import NO_MASK, Mask, Recording, open_recording, read_mask

__all__ = ["Request"]

_OF_THE_RUN = ("pbar", "on_error")
"""Arguments that models may have defaults for, but that no model gets."""


@dataclass(frozen=True, slots=True)
class Request:
    """A model and a recording, ready to be planned.

    Parameters
    ----------
    spec : ModelSpec
        What the model says of itself.
    payload : Payload
        The model, pickled; this process has its replica.
    recording : Recording
        The data.
    client : Client or None
        Where to compute; None is this process.
    arguments : mapping
        The model's default arguments and the user's.
    options : RunOptions
        How to start, go on and give up.
    listed : sequence of (path, kind, reason)
        Files that the index of an archive lists as left out, or changed.
    told : mapping of str to str
        Options of the callback and where they come from, for plan and report.
    mask : Mask
        Channels of the recording that are left out.
    """

    spec: ModelSpec
    payload: Payload
    recording: Recording
    client: Client | None
    arguments: Mapping[str, Any]
    options: RunOptions
    listed: Sequence[tuple[str, str, str]] = ()
    told: Mapping[str, str] = field(default_factory=dict)
    mask: Mask = NO_MASK

    @classmethod
    def of(
        cls,
        model: Any,
        data: Any,
        options: RunOptions,
        kwargs: Mapping[str, Any],
        also: frozenset[str] = frozenset(),
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        mask: Any = None,
    ) -> "Request":
        """Check a model, its arguments and a recording, and pickle the model.

        Parameters
        ----------
        model, data
            As the user passed them.
        options : RunOptions
            How to run.
        kwargs : mapping
            The user's arguments of the model.
        also : frozenset of str
            Arguments that neither the model nor the run knows, but the caller does: named in
            errors.
        elsewhere : mapping of str to str
            As for `check_arguments`.
        mask : object
            As for `read_mask`.
        """
        das_model: Any = as_das_model(model)
        check_arguments(das_model, kwargs, set(also), elsewhere)
        given = {**das_model.default_args, **kwargs}
        arguments = {key: value for key, value in given.items() if key not in _OF_THE_RUN}
        recording = open_recording(
            data,
            channel_coord_name=arguments.get("channel_coord_name"),
            tolerance=arguments.get("tolerance", 0.25),
            engine=options.engine,
        )
        masked = read_mask(mask, recording.shape[1])
        client = current_client() if options.client is None else options.client or None
        here = None if client else str(getattr(das_model, "device", torch.device("cpu")))
        payload = pack(das_model, device=here)
        remember(payload)
        spec = ModelSpec.of(das_model)
        return cls(spec, payload, recording, client, arguments, options, _listed(data), mask=masked)

    def plan(
        self,
        needs: Needs,
        client: Client | None,
        *,
        held_core: HeldCore | None = None,
        limits: Limits = DEFAULT_LIMITS,
        scale: float | None = None,
    ) -> Plan:
        """Plan for what a callback needs.

        Parameters
        ----------
        needs : Needs
            Of the callback.
        client : Client or None
            A synchronous client, or None for this process.
        held_core : callable, optional
            Returns the core that an earlier run chose for the blocks of a segment, or None.
        limits : Limits
            What chosen blocks should stay within.
        scale : float, optional
            Factor of the samples in the run that is resumed.
        """
        predictor = predictor_of(self.payload.token)
        found = make_plan(
            self.recording,
            predictor,
            self.arguments,
            needs=needs,
            resources=resources_of(client, predictor.device),
            block=self.options.block,
            held_core=held_core,
            limits=limits,
            scale=scale,
        )
        idle = _idle_gpu(predictor.model, client)
        masked = [str(self.mask)] if self.mask else []
        return replace(found, told=self.told, notes=(*found.notes, *idle, *masked))

    def context(self, plan: Plan) -> Context:
        """Return what a callback learns before the first block."""
        return Context(
            annotate_keys=self.spec.annotate_keys,
            phases=self.spec.phases,
            grids=plan.grids,
            dims=(self.recording.time_name, self.recording.channel_name),
            channel_unit=self.recording.channel_unit,
            data_unit=self.recording.unit,
            attrs=self.attributes,
        )

    @property
    def mask_argument(self) -> dict[str, str]:
        """What results depend on besides the model's arguments, in a run that has a mask."""
        return {"mask": self.mask.numbers} if self.mask else {}

    @property
    def attributes(self) -> dict[str, str]:
        """Provenance of results."""
        return {
            "dasdist_version": version("dasdist"),
            "model": self.spec.name,
            "model_token": self.payload.token,
            "arguments": repr({**self.arguments, **self.mask_argument}),
        }


def _idle_gpu(model: torch.nn.Module, client: Client | None) -> tuple[str, ...]:
    """Return a note if this process computes on the CPU although there is a GPU."""
    devices = {parameter.device.type for parameter in model.parameters()}
    if client is not None or devices != {"cpu"} or not torch.cuda.is_available():
        return ()
    return (
        "the model is on the CPU, so this run is, too, and this machine's GPU "
        f"({torch.cuda.get_device_name()}) is idle; model.cuda() moves it there",
    )


def _listed(data: Any) -> Sequence[tuple[str, str, str]]:
    """Return what the index of an archive says of files that are not, or not wholly, in it."""
    if not isinstance(data, str | PathLike):
        return ()
    # with xdas, which is slow to import
    from dasdist.sources.index import read_problems, warn_of_left_out

    warn_of_left_out(data)
    return read_problems(data)
