"""Everything about a GPU in one call: ``python tests/benchmarks/gpu``, see the README beside."""
