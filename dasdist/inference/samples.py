"""Stretches of a block's preprocessed samples, for callbacks that measure the data itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dasdist.geometry import Block, Span
from dasdist.inference.cuda import to_host
from dasdist.inference.preprocess import Prepared
from dasdist.sources.absence import Absence

__all__ = ["BlockSamples"]


@dataclass(frozen=True, slots=True, eq=False)
class BlockSamples:
    """The preprocessed samples of a block: a :class:`dasdist.callbacks.base.Samples`.

    Parameters
    ----------
    data : Prepared
        Where they are.
    block : Block
        Whose they are.
    absences : sequence of Absence
        What is missing of the samples that the block read.
    """

    data: Prepared
    block: Block
    absences: Sequence[Absence]

    def windows(
        self, starts: NDArray[np.int64], channels: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_]]:
        """Return stretches of samples, and which of them lack none."""
        values = self.data.values
        rows = starts[:, np.newaxis] - self.data.sample + np.arange(size)
        rows = np.clip(rows, 0, values.shape[0] - 1)
        columns = channels[:, np.newaxis] - self.data.channel
        if isinstance(values, np.ndarray):
            found = values[rows, columns]
        else:
            at = (torch.from_numpy(each).to(values.device) for each in (rows, columns))
            found = to_host(values[tuple(at)]).numpy()
        return found, self._whole(starts, channels, size)

    def _whole(
        self, starts: NDArray[np.int64], channels: NDArray[np.int64], size: int
    ) -> NDArray[np.bool_]:
        whole = np.ones(starts.size, dtype=np.bool_)
        for absence in self.absences:
            for number, time, across in self._touching(absence, starts, channels, size):
                if absence.mask is None or absence.mask[time.slice, across.slice].any():
                    whole[number] = False
        return whole

    def _touching(
        self,
        absence: Absence,
        starts: NDArray[np.int64],
        channels: NDArray[np.int64],
        size: int,
    ) -> Iterator[tuple[int, Span, Span]]:
        """Yield the stretches that reach into an absence, and where in it."""
        grid, read, region = self.block.grid, self.block.read, absence.region
        samples = region.time.shift(read.time.start - grid.recorded.time.start)
        fibre = region.distance.shift(read.distance.start - grid.recorded.distance.start)
        for number, (start, channel) in enumerate(
            zip(starts.tolist(), channels.tolist(), strict=True)
        ):
            # what the filter still feels counts, as it does for windows of the model
            first, last = max(0, start - grid.settling), min(start + size, grid.rows.size)
            low, high = grid.ratios[0].needs(first, last, grid.time.size)
            time = _within(Span(low, high), samples)
            across = _within(grid.channels_behind(channel, channel + 1), fibre)
            if time.size > 0 and across.size > 0:
                yield number, time, across


def _within(span: Span, of: Span) -> Span:
    """Return what a span has in common with another, counted from the start of that one."""
    return Span(max(span.start, of.start), min(span.stop, of.stop)).shift(-of.start)
