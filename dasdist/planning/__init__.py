"""What a run will do: patches, blocks, memory; no dask."""
