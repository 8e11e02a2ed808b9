"""A GPU that is played by the CPU, so that what is written for one runs where there is none.

What is asked for on it is made on the CPU, and its streams and events are those of a device that is
done as soon as it is asked.  Tensors say that they are on the CPU; a `Predictor` says that it is on
the GPU, from which all else follows.
"""

from collections import OrderedDict
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from types import SimpleNamespace

import torch

from dasdist.inference import Predictor

GPU = torch.device("cuda", 0)


class Stream:
    def __init__(self, device=None):
        self.device = device

    def synchronize(self):
        pass


class Event:
    """When it was recorded; who asks how long ago another was is told in milliseconds."""

    def __init__(self, enable_timing=False):
        self.at = None

    def record(self, stream=None):
        self.at = perf_counter()

    def synchronize(self):
        pass

    def query(self):
        return True

    def elapsed_time(self, later):
        return 1000 * (later.at - self.at)


def play(monkeypatch):
    """Let the CPU play a GPU until the test ends; return the GPU."""
    for name in ("empty", "zeros"):
        monkeypatch.setattr(torch, name, partial(_made, getattr(torch, name)))
    to = torch.Tensor.to
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *args, **options: to(self, *map(_played, args), **options)
    )
    for name, stand_in in {
        "Stream": Stream,
        "Event": Event,
        "device": lambda device: nullcontext(),
        "stream": lambda stream: nullcontext(),
        "current_stream": Stream,
        "empty_cache": lambda: None,
        "get_device_properties": lambda device: SimpleNamespace(total_memory=16 * 2**30),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    there = property(lambda self: GPU, lambda self, device: None)
    monkeypatch.setattr(Predictor, "device", there, raising=False)
    monkeypatch.setattr("dasdist.inference.replica._predictors", OrderedDict())
    monkeypatch.setattr("dasdist.inference.cuda._lanes", {})
    return GPU


def _made(make, *args, device=None, pin_memory=False, **options):
    return make(*args, device=_played(device), **options)


def _played(word):
    return "cpu" if isinstance(word, torch.device) and word.type == "cuda" else word
