"""What a run keeps beside its output: what it is, what is done, what is missing; no dask."""
