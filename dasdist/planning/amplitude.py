"""Choose what is done to the amplitude of a recording, from the model and a look at its samples.

::

    int32, float64     a model that removes the mean itself gets windows that are centred first
    1e-9 strain        one that also divides by the amplitude gets all samples times a power of two
    offset             any other model is told of in a note, where the offset drowns the signal

The look is a small one, mostly at the beginning, and only for the scale and the note.  A scale
belongs to the whole recording: a run that is resumed keeps the one that it was begun with.
"""

import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import inf, log2
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.amplitude import Amplitude, is_wide
from dasdist.errors import DataWarning
from dasdist.geometry import Region, SegmentGrid, Span
from dasdist.inference import Predictor
from dasdist.models import WaveformWrapper
from dasdist.planning.plan import Plan
from dasdist.sources import Recording
from dasdist.sources.absence import Reading

__all__ = ["with_amplitude"]

_SMALL, _LARGE = 2.0**-10, 2.0**40
"""Amplitudes between which samples stay as they are.  SeisBench's models add 1e-10 to what they
divide by: one part in ten million of the smaller; squares of a thousand times the larger are still
within float32."""

_MOST_OFFSET = 1e4
"""Standard deviations of a channel from which on its mean is told of."""

_ROWS, _CHANNELS, _SPOTS = 4096, 64, 4
"""Samples, channels of a spot, and spots along the fibre that are looked at."""

_PATIENCE = 30.0
"""Seconds that a look may take: where storage hangs, blocks know what to do."""

_TASKS = 64
"""Tasks of a dask graph that a look may cost: someone's preprocessing is not computed twice."""


def with_amplitude(
    plan: Plan,
    recording: Recording,
    predictor: Predictor,
    arguments: Mapping[str, Any],
    scale: float | None = None,
) -> Plan:
    """Return a plan that says what is done to the amplitude.

    Parameters
    ----------
    plan : Plan
        With its segments and batches.
    recording : Recording
        The data.
    predictor : Predictor
        The model.
    arguments : mapping
        Arguments of ``annotate``.
    scale : float, optional
        The scale of the run that is resumed.

    Warns
    -----
    DataWarning
        If the mean of a channel drowns its signal, for a model that does not remove it.
    """
    model = _Habits(predictor, max(plan.grids, key=lambda g: g.columns.window), plan, arguments)
    wide = is_wide(recording.dtype)
    centred = wide and model.removes_constants
    if scale is not None or (centred and recording.dtype.kind != "f"):
        scale = scale or 1.0
        return replace(plan, amplitude=Amplitude(centred or scale != 1, scale))
    look = _look(recording, plan.grids)
    scale = 1.0
    if look is None:
        return replace(plan, amplitude=Amplitude(centred))
    usual = _SMALL < look.level < _LARGE or not look.level
    if recording.dtype.kind == "f" and not usual and model.divides and model.removes_constants:
        scale = 2.0 ** -round(log2(look.level))
    notes = plan.notes
    if look.offset > _MOST_OFFSET and not (_high_pass(plan) or model.removes_constants):
        notes = (*notes, _of_offset(plan.model, look.offset))
        warnings.warn(notes[-1], DataWarning, stacklevel=4)
    return replace(plan, amplitude=Amplitude(centred or scale != 1, scale), notes=notes)


def _high_pass(plan: Plan) -> bool:
    """Whether filters, in double precision, remove a constant in all segments."""

    def gain(sections: NDArray[np.float64]) -> float:
        return float(np.prod(sections[:, :3].sum(axis=1) / sections[:, 3:].sum(axis=1)))

    return all(sections is not None and abs(gain(sections)) < 1e-6 for sections in plan.sections)


def _of_offset(name: str, offset: float) -> str:
    return (
        f"The mean of some channels is {offset:.0e} times their standard deviation, and {name} "
        "does not remove it: in single precision, seven digits, little is left of the signal. "
        "Remove the mean of the data, or pass filter_samples with a high-pass."
    )


# ---------------------------------------------------------------- the samples


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of the samples.

    Parameters
    ----------
    level : float
        Median over channels of the standard deviation of differences between neighbouring samples:
        an amplitude that neither an offset nor a drift moves; 0 if all channels are dead.
    offset : float
        Largest mean of a channel over its standard deviation.
    """

    level: float
    offset: float


def _look(recording: Recording, grids: tuple[SegmentGrid, ...]) -> _Look | None:
    """Look at a few samples that can be read and are not dead; None if none were found in time."""
    found: list[_Look] = []

    def look() -> None:
        found.extend(islice(_looks(recording, grids), 1))

    thread = threading.Thread(target=look, name="dasdist-look", daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return found[0] if found else None


def _looks(recording: Recording, grids: tuple[SegmentGrid, ...]) -> Iterator[_Look]:
    for place in _places(grids):
        try:
            look = _seen(_reading(recording, place))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, its block will say
            continue
        if look.level:
            yield look


def _places(grids: tuple[SegmentGrid, ...]) -> Iterator[Region]:
    """Yield where to look, first at the beginning: that stays where it is if a recording grows."""
    for number in dict.fromkeys((0, len(grids) // 2, len(grids) - 1)):
        time, distance = grids[number].recorded.time, grids[number].recorded.distance
        for first in dict.fromkeys((time.start, time.start + time.size // 2)):
            rows = Span(first, min(first + _ROWS, time.stop))
            # the middle of the fibre first: its ends may be dead
            for spot in sorted(range(_SPOTS), key=lambda spot: abs(spot - _SPOTS // 2)):
                left = distance.start + spot * distance.size // _SPOTS
                yield Region(rows, Span(left, min(left + _CHANNELS, distance.stop)))


def _reading(recording: Recording, region: Region) -> Reading:
    selection = recording.select(region)
    if recording.graph is not None:
        values: Any = recording.graph[region.time.slice, region.distance.slice]
        keys = {key for row in values.__dask_keys__() for key in row}
        if len(values.__dask_graph__().cull(keys)) > _TASKS:
            raise ValueError("too much to compute for a look")
    return selection.reading()


def _seen(reading: Reading) -> _Look:
    exact = np.ma.MaskedArray(reading.values.astype(np.float64), reading.missing)
    steps, spread = (exact[1:] - exact[:-1]).std(axis=0).filled(0.0), exact.std(axis=0).filled(0.0)
    mean = np.abs(exact.mean(axis=0).filled(0.0))
    alive = (steps > 0) & np.isfinite(steps)
    if not alive.any():
        return _Look(0.0, 0.0)
    return _Look(float(np.median(steps[alive])), float((mean[alive] / spread[alive]).max()))


# ---------------------------------------------------------------- the model


@dataclass(frozen=True)
class _Habits:
    """What a model does to the amplitude of its input; found out when it is asked for."""

    predictor: Predictor
    grid: SegmentGrid
    plan: Plan
    arguments: Mapping[str, Any]

    @property
    def removes_constants(self) -> bool:
        """Whether a constant on each channel changes nothing."""
        return self._of_wrapper[0] if self._of_wrapper else self._same(self._moved)

    @property
    def divides(self) -> bool:
        """Whether a factor of all samples changes nothing."""
        return self._of_wrapper[1] if self._of_wrapper else self._same(self._noise * 1024.0)

    @cached_property
    def _of_wrapper(self) -> tuple[bool, bool] | None:
        """A waveform model tells by what it does to its input before the network."""
        model, spec = self.predictor.model, self.predictor.spec
        if not isinstance(model, WaveformWrapper) or spec.fk_filter_args is not None:
            return None
        with self.predictor.lock, torch.inference_mode():
            return model.invariances(self.grid.rows.window, self.arguments)

    def _same(self, changed: torch.Tensor) -> bool:
        """Whether outputs change by far less than they do for other noise."""
        usual, found = self._change(self._other), self._change(changed)
        return 0 < usual < inf and found <= 0.01 * usual

    def _change(self, changed: torch.Tensor) -> float:
        before, after = self._before, self._annotated(changed)
        return max(float((after[key] - before[key]).abs().max()) for key in before)

    @cached_property
    def _before(self) -> Mapping[str, torch.Tensor]:
        return self._annotated(self._noise)

    def _annotated(self, batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
        spacing = float(self.grid.model_time.spacing), float(self.grid.model_distance.spacing)
        return self.predictor(batch.clone(), self.arguments, spacing)

    @cached_property
    def _noise(self) -> torch.Tensor:
        return self._random(0)

    @cached_property
    def _other(self) -> torch.Tensor:
        return self._random(1)

    @property
    def _moved(self) -> torch.Tensor:
        channels = torch.arange(self._noise.shape[2])
        return self._noise + 64.0 * (1 + channels % 2)

    def _random(self, seed: int) -> torch.Tensor:
        """Return a patch of noise; of a few channels where each is treated on its own."""
        width = 2 if self.plan.batching.channelwise else self.grid.columns.window
        shape = 1, self.grid.rows.window, min(width, self.grid.columns.window)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
