"""A model and a recording, checked and ready: what annotate, classify and plan begin with."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from os import PathLike
from typing import Any

import torch
from distributed import Client

from dasdist.callbacks import adapt_callback
from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.errors import InvalidInput
from dasdist.executors.clients import cluster_resources, current_client, synchronous
from dasdist.executors.resources import local_resources
from dasdist.inference.replica import Payload, pack, predictor_of, remember
from dasdist.models import ModelSpec, as_das_model, check_arguments
from dasdist.planning.fit import make_plan
from dasdist.planning.plan import Needs, Plan
from dasdist.report import RunReport
from dasdist.run.execute import execute
from dasdist.run.options import DEFAULT_FAILURES, RunOptions
from dasdist.run.state import RunState
from dasdist.sources import Recording, open_recording

__all__ = ["Request", "needs_of", "with_callback"]


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
    listed : sequence of (path, kind, reason)
        Files that the index of an archive lists as left out, or changed.
    """

    spec: ModelSpec
    payload: Payload
    recording: Recording
    client: Client | None
    arguments: Mapping[str, Any]
    listed: Sequence[tuple[str, str, str]] = ()

    @classmethod
    def of(
        cls,
        model: Any,
        data: Any,
        client: Client | None,
        kwargs: Mapping[str, Any],
        also: set[str],
    ) -> "Request":
        """Check a model, its arguments and a recording, and pickle the model.

        ``also`` names arguments that neither the model nor the run knows, but the caller does.
        """
        das_model: Any = as_das_model(model)
        check_arguments(das_model, kwargs, also)
        arguments = {**das_model.default_args, **kwargs}
        if arguments.get("on_error", "raise") not in ("raise", "skip"):
            raise InvalidInput(
                f"on_error is {arguments['on_error']!r}; use 'raise', or 'skip' to leave "
                "unreadable blocks out and list them."
            )
        if client is not None and not isinstance(client, Client):
            raise InvalidInput(
                f"client is {client!r}; pass a distributed.Client, e.g. Client({client!r})."
            )
        recording = open_recording(
            data,
            channel_coord_name=arguments.get("channel_coord_name"),
            tolerance=arguments.get("tolerance", 0.25),
        )
        found = client or current_client()
        here = None if found else str(getattr(das_model, "device", torch.device("cpu")))
        payload = pack(das_model, device=here)
        remember(payload)
        spec = ModelSpec.of(das_model)
        return cls(spec, payload, recording, found, arguments, _listed(data))

    def plan(
        self,
        needs: Needs,
        block: Mapping[str, int] | None,
        cores: Sequence[tuple[int, int]] = (),
    ) -> Plan:
        """Plan for what a callback needs; ``cores`` of the first segments may be given."""
        predictor = predictor_of(self.payload.token)
        with synchronous(self.client) as client:
            resources = cluster_resources(client) if client else local_resources(predictor.device)
        return make_plan(
            self.recording,
            predictor,
            self.arguments,
            needs=needs,
            resources=resources,
            block=block,
            cores=cores,
        )

    def context(self, run_plan: Plan) -> Context:
        """Return what a callback learns before the first block."""
        return Context(
            annotate_keys=self.spec.annotate_keys,
            phases=self.spec.phases,
            grids=run_plan.grids,
            dims=(self.recording.time_name, self.recording.channel_name),
            attrs=self.attributes,
        )

    def execute(
        self,
        run_plan: Plan,
        callback: DASAnnotateCallback,
        options: RunOptions,
        tally: RunState | None = None,
    ) -> RunReport:
        """Run what is left of a plan and finalize the callback, which was set up."""
        with synchronous(self.client) as client:
            return execute(
                run_plan,
                self.recording,
                self.payload,
                callback,
                self.arguments,
                client=client,
                most_failures=self._most_failures(options, lasting=tally is not None),
                block_timeout=options.block_timeout,
                tally=tally,
            )

    def _most_failures(self, options: RunOptions, *, lasting: bool) -> int | None:
        if options.max_failures is not None:
            return options.max_failures
        if "on_error" in self.arguments:
            return None if self.arguments["on_error"] == "skip" else 0
        return DEFAULT_FAILURES if lasting else 0

    @property
    def attributes(self) -> dict[str, str]:
        """Provenance of results."""
        return {
            "dasdist_version": version("dasdist"),
            "model": self.spec.name,
            "model_token": self.payload.token,
            "arguments": repr({k: v for k, v in self.arguments.items() if k != "pbar"}),
        }


def _listed(data: Any) -> Sequence[tuple[str, str, str]]:
    """Return what the index of an archive says of files that are not, or not wholly, in it."""
    if not isinstance(data, str | PathLike):
        return ()
    from dasdist.sources.index import read_problems  # with xdas, which is slow to import

    return read_problems(data)


def with_callback(
    model: Any, callback_class: type, data: Any, client: Client | None, kwargs: Mapping[str, Any]
) -> tuple[Request, DASAnnotateCallback]:
    """Share keyword arguments between a callback, which takes those it names, and the rest."""
    accepted = set(inspect.signature(callback_class).parameters)
    others = {key: value for key, value in kwargs.items() if key not in accepted}
    job = Request.of(model, data, client, others, accepted)
    callback = callback_class(**{k: v for k, v in kwargs.items() if k in accepted})
    return job, adapt_callback(callback)


def needs_of(callback: DASAnnotateCallback) -> Needs:
    """Return what a callback asks of the plan."""
    return Needs(callback.pick_halo, callback.held_outputs, callback.whole_patches)
