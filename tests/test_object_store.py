"""Annotations in an object store are those of a folder; a real S3 server on loopback."""

import logging
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

import dasdist
from dasdist.callbacks import WriterCallback
from dasdist.errors import OutputExists, OutputUnwritable, RunSuperseded

from .test_sinks import GRID, accumulate, context, grid_of, values_of, write_all
from .toys import Toy, noise, recording

KEY, SECRET = "the-key-that-nobody-sees", "the-secret-that-nobody-sees"
BLOCK = {"time": 200, "distance": 8}


@pytest.fixture(scope="module")
def server():
    """The address of an S3 server; s3fs finds it, and how to log in, in the environment."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    address = "http://{}:{}".format(*running.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        yield address
    running.stop()


@pytest.fixture
def s3(server, monkeypatch, tmp_path):
    """A file system with an empty bucket; the current folder is a new one."""
    import s3fs

    monkeypatch.chdir(tmp_path)
    files = s3fs.S3FileSystem(use_listings_cache=False)
    files.mkdir("bucket")
    yield files
    files.rm("bucket", recursive=True)


@pytest.fixture
def url(s3):
    return "s3://bucket/2024/prob.zarr"


@pytest.fixture
def obstore(s3, server):
    from obstore.store import S3Store

    return zarr.storage.ObjectStore(
        S3Store(
            "bucket",
            prefix="2024/prob.zarr",
            endpoint=server,
            region="us-east-1",
            access_key_id=KEY,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )
    )


def annotate(callback, **options):
    data = recording(noise(3000, 24))
    return dasdist.annotate(Toy(), data, callback, block=BLOCK, pbar=False, **options)


def test_a_url_gives_what_a_folder_gives(s3, url, tmp_path):
    annotate(WriterCallback(tmp_path / "here.zarr"))
    callback = WriterCallback(url)
    report = annotate(callback)
    assert (Path("prob.zarr.dasdist").absolute(),) == tuple(o.journal for o in callback.outputs)
    here, there = dasdist.open_annotations("here.zarr"), dasdist.open_annotations(url)
    xr.testing.assert_identical(there.compute(), here.compute())
    shards = [p for p in (tmp_path / "here.zarr").glob("[PS]/c/*/*") if p.is_file()]
    found = {name.split("prob.zarr/")[1] for name in s3.find("bucket") if "/c/" in name}
    assert {str(p.relative_to(tmp_path / "here.zarr")) for p in shards} <= found
    assert callback.written["blocks"] == report.blocks
    assert callback.written["bytes"] == sum(p.stat().st_size for p in shards)


def test_the_same_call_computes_only_what_the_bucket_lacks(s3, url):
    first = annotate(WriterCallback(url))
    expected = dasdist.open_annotations(url).compute()
    lost = [name for name in s3.find("bucket") if "/P/c/0/" in name]
    s3.rm(lost)
    again = annotate(WriterCallback(url))
    assert 0 < again.blocks - again.before < first.blocks
    xr.testing.assert_identical(dasdist.open_annotations(url).compute(), expected)


def test_worker_processes_write_with_obstore(obstore, client, tmp_path):
    annotate(WriterCallback(tmp_path / "here.zarr"))
    annotate(WriterCallback(obstore), client=client)
    there = dasdist.open_annotations(obstore)
    xr.testing.assert_identical(there.compute(), dasdist.open_annotations("here.zarr").compute())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["url", "obstore"])
def test_a_store_grows(request, kind, tmp_path):
    store, longer = request.getfixturevalue(kind), grid_of(260)
    write_all(WriterCallback(store))
    grown = WriterCallback(store)
    parts = write_all(grown, (longer,), resume=True)
    write_all(WriterCallback(tmp_path / "fresh"), (longer,))
    np.testing.assert_array_equal(values_of(store), values_of(tmp_path / "fresh"))
    assert grown.lost(parts) == []
    with pytest.raises(OutputExists):
        write_all(WriterCallback(store))


@pytest.mark.parametrize("kind", ["url", "obstore"])
def test_a_task_of_an_older_run_writes_nothing(request, kind, s3):
    store = request.getfixturevalue(kind)
    old = WriterCallback(store)
    old.setup(context(run="old"))
    begun = accumulate(old.mapper(), GRID.block(1))
    WriterCallback(store).setup(context(run="new", resume=True))
    before = s3.find("bucket")
    with pytest.raises(RunSuperseded, match="a newer run has taken it over"):
        begun.part()
    assert s3.find("bucket") == before


def test_what_cannot_be_written_is_an_error(s3):
    with pytest.raises(OutputUnwritable, match=r"no-bucket/prob\.zarr cannot be written"):
        write_all(WriterCallback("s3://no-bucket/prob.zarr"))


def test_a_bucket_that_goes_away_is_an_error(s3, obstore):
    callback = WriterCallback(obstore)
    callback.setup(context())
    begun = accumulate(callback.mapper(), GRID.block(0))
    s3.rm("bucket", recursive=True)
    with pytest.raises(OutputUnwritable, match="cannot be written"):
        begun.part()
    s3.mkdir("bucket")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["url", "obstore"])
def test_credentials_are_kept_nowhere(request, kind, s3, tmp_path, caplog):
    callback = WriterCallback(request.getfixturevalue(kind))
    with caplog.at_level(logging.DEBUG, logger="dasdist"):
        report = annotate(callback)
    kept = [p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()]
    kept += [s3.cat(name) for name in s3.find("bucket")]
    kept += [str(thing).encode() for thing in (callback.outputs, report, caplog.text)]
    kept += [str(callback.get_results_dict()).encode(), repr(callback.mapper()).encode()]
    assert len(kept) > 20
    assert [data for data in kept if KEY.encode() in data or SECRET.encode() in data] == []


def test_the_journal_may_be_named(s3, tmp_path):
    annotate(WriterCallback("s3://bucket/a.zarr", journal="notes"))
    assert (tmp_path / "notes" / "run.json").is_file()
    assert not (tmp_path / "a.zarr.dasdist").exists()


def test_a_store_in_memory_does_not_last():
    assert WriterCallback(zarr.storage.MemoryStore()).outputs == ()
    assert WriterCallback("memory://prob.zarr").outputs == ()
