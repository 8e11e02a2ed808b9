"""All about a GPU in one call: ``python tests/benchmarks/gpu``; see prepare.sh, too."""
