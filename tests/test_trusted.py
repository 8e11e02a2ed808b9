"""A file never chooses its reader: not by an index, a tile manifest, a codec or its first bytes."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace

import h5py
import numcodecs
import numpy as np
import pytest
import xarray
import xdas
import zarr
from typer.testing import CliRunner
from xdas.io import Engine
from xdas.virtual import TileArray

import dasdist
from dasdist.archive.reader import read_header
from dasdist.callbacks.zarr_root import CHECK
from dasdist.cli import app
from dasdist.sources import open_recording, trusted
from dasdist.sources.checked import CheckedEngine
from dasdist.sources.engines import open_file

from .toys import Toy, noise, recording

pytestmark = pytest.mark.usefixtures("nothing_named")

PICKING = {"thresholds": 0.5, "blinding": (1, 1), "pbar": False, "client": False}


@pytest.fixture
def nothing_named(monkeypatch):
    """A process in which no user has named anything yet."""
    monkeypatch.setattr(trusted, "_allowed", set())


def here(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


class Opens:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def marker(tmp_path):
    """What appears where a pickle in the archive was loaded."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists()


@pytest.fixture
def pickled(tmp_path, marker):
    """A file that ObsPy unpickles while it guesses its format."""
    path = tmp_path / "samples.dat"
    path.write_bytes(pickle.dumps(("obspy.core.stream", Opens(marker))))
    return path


def test_obspy_runs_what_such_a_file_holds(tmp_path):
    """Or the tests below would show nothing."""
    path, ran = tmp_path / "samples.dat", tmp_path / "ran"
    path.write_bytes(pickle.dumps(("obspy.core.stream", Opens(ran))))
    with pytest.raises(FileExistsError):  # it does so twice
        Engine["miniseed"].load_tile(str(path), (slice(0, 1), slice(0, 1)))
    assert ran.exists()


NAMED = {
    "obspy": {"name": "obspy"},
    "nested": {"name": "dasdist", "engine": {"name": "obspy"}},
    "nested twice": {"name": "dasdist", "engine": {"name": "dasdist", "engine": {"name": "obspy"}}},
    "format": {"name": "dasdist", "engine": {"name": "dascore", "format": "PICKLE", "version": ""}},
    "unknown": {"name": "dasdist", "engine": {"name": "no such engine"}},
}
"""What a tile manifest may say of itself."""


def view(path, shown, engine):
    """Write a file of xdas's own format that shows another one, through an engine that it names."""
    more = {"bytes": os.stat(shown).st_size, "modified": 0} if engine["name"] == "dasdist" else {}
    tiles = TileArray.from_tiles(str(shown), (6000, 4), "float32", engine, **more)
    like = recording(np.zeros((6000, 4), dtype="float32"))
    xdas.DataArray(tiles, like.coords).to_netcdf(path)
    return path


@pytest.mark.parametrize("engine", NAMED.values(), ids=NAMED)
def test_a_view_does_not_choose_the_reader_of_what_it_shows(tmp_path, pickled, engine):
    path = view(tmp_path / "view.nc", pickled, engine)
    innermost = json.dumps(engine).rpartition('"name": "')[2].partition('"')[0]
    for words in (["plan"], ["classify", "-o", tmp_path / "p"], ["annotate", "-o", tmp_path / "z"]):
        done = here(words[0], path, "--model", "demo", *words[1:])
        assert done.exit_code == 1
        said = " ".join(done.stderr.split())
        said = said.removeprefix("Loading libraries ... ")  # said where it takes more than a second
        assert said.startswith(f"Error: {path} could not be opened: it names '{innermost}")
        assert said.count(". ") <= 1, said
        assert "dascore.spool(path)" in said or f"--engine {innermost}" in said
    data = xdas.open_dataarray(path)
    with pytest.raises(dasdist.InvalidInput, match=r"^The data names .*no file may choose"):
        dasdist.annotate(Toy(), data)
    assert not (tmp_path / "p").exists()


def test_a_view_that_names_an_engine_that_is_not_there(tmp_path, pickled):
    path = view(tmp_path / "view.nc", pickled, {"name": "obspy"})
    rename(path, "obspy", "evil")
    done = here("plan", path, "--model", "demo")
    assert done.exit_code == 1
    assert "it names 'evil' as the reader of its samples" in " ".join(done.stderr.split())


def test_an_index_of_a_folder_lists_such_views(tmp_path, pickled, marker):
    folder = tmp_path / "archive"
    folder.mkdir()
    recording(noise(6000, 4)).to_netcdf(folder / "a.nc")
    view(folder / "b.nc", pickled, NAMED["nested"])
    os.replace(pickled, folder / "c.nc")  # a name that is looked at, whatever is inside
    (folder / "d.h5").write_bytes(b"\0" * 512 + (folder / "a.nc").read_bytes())
    with h5py.File(folder / "own.nc", "w") as file:  # it shows itself
        file.attrs["Conventions"] = "CF-1.9"
    view(folder / "own.nc", folder / "own.nc", {"name": "obspy"})
    index = dasdist.index_archive(folder, tmp_path / "index.nc")
    reasons = {os.path.basename(one.path): one.reason for one in index.problems.itertuples()}
    assert {name for name in reasons if name != "d.h5"} == {"b.nc", "c.nc", "own.nc"}
    assert "it names 'obspy' as the reader" in reasons["b.nc"]
    assert "it names 'obspy' as the reader" in reasons["own.nc"]
    assert "\n" not in reasons["b.nc"]


# ---------------------------------------------------------------- indexes


def rename(path, before, after):
    """Have all manifests and forms of a file name another engine."""
    with h5py.File(path, "r+") as file:

        def change(_, node):
            if "header" in node.attrs:
                text = node.attrs["header"]
                node.attrs["header"] = text.replace(f'"{before}"', f'"{after}"')

        file.visititems(change)
        if "dasdist/forms" in file:
            old = file["dasdist/forms"][()].tobytes().decode()
            attrs = dict(file["dasdist/forms"].attrs)
            del file["dasdist/forms"]
            new = old.replace(f'\\"{before}\\"', f'\\"{after}\\"').encode()
            file["dasdist"].create_dataset("forms", data=np.frombuffer(new, dtype=np.uint8))
            del attrs


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "archive").mkdir()
    recording(noise(6000, 4)).to_netcdf(folder / "archive/a.nc")
    dasdist.index_archive(folder / "archive", folder / "index.nc")
    return folder


@pytest.fixture
def index(tmp_path, made):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return dasdist.ArchiveIndex.read(tmp_path / "index.nc")


@pytest.mark.parametrize("engine", ["obspy", "evil"])
def test_an_index_of_others_does_not_choose_the_readers_of_files(tmp_path, index, engine):
    rename(index.path, "xdas", engine)
    told = f"^The index {index.path} names '{engine}' as the reader.*--engine {engine}, or engine="
    with pytest.raises(dasdist.InvalidInput, match=told):
        dasdist.open_archive(index.path)
    with pytest.raises(dasdist.InvalidInput, match=told):
        dasdist.classify(Toy(), index.path, **PICKING)
    with pytest.raises(dasdist.InvalidInput, match=told):  # nor when it is brought up to date
        dasdist.index_archive(tmp_path / "archive", index.path)
    done = here("classify", index.path, "--model", "demo", "-o", tmp_path / "picks", "--json")
    assert done.exit_code == 1
    (event,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert f"names '{engine}' as the reader" in event["error"]


def test_xdas_itself_reads_no_tile_of_such_an_index(index):
    """Where no dasdist opens it: the engine that the index names does not pass on to others."""
    rename(index.path, "xdas", "obspy")
    data = xdas.open_datacollection(index.path, group="archive")[0]
    with pytest.raises(dasdist.InvalidInput, match=r"archive/a\.nc names 'obspy'"):
        np.asarray(data.data)
    with pytest.raises(dasdist.InvalidInput, match="names 'obspy'"):
        CheckedEngine.load_tile("x", (), engine={"name": "obspy"}, bytes=1, modified=1)


MINE = """
    import os
    import h5py
    from xdas import DataArray
    from xdas.io import Engine
    from xdas.virtual import TileArray

    class Mine(Engine, name="mine"):
        _supported_vtypes = ["tiles"]

        def open_dataarray(self, fname):
            data = Engine["xdas"](vtype="tiles").open_dataarray(fname)
            tiles = TileArray.from_tiles(str(fname), data.shape, data.dtype, "mine")
            return DataArray(tiles, data.coords)

        @staticmethod
        def load_tile(path, selection):
            with h5py.File(path) as file:
                return file["__values__"][selection]
"""


def register():
    exec(textwrap.dedent(MINE), {})


@pytest.mark.slow
def test_an_engine_that_the_user_names_is_used_and_named_again_to_open(
    tmp_path, monkeypatch, make_cluster
):
    """No index can grant what it recorded; workers take it from whoever opened the index."""
    from distributed import Client

    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(MINE))  # of the reading processes
    monkeypatch.syspath_prepend(tmp_path)
    register()
    monkeypatch.setitem(Engine._registry, "mine", Engine["mine"])  # removed at the end
    plain = recording(noise(6000, 4))
    plain.to_netcdf(tmp_path / "a.nc")
    index = dasdist.index_archive(tmp_path / "a.nc", tmp_path / "index.nc", engine="mine")
    assert index.files == 1
    with pytest.raises(dasdist.InvalidInput, match=r"names 'mine'.*if you trust it, name it"):
        dasdist.open_archive(index.path)
    with pytest.raises(dasdist.InvalidInput, match="names 'mine'"):
        index.open()
    again = dasdist.index_archive(tmp_path / "a.nc", tmp_path / "index.nc", engine="mine")
    assert again.scanned == 0

    expected = dasdist.classify(Toy(), plain, **PICKING).picks
    assert len(expected)
    data = dasdist.open_archive(index.path, engine="mine")
    np.testing.assert_array_equal(data.values, plain.values)
    for given in ({"data": index.path, "engine": "mine"}, {"data": data}):
        assert dasdist.classify(Toy(), **given, **PICKING).picks.equals(expected)
    out = tmp_path / "picks"
    done = here("plan", index.path, "--model", "demo", "--engine", "mine", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    done = here("plan", index.path, "--model", "demo", "--engine", "febus")
    assert done.exit_code == 1

    with make_cluster(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        client.run(register)
        source = open_recording(data).select(open_recording(data).segments[0].recorded).source
        with pytest.raises(dasdist.InvalidInput, match=r"^The data names 'mine'"):
            client.submit(read, replace(source, named=())).result()
        found = dasdist.classify(Toy(), data, out=out, **{**PICKING, "client": client})
        assert found.report.finished
    assert len(dasdist.status(out).counts)


def read(source):
    return source.read()


def test_a_view_is_read_once_its_engine_is_named(tmp_path, monkeypatch):
    register()
    monkeypatch.setitem(Engine._registry, "mine", Engine["mine"])
    plain = recording(noise(6000, 4))
    plain.to_netcdf(tmp_path / "a.nc")
    path = view(tmp_path / "view.nc", tmp_path / "a.nc", {"name": "mine"})
    with pytest.raises(dasdist.InvalidInput, match="names 'mine'"):
        open_file(str(path))
    np.testing.assert_array_equal(open_file(str(path), "mine").values, plain.values)
    done = here("plan", path, "--model", "demo", "--engine", "mine")
    assert done.exit_code == 0, done.stderr
    data = xdas.open_dataarray(path)
    trusted._allowed.clear()
    with pytest.raises(dasdist.InvalidInput, match=r"^The data names 'mine'"):
        dasdist.plan(Toy(), data)
    assert len(dasdist.plan(Toy(), data, engine="mine")) == 1
    with pytest.raises(dasdist.InvalidInput, match="'mein', did you mean 'mine'"):
        dasdist.plan(Toy(), data, engine="mein")


# ---------------------------------------------------------------- detection and codecs


def test_detection_asks_nobody_outside_the_lists(tmp_path, monkeypatch):
    """Neither xdas's engines nor xarray's backends that others installed."""
    asked = []

    class Curious(xarray.backends.BackendEntrypoint):
        def guess_can_open(self, filename_or_obj):
            asked.append(filename_or_obj)
            return True

        def open_dataset(self, filename_or_obj, *, drop_variables=None):
            asked.append(filename_or_obj)
            raise ValueError

    class Eager(Engine):
        def open_dataarray(self, fname):
            asked.append(fname)
            raise ValueError

    plugins = {"curious": Curious(), **xarray.backends.list_engines()}
    monkeypatch.setattr("xarray.backends.plugins.list_engines", lambda: plugins)
    for name in Engine._registry.keys() - trusted.ENGINES:
        monkeypatch.setitem(Engine._registry, name, Eager)
    for fmt in ("NETCDF4", "NETCDF3_64BIT"):
        values = xarray.DataArray(
            noise(6000, 4),
            {"time": recording(noise(6000, 4)).coords["time"].values, "distance": np.arange(4.0)},
            name="strain",
        )
        engine = "scipy" if "3" in fmt else "h5netcdf"
        values.to_netcdf(tmp_path / "a.cdf", engine=engine)
        done = here("plan", tmp_path / "a.cdf", "--model", "demo")
        assert done.exit_code == 0, done.stderr
    for held in (b"CDF\x09 what is this", b"GRIB", b"\x80\x04]\x94."):
        (tmp_path / "b.nc").write_bytes(held)
        done = here("plan", tmp_path / "b.nc", "--model", "demo")
        assert done.exit_code == 1
        assert read_header(str(tmp_path / "b.nc")).kind == "unreadable"
    assert asked == []


def zarr_store(path, **options):
    data = recording(noise(6000, 4))
    coords = {name: data.coords[name].values for name in data.dims}
    xarray.DataArray(data.values, coords, name="strain").to_dataset().to_zarr(path, **options)
    return path


class Marks(numcodecs.abc.Codec):
    """A codec that makes a file when it decodes, as that of pickles would."""

    codec_id = "marks"

    def __init__(self, path):
        self.path = path

    def encode(self, buf):
        return buf

    def decode(self, buf, out=None):
        open(self.path, "a").close()
        return numcodecs.compat.ndarray_copy(buf, out)


@pytest.mark.parametrize("name", ["strain", "distance"])
def test_a_store_does_not_choose_a_codec_beyond_the_list(tmp_path, marker, name, monkeypatch):
    path = zarr_store(tmp_path / "a.zarr", zarr_format=2, consolidated=False)
    assert here("plan", path, "--model", "demo").exit_code == 0
    monkeypatch.setitem(numcodecs.registry.codec_registry, "marks", Marks)
    form = json.loads((path / name / ".zarray").read_text())
    form |= {"filters": [{"id": "marks", "path": str(marker)}]}
    (path / name / ".zarray").write_text(json.dumps(form))
    done = here("plan", path, "--model", "demo")
    assert done.exit_code == 1
    said = " ".join(done.stderr.split())
    assert f"{name} names the codec 'marks', and no store may choose" in said
    if name == "strain":
        for chunks in (None, {}):
            data = xarray.open_zarr(path, consolidated=False, chunks=chunks)[name]
            with pytest.raises(dasdist.InvalidInput, match="names the codec 'marks'"):
                dasdist.plan(Toy(), data)


def test_pickles_are_on_no_list():
    assert not [name for name in trusted.CODECS if "pickle" in name]
    assert not {"obspy", "miniseed"} & trusted.ENGINES
    assert not [name for name in trusted.FORMATS if name in ("PICKLE", "DASDAE", "DASVADER")]


class Shifts(zarr.codecs.BytesCodec):
    """A codec of Zarr's third format that somebody has installed."""

    @classmethod
    def from_dict(cls, data):
        return cls(**data["configuration"])

    def to_dict(self):
        return {"name": "shifts", "configuration": {"endian": "little"}}


def test_stored_annotations_choose_no_codec_either(tmp_path):
    """Also not within a shard."""
    out = tmp_path / "prob.zarr"
    write = dasdist.WriterCallback(out)
    dasdist.annotate(Toy(), recording(noise(6000, 4)), write, pbar=False, client=False)
    assert not np.isnan(dasdist.open_annotations(out)["P"]).all()
    zarr.registry.register_codec("shifts", Shifts)
    form = json.loads((out / "zarr.json").read_text())
    (sharding,) = form["consolidated_metadata"]["metadata"]["P"]["codecs"]
    inner = sharding["configuration"]["codecs"]
    assert inner[0]["name"] == "bytes"
    inner[0] = {"name": "shifts", "configuration": {"endian": "little"}}
    del form["attributes"][CHECK]  # whoever makes such a store makes its checksum
    (out / "zarr.json").write_text(json.dumps(form))
    with pytest.raises(dasdist.InvalidInput, match="P names the codec 'shifts'"):
        dasdist.open_annotations(out)


def test_a_fresh_process_knows_the_engine_of_indexes():
    """Whatever else it has imported: xdas must know it before it opens an index, or makes one."""
    for module in ("sources.index", "archive.build"):
        code = f"import dasdist.{module}; from xdas.io import Engine; Engine['dasdist']"
        subprocess.run([sys.executable, "-c", code], check=True)
