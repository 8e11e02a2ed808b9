"""Train the demo picker: this is how its weights were made.

``python -m dasdist.training.picker --steps N --out DIR`` makes them again.

Every batch is drawn from its own seed, so a run repeats on the same machine and library
versions. Scenes vary far beyond those of the demo (distances, noise, sampling rate, traffic,
glitches, no earthquake at all) so that the picker learns onsets and not the demo. Labels are
Gaussians around the arrivals, the loss is the cross-entropy of three classes.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
import typer
from scipy.signal import find_peaks
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from dasdist.demo.model import DemoPicker
from dasdist.demo.network import CLASSES, WINDOW, PickNetwork
from dasdist.synthetic.noise import NoiseLevels, draw_cable
from dasdist.synthetic.physics import Fibre, arrival_times
from dasdist.synthetic.scene import Scene, draw_event, draw_vehicle
from dasdist.synthetic.section import make_section
from dasdist.zoo.samples import Sample
from dasdist.zoo.weights import sums_of

CHANNELS = 16  # of a training scene
SCENES = 8  # of a batch
SIGMA = 0.1  # s, of a label
VISIBLE = 2.0  # signal-to-noise ratio from which an arrival is taught
HELD_OUT = 1_000_000  # seeds from here on are never trained on
TOLERANCE = 0.5  # s, in scores
SCORED_SNR = 4.0  # arrivals below are neither expected nor wrong

Float32 = npt.NDArray[np.float32]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform between those of `low` and `high`."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def draw_training_scene(rng: np.random.Generator) -> Scene:
    """Draw a window's scene: often one earthquake, sometimes two, one time in five none."""
    rate = rng.uniform(60.0, 180.0)
    fibre = Fibre(CHANNELS, dx=rng.uniform(4.0, 20.0), turn=rng.uniform(-1.0, 1.0))
    span = WINDOW / rate
    events = []
    for _ in range(rng.choice([0, 1, 2], p=[0.2, 0.65, 0.15])):
        event = draw_event(rng, 0.0, fibre)
        travel = float(arrival_times(event, fibre)["P"].min())
        events.append(
            replace(
                event,
                time=rng.uniform(-0.3, 1.0) * span - travel,
                magnitude=event.magnitude + rng.uniform(-0.7, 0.8),
            )
        )
    vehicles = [
        draw_vehicle(rng, rng.uniform(0, span), fibre.dx * CHANNELS)
        for _ in range(rng.choice([0, 1, 2], p=[0.5, 0.35, 0.15]))
    ]
    levels = NoiseLevels(
        optical=log_uniform(rng, 0.1, 0.6),
        ground=log_uniform(rng, 0.05, 0.8),
        drift=log_uniform(rng, 0.03, 3.0),
        common=log_uniform(rng, 0.02, 0.4),
        hum=log_uniform(rng, 0.1, 1.0) if rng.uniform() < 0.1 else 0.0,
    )
    cable = draw_cable(rng, CHANNELS)
    seed = int(rng.integers(2**31))
    return Scene(fibre, cable, levels, tuple(events), tuple(vehicles), rate, seed)


def glitches(rng: np.random.Generator, data: Float32) -> Float32:
    """Add spikes, steps and bursts to one channel in ten: what the light does, not the Earth."""
    out = data.copy()
    for channel in np.flatnonzero(rng.uniform(size=data.shape[1]) < 0.1):
        size = np.std(data[:, channel]) * rng.choice([-1, 1]) * log_uniform(rng, 3.0, 60.0)
        at = int(rng.integers(data.shape[0]))
        kind = rng.integers(3)
        if kind == 0:
            out[at : at + int(rng.integers(1, 4)), channel] += size
        elif kind == 1:
            out[at:, channel] += size
        else:
            burst = out[at : at + int(rng.integers(10, 200)), channel]
            burst += 0.3 * abs(size) * rng.standard_normal(burst.size).astype(np.float32)
    return out


def soft_labels(arrivals: pd.DataFrame, scene: Scene) -> tuple[Float32, Float32]:
    """Return targets and weights for training on a window.

    Returns
    -------
    target : ndarray
        Probability of P, S and noise, (channels, 3, samples).
    weight : ndarray
        0 around arrivals that are too weak to be taught, else 1, (channels, samples).
    """
    target = np.zeros((CHANNELS, 3, WINDOW), dtype=np.float32)
    weight = np.ones((CHANNELS, WINDOW), dtype=np.float32)
    t = np.arange(WINDOW) / scene.rate
    for row in arrivals.itertuples(index=False):
        if row.snr >= VISIBLE:
            bell = np.exp(-(((t - row.seconds) / SIGMA) ** 2) / 2)
            one = target[row.channel, CLASSES.index(row.phase)]
            np.maximum(one, bell, out=one)
        elif row.snr >= VISIBLE / 4:
            weight[row.channel, np.abs(t - row.seconds) < 3 * SIGMA] = 0
    both = target[:, :2].sum(axis=1, keepdims=True)
    target[:, :2] /= np.maximum(both, 1.0)
    target[:, 2] = 1 - target[:, :2].sum(axis=1)
    return target, weight


class Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Batch i of a run: windows (128, 2048), targets (128, 3, 2048), weights (128, 2048)."""

    def __init__(self, seed: int, steps: int) -> None:
        self.seed = seed
        self.steps = steps

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.steps

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a batch from the run's seed and its index."""
        scenes = []
        for scene_index in range(SCENES):
            rng = np.random.default_rng([self.seed, 41, index, scene_index])
            scene = draw_training_scene(rng)
            data, arrivals = make_section(scene, 0, WINDOW)
            scenes.append((glitches(rng, data).T, *soft_labels(arrivals, scene)))
        windows, targets, weights = (np.concatenate(each) for each in zip(*scenes, strict=True))
        return torch.from_numpy(windows), torch.from_numpy(targets), torch.from_numpy(weights)


def losses(
    network: PickNetwork, steps: int, seed: int, *, rate: float = 4e-3
) -> Iterator[tuple[int, float]]:
    """Train the network in place and yield each step's loss."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rate, total_steps=steps, pct_start=0.15
    )
    batches = DataLoader(
        Batches(seed, steps),
        batch_size=None,
        num_workers=1,
        prefetch_factor=4,
        multiprocessing_context="spawn",  # a fork has the threads' locks, but not the threads
    )
    network.train()
    for step, (windows, target, weight) in enumerate(batches):
        log_p = functional.log_softmax(network.logits(windows), dim=1)
        loss = -(weight * (target * log_p).sum(dim=1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        yield step, float(loss.detach())


@dataclass(frozen=True)
class Score:
    """Picks against held-out truth.

    Parameters
    ----------
    precision : float
        Picks within 0.5 s of any true arrival of their phase, of all picks.
    recall : float
        Arrivals of a signal-to-noise ratio of 4 or more with a pick within 0.5 s.
    error : float
        Median absolute time difference of those, seconds.
    picks, arrivals : int
        How many of either.
    """

    precision: float
    recall: float
    error: float
    picks: int
    arrivals: int


@torch.inference_mode()
def evaluate(network: PickNetwork, *, scenes: int, threshold: float = 0.3) -> dict[str, Score]:
    """Score P and S on windows of held-out seeds; a second at either end is left out."""
    network.eval()
    right, picks, expected = dict.fromkeys("PS", 0), dict.fromkeys("PS", 0), dict.fromkeys("PS", 0)
    errors: dict[str, list[float]] = {"P": [], "S": []}
    for index in range(scenes):
        rng = np.random.default_rng([HELD_OUT, 42, index])
        scene = draw_training_scene(rng)
        data, arrivals = make_section(scene, 0, WINDOW)
        probability = network(torch.from_numpy(glitches(rng, data).T.copy())).numpy()
        edge = int(scene.rate)
        inner = (arrivals["seconds"] > 1) & (arrivals["seconds"] < WINDOW / scene.rate - 1)
        for phase in ("P", "S"):
            true = arrivals[arrivals["phase"] == phase]
            wanted = arrivals[inner & (arrivals["phase"] == phase)]
            for channel in range(CHANNELS):
                curve = probability[channel, CLASSES.index(phase), edge:-edge]
                found = find_peaks(curve, height=threshold, distance=edge)[0]
                times = (found + edge) / scene.rate
                truth = true.loc[true["channel"] == channel, "seconds"].to_numpy(float)
                near = np.abs(times[:, None] - truth) <= TOLERANCE
                picks[phase] += times.size
                right[phase] += int(near.any(axis=1).sum())
                mine = wanted[(wanted["channel"] == channel) & (wanted["snr"] >= SCORED_SNR)]
                for seconds in mine["seconds"]:
                    expected[phase] += 1
                    off = np.abs(times - seconds)
                    if off.size and off.min() <= TOLERANCE:
                        errors[phase].append(float(off.min()))
    return {
        phase: Score(
            precision=round(right[phase] / max(1, picks[phase]), 4),
            recall=round(len(errors[phase]) / max(1, expected[phase]), 4),
            error=round(float(np.median(errors[phase] or [np.nan])), 4),
            picks=picks[phase],
            arrivals=expected[phase],
        )
        for phase in ("P", "S")
    }


def main(
    steps: Annotated[
        int, typer.Option(help="Number of training batches, of 128 windows each.")
    ] = 1500,
    out: Annotated[Path, typer.Option(help="Folder to write demo.pt and demo.json to.")] = Path(),
    seed: Annotated[int, typer.Option(help="Seed of the weights and of all batches.")] = 0,
    width: Annotated[
        int, typer.Option(help="Number of features of the network's first level.")
    ] = 24,
    scenes: Annotated[int, typer.Option(help="Number of held-out sections to score on.")] = 160,
) -> None:
    """Train the demo picker on synthetic sections and write its weights with its scores."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = PickNetwork(width)
    mean = 0.0
    for step, loss in losses(network, steps, seed):
        mean += (loss - mean) / min(step + 1, 50)
        if step % 50 == 49:
            typer.echo(f"step {step + 1:5d}  loss {mean:.4f}")
    scores = evaluate(network, scenes=scenes)
    for phase, score in scores.items():
        typer.echo(f"{phase}: {score}")
    out.mkdir(parents=True, exist_ok=True)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    torch.save(weights, out / "demo.pt")
    recipe = {
        "model": "dasdist.demo.model:DemoPicker",
        "model_args": {"width": width},
        "default_args": {},
        "licence": "GPL-3.0-or-later",
        "training": {"data": "synthetic only", "seed": seed, "steps": steps},
        "scores": {phase: asdict(score) for phase, score in scores.items()},
    }
    (out / "demo.json").write_text(json.dumps(recipe, indent=2) + "\n")
    (out / "demo.sha256").write_text(sums_of(out / "demo.json", out / "demo.pt"))
    picker = DemoPicker(width).eval()
    picker.load_state_dict(weights)
    if sample := Sample.of(picker):
        (out / "demo.npz").write_bytes(sample.to_bytes())


if __name__ == "__main__":
    typer.run(main)
