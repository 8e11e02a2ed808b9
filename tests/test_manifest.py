"""What an output is made of can be read later, beside it, by whoever gets it."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import dasdist
from dasdist.cli import app
from tests.toys import START, Toy, noise, recording

VALUES = noise(600, 4)
OPTIONS = {"thresholds": {"P": 0.5, "S": np.float32(0.25)}, "blinding": (1, 1), "pbar": False}


class Cited(Toy):
    """A toy whose citation and argument hold URLs that are nobody's business."""

    def __init__(self, **kwargs):
        super().__init__(citation="Toy et al. (2024), https://ana:pw@host/toy?key=1", **kwargs)
        self._annotate_args = {**self._annotate_args, "stations": ("Where they are listed", "")}


def classify(out, values=VALUES, model=None, **options):
    given = {**OPTIONS, "block": {"time": 50}, **options}
    return dasdist.classify(model or Cited(gain=3.0), recording(values), out=out, **given)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "picks.parquet"


def test_it_names_model_arguments_thresholds_archive_and_versions(out):
    classify(out, overlap_samples=0.25, stations="s3://ana:pw@host/a.csv?token=1")
    found = dasdist.read_manifest(out)
    assert found["output"] == "picks.parquet"
    assert found["model"]["name"] == "Cited"
    assert found["model"]["citation"] == "Toy et al. (2024), https://host/toy"
    assert found["arguments"]["overlap_samples"] == 0.25
    assert found["arguments"]["stations"] == "s3://host/a.csv"
    assert found["settings"]["thresholds"] == {"P": 0.5, "S": 0.25}
    assert found["settings"]["blinding"] == [1, 1]
    archive = found["archive"]
    assert (archive["samples"], archive["channels"], archive["dtype"]) == (600, 4, "float32")
    last = START + 599 * np.timedelta64(10, "ms")
    assert (archive["start"], archive["stop"]) == (str(START), str(last))
    (run,) = found["runs"]
    assert run["versions"]["numpy"] == np.__version__
    assert run["versions"]["dasdist"] == dasdist.__version__
    assert np.datetime64(run["started"][:19]) <= np.datetime64("now")
    # no more than parts lies in the dataset, which polars would not read otherwise
    assert {path.suffix for path in out.iterdir()} == {".parquet"}
    text = (out.with_name("picks.parquet.dasdist") / "manifest.json").read_text()
    assert {key: value for key, value in json.loads(text).items() if key != "crc32"} == found
    assert "ana" not in text
    assert "token" not in text


def test_weights_are_known_by_their_hash(tmp_path):
    for name, gain in (("a", 3.0), ("b", 3.0), ("c", 4.0)):
        classify(tmp_path / name, model=Toy(gain=gain))
    a, b, c = (dasdist.read_manifest(tmp_path / n)["model"]["weights"] for n in "abc")
    assert a == b != c
    part = tmp_path / "a" / "block-000000000.parquet"
    told = pq.read_schema(part).metadata
    assert told[b"weights"] == a.encode()
    assert json.loads(told[b"thresholds"]) == {"P": 0.5, "S": 0.25}
    assert json.loads(told[b"blinding"]) == [1, 1]
    assert part.read_bytes() == (tmp_path / "b" / part.name).read_bytes()


def test_it_lists_every_run_that_wrote_there(out):
    classify(out, VALUES[:400])
    before = dasdist.read_manifest(out)
    classify(out)
    after = dasdist.read_manifest(out)
    assert after["runs"][0] == before["runs"][0]
    assert len({run["run"] for run in after["runs"]}) == 2
    assert after["archive"]["samples"] == 600
    classify(out, overwrite=True)
    assert len(dasdist.read_manifest(out)["runs"]) == 1


def test_a_run_that_is_refused_leaves_it_as_it_was(out):
    classify(out)
    before = dasdist.read_manifest(out)
    with pytest.raises(dasdist.RunMismatch):
        classify(out, thresholds=0.9)
    (out / "thesis.tex").touch()
    with pytest.raises(dasdist.OutputExists):
        classify(out, overwrite=True)
    assert dasdist.read_manifest(out) == before


def test_damage_is_told_and_mended_by_the_next_run(out):
    classify(out)
    path = out.with_name("picks.parquet.dasdist") / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"Toy et al", b"Tox et al"))
    with pytest.raises(dasdist.UnreadableData, match="its checksum differs"):
        dasdist.read_manifest(out)
    assert dasdist.status(out).manifest is None
    classify(out)
    assert dasdist.read_manifest(out)["model"]["citation"].startswith("Toy et al")


def test_outputs_of_earlier_versions_have_none_until_a_run_goes_on(out):
    classify(out)
    (out.with_name("picks.parquet.dasdist") / "manifest.json").unlink()
    with pytest.raises(dasdist.InvalidInput, match="left no manifest"):
        dasdist.read_manifest(out)
    with pytest.raises(dasdist.InvalidInput, match="holds no run"):
        dasdist.read_manifest(out.with_name("nothing"))
    classify(out)
    assert dasdist.read_manifest(out)["output"] == "picks.parquet"


def test_outputs_of_one_pass_have_one_each(out, tmp_path):
    classify(out, annotations=tmp_path / "prob.zarr")
    picks, store = dasdist.read_manifest(out), dasdist.read_manifest(tmp_path / "prob.zarr")
    assert store["settings"] == {"stacking": "weighted"}
    assert "stacking" not in picks["settings"]
    assert picks["runs"] == store["runs"]


def test_status_tells_it(out):
    classify(out, VALUES[:400])
    classify(out)
    found = dasdist.read_manifest(out)
    said = CliRunner().invoke(app, ["status", str(out)]).stdout
    assert "thresholds P=0.5 S=0.25" in said
    assert found["model"]["weights"][:12] in said
    assert all(run["run"] in said for run in found["runs"])
    as_json = CliRunner().invoke(app, ["status", str(out), "--json"]).stdout.splitlines()
    assert found in [json.loads(line).get("manifest") for line in as_json]
