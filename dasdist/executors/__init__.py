"""Where blocks are computed: one after the other in this process, or on a Dask cluster."""
