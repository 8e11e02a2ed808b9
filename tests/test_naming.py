"""Models by name: every form loads, and what does not says what there is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
import torch

import dasdist
from dasdist.demo.model import DemoPicker

MODULE = """
from dasdist.demo.model import DemoPicker

class Shop:
    @staticmethod
    def picker():
        return DemoPicker(width=8)

def build():
    return DemoPicker(width=16)

def broken():
    raise RuntimeError("no weights today")

def text():
    return "a model"

NUMBER = 3
"""


@pytest.fixture
def my_models(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("import no_such_package_at_all")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("my_models", "my_broken"):
        sys.modules.pop(name, None)


def test_the_demos_picker_by_name():
    assert isinstance(dasdist.from_pretrained("demo"), DemoPicker)


@pytest.mark.parametrize(("name", "width"), [("build", 16), ("Shop.picker", 8), ("DemoPicker", 24)])
def test_a_factory_of_ones_own(my_models, name, width):
    model = dasdist.from_pretrained(f"my_models:{name}")
    expected = DemoPicker(width=width).state_dict()
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in expected.items()
    }


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("my_models:bild", ["no 'bild' in my_models", "Near: build"]),
        ("my_models:NUMBER", ["is a int", "callable"]),
        ("my_models:broken", ["RuntimeError: no weights today"]),
        ("my_models:text", ["str is not a model"]),
        ("my_broken:build", ["could not be imported", "no_such_package_at_all"]),
        ("no_such_module_here:build", ["could not be imported", "PYTHONPATH"]),
        ("dmeo", ["no model called 'dmeo'", "Near: demo", "package.module:factory", "seisbench:"]),
        ("nowhere/model.json", ["does not exist"]),
    ],
)
def test_a_name_that_leads_nowhere_says_what_there_is(my_models, name, facts):
    with pytest.raises(dasdist.InvalidInput) as raised:
        dasdist.from_pretrained(name)
    for fact in facts:
        assert fact in str(raised.value)


@pytest.mark.seisbench
def test_weights_of_seisbench_by_name(shared_data, phasenet):
    if not (shared_data / "weights" / "seisbench_cache").is_dir():
        pytest.skip("no cache of SeisBench in the test data")
    model = dasdist.from_pretrained("seisbench:PhaseNet/original")
    assert isinstance(model, dasdist.DASWaveformModelWrapper)
    pairs = zip(model.model.state_dict().values(), phasenet.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


OFFLINE = """
import socket, sys
def refuse(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")
socket.getaddrinfo = refuse  # no network, whatever this machine has
import dasdist
for name in sys.argv[1:]:
    try:
        dasdist.from_pretrained(name)
    except dasdist.InvalidInput as error:
        print(" ".join(str(error).split()))
"""

UNKNOWN = {
    "seisbench:PhaseNot/original": ["no model 'PhaseNot'", "Near: PhaseNet", "EQTransformer"],
    "seisbench:PhaseNet": ["does not say which weights", "PhaseNet/<weights>", "original"],
    "seisbench:PhaseNet/orignal": [
        "'orignal'",
        "Near: original",
        "SEISBENCH_CACHE_ROOT",
        "ConnectionError",
    ],
}


@pytest.mark.slow
@pytest.mark.seisbench
def test_seisbench_without_a_network_says_which_weights_are_there(shared_data, tmp_path):
    cache = shared_data / "weights" / "seisbench_cache"
    if not cache.is_dir():
        pytest.skip("no cache of SeisBench in the test data")
    shutil.copytree(cache, tmp_path / "cache", copy_function=shutil.copyfile)
    said = subprocess.run(
        [sys.executable, "-c", OFFLINE, *UNKNOWN],
        env={**os.environ, "SEISBENCH_CACHE_ROOT": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for line, facts in zip(said, UNKNOWN.values(), strict=True):
        for fact in facts:
            assert fact in line


def test_seisbench_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "seisbench", None)
    monkeypatch.setitem(sys.modules, "seisbench.models", None)
    with pytest.raises(dasdist.InvalidInput, match=r"dasdist\[seisbench\]"):
        dasdist.from_pretrained("seisbench:PhaseNet/original")
