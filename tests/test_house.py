"""The house keeps its promises: the README's commands, the public names, versions, clean files."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.resources import files
from itertools import chain
from pathlib import Path

import pytest

import dasdist
from dasdist import errors

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PUBLIC = (
    "ArchiveIndex",
    "Block",
    "BlockEvent",
    "BlockTooLarge",
    "ChannelQuality",
    "ClassifyOutput",
    "ClusterLost",
    "Comparison",
    "DASAnnotateCallback",
    "DASModel",
    "DASPickingCallback",
    "DASWaveformModelWrapper",
    "DasdistError",
    "DataWarning",
    "EventsCallback",
    "InMemoryCollectionCallback",
    "InvalidArgument",
    "InvalidInput",
    "ModelFault",
    "ModelMismatch",
    "MultiCallback",
    "Needs",
    "OutputExists",
    "OutputInUse",
    "OutputUnwritable",
    "PatchCoordinate",
    "PatchingStructure",
    "PicksWriterCallback",
    "Region",
    "RunInterrupted",
    "RunMismatch",
    "RunSuperseded",
    "Score",
    "SinkCallback",
    "SourceArray",
    "Span",
    "Status",
    "TooManyFailures",
    "UnreadableData",
    "Verification",
    "WriterCallback",
    "__version__",
    "annotate",
    "check_site",
    "classify",
    "compare",
    "connect",
    "from_pretrained",
    "index_archive",
    "list_pretrained",
    "list_versions",
    "open_annotations",
    "open_archive",
    "open_files",
    "plan",
    "plot",
    "quality",
    "read_manifest",
    "register_format",
    "score",
    "slurm_cluster",
    "status",
    "verify",
)


def test_public_names_are_pinned():
    assert tuple(sorted(dasdist.__all__)) == PUBLIC
    assert [name for name in PUBLIC if not hasattr(dasdist, name)] == []
    assert set(PUBLIC) <= set(dir(dasdist))


def test_versions_agree():
    assert PYPROJECT["project"]["version"] == dasdist.__version__ == metadata.version("dasdist")


def test_package_is_typed():
    assert files("dasdist").joinpath("py.typed").is_file()


def test_import_is_quiet():
    run = subprocess.run(
        [sys.executable, "-c", "from dasdist import *"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_what_numpy_deprecates_in_xdas_stops_nobody_and_the_rest_does():
    """Whichever numpy is here: all but the last are warnings of numpy 2.5."""
    options = ["-W", "error::DeprecationWarning:xdas.coordinates.core"]
    run = subprocess.run(
        [sys.executable, *options, "-c", DEPRECATED], capture_output=True, text=True, check=False
    )
    assert run.stdout.split() == ["another"]


DEPRECATED = """
import warnings
import dasdist

for name, said in {
    "generic": "The 'generic' unit for NumPy timedelta is deprecated, and will raise an error",
    "shape": "Setting the shape on a NumPy array has been deprecated in NumPy 2.5.",
    "another": "Something else is deprecated",
}.items():
    try:
        warnings.warn_explicit(said, DeprecationWarning, "core.py", 1, "xdas.coordinates.core")
    except DeprecationWarning:
        print(name)
"""


@pytest.mark.parametrize("name", errors.__all__)
def test_error_tree_has_one_root(name):
    kind = getattr(errors, name)
    assert getattr(dasdist, name) is kind
    assert issubclass(kind, UserWarning if name == "DataWarning" else errors.DasdistError)


def test_every_error_class_is_exported_by_the_error_module():
    defined = {
        name
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, BaseException)
    }
    assert defined == set(errors.__all__)


def test_readme_has_the_test_command_that_ci_runs():
    lines = (ROOT / "README.md").read_text().splitlines()
    start = lines.index("<!-- ci: test -->")
    assert lines[start + 1 : start + 5] == [
        "```sh",
        'python -m pip install -e ".[test]"',
        "python -m pytest",
        "```",
    ]


def test_imports_are_declared():
    """What the package imports is a dependency or stands in an extra that is not for its tests."""
    project = PYPROJECT["project"]
    extras = [rows for name, rows in project["optional-dependencies"].items() if name != "test"]
    requirements = chain(project["dependencies"], *extras)
    declared = {re.match(r"[\w-]+", line)[0].replace("-", "_") for line in requirements}
    imported = {
        module.partition(".")[0]
        for path in (ROOT / "dasdist").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for module in _modules(node)
    }
    assert imported - declared - sys.stdlib_module_names == set()


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def test_no_file_names_a_path_of_one_machine():
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.~-])/(?:work|farm|root|home|Users|opt/venv)/|[A-Z]:\\Users\\")
    found = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):  # removed but not yet staged; binary
            continue
        found += [
            f"{name}:{number}: {line.strip()[:80]}"
            for number, line in enumerate(text.splitlines(), 1)
            if private.search(line)
        ]
    assert found == []


@pytest.mark.parametrize("processes", [True, False])
def test_test_clusters_listen_on_loopback_only(make_cluster, processes):
    psutil = pytest.importorskip("psutil")
    with make_cluster(n_workers=1, processes=processes):
        here = psutil.Process(os.getpid())
        hosts = {
            socket.laddr.ip
            for process in [here, *here.children(recursive=True)]
            for socket in process.net_connections(kind="inet")
            if socket.status == psutil.CONN_LISTEN
        }
    assert hosts == {"127.0.0.1"}
