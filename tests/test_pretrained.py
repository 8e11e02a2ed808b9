"""Models from files: SeisBench's pairs, plain pairs, and nothing that could run code."""

import json
import pickle

import pytest
import torch

import dasdist

from .toys import Toy, noise, recording


def same_weights(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.seisbench
@pytest.mark.parametrize("suffix", [".json", ".pt"])
def test_a_pair_that_names_its_class(shared_data, phasenet, suffix):
    model = dasdist.from_pretrained(shared_data / "weights" / f"phasenet_original{suffix}")
    assert isinstance(model, dasdist.DASWaveformModelWrapper)
    assert isinstance(model, dasdist.DASModel)
    assert same_weights(model.model, phasenet)
    wrapped = dasdist.DASWaveformModelWrapper.from_pretrained(
        shared_data / "weights" / f"phasenet_original{suffix}", component_strategy="pad"
    )
    assert wrapped.component_strategy == "pad"


@pytest.mark.seisbench
@pytest.mark.parametrize("name", ["phasenet", "eqtransformer"])
def test_a_pair_in_the_layout_of_seisbenchs_cache(request, shared_data, name):
    folder = shared_data / "weights" / "seisbench_cache" / "models" / "v3" / name
    model = dasdist.from_pretrained(folder / "original.json.v1")
    assert same_weights(model.model, request.getfixturevalue(name))


def test_a_model_of_ones_own(tmp_path):
    trained = Toy(gain=2.5)
    torch.save(trained.state_dict(), tmp_path / "toy.pt")
    description = {"model_args": {"gain": 1.0}, "default_args": {"overlap_samples": 16}}
    (tmp_path / "toy.json").write_text(json.dumps(description))
    model = Toy.from_pretrained(tmp_path / "toy.json")
    assert model.gain == 2.5
    assert not model.training
    plan = dasdist.plan(model, recording(noise(500, 8)))
    assert plan.grids[0].rows.shift == 48
    with pytest.raises(dasdist.InvalidInput, match="its own class"):
        dasdist.from_pretrained(tmp_path / "toy.json")


def test_the_demos_picker():
    model = dasdist.from_pretrained("demo")
    assert model.annotate_keys == ["P", "S"]


def test_nothing_but_tensors_is_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("this must not run",)

    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "evil.json").write_text("{}")
    with pytest.raises(dasdist.InvalidInput, match="tensors only"):
        dasdist.from_pretrained(tmp_path / "evil.json")


@pytest.mark.parametrize(
    "name", ["os:system", "dasdist.api.pretrained:import_module", "dasdist.demo.run:run_demo"]
)
def test_a_description_cannot_name_foreign_code(tmp_path, name):
    torch.save({}, tmp_path / "model.pt")
    (tmp_path / "model.json").write_text(json.dumps({"model": name}))
    with pytest.raises(dasdist.InvalidInput, match="not a model of SeisBench or dasdist"):
        dasdist.from_pretrained(tmp_path / "model.json")


def test_missing_files_are_named(tmp_path):
    (tmp_path / "half.json").write_text("{}")
    with pytest.raises(dasdist.InvalidInput, match=r"half\.pt does not exist"):
        dasdist.from_pretrained(tmp_path / "half.json")
    with pytest.raises(dasdist.InvalidInput, match="neither a"):
        dasdist.from_pretrained(tmp_path / "model.onnx")


DEMO = "dasdist.demo.network:DemoNetwork"


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ([1, 2], r"toy.json holds a list; the description of a model is a JSON object"),
        ({"model": DEMO, "model_args": [1]}, r"model_args in .*toy.json is a list"),
        ({"default_args": "P"}, r"default_args in .*toy.json is a str"),
        ({"model": "dasdist.nowhere:Model"}, r"'dasdist.nowhere:Model', which is not a model"),
        ({"model_args": {"gian": 1.0}}, r"Toy cannot be made with the model_args .*'gian'"),
    ],
)
def test_a_bad_description_is_one_sentence(tmp_path, description, words):
    torch.save(Toy().state_dict(), tmp_path / "toy.pt")
    (tmp_path / "toy.json").write_text(json.dumps(description))
    load = Toy.from_pretrained if "model" not in description else dasdist.from_pretrained
    with pytest.raises(dasdist.InvalidInput, match=words) as caught:
        load(tmp_path / "toy.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([torch.zeros(3)], "holds no tensors by name, but a list"),
        ({"epoch": 3}, "holds no tensors by name"),
        ({"other": torch.zeros(3)}, r"are not those of Toy with its model_args: .*"),
    ],
)
def test_weights_that_are_none_of_the_model_are_one_sentence(tmp_path, weights, words):
    torch.save(weights, tmp_path / "toy.pt")
    (tmp_path / "toy.json").write_text("{}")
    with pytest.raises(dasdist.InvalidInput, match=words) as caught:
        Toy.from_pretrained(tmp_path / "toy.json")
    assert "\n" not in str(caught.value)
