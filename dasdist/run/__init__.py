"""Plans and their executors: the only part of dasdist that knows of dask."""
