"""Models in folders and repositories: a real HTTP server and a real S3 server, on loopback."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch

import dasdist
from dasdist.demo.model import DemoPicker
from dasdist.zoo.cache import cache_folder

from .forked import Forked
from .served import Served
from .test_object_store import s3, server  # noqa: F401
from .test_pretrained import same_weights


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DASDIST_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DASDIST_MODELS", raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A repository: two weights of one model, the first in three versions."""
    folder = tmp_path_factory.mktemp("models")
    for seed, (name, version) in enumerate(
        [("first", "1"), ("first", "9"), ("first", "10"), ("second", None)]
    ):
        made(seed).save(folder / "picker" / name, f"of seed {seed}", version)
    return folder


def made(seed):
    torch.manual_seed(seed)
    return DemoPicker(width=8).eval()


@pytest.fixture
def served(models):
    with Served(models) as running:
        yield running


@pytest.fixture(params=["path", "file", "http", "s3"])
def repository(request, models):
    """The address of the repository."""
    if request.param == "path":
        return str(models)
    if request.param == "file":
        return f"file://{models}"
    if request.param == "http":
        return request.getfixturevalue("served").url
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # of a server that is gone, in tests of another module
    request.getfixturevalue("s3").put(str(models / "picker"), "bucket/models/", recursive=True)
    return "s3://bucket/models"


def kept():
    """The models that are in the cache, whole or not."""
    return sorted(path.name for path in cache_folder().glob("*/*[!k]"))


# ---------------------------------------------------------------- what is there


def test_a_repository_gives_its_models_and_versions_wherever_it_is(repository, monkeypatch):
    names = dasdist.list_pretrained(repository)
    assert [name.rpartition("/picker/")[2] for name in names] == ["first", "second"]
    assert dasdist.list_versions(names[0]) == ["1", "9", "10"]
    assert dasdist.list_versions(names[1]) == ["1"]
    for name, version, seed in [(names[0], None, 2), (names[0], "9", 1), (names[1], "1", 3)]:
        found = dasdist.from_pretrained(name, version)
        assert same_weights(found, made(seed))
        assert found.weights_docstring == f"of seed {seed}"
    assert found.weights_version == "1"
    assert same_weights(dasdist.from_pretrained(f"{names[0]}.json.v1"), made(0))
    assert same_weights(DemoPicker.from_pretrained(f"{names[0]}.pt.v9"), made(1))
    with pytest.raises(dasdist.InvalidInput, match="has no version 3; it has 1, 9, 10"):
        dasdist.from_pretrained(names[0], "3")
    with pytest.raises(dasdist.InvalidInput, match=r"no model frist .* Did you mean first"):
        dasdist.from_pretrained(names[0].replace("first", "frist"))
    monkeypatch.setenv("DASDIST_MODELS", repository)
    assert dasdist.list_pretrained()[:3] == ["demo", "picker/first", "picker/second"]
    assert same_weights(dasdist.from_pretrained("picker/first"), made(2))


def test_what_is_in_the_cache_needs_no_server(served, monkeypatch, caplog):
    monkeypatch.setenv("DASDIST_MODELS", served.url)
    dasdist.from_pretrained("picker/first", "9")
    asked = served.asked.total()
    assert same_weights(dasdist.from_pretrained("picker/first"), made(1))
    assert served.asked.total() == asked
    served.stop()
    assert same_weights(dasdist.from_pretrained("picker/first", "9"), made(1))
    assert dasdist.list_versions("picker/first") == ["9"]
    assert "picker/first" in dasdist.list_pretrained()
    assert same_weights(dasdist.from_pretrained("picker/first", update=True), made(1))
    assert "Going on with version 9" in caplog.text
    with pytest.raises(dasdist.InvalidInput, match=r"could not be read: .* use a pack"):
        dasdist.from_pretrained("picker/second")


def test_a_newer_version_is_asked_for_when_that_is_wanted(served):
    name = f"{served.url}/picker/first"
    dasdist.from_pretrained(name, "9")
    assert same_weights(dasdist.from_pretrained(name), made(1))
    assert same_weights(dasdist.from_pretrained(name, update=True), made(2))
    assert same_weights(dasdist.from_pretrained(name), made(2))


def test_a_server_that_lists_nothing_gives_what_is_named(served, models, monkeypatch):
    """So does one whose bucket or folder may be read but not listed."""
    monkeypatch.setattr("tests.served._Handler.list_directory", lambda self, path: None)
    name = f"{served.url}/picker/first"
    assert same_weights(dasdist.from_pretrained(name, "9"), made(1))
    assert same_weights(dasdist.from_pretrained(f"{name}.json.v1"), made(0))


def test_the_next_repository_is_asked_where_one_fails(models, served, tmp_path, monkeypatch):
    monkeypatch.setenv("DASDIST_MODELS", f"http://127.0.0.1:9/none {tmp_path} {served.url}")
    assert same_weights(dasdist.from_pretrained("picker/first"), made(2))
    served.stop()
    with pytest.raises(dasdist.InvalidInput, match="none of the repositories") as caught:
        dasdist.from_pretrained("picker/second")
    assert "127.0.0.1:9/none/picker could not be read" in str(caught.value)
    assert f"no model second in {tmp_path}/picker" in str(caught.value)
    monkeypatch.delenv("DASDIST_MODELS")
    with pytest.raises(dasdist.InvalidInput, match="DASDIST_MODELS"):
        dasdist.from_pretrained("picker/second")


def test_user_password_and_query_reach_the_server_and_nobody_else(served, caplog):
    name = f"http://ana:secret@{served.host}/picker/first?token=secret"
    assert same_weights(dasdist.from_pretrained(name, "9"), made(1))
    assert set(served.queries) == {"token=secret"}
    assert dasdist.list_versions(name) == ["1", "9", "10"]
    served.treat = lambda path, data: None
    for wrong, words in (("nothing", "no model nothing"), ("first", "503")):
        with pytest.raises(dasdist.InvalidInput, match=words) as caught:
            dasdist.from_pretrained(name.replace("first", wrong), update=True)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert "secret" not in caplog.text
    assert not [path for path in cache_folder().rglob("*") if "secret" in str(path)]


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize("kind", ["pt", "json", "sha256"])
@pytest.mark.parametrize("wrong", ["broken off", "other bytes", "nothing"])
def test_what_does_not_come_whole_never_gets_into_the_cache(served, kind, wrong):
    name = f"{served.url}/picker/first"
    path = f"/picker/first.{kind}.v9"
    ways = {
        "broken off": lambda data: data[: len(data) // 2],
        "other bytes": lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        "nothing": lambda data: b"",
    }
    served.treat = lambda asked, data: ways[wrong](data) if asked == path else data
    with pytest.raises(dasdist.InvalidInput, match=f"{served.host}/picker") as caught:
        dasdist.from_pretrained(name, "9")
    assert "\n" not in str(caught.value)
    assert str(cache_folder()) not in str(caught.value)
    assert served.asked[path] == 3
    assert kept() == []
    served.treat = lambda asked, data: (
        ways[wrong](data) if asked == path and served.asked[path] < 6 else data
    )
    assert same_weights(dasdist.from_pretrained(name, "9"), made(1))
    assert kept() == ["first.v9"]


def test_weights_without_hashes_are_checked_by_their_own(served, models):
    """As in SeisBench's repositories, which have none; rot in the cache is still found."""
    name = f"{served.url}/picker/first"

    def flip(data):
        largest = max(made(1).state_dict().values(), key=torch.numel)
        at = data.index(largest.numpy().tobytes()) + 5
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    served.treat = lambda path, data: None if "sha256" in path else data
    with pytest.raises(dasdist.InvalidInput, match="503"):
        dasdist.from_pretrained(name, "9")
    (models / "picker" / "bare.json").write_bytes((models / "picker/first.json.v9").read_bytes())
    (models / "picker" / "bare.pt").write_bytes((models / "picker/first.pt.v9").read_bytes())
    served.treat = lambda path, data: flip(data) if ".pt" in path else data
    try:
        with pytest.raises(dasdist.InvalidInput, match=r"checksum of .* differs"):
            dasdist.from_pretrained(f"{served.url}/picker/bare")
        served.treat = lambda path, data: data
        assert same_weights(dasdist.from_pretrained(f"{served.url}/picker/bare"), made(1))
    finally:
        for file in models.glob("picker/bare.*"):
            file.unlink()
    (file,) = cache_folder().glob("*/bare*/picker/bare.json")
    file.write_bytes(file.read_bytes().replace(b"seed 1", b"seed 2"))
    with pytest.raises(dasdist.InvalidInput, match=r"bare\.json does not exist"):
        dasdist.from_pretrained(f"{served.url}/picker/bare")


def test_a_model_that_rots_in_the_cache_is_brought_again(served, caplog):
    name = f"{served.url}/picker/first"
    dasdist.from_pretrained(name)
    (file,) = cache_folder().glob("*/first.v10/picker/first.pt.v10")
    for rotten in (b"", file.read_bytes()[:-9]):
        file.write_bytes(rotten)
        assert same_weights(dasdist.from_pretrained(name), made(2))
        assert "is damaged; it is brought again" in caplog.text
        caplog.clear()
    assert served.asked["/picker/first.pt.v10"] == 3


def load_and_write(cache, name, ready, found):
    os.environ["DASDIST_CACHE"] = str(cache)
    ready.touch()
    torch.save(dasdist.from_pretrained(name).state_dict(), found)


@pytest.mark.slow
def test_two_processes_that_want_a_model_bring_it_once(served, tmp_path):
    ready = [tmp_path / f"ready-{n}" for n in range(2)]
    go = threading.Event()

    def hold(path, data):
        if ".pt" in path:
            go.wait()
        return data

    served.treat = hold
    found = [tmp_path / f"found-{n}" for n in range(2)]
    name = f"{served.url}/picker/first"
    processes = [
        Forked(tmp_path / f"log-{n}", load_and_write, cache_folder(), name, ready[n], found[n])
        for n in range(2)
    ]
    while not all(path.exists() for path in ready):
        assert all(process.running for process in processes), [p.said for p in processes]
    go.set()
    for process, path in zip(processes, found, strict=True):
        assert process.wait() == 0, process.said
        weights = torch.load(path, weights_only=True)
        assert all(map(torch.equal, weights.values(), made(2).state_dict().values()))
    assert served.asked["/picker/first.pt.v10"] == 1
    assert kept() == ["first.v10"]


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_nothing_in_the_way(served, tmp_path):
    begun, go = threading.Event(), threading.Event()

    def hold(path, data):
        if ".pt" in path and not begun.is_set():
            begun.set()
            go.wait()
        return data

    served.treat = hold
    name = f"{served.url}/picker/first"
    files = (tmp_path / "ready", tmp_path / "found")
    one = Forked(tmp_path / "log", load_and_write, cache_folder(), name, *files)
    begun.wait()
    left = cache_folder() / next(cache_folder().iterdir()).name / ".first.v10~0123abcd"
    left.mkdir()  # as if it had died while it wrote
    (left / "half").touch()
    os.kill(one.pid, signal.SIGKILL)
    assert one.wait() == -signal.SIGKILL
    go.set()
    assert same_weights(dasdist.from_pretrained(name), made(2))
    assert kept() == ["first.v10"]
    assert not left.exists()


def test_a_cache_that_cannot_be_written_is_told(served, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DASDIST_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(dasdist.OutputUnwritable, match="cannot be written"):
        dasdist.from_pretrained(f"{served.url}/picker/first")


def test_a_url_of_a_kind_that_is_unknown_is_told():
    with pytest.raises(dasdist.InvalidInput, match=r"cannot be opened: .*dasdist\[remote\]"):
        dasdist.from_pretrained("nonsense://host/picker/first")


def test_without_a_cache_named_it_is_where_caches_are(monkeypatch):
    monkeypatch.delenv("DASDIST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/dasdist/models")
