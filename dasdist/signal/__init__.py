"""What happens to samples before the model sees them: resampling, causal filters, f-k filter.

Every function here is pure and knows, besides its result, *how much input that result needs*:
`dasdist.geometry.Ratio` for resampling and `settling_samples` for filters give the halo of a block.
"""

from dasdist.signal.fk import FKFilter
from dasdist.signal.iir import causal_filter, design, settling_samples
from dasdist.signal.resample import nearest_ratio, resample_span

__all__ = [
    "FKFilter",
    "causal_filter",
    "design",
    "nearest_ratio",
    "resample_span",
    "settling_samples",
]
