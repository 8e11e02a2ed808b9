"""All benchmarks: importing this registers them."""

from tests.benchmarks import checksums, end_to_end, indexing, on_gpu, reading, scaling, stages

SUITE = (end_to_end, stages, reading, indexing, scaling, checksums, on_gpu)
