"""Prepare samples for the model: resampling, causal filters, f-k filter.

Every function here is pure and knows, besides its result, *how much input that result needs*:
`dasdist.geometry.Ratio` for resampling and `settling_samples` for filters give the halo of a block.
"""

from dasdist.signal.fk import FKFilter
from dasdist.signal.iir import causal_filter, design, settling_samples
from dasdist.signal.on_device import filter_tensor, resample_tensor
from dasdist.signal.padding import padded
from dasdist.signal.precision import full_precision, in_tf32
from dasdist.signal.ratios import OFF_RATE, nearest_ratio
from dasdist.signal.resample import resample_span

__all__ = [
    "OFF_RATE",
    "FKFilter",
    "causal_filter",
    "design",
    "filter_tensor",
    "full_precision",
    "in_tf32",
    "nearest_ratio",
    "padded",
    "resample_span",
    "resample_tensor",
    "settling_samples",
]
