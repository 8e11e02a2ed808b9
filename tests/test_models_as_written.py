"""Models as people write them: compiled, parametrized and scripted layers, locks and lambdas."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app

from .toys import Toy, noise, recording

ROOT = Path(__file__).parents[1]
OPTIONS = {"thresholds": 0.5, "blinding": (1, 1), "pbar": False}


def layer():
    torch.manual_seed(1)
    return torch.nn.Conv1d(4, 4, 3, padding=1)


class Layered(Toy):
    """A toy with a layer before it."""

    def __init__(self, first, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def forward(self, x, argdict=None):
        return super().forward(self.first(x.transpose(1, 2)).transpose(1, 2))


def compiled(module):
    if sys.version_info[:3] == (3, 13, 0):
        pytest.skip("torch.compile does not support Python 3.13.0")
    return torch.compile(module, backend="eager")  # the others need a C++ compiler


LAYERS = {
    "compiled": lambda: compiled(layer()),
    "compiled within": lambda: torch.nn.Sequential(compiled(layer()), torch.nn.Identity()),
    "weight norm": lambda: parametrizations.weight_norm(layer()),
    "spectral norm": lambda: parametrizations.spectral_norm(layer(), n_power_iterations=3),
    "scripted": lambda: torch.jit.script(layer()),
}


@pytest.fixture(scope="module")
def data():
    return recording(noise(1000, 4))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_layers_compute_what_torch_computes_with_them_here_and_on_a_cluster(make, data, client):
    torch.manual_seed(2)
    model = Layered(make())
    assert model.training
    prob = dasdist.annotate(model, data, client=False, overlap_samples=0, stacking="max")["P"]
    twin = model.train(False)
    with torch.no_grad():
        expected = twin(torch.from_numpy(data.values[None, :64, :4]))["P"]
    np.testing.assert_allclose(prob.values[:8], expected[0, :8], atol=1e-6)
    model.train()
    here = dasdist.classify(model, data, client=False, **OPTIONS).picks
    assert len(here) > 10
    assert all(module.training for module in model.modules() if not is_scripted(module))
    there = dasdist.classify(model, data, client=client, **OPTIONS).picks
    assert there.equals(here)


def is_scripted(module):
    return isinstance(module, torch.jit.ScriptModule)


class Locked(Toy):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.guard = threading.Lock()
        self.scale = lambda x: 1.0 * x

    def forward(self, x, argdict=None):
        with self.guard:
            return super().forward(self.scale(x))


def test_a_model_with_a_lock_computes_where_it_need_not_travel(data):
    model = Locked()
    expected = dasdist.classify(Toy(), data, client=False, **OPTIONS).picks
    assert len(expected)
    assert dasdist.classify(model, data, client=False, **OPTIONS).picks.equals(expected)
    assert model.training  # as it was
    with torch.no_grad():
        model.gain.fill_(3.0)  # what a replica computed with before is not taken again
    other = dasdist.classify(Toy(gain=3.0), data, client=False, **OPTIONS).picks
    assert dasdist.classify(model, data, client=False, **OPTIONS).picks.equals(other)
    assert not other.equals(expected)


def test_with_a_cluster_a_sentence_says_what_cannot_travel(data, client):
    told = r"its attribute guard, a lock, cannot be pickled .*__getstate__.*client=False"
    with pytest.raises(dasdist.InvalidInput, match=told):
        dasdist.classify(Locked(), data, client=client, **OPTIONS)
    with pytest.raises(dasdist.InvalidInput, match=r"its attribute first\.guard, a lock"):
        dasdist.classify(Layered(Locked()), data, client=client, **OPTIONS)


SCRIPT = """
import sys, threading, torch, dasdist
from tests.toys import Toy, noise, recording

ONE = threading.Lock()

class Mine(Toy):
    def forward(self, x, argdict=None):
        with ONE:
            return super().forward(x)

class Travels(Toy):
    def __init__(self):
        super().__init__()
        self.scale = lambda x: 1.0 * x

    def forward(self, x, argdict=None):
        return super().forward(self.scale(x))

def main():
    from distributed import Client

    data = recording(noise(1000, 4))
    for client in (False, Client("ADDRESS")):
        for model in (Travels(), Mine()):
            try:
                picks = dasdist.classify(model, data, client=client, thresholds=0.5,
                                         blinding=(1, 1), pbar=False).picks
                print(len(picks))
            except dasdist.InvalidInput as error:
                print(error)

main()
"""


@pytest.mark.slow
def test_lambdas_and_classes_of_a_script_travel_unless_they_hold_a_lock(data, client, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("ADDRESS", client.scheduler_info()["address"]))
    run = subprocess.run(
        [sys.executable, script],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    count = str(len(dasdist.classify(Toy(), data, client=False, **OPTIONS).picks))
    lines = run.stdout.splitlines()
    assert lines[:3] == [count] * 3, run.stderr
    assert "cannot travel to the workers: its class Mine cannot be pickled" in lines[3]


class Talks(Toy):
    def forward(self, x, argdict=None):
        print("a model says", x.shape)
        return super().forward(x)


def talks():
    print("a factory says")
    return Talks()


def test_what_a_model_prints_is_not_among_the_json(tmp_path):
    recording(noise(1000, 4)).to_netcdf(tmp_path / "a.nc")
    more = ["--threshold", "0.5", "--set", "blinding=[1,1]", "-o", tmp_path / "picks", "--json"]
    words = ["classify", tmp_path / "a.nc", "--model", "tests.test_models_as_written:talks", *more]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1]["event"] == "end"
    assert "a factory says" in done.stderr
    assert "a model says" in done.stderr


@pytest.mark.deep
def test_what_a_model_prints_on_a_worker_is_not_among_the_json(tmp_path):
    recording(noise(1000, 4)).to_netcdf(tmp_path / "a.nc")
    words = [sys.executable, "-m", "dasdist", "classify", tmp_path / "a.nc", "--workers", "1"]
    words += ["--model", "tests.test_models_as_written:talks", "--threshold", "0.5"]
    words += ["--set", "blinding=[1,1]", "-o", tmp_path / "picks", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()][-1]["event"] == "end"
    assert "a model says" in done.stderr
