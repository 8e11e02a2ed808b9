"""A page on the Dask dashboard that shows an archive being worked through.

::

    the run (client)                         the scheduler's process             browsers
    watched -> Watch   begin, news, over ->  Stage (a plugin) -> Board   <-----  /das
    workers            what blocks do   -->      '                  cells, lanes, history

The client cuts the archive into at most 20,000 cells and tells now and then which blocks have
ended; what workers tell of running blocks passes the scheduler anyway.  All that the scheduler
keeps is bounded, and each page asks only for what changed.
"""
