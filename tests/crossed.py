"""Cases of two kinds with each other: CI takes each of either kind, the deep tier all pairs."""

import pytest


def crossed(ones, others):
    """Parameters of all pairs; those that are not needed to see each one are deep.

    A tuple stands for several parameters.
    """
    ones, others = list(ones), list(others)
    few = min(len(ones), len(others))
    return [
        pytest.param(
            *_several(one),
            *_several(other),
            marks=[] if i % few == k % few else [pytest.mark.deep],
        )
        for i, one in enumerate(ones)
        for k, other in enumerate(others)
    ]


def _several(value):
    return value if isinstance(value, tuple) else (value,)
