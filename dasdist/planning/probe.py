"""Try a model before the run: choose its batches, check its outputs, weigh its memory."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from dasdist.callbacks.needs import Needs
from dasdist.errors import InvalidInput, ModelMismatch
from dasdist.geometry import SegmentGrid
from dasdist.inference import Batching, Predictor
from dasdist.inference.cuda import STREAMS
from dasdist.inference.malloc import LARGEST_KEPT
from dasdist.inference.variant import choose_variant
from dasdist.models import WaveformWrapper
from dasdist.models.tensors import tensors_in
from dasdist.planning.plan import Plan
from dasdist.planning.resources import Resources

__all__ = ["FirstPass", "batching", "first_pass", "model_bytes"]

CPU_VALUES, GPU_VALUES = 2**16, 2**23
"""Input values of a batch: what a picker makes of them stays in the caches of a core (PhaseNet on
21 windows; from 64 on it is a third slower on 1 MB a core), or enough to fill a GPU."""

SEISBENCH_BYTES = 54 * 2**20
"""What SeisBench and ObsPy add to a worker: 55 MB were measured with PhaseNet."""

COPIES = 4
"""Of a model's tensors in a worker: the bytes that came, the replica, and its form for speed, whose
weights are there in oneDNN's order as well."""


def batching(
    predictor: Predictor,
    grids: list[SegmentGrid],
    arguments: Mapping[str, Any],
    needs: Needs,
    resources: Resources,
) -> Batching:
    """Return the shape of the batches; it depends on the whole grid, never on blocks.

    On a GPU it is the largest, which :func:`dasdist.planning.gpu.with_even_batches` cuts evenly.

    Parameters
    ----------
    predictor : Predictor
        The model.
    grids : list of SegmentGrid
        The segments.
    arguments : mapping
        Arguments of ``annotate``; ``batch_size`` counts patches.
    needs : Needs
        What the callback asks for.
    resources : Resources
        What the run may use.

    Raises
    ------
    InvalidInput
        For a ``batch_size`` that is no whole number from 1 up, and wrong ``optimize`` or
        ``precision``.
    """
    device = predictor.device
    channelwise = predictor.spec.channelwise and not needs.whole_patches
    window = max(grid.rows.window for grid in grids)
    width = max(grid.columns.window for grid in grids)
    given = arguments.get("batch_size")
    if given is not None and (
        isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1
    ):
        raise InvalidInput(f"batch_size is {given!r}; use a whole number of patches from 1 up.")
    if channelwise:
        available = max(grid.rows.count * grid.shape[1] for grid in grids)
        given = given and given * width
        fewest, most, each = 8, 4096, window
    else:
        available = max(grid.rows.count * grid.columns.count for grid in grids)
        fewest, most, each = 1, 256, window * width
    size, on_gpu = (
        min(int(given or min(max(fewest, values // each), most)), available)
        for values in (CPU_VALUES, GPU_VALUES)
    )
    callers = resources.threads * resources.cores
    variant = choose_variant(predictor.model, arguments, callers)
    # what is not known to keep no state computes one batch at a time, and so do whole patches:
    # each takes a thousand times the memory of a window
    parallel = variant.kind != "plain" and device.type == "cpu" and channelwise
    cores = resources.cores if parallel else 1
    return Batching(size, on_gpu, channelwise, variant, cores)


@dataclass(frozen=True, slots=True)
class FirstPass:
    """What a patch or two of zeros told of a model.

    Parameters
    ----------
    batch_bytes : int
        Bytes of the batches that are in the model at once, of their results and, on the CPU, of the
        outputs of all layers, also of those whose memory other task threads keep.
    patch_seconds : float
        Seconds for each patch, or window, of this pass; what a model does the first time included.
    gpu_bytes : int
        Bytes of a GPU's memory for the same; of the outputs of layers half, as they are freed when
        the next but one is there: a guess.
    """

    batch_bytes: int
    patch_seconds: float
    gpu_bytes: int = 0


def model_bytes(predictor: Predictor, resources: Resources) -> int:
    """Return the bytes that the model adds to a process, with the libraries that it brings.

    Parameters
    ----------
    predictor : Predictor
        The model.
    resources : Resources
        What the run may use; a process that plans for itself has its model already.
    """
    modules = list(predictor.model.modules())
    tensors = chain(predictor.model.parameters(), predictor.model.buffers())
    size = sum(tensor.nbytes for tensor in tensors)
    if resources.here:
        return 2 * size  # once more in its form for speed, and in oneDNN's order
    brings = any(type(module).__module__.startswith("seisbench.") for module in modules)
    return COPIES * size + SEISBENCH_BYTES * brings


def first_pass(predictor: Predictor, plan: Plan, arguments: Mapping[str, Any]) -> FirstPass:
    """Send zeros through the model, check its outputs' shapes, weigh and time it.

    Parameters
    ----------
    predictor : Predictor
        The model.
    plan : Plan
        With its segments and batching.
    arguments : mapping
        Arguments of ``annotate``.

    Raises
    ------
    ModelMismatch
        If the outputs do not match the patching structure.
    """
    grid = max(plan.grids, key=lambda g: g.columns.window)
    width = 1 if plan.batching.channelwise else grid.columns.window
    out_width = 1 if plan.batching.channelwise else grid.columns.out
    # two at once, so that a model that mixes up its batch is found out
    size = plan.batching.size_on(predictor.device)
    number = min(2, size)
    batch, across = (1, number) if plan.batching.channelwise else (number, 1)
    shape = (batch, grid.rows.window, across * width)
    started = perf_counter(), process_time()
    outputs, sizes = _traced(predictor, grid, shape, arguments)
    # another process may have kept this one waiting, or a GPU have had the work
    seconds = perf_counter() - started[0]
    if predictor.device.type == "cpu":
        seconds = min(seconds, process_time() - started[1])
    layers = [plan.batching.size * size // number for size in sizes]
    expected = (batch, grid.rows.out, across * out_width)
    for key, values in outputs.items():
        if values.shape != expected and isinstance(predictor.model, WaveformWrapper):
            raise ModelMismatch(
                f"{plan.model} gives {values.shape[1]} values for {grid.rows.window} samples where "
                f"its pred_sample says {expected[1]}: use a model with a value for every sample, "
                "such as PhaseNet."
            )
        if values.shape != expected:
            raise ModelMismatch(
                f"{plan.model} returned {key!r} with shape {tuple(values.shape)} for an input of "
                f"shape {shape}, but its patching structure promises {expected}; "
                "correct out_samples, out_channels or forward."
            )
    patch = grid.rows.window * width * 4 + grid.rows.out * out_width * 4 * len(outputs)
    # the workers of one who plans on a GPU need not have any
    each = max(2 * plan.batching.size * patch + sum(layers), 2 * size * patch)
    threads = plan.resources.threads
    folded = plan.batching.variant.kind != "plain"
    streams = min(threads, STREAMS) if folded else 1
    on_gpu = streams * plan.batching.on_gpu * (2 * patch + sum(sizes) // number // 2)
    if folded:
        return FirstPass(plan.batching.in_flight * threads * each, seconds / number, on_gpu)
    kept = sum(layer for layer in layers if layer <= LARGEST_KEPT)  # by threads that wait
    return FirstPass(each + (threads - 1) * kept, seconds / number, on_gpu)


def _as_written(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """Return a context in which layers under torch.compile run as they were written.

    Hooks would be compiled with them, and then see no tensors with a size.
    """
    compiled = any(hasattr(module, "_orig_mod") for module in model.modules())
    if not compiled or not hasattr(torch.compiler, "set_stance"):  # of torch 2.6
        return nullcontext()
    eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return eager


def _traced(
    predictor: Predictor, grid: SegmentGrid, shape: tuple[int, ...], arguments: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Annotate patches of zeros; return their outputs and the bytes of every layer's output."""
    sizes: list[int] = []

    def note(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        sizes.extend(t.nbytes for t in tensors_in(output))

    leaves = [
        module
        for module in predictor.model.modules()
        if next(module.children(), None) is None
        and not isinstance(module, torch.jit.ScriptModule)  # which take no hooks
    ]
    # another run in this process must not be traced along with this one
    with predictor.lock, _as_written(predictor.model):
        hooks = [module.register_forward_hook(note) for module in leaves]
        try:
            zeros = torch.zeros(shape)
            spacing = (float(grid.model_time.spacing), float(grid.model_distance.spacing))
            return predictor(zeros, arguments, spacing), sizes
        finally:
            for hook in hooks:
                hook.remove()
