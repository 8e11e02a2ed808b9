"""Samples that models must reproduce, packs for nodes without a network, and their commands."""

import json
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from dasdist.demo.model import DemoPicker
from dasdist.zoo.samples import Sample

from .served import Served
from .test_pretrained import same_weights
from .test_zoo import made, models, own_cache  # noqa: F401
from .toys import recording


def here(*words):
    return CliRunner().invoke(app, ["models", *map(str, words)])


# ---------------------------------------------------------------- samples


def test_a_sample_is_what_annotate_gives(tmp_path):
    """One patch is a recording of its length, at the model's own rate."""
    made(1).save(tmp_path / "first")
    kept = Sample.read(tmp_path / "first.npz")
    model = dasdist.from_pretrained(tmp_path / "first")
    found = dasdist.annotate(model, recording(kept.patch), pbar=False, optimize=False)
    for phase, values in kept.outputs.items():
        np.testing.assert_allclose(found[phase].values[: len(values)], values, atol=1e-6)
        assert np.ptp(values) > 0.01
    mine = np.random.default_rng(5).standard_normal((2048, 3))
    made(1).save(tmp_path / "own", sample=mine)
    np.testing.assert_array_equal(Sample.read(tmp_path / "own.npz").patch, mine.astype(np.float32))
    for wrong in (mine[:100], mine[0]):
        with pytest.raises(dasdist.InvalidInput, match="The sample has"):
            made(1).save(tmp_path / "own", sample=wrong)


def test_a_model_that_became_another_is_refused(models, tmp_path, monkeypatch):  # noqa: F811
    """As when its class changes, here or in SeisBench: hashes of its files then still hold."""
    name = models / "picker" / "first"
    before = DemoPicker.forward
    assert here("test", name).exit_code == 0

    def other(self, x, argdict=None, **options):
        return {key: 0.9 * value for key, value in before(self, x, argdict, **options).items()}

    monkeypatch.setattr(DemoPicker, "forward", other)
    for load in (dasdist.from_pretrained, DemoPicker.from_pretrained, DemoPicker.load):
        with pytest.raises(dasdist.InvalidInput, match="first does not reproduce the sample"):
            load(name)
    shown = here("test", name)
    assert shown.exit_code == 1
    assert "NOT reproduced" in shown.stdout
    assert here("pack", name, "-o", tmp_path / "pack.zip").exit_code == 1
    assert not (tmp_path / "pack.zip").exists()


def test_a_damaged_sample_is_refused(tmp_path):
    made(1).save(tmp_path / "first")
    (tmp_path / "first.sha256").unlink()
    for content in (b"", b"no sample", np.lib.format.MAGIC_PREFIX):
        (tmp_path / "first.npz").write_bytes(content)
        with pytest.raises(dasdist.InvalidInput, match=r"first\.npz holds no sample"):
            dasdist.from_pretrained(tmp_path / "first")


def test_the_picker_that_comes_with_dasdist_reproduces_its_sample_in_every_form():
    lines = [json.loads(line) for line in here("test", "demo", "--json").stdout.splitlines()]
    found = {line["form"]: line for line in lines if line["event"] == "outcome"}
    assert {"plain", "folded", "channels-last"} <= set(found)
    assert all(line["reproduced"] and not line["note"] for line in found.values())
    assert lines[-1]["sample"] is True


@pytest.mark.seisbench
def test_a_model_without_a_sample_is_compared_with_itself():
    shown = here("test", "seisbench:PhaseNet/original")
    assert shown.exit_code == 0, shown.output
    assert "keeps no sample" in shown.stdout
    assert shown.stdout.count(" reproduced") >= 3


# ---------------------------------------------------------------- packs


def test_a_pack_is_read_wherever_a_path_is(models, tmp_path, monkeypatch):  # noqa: F811
    pack = tmp_path / "pack.zip"
    with Served(models) as running:
        shown = here("pack", f"{running.url}/picker/first", models / "picker/second", "-o", pack)
    assert shown.exit_code == 0, shown.output
    names = [f"{pack}/picker/first", f"{pack}/picker/second"]
    assert dasdist.list_pretrained(pack) == names
    assert here("list", pack).stdout.split() == names
    assert dasdist.list_versions(names[0]) == ["10"]
    assert same_weights(dasdist.from_pretrained(names[0]), made(2))
    assert same_weights(dasdist.from_pretrained(f"{names[1]}.json"), made(3))
    with pytest.raises(dasdist.InvalidInput, match="holds 2 models"):
        dasdist.from_pretrained(pack)
    with pytest.raises(dasdist.InvalidInput, match=r"no model other in .*first, second"):
        dasdist.from_pretrained(f"{pack}/picker/other")
    monkeypatch.setenv("DASDIST_MODELS", str(pack))
    assert same_weights(dasdist.from_pretrained("picker/second"), made(3))
    again = tmp_path / "again.zip"
    assert here("pack", "picker", "-o", again).exit_code == 0
    assert again.read_bytes() == pack.read_bytes()
    zipfile.ZipFile(pack).extractall(tmp_path)
    assert same_weights(dasdist.from_pretrained(tmp_path / "picker" / "first"), made(2))


def test_a_damaged_pack_is_refused(models, tmp_path):  # noqa: F811
    pack = tmp_path / "pack.zip"
    assert here("pack", models / "picker/second", "-o", pack).exit_code == 0
    whole = pack.read_bytes()
    at = whole.index(b"second.pt") + 5000
    for content in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at], b""):
        pack.write_bytes(content)
        with pytest.raises(dasdist.InvalidInput, match=r"could not be read as a pack .*once more"):
            dasdist.from_pretrained(f"{pack}/picker/second")
    pack.unlink()
    with pytest.raises(dasdist.InvalidInput, match="could not be read as a pack"):
        dasdist.from_pretrained(pack)


@pytest.mark.seisbench
def test_weights_of_seisbench_go_into_a_pack_by_their_models_name(phasenet, tmp_path):
    from seisbench.models import PhaseNet

    pack = tmp_path / "pack.zip"
    shown = here("pack", "phasenet", "-o", pack)
    assert shown.exit_code == 0, shown.output
    assert "phasenet/original.v1" in shown.stdout
    found = dasdist.from_pretrained(f"{pack}/phasenet/original")
    assert same_weights(found.model, phasenet)
    zipfile.ZipFile(pack).extractall(tmp_path)
    assert same_weights(PhaseNet.load(tmp_path / "phasenet" / "original", "1"), phasenet)


def test_what_cannot_be_packed_is_told(tmp_path):
    for words, told in [
        (["demo", "-o", tmp_path / "pack.tar"], "let it end in .zip"),
        (["nothing", "-o", tmp_path / "pack.zip"], "no model called 'nothing'"),
        (["tests.toys:Toy", "-o", tmp_path / "pack.zip"], "is code, not files"),
        (["demo", "-o", tmp_path / "none" / "x" / "pack.zip"], ""),
    ]:
        shown = here("pack", *words)
        assert shown.exit_code == 1, shown.output
        assert told in shown.stderr
        assert "Traceback" not in shown.output


def test_the_card_of_a_model(models):  # noqa: F811
    shown = here("show", models / "picker" / "first", "--version", "9")
    assert shown.exit_code == 0, shown.output
    for fact in ("of seed 1", "9", "dasdist.demo.model:DemoPicker", "'width': 8", "SHA-256"):
        assert fact in shown.stdout
    assert "GPL-3.0-or-later" in here("show", "demo").stdout
    assert here("show", "nothing").exit_code == 1
