"""What consumes annotations: picking, stacking in memory, writing, or several at once."""

from dasdist.callbacks.base import Accumulator, Context, DASAnnotateCallback, Mapper, Output
from dasdist.callbacks.in_memory import InMemoryCollectionCallback
from dasdist.callbacks.multi import MultiCallback
from dasdist.callbacks.parquet import PicksWriterCallback, StoredPicks
from dasdist.callbacks.picking import DASPickingCallback
from dasdist.callbacks.picks import DASPick, PickList
from dasdist.callbacks.seisbench import ClientSideCallback, adapt_callback
from dasdist.callbacks.zarr_writer import WriterCallback

__all__ = [
    "Accumulator",
    "ClientSideCallback",
    "Context",
    "DASAnnotateCallback",
    "DASPick",
    "DASPickingCallback",
    "InMemoryCollectionCallback",
    "Mapper",
    "MultiCallback",
    "Output",
    "PickList",
    "PicksWriterCallback",
    "StoredPicks",
    "WriterCallback",
    "adapt_callback",
]
