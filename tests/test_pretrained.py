"""Models from files: SeisBench's pairs, plain pairs, and nothing that could run code."""

import json
import pickle
import subprocess
import zipfile

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


# ---------------------------------------------------------------- saved by a model itself


class Scaled(dasdist.DASModel):
    """A model of one's own, as anyone writes it: it keeps its arguments."""

    def __init__(self, width=3, scale=2.0, **kwargs):
        super().__init__(annotate_keys=["P"], **kwargs)
        self.width, self.scale = width, torch.nn.Parameter(torch.tensor(scale))

    def forward(self, x, argdict=None):
        return {"P": self.scale * x}


STRUCTURE = dasdist.PatchingStructure(64, 4, 64, 4, (0, 64), (0, 4), 16, None)


def test_a_model_of_ones_own_is_what_was_saved(tmp_path):
    model = Scaled(5, 7.0, patching_structure=STRUCTURE, dt_range=(0.005, 0.02), citation="Me 2026")
    model.default_args = {"overlap_samples": 16}
    model.save(tmp_path / "new" / "mine", "of my fibre", "2")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"mine.{kind}.v2" for kind in ("json", "npz", "pt", "sha256")]
    for again in (
        Scaled.load(tmp_path / "new" / "mine", "2"),
        Scaled.from_pretrained(tmp_path / "new" / "mine"),
        dasdist.from_pretrained(tmp_path / "new" / "mine", trust=True),
    ):
        assert type(again) is Scaled
        assert (again.width, again.scale.item(), again.training) == (5, 7.0, False)
        assert (again.patching_structure, again.dt_range) == (STRUCTURE, (0.005, 0.02))
        assert again.default_args == {"overlap_samples": 16}
        assert (again.weights_docstring, again.weights_version) == ("of my fibre", "2")
        assert again.citation == "Me 2026"
    assert (model.weights_docstring, model.weights_version) == (None, None)
    assert Scaled.list_versions(tmp_path / "new" / "mine") == ["2"]
    with pytest.raises(dasdist.InvalidInput, match="trust=True"):
        dasdist.from_pretrained(tmp_path / "new" / "mine")
    subprocess.run(["sha256sum", "-c", "mine.sha256.v2"], cwd=tmp_path / "new", check=True)
    (tmp_path / "new" / "mine.json.v2").write_text("{}")
    with pytest.raises(dasdist.InvalidInput, match="damaged: its hash"):
        Scaled.load(tmp_path / "new" / "mine", "2")


def test_what_could_not_be_made_again_is_not_saved(tmp_path):
    class Another(Scaled):
        def __init__(self, width=3, **kwargs):
            super().__init__(width=width + 1, **kwargs)

    unfit = Scaled(default_args={"when": object()})
    for model, words in [
        (Toy(window=(32, 4)), "does not keep its argument 'window'"),
        (Another(), "its width would be another"),
        (unfit, "no value of JSON"),
    ]:
        with pytest.raises(dasdist.InvalidInput, match=words):
            model.save(tmp_path / "model")
    for name, version in [("model.json", None), ("model", "a/b"), ("", None)]:
        with pytest.raises(dasdist.InvalidInput, match="no name for a model"):
            Scaled().save(tmp_path / name if name else "/", version_str=version)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.seisbench
def test_seisbench_reads_what_a_wrapper_saves(tmp_path, phasenet):
    """And the wrapper comes back with what was set on it."""
    from seisbench.models import PhaseNet

    wrapped = dasdist.DASWaveformModelWrapper(phasenet, "pad", fk_filter_args={"v_min": 500})
    wrapped.default_args["P_threshold"] = 0.4
    wrapped.save(tmp_path / "mine", "PhaseNet, padded", version_str="3")
    theirs = PhaseNet.load(tmp_path / "mine", version_str="3")
    assert same_weights(theirs, phasenet)
    assert theirs.weights_docstring == "PhaseNet, padded"
    assert theirs.default_args["P_threshold"] == 0.4
    for again in (
        dasdist.from_pretrained(tmp_path / "mine"),
        dasdist.DASWaveformModelWrapper.load(tmp_path / "mine"),
    ):
        assert same_weights(again.model, phasenet)
        assert (again.component_strategy, again.fk_filter_args) == ("pad", {"v_min": 500})
        assert again.annotate_keys == wrapped.annotate_keys
        assert (again.weights_docstring, again.weights_version) == ("PhaseNet, padded", "3")
        assert again.default_args == wrapped.default_args


@pytest.mark.seisbench
def test_what_seisbench_saves_is_read(tmp_path):
    from seisbench.models import PhaseNet

    theirs = PhaseNet(phases="PSN", norm="peak")
    (tmp_path / "phasenet").mkdir()
    theirs.save(tmp_path / "phasenet" / "theirs", "from there", "2")
    again = dasdist.from_pretrained(tmp_path / "phasenet" / "theirs")
    assert same_weights(again.model, theirs)
    assert (again.model.norm, again.weights_docstring) == ("peak", "from there")


def test_a_pickled_model_is_refused_unless_it_is_trusted(tmp_path):
    torch.save(Scaled(scale=3.0), tmp_path / "whole.pt")
    (tmp_path / "whole.json").write_text("{}")
    with pytest.raises(dasdist.InvalidInput, match=r"holds more than tensors, .* trust=True"):
        dasdist.from_pretrained(tmp_path / "whole.pt")
    assert dasdist.from_pretrained(tmp_path / "whole.pt", trust=True).scale.item() == 3.0
    (tmp_path / "whole.json").unlink()
    assert dasdist.from_pretrained(tmp_path / "whole.pt", trust=True).scale.item() == 3.0
    with pytest.raises(dasdist.InvalidInput, match=r"whole.json does not exist"):
        dasdist.from_pretrained(tmp_path / "whole.pt")


def test_weights_of_a_gpu_load_on_a_cpu(tmp_path):
    """As a file from a GPU differs from one of a CPU: in the place that its pickle names."""
    Scaled(scale=3.0).save(tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "mine.pt") as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    (pickled,) = [name for name in held if name.endswith("data.pkl")]
    there = b"X\x06\x00\x00\x00cuda:0"
    assert held[pickled].count(b"X\x03\x00\x00\x00cpu") == 1
    held[pickled] = held[pickled].replace(b"X\x03\x00\x00\x00cpu", there)
    with zipfile.ZipFile(tmp_path / "mine.pt", "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data)
    (tmp_path / "mine.sha256").unlink()
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(tmp_path / "mine.pt", weights_only=True)
    found = Scaled.load(tmp_path / "mine")
    assert (found.scale.item(), found.device.type) == (3.0, "cpu")


def test_a_file_names_its_version(tmp_path):
    Scaled().save(tmp_path / "mine", version_str="2")
    for name in ("mine.json.v2", "mine.pt.v2"):
        assert Scaled.from_pretrained(tmp_path / name, "2").weights_version == "2"
        with pytest.raises(dasdist.InvalidInput, match="is version 2, not 3"):
            Scaled.from_pretrained(tmp_path / name, "3")
    with pytest.raises(dasdist.InvalidInput, match="is version 1, not 3"):
        dasdist.from_pretrained("demo", "3")
    with pytest.raises(dasdist.InvalidInput, match="no versions"):
        dasdist.from_pretrained("tests.toys:Toy", "3")


@pytest.mark.seisbench
def test_what_seisbench_keeps_is_listed():
    assert "seisbench:PhaseNet/original" in dasdist.list_pretrained()
    assert dasdist.list_versions("seisbench:PhaseNet/original") == ["1"]
    found = dasdist.from_pretrained("seisbench:PhaseNet/original", "1")
    assert found.weights_version == "1"
