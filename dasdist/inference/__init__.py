"""Compute one block of a recording with a model: pure functions, no dask."""

from dasdist.inference.block import Recipe, process_block
from dasdist.inference.patches import Batching, annotate_patches
from dasdist.inference.predictor import Predictor
from dasdist.inference.preprocess import Prepared, prepare, prepare_tensor

__all__ = [
    "Batching",
    "Predictor",
    "Prepared",
    "Recipe",
    "annotate_patches",
    "prepare",
    "prepare_tensor",
    "process_block",
]
