"""What tests share: real data and trained pickers where they are, Dask clusters, settings.

Nothing here listens on anything but 127.0.0.1, and nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from distributed import Client, LocalCluster
    from seisbench.models import EQTransformer, PhaseNet

REPOSITORY = Path(__file__).resolve().parent.parent

TIERS = ("loop", "ci", "deep")

# How hard property tests try, by tier
hard = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("loop", **hard, derandomize=True, max_examples=10)
settings.register_profile("ci", **hard, derandomize=True, max_examples=15)
settings.register_profile("deep", **hard, max_examples=500)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier",
        choices=TIERS,
        default="ci",
        help="loop: neither slow tests nor a SLURM; ci: all but the deep ones; deep: every round",
    )


def _data_folder() -> Path:
    return Path(os.environ.get("DASDIST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests off the user's screen and out of the user's caches; let workers be forks."""
    from .forked import fork_workers

    # threads of several processes that wait for each other's cores make seconds into minutes
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    settings.load_profile(config.getoption("tier"))
    os.environ.setdefault("MPLBACKEND", "Agg")
    if "SEISBENCH_CACHE_ROOT" not in os.environ:  # SeisBench reads it once, when imported
        cache = Path(tempfile.mkdtemp(prefix="dasdist-seisbench-"))
        config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))
        trained = _data_folder() / "weights" / "seisbench_cache"
        if trained.is_dir():  # from_pretrained("original") then works offline
            shutil.copytree(trained, cache, dirs_exist_ok=True, copy_function=shutil.copyfile)
        os.environ["SEISBENCH_CACHE_ROOT"] = str(cache)
    fork_workers()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the tier, and skip what this machine lacks."""
    left_out = {"loop": {"slow", "slurm", "deep"}, "ci": {"deep"}, "deep": set()}
    others = left_out[config.getoption("tier")]
    dropped = {one for one in items if others & {mark.name for mark in one.iter_markers()}}
    items[:] = [one for one in items if one not in dropped]
    config.hook.pytest_deselected(items=list(dropped))
    _skip_what_is_missing(items)
    _order(items)


def _skip_what_is_missing(items: list[pytest.Item]) -> None:
    """A marker names the need, and only here is it looked for."""
    missing = {}
    if not _has_cuda():
        missing["gpu"] = "needs a CUDA device"
    if any(item.get_closest_marker("slurm") for item in items) and not _has_slurm():
        missing["slurm"] = "needs the SLURM that bash tests/slurm/start.sh FOLDER starts, as root"
    if not _has_seisbench():
        missing["seisbench"] = "needs SeisBench: pip install seisbench"
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker):  # keywords hold names of folders, too
                item.add_marker(pytest.mark.skip(reason=reason))


def _order(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: the queue, whose tests wait; then files with slow tests."""
    slow = {_together(i.nodeid) for i in items if i.get_closest_marker("slow")}
    items.sort(key=lambda item: _together(item.nodeid) not in slow)
    items.sort(key=lambda item: _together(item.nodeid) != QUEUE)


QUEUE = "the queue"


def _together(nodeid: str) -> str:
    """Name what one process runs: a file, for its fixtures; or the queue, which its tests fill."""
    file = nodeid.partition("::")[0]
    return QUEUE if "/test_slurm_" in file else file


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads them
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread a run of the whole suite over processes, where pytest-xdist is; ``-n0`` does not."""
    option = config.option
    whole = config.args_source == pytest.Config.ArgsSource.TESTPATHS
    mine = not hasattr(config, "workerinput")  # and not one of these processes
    if whole and mine and getattr(option, "numprocesses", 0) is None and not option.usepdb:
        waits = config.getoption("tier") != "loop" and _has_slurm()  # one process does little else
        option.numprocesses = min(len(os.sched_getaffinity(0)), 4) + waits
        option.loadscopereorder = False  # keep the order of _order
        option.maxworkerrestart = (
            "0"  # else what a dead process had left to do is waited for in vain
        )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _together(nodeid)

    return Together(config, log)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_slurm() -> bool:
    import subprocess

    if not (shutil.which("sbatch") and shutil.which("scontrol")):
        return False
    try:
        command = ["scontrol", "show", "config"]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return False
    # the one that tests/slurm/start.sh makes: on nobody else's are jobs to be killed
    return bool(re.search(r"^ClusterName\s*= dasdist$", asked.stdout, re.MULTILINE))


def _has_seisbench() -> bool:
    from importlib.util import find_spec

    return find_spec("seisbench") is not None


# ---------------------------------------------------------------- real data and trained pickers


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recordings and weights, which the package does not ship."""
    folder = _data_folder()
    if not folder.is_dir():
        pytest.skip("no test data: set DASDIST_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="session")
def das_file(shared_data: Path) -> Callable[[str], Path]:
    """``das_file("prodml_2.0.h5")`` is the path of that recording."""

    def find(name: str) -> Path:
        path = shared_data / "das" / name
        if not path.is_file():
            pytest.skip(f"no recording {name} in the test data")
        return path

    return find


@pytest.fixture
def vendor_file(das_file: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """The same, and ``"febus made"``: of Febus there is no recording among the real files."""
    import numpy as np

    from . import vendor_files

    def find(name: str) -> Path:
        if name != "febus made":
            return das_file(name)
        values = np.random.default_rng(1).normal(0, 100, (2000, 40)).astype("float32")
        vendor_files.febus(tmp_path / "febus made", values, 500)
        return tmp_path / "febus made"

    return find


@pytest.fixture(scope="session")
def phasenet(shared_data: Path) -> PhaseNet:
    """PhaseNet with its original weights; shared by all tests, so leave it as it is."""
    return _picker(shared_data, "phasenet_original")


@pytest.fixture(scope="session")
def eqtransformer(shared_data: Path) -> EQTransformer:
    """EQTransformer, the conservative weights; shared by all tests, so leave it as it is."""
    return _picker(shared_data, "eqtransformer_conservative")


@pytest.fixture(scope="session")
def earthquakes(shared_data: Path) -> Any:
    """48 vertical components of labelled earthquakes, one a channel."""
    import numpy as np

    from .toys import recording

    path = shared_data / "waveforms" / "ncedc_labelled.npz"
    if not path.is_file():
        pytest.skip("no labelled waveforms in the test data")
    with np.load(path, allow_pickle=False) as file:
        return recording(np.ascontiguousarray(file["data"][:48, :, 2].astype("float32").T))


def _picker(shared_data: Path, name: str) -> Any:
    models = pytest.importorskip("seisbench.models")
    import torch

    files = [shared_data / "weights" / f"{name}{suffix}" for suffix in (".json", ".pt")]
    if not all(file.is_file() for file in files):
        pytest.skip(f"no weights {name} in the test data")
    recipe = json.loads(files[0].read_text())
    model = getattr(models, recipe["model"])(**recipe["model_args"])
    model.default_args.update(recipe.get("default_args", {}))
    model.load_state_dict(torch.load(files[1], map_location="cpu", weights_only=True))
    return model.eval()


@pytest.fixture
def played_gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU that the CPU plays, see :mod:`tests.played`."""
    from . import played

    return played.play(monkeypatch)


# ---------------------------------------------------------------- clusters


@pytest.fixture(scope="session")
def make_cluster() -> Callable[..., LocalCluster]:
    """``with make_cluster(n_workers=3) as cluster`` for a test that harms its cluster or sizes it.

    One thread a worker, worker processes unless ``processes=False``, loopback only.
    """

    def make(n_workers: int = 2, **options: Any) -> LocalCluster:
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=n_workers,
            # With no address the scheduler takes port 8787 and warns when another cluster has it;
            # with no protocol, workers in this process serve HTTP on every interface.
            **{
                "threads_per_worker": 1,
                "host": "127.0.0.1",
                "protocol": "tcp://",
                "dashboard_address": None,
                "scheduler_kwargs": {"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            }
            | options,
        )

    return make


@pytest.fixture(scope="session")
def cluster(make_cluster: Callable[..., LocalCluster]) -> Iterator[LocalCluster]:
    """Two worker processes of one thread, for the whole run: leave them alive and well."""
    with make_cluster(n_workers=2) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client of the shared cluster that is nobody's default: tests must pass it on."""
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def inproc_client(make_cluster: Callable[..., LocalCluster]) -> Iterator[Client]:
    """A client of two worker threads in this process: breakpoints and monkeypatches reach them."""
    from distributed import Client

    with (
        make_cluster(n_workers=2, processes=False) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
