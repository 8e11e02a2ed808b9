"""Try a model on a small block, to learn how long its blocks will take.

What a trial finds is rounded to powers of two: the next one on the same machine then says mostly
the same, and so the next plan is mostly the same.  Results do not depend on it.

On a CPU it is the seconds of a core that count, not those of a clock on the wall: a machine that is
busy with something else at this moment would make blocks far too small for the rest of the run.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf, log2
from time import perf_counter, thread_time
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.geometry import SegmentGrid
from dasdist.inference import Batching, Predictor, annotate_patches, prepare
from dasdist.inference.cuda import own_stream
from dasdist.inference.device import finish
from dasdist.inference.variant import Variant, less
from dasdist.planning.plan import Plan
from dasdist.planning.speed import Speed, area, nominal, patches_of

__all__ = ["speed_of"]

_SLOW = 2.0
"""Seconds of the first pass, of a patch or two, from which on a model is not tried any more."""

_ENOUGH = 0.3
"""Seconds after which a trial is not repeated."""

_REPEATS = 3

BUSY = 1.5
"""Seconds of a core whose neighbours are as busy as it is, over those of one alone: a guess, where
1.7 to 2 were measured if two "cores" are the two threads of one."""

_MOST_READ = 2**22
"""Samples that a trial reads, for it is the model that mostly takes long."""


def speed_of(
    predictor: Predictor,
    plan: Plan,
    arguments: Mapping[str, Any],
    first_pass: float,
) -> Speed:
    """Try a small block of a plan's largest segment, once for all plans of this process.

    Parameters
    ----------
    predictor : Predictor
        The model.  It is tried on zeros, and by a copy of the predictor that says nothing, so that
        the trial leaves no trace.
    plan : Plan
        With its segments and batches.
    arguments : mapping
        Arguments of ``annotate``.
    first_pass : float
        Seconds that a patch took when the model was first tried; slow ones are not tried again.

    Returns
    -------
    Speed
        Rounded to powers of two.
    """
    grid = max(plan.grids, key=lambda grid: grid.shape[0] * grid.shape[1])
    trial = _Trial(
        _Silent(predictor.model),
        grid,
        plan.sections[grid.index],
        _quickly_built(plan.batching),
        {key: value for key, value in arguments.items() if key != "pbar"},
        plan.dtype,
        plan.resources.cores,
        plan.resources.workers * plan.resources.threads * plan.resources.cores,
    )
    tried = _tried.setdefault(predictor, {})
    key = trial.key
    if key not in tried:
        tried[key] = _tried_or(trial, first_pass)
    return tried[key]


_tried: WeakKeyDictionary[Predictor, dict[Any, Speed]] = WeakKeyDictionary()


def _tried_or(trial: "_Trial", first_pass: float) -> Speed:
    """Return the speed of a trial, or what is to be taken for it."""
    found = nominal(trial.grid)
    if first_pass * min(trial.size, 2) > _SLOW:
        found = replace(found, patch=first_pass)
    else:
        with suppress(Exception):  # what is wrong with a model, its first block says better
            found = trial.run()
    return Speed(_rounded(found.patch), _rounded(found.sample))


def _rounded(seconds: float) -> float:
    """Return the nearest power of two; a clock that stood still counts as a nanosecond."""
    return float(2.0 ** round(log2(max(seconds, 1e-9))))


def _quickly_built(batching: Batching) -> Batching:
    """Return batches for a form that is not compiled: that may take a minute."""
    if batching.variant.kind != "compiled":
        return batching
    return replace(batching, variant=less(batching.variant))


class _Silent(Predictor):
    """Says nothing of what it does in another way: the predictor of the run does."""

    def note(self, variant: Variant, text: str) -> None:
        """Say nothing."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """A small block of zeros, and what it goes through."""

    predictor: Predictor
    grid: SegmentGrid
    sections: NDArray[np.float64] | None
    batching: Batching
    arguments: Mapping[str, Any]
    dtype: np.dtype[Any]
    cores: int
    neighbours: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What its speed depends on."""
        grid, arguments = self.grid, repr(sorted(self.arguments.items(), key=str))
        shape = grid.ratios, grid.rows.window, grid.columns.window, grid.channelwise
        busy = self.cores, self.neighbours > 1
        return shape, self.sections is None, self.batching, arguments, self.dtype.str, busy

    @property
    def size(self) -> int:
        """Patches, or windows, of a batch."""
        return self.batching.size_on(self.predictor.device)

    def run(self) -> Speed:
        """Try it as a task thread would compute it."""
        if self.predictor.device.type != "cpu":
            with own_stream(self.predictor.device):
                return self._best(perf_counter)
        alone = replace(self, batching=replace(self.batching, cores=1))
        found = _on_one_core(lambda: alone._best(thread_time))
        if self.cores > 1 and self.batching.cores == 1:  # torch itself shares a batch among cores
            together = self._best(perf_counter)
            return Speed(min(found.patch, together.patch), found.sample)
        busy = BUSY if self.neighbours > 1 else 1.0
        return Speed(busy * found.patch / self.batching.cores, busy * found.sample)

    def _best(self, clock: Callable[[], float]) -> Speed:
        """Compute a batch to warm up, then a few, and return the least that these took."""
        started = clock()
        self._once(_small(self.grid, self.size), clock)
        slow = clock() - started > _ENOUGH
        small = _small(self.grid, self.size if slow else 4 * self.size)
        best = Speed(inf, inf)
        for _ in range(_REPEATS):
            found = self._once(small, clock)
            best = Speed(min(best.patch, found.patch), min(best.sample, found.sample))
            if clock() - started > _ENOUGH:
                break
        return best

    def _once(self, grid: SegmentGrid, clock: Callable[[], float]) -> Speed:
        block, device = grid.block(0), self.predictor.device
        samples = np.zeros(block.read.shape, self.dtype)
        start = clock()
        data = prepare(samples, block, self.sections, device, lambda text: None)
        finish(device)  # a GPU has only been told
        prepared = clock()
        for _ in annotate_patches(data, block, self.predictor, self.batching, self.arguments):
            pass
        done = clock()
        computed = -(-patches_of(grid, block) // self.size) * self.size  # the last is filled up
        return Speed((done - prepared) / computed, (prepared - start) / area(block.inputs.shape))


def _on_one_core(trial: Callable[[], Speed]) -> Speed:
    """Run a trial as a worker's task thread would run it: torch with a single thread."""

    def run() -> Speed:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return trial()
        finally:
            torch.set_num_threads(before)  # threads that start later take over what the last set

    with ThreadPoolExecutor(1, "dasdist-trial") as pool:
        return pool.submit(run).result()


def _small(grid: SegmentGrid, patches: int) -> SegmentGrid:
    """Return a segment whose first block has about so many patches, or windows of channels."""
    rows, columns = grid.rows, grid.columns
    across = min(patches, grid.shape[1] if grid.channelwise else columns.count)
    down = min(-(-patches // across), rows.count)
    length = rows.out_start(down) if down < rows.count else rows.out_size
    width = across if grid.channelwise else columns.out_size
    if not grid.channelwise and across < columns.count:
        width = columns.out_start(across)
    small = replace(grid, core=(max(1, length), max(1, width)), pick_halo=0, around=(0, 0))
    if across * down > 1 and area(small.block(0).read.shape) > _MOST_READ:
        return _small(grid, patches // 2)
    return small
