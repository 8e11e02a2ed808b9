"""Compute in lower precision first, and again in float32 where something was found.

::

    batch      1   2   3   4   5   6        windows, or patches
    lower     .02 .01 .31 .08 .28 .02       largest probability in lower precision
    again              3       5            from half of a threshold of 0.3 on
    float32           .29     .31           no pick, and one

A picking callback ignores what is below its thresholds, and a fibre records noise most of the time:
that is where lower precision saves.  A pick is that of float32; it is lost where lower precision
sees less than half of the threshold in the whole window.  Of PhaseNet's and
EQTransformer's 8,000 picks on labelled earthquakes, at thresholds from 0.1 to 0.5, bf16 lost none,
nor would it have with three quarters in place of a half.  fp16 and TF32 round to an eighth of what
bf16 rounds to, so that they need no more than three quarters.
"""

from collections.abc import Callable, Mapping
from math import inf

import torch

from dasdist.inference.batch_pieces import Annotations, in_pieces

__all__ = ["SHARES", "computed_again"]

SHARES = {"bf16": 0.5, "fp16": 0.75, "tf32": 0.75}
"""Of a threshold, by precision: what stays below that stays below the threshold in float32."""

_PIECES = 8
"""Pieces of a batch: a few windows take an eighth of the time of a batch."""


def computed_again(
    rough: Annotations,
    batch: torch.Tensor,
    axis: int,
    exact_above: Mapping[str, float],
    exact: Callable[[torch.Tensor], Annotations],
    share: float = 0.5,
) -> dict[str, torch.Tensor]:
    """Compute windows or patches again, in float32, whose values come near what is read.

    Parameters
    ----------
    rough : mapping of str to Tensor, each of shape (batch, out_samples, out_channels)
        Annotations in lower precision.
    batch : Tensor, shape (batch, in_samples, in_channels)
        What they were computed from.
    axis : int
        What shares the batch and is computed again or not: patches (0), or channels (2) where the
        model treats every channel on its own.
    exact_above : mapping of str to float
        By annotation key, the value from which on something reads it.
    exact : callable
        Annotates a batch in float32.  It gets batches of one shape, filled up with zeros.
    share : float
        Of `SHARES`, that of the precision of `rough`.

    Returns
    -------
    dict of str to Tensor
        As `rough`.

    Examples
    --------
    >>> batch = torch.tensor([[[0.0, 0.3, 0.8]]])
    >>> computed_again({"P": batch}, batch, 2, {"P": 0.5}, lambda some: {"P": some + 0.01})
    {'P': tensor([[[0.0000, 0.3100, 0.8100]]])}
    """
    others = tuple(a for a in range(3) if a != axis)
    low = [
        rough[key].amax(others) < (share * value if value > 0 else -inf)
        for key, value in exact_above.items()
    ]
    # NaN, from a value too large for fp16, is not low either
    chosen = (~torch.stack(low).all(0)).nonzero()[:, 0]
    if not len(chosen):
        return dict(rough)
    size = -(-batch.shape[axis] // _PIECES)
    again = in_pieces(batch.index_select(axis, chosen.to(batch.device)), axis, size, exact)
    return {key: values.index_copy(axis, chosen, again[key]) for key, values in rough.items()}
