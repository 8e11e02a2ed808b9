"""What a block costs besides its work: many tiny blocks, a model that does nothing.

Run by hand::

    python -m tests.benchmarks.overhead [blocks] [profile]
"""

import cProfile
import pstats
import resource
import sys
import time
from typing import Any

import numpy as np
import torch
from distributed import Client

import dasdist
from tests.toys import START, recording


class Nothing(dasdist.DASModel):
    """Returns its input."""

    def __init__(self):
        structure = dasdist.PatchingStructure(4, 2, 4, 2, (0, 4), (0, 2))
        super().__init__(patching_structure=structure, annotate_keys=["P"])

    def forward(self, x, argdict=None):
        return {"P": x}


class Waits(Nothing):
    """Takes a while, and no core."""

    def __init__(self, seconds: float):
        super().__init__()
        self.seconds = seconds

    def forward(self, x, argdict=None):
        time.sleep(self.seconds)
        return super().forward(x)


class Counts(dasdist.DASAnnotateCallback):
    """Returns a number per block, as a sink does."""

    def map_block(self, block, annotations):
        return 1

    def combine(self, parts):
        return sum(parts)

    def get_results_dict(self):
        return {}


def annotate(client: Client, blocks: int, model: dasdist.DASModel | None = None) -> Any:
    """Run so many blocks, of nothing by default."""
    data = recording(np.ones((4 * blocks, 2), dtype=np.float32), start=START)
    return dasdist.annotate(
        model or Nothing(), data, Counts(), client=client, pbar=False, block={"time": 4}
    )


def seconds_per_block(client: Client, blocks: int) -> float:
    """Return what a block costs client, scheduler and workers together."""
    annotate(client, 100)
    report = annotate(client, blocks)
    return report.wall_seconds / report.blocks


def main(blocks=5000, profiled=False):
    from tests.benchmarks.rivals import cluster

    torch.set_num_threads(1)
    with cluster(2) as client:
        annotate(client, 100)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        profile = cProfile.Profile()
        if profiled:
            profile.enable()
        report = annotate(client, blocks)
        profile.disable()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{report.blocks} blocks, {1e3 * report.wall_seconds / report.blocks:.2f} ms a block, "
        f"client {before:.0f} to {after:.0f} MiB"
    )
    if profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), profiled="profile" in sys.argv)
