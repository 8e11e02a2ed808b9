"""All benchmarks: importing this registers them."""

from tests.benchmarks import (
    checksums,
    end_to_end,
    fibre,
    indexing,
    on_gpu,
    reading,
    scaling,
    stages,
    watching,
)

SUITE = (end_to_end, fibre, stages, reading, indexing, scaling, checksums, watching, on_gpu)
