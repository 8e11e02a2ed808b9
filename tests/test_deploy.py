"""What lies in deploy/ is what SLURM, Dask, Kubernetes and a shell take it for."""

import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import dask.config
import pytest
import yaml

from tests.conftest import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
SCRIPTS = sorted(
    [
        *DEPLOY.rglob("*.sh"),
        *DEPLOY.rglob("*.sbatch"),
        *(REPOSITORY / "tests/slurm").glob("*.sh"),
        REPOSITORY / ".ci/run",
    ]
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script):
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck on the PATH")
    found = subprocess.run(
        ["shellcheck", "--shell=bash", script], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sbatch")), ids=lambda path: path.name)
def test_sbatch_reads_its_options_before_the_first_command(script):
    lines = script.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert options
    assert max(options) < first
    known = " ".join(lines[i] for i in options)
    assert "--requeue" in known
    assert "--signal=B:TERM@120" in known


def test_the_two_batch_scripts_differ_in_their_command_only():
    texts = [(DEPLOY / f"slurm/{name}.sbatch").read_text() for name in ("classify", "annotate")]
    kept = [[line for line in text.splitlines() if not line.startswith("# ")] for text in texts]
    different = [pair for pair in zip(*kept, strict=True) if pair[0] != pair[1]]
    assert [(a.replace("classify", "annotate"), b) for a, b in different] == [
        (b, b) for _, b in different
    ]
    assert len(different) == 1


# ---------------------------------------------------------------- Dask


def leaves(tree, path=()):
    """Every setting of a configuration, as the path of its keys; an empty mapping is one."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def test_the_site_configuration_sets_what_dask_knows(tmp_path):
    distributed = pytest.importorskip("distributed")
    jobqueue = pytest.importorskip("dask_jobqueue")
    defaults = {}
    for module, name in ((distributed, "distributed"), (jobqueue, "jobqueue")):
        text = Path(module.__file__).with_name(f"{name}.yaml").read_text()
        defaults |= yaml.safe_load(text)
    shutil.copy(DEPLOY / "dask/dasdist.yaml", tmp_path)
    ours = dask.config.collect([str(tmp_path)], env={})
    assert set(leaves(ours)) - set(leaves(defaults)) == set()
    assert len(list(leaves(ours))) > 20


def test_every_setting_of_the_site_has_its_comment():
    lines = (DEPLOY / "dask/dasdist.yaml").read_text().splitlines()
    settings = [line for line in lines if re.match(r"\s+[\w-]+: \S", line)]
    bare = [line for line in settings if "#" not in line and line.strip() != "tcp: 120s"]
    assert bare == []


def test_slurm_jobs_take_the_settings_of_the_site():
    jobqueue = pytest.importorskip("dask_jobqueue")
    site = yaml.safe_load((DEPLOY / "dask/dasdist.yaml").read_text())
    with dask.config.set(dask.config.merge(dask.config.config, site)):
        job = jobqueue.slurm.SLURMJob("tcp://127.0.0.1:1", name="n", cores=2, memory="4GB")
    assert "#SBATCH -J dasdist" in job.job_script()
    assert "#SBATCH -t" not in job.job_script()  # as long as the partition lets it run
    assert "--death-timeout 120" in job.job_script()


# ---------------------------------------------------------------- Kubernetes, Apptainer


@pytest.fixture(scope="module")
def manifest():
    return yaml.safe_load((DEPLOY / "kubernetes/daskcluster.yaml").read_text())


def test_the_manifest_fits_the_schema_of_the_operator(manifest):
    """Down to the pods and the service, which the next test checks."""
    jsonschema = pytest.importorskip("jsonschema")
    try:
        operator = distribution("dask-kubernetes")
    except PackageNotFoundError:
        pytest.skip("needs dask-kubernetes, which brings the schema")
    path = operator.locate_file("dask_kubernetes/operator/customresources/templates.yaml")
    schema = resolved(yaml.safe_load(Path(str(path)).read_text())["definitions"])
    jsonschema.validate(manifest, schema["dask.k8s.api.v1.DaskCluster"])


def resolved(schema):
    """Make references to the same file ones that a validator follows, and skip those elsewhere."""
    definitions = {name: local(part) for name, part in schema.items()}
    return {name: {**part, "definitions": definitions} for name, part in definitions.items()}


def local(part):
    if isinstance(part, list):
        return [local(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        file, _, pointer = part["$ref"].partition("#")
        return {"$ref": f"#{pointer}"} if file.endswith("/templates.yaml") else {}
    closes = (
        "properties" in part and "apiVersion" not in part and "status" not in part["properties"]
    )
    inner = {key: local(value) for key, value in part.items()}
    return {**inner, "additionalProperties": False} if closes else inner


def test_pods_and_service_have_fields_that_kubernetes_knows(manifest):
    models = pytest.importorskip("kubernetes.client.models", reason="needs the kubernetes package")
    spec = manifest["spec"]
    for part in (spec["worker"]["spec"], spec["scheduler"]["spec"]):
        known(part, "V1PodSpec", models)
    known(spec["scheduler"]["service"], "V1ServiceSpec", models)


def known(value, kind, models):
    """Check a value against the types that Kubernetes' own client is generated with."""
    if inner := re.fullmatch(r"[Ll]ist\[(.+)\]", kind):
        assert isinstance(value, list)
        for item in value:
            known(item, inner[1], models)
    elif inner := re.fullmatch(r"[Dd]ict[([]str, (.+)[)\]]", kind):
        assert all(isinstance(key, str) for key in value)
        for item in value.values():
            known(item, inner[1], models)
    elif kind in ("str", "int", "bool", "object", "IntOrString"):
        assert kind in ("object", "IntOrString", type(value).__name__), (value, kind)
    else:
        model = getattr(models, kind)
        names = {json: name for name, json in model.attribute_map.items()}
        assert set(value) - set(names) == set(), kind
        for key, item in value.items():
            known(item, model.openapi_types[names[key]], models)


def test_the_cluster_is_served_to_its_own_network_only(manifest):
    spec = manifest["spec"]
    assert spec["scheduler"]["service"]["type"] == "ClusterIP"
    assert "hostNetwork" not in str(manifest)
    assert "hostPort" not in str(manifest)
    ports = spec["scheduler"]["spec"]["containers"][0]["ports"]
    named = {port["targetPort"] for port in spec["scheduler"]["service"]["ports"]}
    assert named == {port["name"] for port in ports}


def test_the_image_is_defined_by_sections_that_apptainer_knows():
    lines = (DEPLOY / "apptainer/dasdist.def").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["Bootstrap", "From"]
    sections = {line[1:] for line in lines if line.startswith("%")}
    assert sections == {"files", "post", "environment", "runscript", "test", "labels", "help"}
    start = lines.index("%files") + 1
    copied = [line.split()[0] for line in lines[start : lines.index("%post")] if line.strip()]
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
