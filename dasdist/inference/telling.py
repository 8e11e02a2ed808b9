"""Say what a block could not compute: when, on which channels, why, in which file."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dasdist.geometry import Region, Span
from dasdist.geometry.rectangles import rectangles
from dasdist.inference.left_out import LeftOut
from dasdist.report import Missing
from dasdist.sources import Selection
from dasdist.sources.absence import Absence

__all__ = ["model_faults", "what_is_missing"]

_MOST = 50
"""Rectangles that a mask of missing samples is told by; of more, the one around them."""


def what_is_missing(
    absences: Sequence[Absence], selection: Selection, block: int
) -> Iterator[Missing]:
    """Yield what is missing of the samples that a block reads."""
    for absence in absences:
        for region in _rectangles(absence):
            part = replace(absence, region=region, mask=None)
            channels = region.distance.shift(selection.region.distance.start)
            yield Missing(
                block=block,
                kind="unreadable",
                what=f"samples {absence.what}",
                start=str(selection.time(region.time.start)),
                stop=str(selection.time(region.time.stop - 1)),
                channels=(channels.start, channels.stop),
                path=next(iter(selection.paths_of(part)), ""),
            )


def _rectangles(absence: Absence) -> list[Region]:
    region = absence.region
    if absence.mask is None:
        return [region]
    return [
        Region(each.time.shift(region.time.start), each.distance.shift(region.distance.start))
        for each in rectangles(absence.mask, _MOST)
    ]


def model_faults(faults: LeftOut) -> Iterator[Missing]:
    """Yield the windows of which the model made NaN."""
    block, grid = faults.block, faults.block.grid
    for region in rectangles(faults.touched, _MOST):
        rows = region.time.shift(block.rows.start)
        start, stop = grid.rows.input_span(rows.start, rows.stop)
        start, stop = max(0, start), min(stop, grid.rows.size)
        if faults.channelwise:
            first = block.inputs.distance.start
            channels = region.distance.shift(first)
        else:
            columns = region.distance.shift(block.columns.start)
            channels = Span(*grid.columns.input_span(columns.start, columns.stop))
        behind = grid.channels_behind(channels.start, channels.stop)
        recorded = behind.shift(grid.recorded.distance.start)
        time = grid.model_time
        yield Missing(
            block=block.index,
            kind="model",
            what="the model returned NaN for samples that are numbers",
            start=str(time.value(start)),
            stop=str(time.value(stop - 1)),
            channels=(recorded.start, recorded.stop),
        )
