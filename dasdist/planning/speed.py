"""How long blocks take.

::

    a block   =   reading   +   preprocessing   +   the model   +   picks, stacking
                  a guess       tried               tried           a guess
"""

from dataclasses import dataclass

from dasdist.geometry import Block, SegmentGrid

__all__ = ["Speed", "area", "nominal", "on_a_gpu", "patches_of"]

READ_RATE = 2e8
"""Bytes a second that a worker is taken to read and decompress, chunk by chunk.  A guess, as
storage is not tried; a file system that many share gives less."""

ROW_RATE, PIECE_SECONDS = 1e9, 1e-5
"""Bytes a second that it reads of contiguous files in whole rows, and seconds more for each piece
of a row: on a local disk 2.6 GB/s were measured, and 0.2 in pieces of 625 of 10,000 channels."""

PAGE_BYTES = 4096
"""Bytes of a row that are read in any case: reading fewer costs as much."""

MODEL_RATE, PREPARE_RATE = 2e6, 3e8
"""Samples of windows that a model computes in a second, and samples that are prepared, where
neither is tried: those of PhaseNet on a core, and of resampling by a tenth."""

GPU_CORES = 100
"""Cores that a GPU is as fast as, where only a core is tried: a guess, of PhaseNet in float32."""

REDUCE_RATE = 5e7
"""Output values a second that are picked or stacked.  A guess, as callbacks are not tried."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What patches and samples cost one task thread.

    Parameters
    ----------
    patch : float
        Seconds for a patch in the model; for a window of a channel where these share batches.
    sample : float
        Seconds to prepare a sample of what the model sees.
    """

    patch: float
    sample: float

    def seconds(
        self, grid: SegmentGrid, itemsize: int, keys: int, *, in_rows: bool = False
    ) -> float:
        """Return about how many seconds the largest block of a segment takes.

        Parameters
        ----------
        grid : SegmentGrid
            The segment with its blocks.
        itemsize : int
            Bytes of a recorded sample.
        keys : int
            Annotation keys.
        in_rows : bool
            Whether files hold whole rows, one time after the other, and no chunks.
        """
        block = grid.largest_block()
        return (
            _reading(grid, block, itemsize, in_rows=in_rows)
            + area(block.inputs.shape) * self.sample
            + patches_of(grid, block) * self.patch
            + area(block.core.shape) * keys / REDUCE_RATE
        )


def _reading(grid: SegmentGrid, block: Block, itemsize: int, *, in_rows: bool) -> float:
    channels, rows = block.read.distance.size, block.read.time.size
    if in_rows and channels == grid.distance.size:
        return rows * channels * itemsize / ROW_RATE
    if in_rows:
        page = min(grid.distance.size, PAGE_BYTES // itemsize)
        return rows * (PIECE_SECONDS + max(channels, page) * itemsize / ROW_RATE)
    return rows * channels * itemsize / READ_RATE


def nominal(grid: SegmentGrid) -> Speed:
    """Return what a picking network on a core takes, about, for a segment that is not tried."""
    width = 1 if grid.channelwise else grid.columns.window
    return Speed(grid.rows.window * width / MODEL_RATE, 1 / PREPARE_RATE)


def on_a_gpu(tried: Speed) -> Speed:
    """Return about what a GPU takes, where whoever plans has only cores to try."""
    return Speed(tried.patch / GPU_CORES, tried.sample / GPU_CORES)


def patches_of(grid: SegmentGrid, block: Block) -> int:
    """Return the patches of a block, or the windows of channels where these share batches."""
    return block.rows.size * (block.core.distance.size if grid.channelwise else block.columns.size)


def area(shape: tuple[int, int]) -> int:
    """Return samples times channels."""
    return shape[0] * shape[1]
