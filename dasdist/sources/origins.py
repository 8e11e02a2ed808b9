"""Where the samples of a recording come from: stretch by stretch, in which file, in which state.

Two recordings of the same archive are compared by this, file by file, without opening any.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dasdist.sources.base import Member, Recording
from dasdist.sources.selection import Source

__all__ = ["Origins", "origins_of", "origins_of_source"]

_Ints = NDArray[np.int64]
_Origin = tuple[int, str, bytes, bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Stretches of samples, one after the other, with what tells each from others.

    Parameters
    ----------
    starts : ndarray of int64, shape (n + 1,)
        First sample of each in the recording, and the end of the last.
    states : ndarray of uint64, shape (n,)
        Hash of the file's base name, size and time of modification.
    keys : ndarray of uint64, shape (n,)
        Hash of that, and of what of the file is read, and how.
    times : ndarray of int64, shape (n, 2)
        First and last time of each, nanoseconds since 1970.
    paths : list of str
        The files; empty where there is none.
    """

    starts: _Ints
    states: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    times: _Ints
    paths: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def among(self, earlier: "Origins") -> _Ints:
        """Return for each stretch which one of an earlier recording it is; -1 if none."""
        known = {fact: number for number, fact in enumerate(_facts(earlier))}
        found = (known.pop(fact, -1) for fact in _facts(self))
        return np.fromiter(found, dtype=np.int64, count=len(self))


def _facts(origins: Origins) -> Iterator[tuple[int, int, int]]:
    return zip(
        origins.times[:, 0].tolist(),
        origins.keys.tolist(),
        np.diff(origins.starts).tolist(),
        strict=True,
    )


def origins_of(recording: Recording) -> Origins:
    """Return where the samples of a recording come from; no file is opened."""
    starts: list[int] = []
    states: list[bytes] = []
    keys: list[bytes] = []
    times: list[_Ints] = []
    paths: list[str] = []
    for member in recording.members:
        first, samples = member.place.time.start, member.place.time.size
        found = list(origins_of_source(member.source, samples))
        form = repr((member.dtype.str, member.place.distance.stop)).encode()
        own = [first + start for start, *_ in found]
        times.append(_times(member, own))
        starts += own
        paths += [path for _, path, _, _ in found]
        states += [_hash(state) for _, _, state, _ in found]
        keys += [_hash(b"\0".join((form, state, part))) for _, _, state, part in found]
    return Origins(
        np.array([*starts, recording.shape[0]], dtype=np.int64),
        np.frombuffer(b"".join(states), dtype=np.uint64),
        np.frombuffer(b"".join(keys), dtype=np.uint64),
        np.concatenate(times),
        paths,
    )


def _hash(fact: bytes) -> bytes:
    return blake2b(fact, digest_size=8).digest()


def origins_of_source(source: Source, samples: int) -> Iterator[_Origin]:
    """Yield first sample, file, its state and what is read of it; sources of one's own are one."""
    known = getattr(source, "origins", None)
    if known is not None:
        yield from known()
        return
    digest = blake2b(digest_size=16)
    for fact in source.identity():
        digest.update(len(fact).to_bytes(8) + fact)
    paths = list(dict.fromkeys(path for _, path in source.files()))
    yield 0, paths[0] if len(paths) == 1 else "", digest.digest(), repr(samples).encode()


def _times(member: Member, starts: Sequence[int]) -> _Ints:
    """Return the times of the first and last sample of stretches of a member, shape (n, 2)."""
    stop = member.place.time.stop
    ends = np.array([(a, b - 1) for a, b in pairwise([*starts, stop])], dtype=np.int64)
    flat, times = ends.ravel(), np.empty(ends.size, dtype=np.int64)
    firsts = np.array([run.span.start for run in member.times])
    of_run = np.searchsorted(firsts, flat, side="right") - 1
    borders = np.searchsorted(of_run, np.arange(len(firsts) + 1))  # both increase
    for run, low, high in zip(member.times, borders[:-1], borders[1:], strict=True):
        values = run.axis.values_at(flat[low:high] - run.span.start)
        times[low:high] = values.astype("datetime64[ns]").astype(np.int64)
    return times.reshape(-1, 2)
