"""Benchmarks: each against what one would use instead, side by side.

Run ``python -m tests.benchmarks``; the modules below register what there is.
"""

from tests.benchmarks import checksums, end_to_end, gpu, indexing, reading, scaling, stages

SUITE = (end_to_end, stages, reading, indexing, scaling, checksums, gpu)
