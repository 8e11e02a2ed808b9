"""Annotate a batch in pieces of one size, since another size could round differently."""

from collections.abc import Callable, Mapping

import torch

__all__ = ["in_pieces"]

Annotations = Mapping[str, torch.Tensor]


def in_pieces(
    batch: torch.Tensor, axis: int, size: int, annotate: Callable[[torch.Tensor], Annotations]
) -> dict[str, torch.Tensor]:
    """Annotate a batch in pieces, the last of them filled up with zeros.

    Parameters
    ----------
    batch : Tensor, shape (batch, in_samples, in_channels)
        Preprocessed patches.
    axis, size : int
        Along which axis it is cut, and how long a piece is.
    annotate : callable
        Annotates a piece.

    Returns
    -------
    dict of str to Tensor
        The annotations of the batch.

    Examples
    --------
    >>> batch = torch.arange(5.0).reshape(5, 1, 1)
    >>> sizes = []
    >>> def annotate(piece):
    ...     sizes.append(len(piece))
    ...     return {"P": piece + 1}
    >>> in_pieces(batch, 0, 2, annotate)["P"].flatten().tolist(), sizes
    ([1.0, 2.0, 3.0, 4.0, 5.0], [2, 2, 2])
    """
    total = batch.shape[axis]
    if total == size:
        return dict(annotate(batch))
    padding = [0] * (2 * (2 - axis)) + [0, -total % size]
    pieces = torch.nn.functional.pad(batch, padding).split(size, axis)
    outputs = [annotate(piece) for piece in pieces]
    return {
        key: torch.cat([o[key] for o in outputs], axis).narrow(axis, 0, total) for key in outputs[0]
    }
