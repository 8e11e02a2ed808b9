"""What a block costs besides its work: many tiny blocks, a model that does nothing.

Run by hand::

    python -m tests.benchmarks.overhead [blocks] [profile]
"""

import cProfile
import pstats
import resource
import sys
import time

import numpy as np
import torch
from distributed import Client, LocalCluster

import dasdist
from tests.toys import START, recording


class Nothing(dasdist.DASModel):
    """Returns its input."""

    def __init__(self):
        structure = dasdist.PatchingStructure(4, 2, 4, 2, (0, 4), (0, 2))
        super().__init__(patching_structure=structure, annotate_keys=["P"])

    def forward(self, x, argdict=None):
        return {"P": x}


class Counts(dasdist.DASAnnotateCallback):
    """Returns a few numbers per block, as a sink does."""

    def mapper(self):
        return _Mapper()

    def get_results_dict(self):
        return {}


class _Mapper:
    def begin(self, grid, block):
        return _Accumulator()


class _Accumulator:
    def add(self, patch):
        pass

    def part(self):
        return [1]


def main(blocks=5000, profiled=False):
    torch.set_num_threads(1)
    data = recording(np.ones((4 * blocks, 2), dtype=np.float32), start=START)
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        few = data[: 4 * 100]
        dasdist.annotate(Nothing(), few, Counts(), client=client, pbar=False, block={"time": 4})
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        profile = cProfile.Profile()
        started = time.perf_counter()
        if profiled:
            profile.enable()
        report = dasdist.annotate(
            Nothing(), data, Counts(), client=client, pbar=False, block={"time": 4}
        )
        profile.disable()
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{report.blocks} blocks, {1e3 * report.wall_seconds / report.blocks:.2f} ms a block "
        f"({1e3 * wall / report.blocks:.2f} with the plan), client {before:.0f} to {after:.0f} MiB"
    )
    if profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), profiled="profile" in sys.argv)
