"""Benchmarks: each against what one would use instead, side by side.

Run ``python -m tests.benchmarks``; ``suite`` registers what there is.  ``gpu`` is one call on a
machine with a GPU and little else.
"""
