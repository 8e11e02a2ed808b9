"""annotate, classify and plan: what was asked for becomes a request, and is run."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from distributed import Client

from dasdist.api.default_callback import arguments_of, callback_of, default_callback
from dasdist.api.defaults import told_of_callback
from dasdist.api.lazy import lazily
from dasdist.api.output import ClassifyOutput
from dasdist.block_events import Listener
from dasdist.callbacks import (
    DASPickingCallback,
    MultiCallback,
    Needs,
    PicksWriterCallback,
    WriterCallback,
    adapt_callback,
)
from dasdist.errors import InvalidInput
from dasdist.executors.clients import synchronous
from dasdist.models import as_das_model
from dasdist.planning.plan import Plan
from dasdist.run.options import MaxFailures, RunOptions
from dasdist.run.request import Request
from dasdist.run.run import run

__all__ = ["annotate", "classify", "plan"]

_CHECKED = ("max_failures", "on_error", "block_timeout", "on_event")

_OF_RUNS = frozenset({*_CHECKED, "pbar", "overwrite", "retry_failed", "annotations"})
"""Arguments of runs that a plan takes and leaves aside, so that a call can be copied."""

_OF_PICKING = "It belongs to classify, or to the callback: DASPickingCallback({}=...)."
_OF_STACKING = "It belongs to the callback: WriterCallback(path, stacking=...)."

_NOT_OF_ANNOTATE = {
    **{
        n: _OF_PICKING.format(n)
        for n in ("thresholds", "min_time_separation", "blinding", "columns")
    },
    "out": "It belongs to classify; annotate writes with dasdist.WriterCallback(path).",
    "annotations": "It belongs to classify; annotate writes with dasdist.WriterCallback(path).",
}
"""Arguments of classify, for those who give them to annotate."""

_NOT_OF_CLASSIFY = {
    "callback": "It belongs to annotate; classify uses the model's own.",
    "by_date": "It goes with out=, the folder of the picks.",
}


def annotate(
    model: Any,
    data: Any,
    callback: Any = None,
    *,
    client: Client | Literal[False] | None = None,
    block: Mapping[str, int] | None = None,
    overwrite: bool = False,
    max_failures: MaxFailures | None = None,
    retry_failed: bool = False,
    block_timeout: float | None = None,
    pbar: Any = True,
    on_event: Listener | None = None,
    on_error: Literal["raise", "skip"] | None = None,
    engine: str | None = None,
    mask: Any = None,
    **kwargs: Any,
) -> Any:
    """Annotate a recording with a model.

    Parameters
    ----------
    model : DASModel, or SeisBench's DASModel or WaveformModel
        The model; a waveform model is applied channel by channel.
    data : xdas.DataArray or xarray.DataArray, dims (time, channel) in either order
        The recording.  Gaps and jumps cut it into segments that are processed each on its own.
    callback : DASAnnotateCallback, optional
        What consumes the annotations, now.  A callback written for SeisBench runs in this process.
        Without one, the annotations come back as lazy arrays and nothing is computed yet.
    client : distributed.Client or False, optional
        Where to compute: by default on the current client's cluster, if there is one, else in this
        process.  False computes in this process in any case.
    block : mapping, optional
        ``{"time": samples, "distance": channels}``: the output samples that one task owns.  By
        default the plan chooses; results do not depend on it.
    overwrite : bool
        Whether a callback whose results last replaces what its output holds.  By default the run
        goes on with it, if it is the same run.
    max_failures : int or "any", optional
        Blocks that may fail, wholly or in part, before the run stops.  Windows that need samples
        which are missing, or of which the model makes NaN, are then left out and listed in the
        report (`missing`), and so are whole blocks (`failures`).  With 0 the first of these is an
        error.  By default 0, but 100 where results last.  Lazy annotations take 0 or "any": what
        cannot be computed is then NaN.
    retry_failed : bool
        Whether to try blocks again that an earlier run gave up, or did in part; by default they
        stay so.
    block_timeout : float, optional
        Seconds after which a block counts as hanging and is given up; needs worker processes.
    pbar : bool or ProgressView
        Whether to show progress, or an object that shows it
        (:class:`dasdist.run.progress.ProgressView`); True by default.
    on_event : callable, optional
        Takes a :class:`dasdist.BlockEvent` whenever something happens to a block, in this process
        and one at a time.
    on_error : {"raise", "skip"}, optional
        Another name for ``max_failures=0`` and ``max_failures="any"``.
    engine : str, optional
        Engine of xdas that you trust with files of others although it may run what they hold, such
        as ``"miniseed"``: index and tiles may name it then.  Most readers need not be named.
    mask : path, ChannelQuality, sequence of int, or mapping of int to str, optional
        Channels to leave out: of a table of :func:`dasdist.quality` those that have flags in half
        of their hours, of a text file those that it names, one a line; or their numbers, perhaps
        with reasons.  Windows that see them are not computed, as if samples were missing there.
        For a model that takes channels one by one these are the channel's own, for one that sees
        several all that have it among them.  They are noted in plan and report and count as no
        failure; annotations are NaN there.
    batch_size : int, optional
        Patches per batch; None (the default) chooses for the device.
    optimize : bool or "compile"
        Whether pickers compute in a faster form, checked against the plain model to 1e-4: True,
        the default, folds them and on CPUs computes them channels last, "compile" compiles the
        folded one, on a CPU by OpenVINO and in float32 only, which pays for PhaseNet in long runs,
        and False computes the model as it is.
    precision : {"float32", "tf32", "bf16", "fp16"}
        Precision of the model's arithmetic; float32 by default.  The others move probabilities.
        Picking callbacks have float32 compute windows again in which anything comes near a
        threshold, so that their picks stay where they are.  "tf32" is for GPUs.
    overlap_samples, overlap_channels : float or int
        Overlap of neighbouring patches, below 1 as a fraction of a patch; 0.5 by default.
    channel_coord_name : str, optional
        Channel dimension; by default it is found.
    tolerance : float
        Jitter of coordinates, in samples, that does not end a segment; 0.25 by default.  From 0.5
        on, a single missing sample may pass for jitter.
    pad : bool
        Whether segments that are shorter than the model's window are extended to it, by what they
        hold mirrored and faded, instead of being left out; False by default.  Results are of what
        was recorded only, and picking leaves out as many outputs at either end as elsewhere.
    stacking : {"weighted", "avg", "max"}
        For lazy annotations, how overlapping patches become one value; "weighted" by default.
    **kwargs
        Arguments of the model.

    Returns
    -------
    RunReport
        With a callback.
    xarray.Dataset or xarray.DataTree
        Without one: a dask array of float32, dims (time, channel), per annotation key; one node
        per segment if there are several.

    Raises
    ------
    InvalidInput, ModelMismatch, BlockTooLarge, TypeError
        Before any block runs.
    OutputInUse, OutputExists, RunMismatch
        Before any block runs: another run writes the output, or it holds something else.
    UnreadableData
        If data is missing and `max_failures` is 0.
    ModelFault
        If the model returns NaN and `max_failures` is 0.
    TooManyFailures, OutputUnwritable, RunInterrupted
        The run stopped; where results last, what is done is kept, and the same call resumes.

    Examples
    --------
    >>> report = dasdist.annotate(
    ...     model, data, dasdist.WriterCallback("prob.zarr")
    ... )  # doctest: +SKIP
    """
    options = RunOptions.of(
        client=client,
        block=block,
        overwrite=overwrite,
        max_failures=max_failures,
        retry_failed=retry_failed,
        block_timeout=block_timeout,
        pbar=pbar,
        on_event=on_event,
        on_error=on_error,
        engine=engine,
    )
    if callback is None:
        elsewhere = {**_own(annotate), **_NOT_OF_ANNOTATE}
        also = frozenset({"stacking"})
        request = Request.of(model, data, options, kwargs, also, elsewhere, mask)
        return lazily(request, kwargs.get("stacking", "weighted"))
    consumer = adapt_callback(callback)
    elsewhere = {**_own(annotate), **_NOT_OF_ANNOTATE, "stacking": _OF_STACKING}
    request = Request.of(model, data, options, kwargs, elsewhere=elsewhere, mask=mask)
    return run(replace(request, told=told_of_callback(callback)), consumer)


def classify(
    model: Any,
    data: Any,
    *,
    client: Client | Literal[False] | None = None,
    block: Mapping[str, int] | None = None,
    out: str | Path | None = None,
    annotations: Any = None,
    overwrite: bool = False,
    max_failures: MaxFailures | None = None,
    retry_failed: bool = False,
    block_timeout: float | None = None,
    pbar: Any = True,
    on_event: Listener | None = None,
    on_error: Literal["raise", "skip"] | None = None,
    engine: str | None = None,
    mask: Any = None,
    **kwargs: Any,
) -> ClassifyOutput:
    """Apply a model and its default callback, such as picking, to a recording.

    Parameters
    ----------
    model, data, client, block, overwrite, max_failures, retry_failed, block_timeout, pbar, \
on_event, on_error, engine, mask
        As for :func:`annotate`.
    out : str or Path, optional
        Folder of a Parquet dataset that the workers write the picks to; see
        :class:`PicksWriterCallback`.  The same call resumes a run that died.  By default picks are
        gathered in memory.
    annotations : str, Path or zarr store, optional
        With `out`: where to write the annotations as well, in the same pass; see
        :class:`WriterCallback`.
    thresholds : float or dict of str to float
        Smallest confidence of a pick, for all phases or by phase; by default those that come with
        the model, in its ``default_args``, else 0.2.
    min_time_separation : float
        Seconds within which, on a channel, only the pick with the highest confidence stays; 1.0 by
        default.
    blinding : tuple of int
        Output samples at the start and end of a patch, or of a padded segment, in which nothing is
        picked; (100, 100) by default, or what comes with the model if that is more.
    columns : str or iterable of str
        More columns of picks, of ``"amplitude"``, ``"snr"`` and ``"peak_width"``; see
        :class:`DASPickingCallback`.
    by_date : bool
        With `out`: whether parts lie in folders ``date=2024-05-01``; see
        :class:`PicksWriterCallback`.
    **kwargs
        Arguments of the callback, and those of :func:`annotate`.

    Returns
    -------
    ClassifyOutput

    Examples
    --------
    >>> classify(model, data, thresholds=0.3).picks  # doctest: +SKIP
    """
    options = RunOptions.of(
        client=client,
        block=block,
        overwrite=overwrite,
        max_failures=max_failures,
        retry_failed=retry_failed,
        block_timeout=block_timeout,
        pbar=pbar,
        on_event=on_event,
        on_error=on_error,
        engine=engine,
    )
    das_model = as_das_model(model)
    kind, given = default_callback(das_model), dict(kwargs)
    if out is not None:
        if kind is not DASPickingCallback:
            raise InvalidInput(
                f"out= takes picks, and the default callback of {type(das_model).__name__} is "
                f"{kind.__name__}; call annotate with a callback that writes."
            )
        kind, given = PicksWriterCallback, {"path": out, **kwargs}
    elif annotations is not None:
        raise InvalidInput(
            "annotations= goes with out=: name a folder for the picks too, or pass "
            "WriterCallback to annotate."
        )
    accepted = arguments_of(kind)
    for_model = {key: value for key, value in given.items() if key not in accepted}
    callback, told = callback_of(das_model, kind, given)
    elsewhere = {**_own(classify), **_NOT_OF_CLASSIFY}
    request = Request.of(das_model, data, options, for_model, accepted, elsewhere, mask)
    request = replace(request, told=told)
    if annotations is not None:
        callback = MultiCallback([callback, WriterCallback(annotations)])
    report = run(request, adapt_callback(callback))
    return ClassifyOutput(request.spec.name, report, callback.get_results_dict())


def plan(
    model: Any,
    data: Any,
    *,
    client: Client | Literal[False] | None = None,
    block: Mapping[str, int] | None = None,
    engine: str | None = None,
    mask: Any = None,
    **kwargs: Any,
) -> Plan:
    """Plan what ``classify`` would do with the same arguments, without running it.

    Parameters
    ----------
    model, data, client, block, engine, mask, **kwargs
        As for :func:`classify`.

    Returns
    -------
    Plan
        Prints its blocks and predictions, also as HTML in Jupyter.

    Raises
    ------
    InvalidInput, ModelMismatch, BlockTooLarge, TypeError
        As a run would.

    Examples
    --------
    >>> plan(model, data).recompute_factor  # doctest: +SKIP
    """
    checked = {name: kwargs.get(name) for name in _CHECKED}
    options = RunOptions.of(client=client, block=block, engine=engine, **checked)
    das_model = as_das_model(model)
    try:
        kind = default_callback(das_model)
    except InvalidInput:  # it can be annotated
        kind = None
    accepted = arguments_of(kind) if kind else frozenset[str]()
    for_model = {key: value for key, value in kwargs.items() if key not in accepted | _OF_RUNS}
    needs, told = Needs(), dict[str, str]()
    if kind:
        callback, told = callback_of(das_model, kind, kwargs)
        needs = adapt_callback(callback).needs
    elsewhere = {**_own(classify), **_NOT_OF_CLASSIFY}
    request = Request.of(das_model, data, options, for_model, accepted, elsewhere, mask)
    request = replace(request, told=told)
    with synchronous(request.client) as found:
        return request.plan(needs, found)


def _own(function: Any) -> dict[str, str]:
    """Return a function's own arguments, of which a misspelt one may be meant."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: "" for p in parameters if p.kind is p.KEYWORD_ONLY}
