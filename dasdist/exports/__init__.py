"""Picks for the next program: associators, locators, catalogues, viewers, training.

::

    picks.parquet ---> stream ---> thinning ---> one format ---> OUT/ files, export.json
    (parts in time     batches     fewer         (registry)      whole or not at all
     order)            of a table  stations

    channels.csv  ---> ChannelTable: where each channel lies

One module a format; `registry` names them.  Batches are pyarrow tables with the columns of
`dasdist.callbacks.picks.PICK_COLUMNS` that formats need, in the order of time.
"""

from dasdist.exports.channels import ChannelTable
from dasdist.exports.export import Export, export
from dasdist.exports.registry import FORMATS
from dasdist.exports.thinning import Thinning

__all__ = ["FORMATS", "ChannelTable", "Export", "Thinning", "export"]
