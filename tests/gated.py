"""A model that waits for a test: ``--model tests.gated:build``, its folder in DASDIST_TEST_GATE.

In the jobs of a batch system it leaves a line in ``FOLDER/notes`` for every batch of patches: node,
device and number of compute threads.  Once there are as many lines as ``FOLDER/limit`` says, it
waits until that says more.
"""

import os
import time
from pathlib import Path

import torch

from tests.toys import Toy


class Gated(Toy):
    """A toy that notes where it computes, and waits."""

    def __init__(self, folder):
        super().__init__(gain=3.0)
        self.folder = str(folder)

    def forward(self, x, argdict=None):
        if "SLURM_STEP_ID" in os.environ and "SLURM_PROCID" in os.environ:
            self.note(Path(self.folder))
        return super().forward(x, argdict)

    def note(self, folder):
        facts = [os.environ.get(k) for k in ("SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES")]
        line = f"{facts[0]} {facts[1]} {torch.get_num_threads()}\n".encode()
        file = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, line)
        size = os.fstat(file).st_size
        os.close(file)
        while size > len(line) * int((folder / "limit").read_text()):
            time.sleep(0.05)


def build():
    return Gated(os.environ["DASDIST_TEST_GATE"])
