"""Print the figures behind the promises: ``python -m tests.figures`` in a clone with test data.

Compares with serial SeisBench on the La Palma earthquake, and runs, plans and counts what the
tests assert, so that one can see by how much they hold.
"""

import json
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xdas
from distributed import Client, LocalCluster

import dasdist

from .test_executors import Noted
from .test_parity import our_picks, seisbench_annotations, seisbench_picks, xdas_loaded
from .test_plan import GIB, Channelwise, archive, planned
from .toys import Toy, noise, peak_bytes, recording

DATA = Path(os.environ.get("DASDIST_TEST_DATA", "../shared/data"))


def trained(name):
    """Build a waveform model from its weights."""
    import seisbench.models

    recipe = json.loads((DATA / "weights" / f"{name}.json").read_text())
    model = getattr(seisbench.models, recipe["model"])(**recipe["model_args"])
    model.default_args.update(recipe.get("default_args", {}))
    weights = torch.load(DATA / "weights" / f"{name}.pt", map_location="cpu", weights_only=True)
    model.load_state_dict(weights)
    return model.eval()


def parity():
    """Largest differences from serial SeisBench."""
    from seisbench.models import DASWaveformModelWrapper

    lapalma = xdas.open_dataarray(str(DATA / "das" / "lapalma_20211120_uniform.nc"))
    short = xdas_loaded(lapalma)
    long = recording(np.tile(short.values[:, ::6], (3, 1))[:9000])
    for name, data in (("phasenet_original", short), ("eqtransformer_conservative", long)):
        base = trained(name)
        ours, theirs = dasdist.DASWaveformModelWrapper(base), DASWaveformModelWrapper(base)
        for stacking in ("weighted", "avg", "max"):
            expected = seisbench_annotations(theirs, data, stacking)
            found = ours.annotate(data, stacking=stacking, block={"time": 1000, "distance": 20})
            off = max(abs(found[k].values - expected[k]).max() for k in ours.annotate_keys)
            top = max(expected[k].max() for k in ours.annotate_keys)
            print(f"{name}, {stacking}: probabilities to {top:.3f}, largest difference {off:.1e}")
        a = our_picks(ours, data, thresholds=0.1, block={"time": 1000})
        b = [p for p in seisbench_picks(theirs, data, thresholds=0.1) if p[2] in ours.phases]
        same = sum(
            x[1:3] == y[1:3] and abs(int(x[0] - y[0])) < 1000 for x, y in zip(a, b, strict=False)
        )
        confidence = max(abs(x[3] - y[3]) for x, y in zip(a, b, strict=False))
        print(
            f"{name}: {same} of {len(b)} picks equal ({len(a)} found), confidence {confidence:.1e}"
        )
    picks = dasdist.classify(trained("phasenet_original"), lapalma, thresholds=0.3, pbar=False)
    print(f"La Palma at 0.3: {picks.picks.groupby('phase').size().to_dict()}")


def plans():
    """Default blocks of an hour of minute files."""
    with tempfile.TemporaryDirectory() as folder:
        for channels in (1000, 10000):
            for callback in (dasdist.DASPickingCallback(), dasdist.WriterCallback("unused")):
                data = archive(Path(folder), 60, channels)
                resources = dasdist.planning.plan.Resources(workers=2, memory=4 * GIB)
                plan = planned(Channelwise(), data, callback.needs, resources)
                print(
                    f"1 h x {channels}, {type(callback).__name__}: {len(plan)} blocks, recompute "
                    f"{plan.recompute_factor:.3f}, read {plan.read_amplification:.3f}, peak "
                    f"{plan.peak_bytes / GIB:.2f} of 4 GiB"
                )


def clusters():
    """Serial loop, threads and processes; unpickled models; peak memory."""
    values = noise(200_000, 64)
    options = {"thresholds": 0.9, "min_time_separation": 0.2, "blinding": (1, 1), "pbar": False}
    serial = dasdist.classify(Toy(), recording(values), **options).picks
    local = {"host": "127.0.0.1", "protocol": "tcp://", "dashboard_address": None}
    local["scheduler_kwargs"] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    for processes in (False, True):
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=processes, **local
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
            tempfile.TemporaryDirectory() as folder,
        ):
            model = Noted(folder)
            picks = dasdist.classify(
                model, recording(values), client=client, block={"time": 3000}, **options
            ).picks
            pd.testing.assert_frame_equal(picks, serial)
            pids = set(client.run(os.getpid).values()) | {os.getpid()}
            times = len(os.listdir(folder))
            peak = max(client.run(peak_bytes).values()) / GIB
            print(
                f"LocalCluster(processes={processes}): {len(picks)} picks as the serial loop; "
                f"model unpickled {times} times in {len(pids)} processes; largest {peak:.2f} GiB"
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parity()
    plans()
    clusters()
