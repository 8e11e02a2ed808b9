"""Cut what a block reads into slices of time, which are resampled one after the other.

::

    recorded     |-- slice --|-- slice --|-- slice --|     1 kHz, 2 bytes a sample
    resampled    [===========|===========|===========]     100 Hz, 4 bytes: this is kept

Where a model sees fewer samples than were recorded, a block then never stands in memory as it was
recorded.
"""

from collections.abc import Iterator

from dasdist.geometry.blocks import Block, Span

__all__ = ["slice_rows", "slices_of"]

_SLICE_BYTES = 2**26
"""Bytes of a slice: that a file is opened for each, in a millisecond, is then next to nothing."""


def slice_rows(block: Block, itemsize: int, chunks: tuple[int, int] | None) -> int:
    """Return the samples in time of a slice, a multiple of those in a storage chunk.

    Parameters
    ----------
    block : Block
        The largest of a segment.
    itemsize : int
        Bytes of a recorded sample.
    chunks : tuple of int or None
        Storage chunk of the recording.

    Returns
    -------
    int
        0 where blocks are read whole: the model sees no fewer samples, or channels are resampled.
    """
    ratio, across = block.grid.ratios
    if ratio.down <= ratio.up or not across.is_identity:
        return 0
    row = block.read.distance.size * itemsize
    chunk = chunks[0] if chunks else ratio.down
    return -(-max(1, _SLICE_BYTES // row) // chunk) * chunk


def slices_of(block: Block, rows: int) -> Iterator[Span]:
    """Yield the slices of a block, counted from the first sample that it reads.

    They end where the recording has whole multiples of `rows`, hence no chunk is read twice.
    """
    read = block.read.time
    start = read.start
    while start < read.stop:
        stop = min(read.stop, (start // rows + 1) * rows)
        yield Span(start - read.start, stop - read.start)
        start = stop
