"""Shapes of Zarr shards, and of the chunks in them, for blocks that own whole shards.

::

    |      block 0    |      block 1    |      block 2    |
    | shard  | shard  | shard  | shard  | shard  | shard  |
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

__all__ = ["layout"]

_Shape = tuple[int, int]
_CHUNK, _SHARD, _LARGEST_SHARD = 2**19, 2**24, 2**25  # float32 values: 2, 64 and 128 MiB


def layout(core: _Shape, shape: _Shape) -> tuple[_Shape, _Shape]:
    """Return the shape of shards and of inner chunks for blocks of this core.

    Shards divide the core, though one block's along an axis may end beyond it, and inner chunks
    divide shards; of about 64 MiB (at most 128 where that can be) and 2 MiB, and 8 : 1 in shape.

    Examples
    --------
    >>> layout((32768, 2000), (10**9, 2000))
    ((8192, 2048), (2048, 256))
    >>> layout((30011, 5000), (10**9, 5000))  # 30011 is prime
    ((30011, 640), (30011, 20))
    """
    units = [1 << max(0, size.bit_length() - 5) for size in shape]  # at most 6 per cent
    whole = [-(-size // unit) * unit for size, unit in zip(shape, units, strict=True)]
    samples, channels = (c if c < n else w for c, n, w in zip(core, shape, whole, strict=True))
    shard = _divide((samples, channels), _SHARD, _LARGEST_SHARD, 0)
    size = shard[0] * shard[1]
    return shard, _divide(shard, _CHUNK, size, size // 10_000)


def _divide(shape: _Shape, target: int, most: int, least: int) -> _Shape:
    """Return divisors of both sizes with a product near the target, and near 8 : 1."""
    a, b = _divisors(shape[0])[:, None], _divisors(shape[1])
    size = np.log2(a * b / target)
    allowed = (a * b <= most) & (a * b >= max(least, target // 2**6))
    cost = np.round(2 * np.abs(size)) + np.abs(np.log2(a / b) - 3) / 100
    cost = np.where(allowed | ~allowed.any(), cost, np.inf)
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    return int(a[i, 0]), int(b[j])


def _divisors(n: int) -> NDArray[np.int64]:
    low = [i for i in range(1, isqrt(n) + 1) if n % i == 0]
    return np.array(sorted({*low, *(n // i for i in low)}))
