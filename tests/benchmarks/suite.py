"""All benchmarks: importing this registers them."""

from tests.benchmarks import (
    checksums,
    columns,
    earthquakes,
    end_to_end,
    fibre,
    indexing,
    on_gpu,
    reading,
    scaling,
    stages,
    watching,
)

SUITE = (
    *(end_to_end, earthquakes, fibre, stages, reading, indexing, scaling, checksums, columns),
    *(watching, on_gpu),
)
