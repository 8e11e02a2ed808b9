"""What consumes annotations: picking, stacking in memory, writing, or several at once."""

from dasdist.callbacks.base import Accumulator, Context, DASAnnotateCallback, Mapper
from dasdist.callbacks.in_memory import InMemoryCollectionCallback
from dasdist.callbacks.multi import MultiCallback, adapt_callback
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.parquet import PicksWriterCallback, StoredPicks
from dasdist.callbacks.picking import DASPickingCallback
from dasdist.callbacks.picking_options import check_thresholds
from dasdist.callbacks.picks import DASPick, PickList
from dasdist.callbacks.seisbench import ClientSideCallback
from dasdist.callbacks.sink import Output, SinkCallback
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
    "Needs",
    "Output",
    "PickList",
    "PicksWriterCallback",
    "SinkCallback",
    "StoredPicks",
    "WriterCallback",
    "adapt_callback",
    "check_thresholds",
]
