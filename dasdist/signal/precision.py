"""How GPUs compute in single precision: with which bits, and the same way every time.

By default torch rounds the inputs of convolutions and LSTMs to ten bits (TF32), and lets cuDNN
take algorithms that add in any order, for transposed convolutions above all.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

__all__ = ["full_precision", "in_tf32"]


@dataclass(frozen=True, slots=True)
class _Switch:
    """A setting of torch's.

    Parameters
    ----------
    read : callable
        Returns it; RuntimeError where it contradicts another, as a mixture of old and new names of
        the same setting may.
    write : callable
        Sets it.
    wanted : object
        What it is to be.
    default : object
        What torch begins with: taken for what it was where that cannot be told.
    """

    read: Callable[[], Any]
    write: Callable[[Any], Any]
    wanted: Any
    default: Any

    def now(self) -> Any:
        """Return how it is; None if it cannot be told."""
        with suppress(RuntimeError):
            return self.read()
        return None

    def put_back(self, before: Any) -> None:
        """Set it as it was."""
        before = self.default if before is None else before
        if self.now() != before:
            self.write(before)


def _switches(*, tf32: bool) -> list[_Switch]:
    """Return what is to be set, in this order.

    Torch 2.9 has a setting for each operator, and the older ones for all of them.  They are set
    alike, since torch refuses to tell the older one where they differ, and inductor asks for it.
    """
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    found = [
        _named(cudnn, "allow_tf32", tf32, True),
        _Switch(
            read=torch.get_float32_matmul_precision,
            write=_set_products,
            wanted="high" if tf32 else "highest",
            default="highest",
        ),
    ]
    if hasattr(cudnn, "rnn"):
        bits = "tf32" if tf32 else "ieee"
        each = cudnn.conv, cudnn.rnn, products
        found += [_named(one, "fp32_precision", bits, "none") for one in each]
    # what is fastest on the first batch may be another algorithm in the next run
    order = _named(cudnn, "deterministic", True, False), _named(cudnn, "benchmark", False, False)
    return [*found, *order]


def _set_products(word: str) -> None:
    """Set the older name of products' precision, and as little as possible that is a CPU's."""
    if word == "medium":
        torch.set_float32_matmul_precision(word)
    else:
        torch.backends.cuda.matmul.allow_tf32 = word == "high"


def _named(where: Any, name: str, wanted: Any, default: Any) -> _Switch:
    read, write = partial(getattr, where, name), partial(setattr, where, name)
    return _Switch(read, write, wanted, default)


class _Setting:
    """The settings of this process, what they are, and how many threads want that."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._tf32 = False
        self._before: list[tuple[_Switch, Any]] = []

    def enter(self, *, tf32: bool) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._inside or self._tf32 == tf32)
            if not self._inside:
                switches = _switches(tf32=tf32)
                self._before = [(switch, switch.now()) for switch in switches]
                for switch in switches:
                    switch.write(switch.wanted)
                self._tf32 = tf32
            self._inside += 1

    def leave(self) -> None:
        with self._changed:
            self._inside -= 1
            if not self._inside:
                for switch, before in self._before:
                    switch.put_back(before)
                self._changed.notify_all()


_setting = _Setting()


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let the GPU compute with all bits of float32 (no TF32) within the context.

    Several threads may be in it at once: torch has one setting for the whole process, which is put
    back when the last of them leaves.  Those that want the other wait for that; not long, for a GPU
    is only told what to compute within it.
    """
    with _as_set(device, tf32=False):
        yield


@contextmanager
def in_tf32(device: torch.device) -> Iterator[None]:
    """Let the GPU round what is multiplied to ten bits within the context, for its tensor cores.

    Else as :func:`full_precision`.
    """
    with _as_set(device, tf32=True):
        yield


@contextmanager
def _as_set(device: torch.device, *, tf32: bool) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    _setting.enter(tf32=tf32)
    try:
        yield
    finally:
        _setting.leave()
