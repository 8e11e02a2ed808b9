"""Every vendor's file goes through a model, to Zarr and back, with the right coordinates."""

import numpy as np
import pytest
import xarray as xr
import xdas

import dasdist

from . import vendor_files
from .toys import Toy

FILES = {
    "lapalma_20211120_uniform.nc": "xdas",
    "lapalma_20211120.nc": "xdas",
    "prodml_2.0.h5": "prodml",
    "iDAS005_hdf5_example.626.h5": "prodml",
    "iDAS005_tdms_example.626.tdms": "silixa",
    "ap_sensing_1.hdf5": "apsensing",
    "febus made": "febus",
    "terra15_v5_test_file.hdf5": "terra15",
    "xdas_netcdf.nc": "xdas",
}


def opened(path, engine, vtype):
    if engine == "silixa" and vtype == "hdf5":
        pytest.skip("TDMS is no HDF5")
    options = {}
    if engine == "febus":  # cut off without overlap, xdas's stack of HDF5 has nothing left
        options, vtype = {"overlaps": (0, 0), "offset": 250}, "tiles"
    return xdas.open_mfdataarray([str(path)], engine=engine, vtype=vtype, **options)


def nodes(annotations):
    if isinstance(annotations, xr.Dataset):
        return [annotations]
    return [node.to_dataset() for node in annotations.children.values()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*too short:dasdist.DataWarning")
@pytest.mark.parametrize("vtype", ["tiles", pytest.param("hdf5", marks=pytest.mark.deep)])
@pytest.mark.parametrize("name", FILES)
def test_vendor_files_to_zarr_and_back(vendor_file, tmp_path, name, vtype):
    data = opened(vendor_file(name), FILES[name], vtype)
    model = Toy(window=(40, 3), out=(10, 3), covers=((8, 28), (0, 3)), gain=1e-3)
    path = tmp_path / "prob.zarr"
    block = {"time": 128, "distance": 64}
    dasdist.annotate(model, data, dasdist.WriterCallback(path), block=block, pbar=False)

    lazy, back = dasdist.annotate(model, data), dasdist.open_annotations(path)
    plain = (
        xr.open_zarr(path)
        if isinstance(back, xr.Dataset)
        else xr.open_datatree(path, engine="zarr")
    )
    times = data.coords["time"].values.astype("datetime64[ns]")
    places = data.coords[data.dims[1]].values
    grids = dasdist.plan(model, data).grids
    for grid, a, b, c in zip(grids, nodes(lazy), nodes(back), nodes(plain), strict=True):
        np.testing.assert_array_equal(a["P"].values, b["P"].values)
        np.testing.assert_array_equal(a["P"].values, c["P"].values)
        # outputs sit at input samples 8, 10, 12, ... of the segment, and on every channel
        first = grid.recorded.time.start + 8
        expected = times[first : first + 2 * grid.shape[0] : 2]
        step = np.diff(times[:2])[0]
        for dataset in (a, b, c):
            assert dataset["P"].dims == data.dims
            assert dataset["P"].dtype == np.float32
            off = np.abs((dataset["time"].values - expected).astype(int))
            # the coordinate's own jitter ends no segment; the Febus step is rounded by xdas
            assert off.max() <= int(step.astype("timedelta64[ns]").astype(int)) / 2
            channels = grid.recorded.distance.slice
            np.testing.assert_allclose(
                dataset[data.dims[1]].values, places[channels], rtol=1e-12, atol=1e-9
            )


@pytest.mark.parametrize("name", FILES)
def test_vendor_files_hold_what_they_say(vendor_file, name):
    """Values of a block are the values that xdas itself reads, by brute force."""

    class First(Toy):
        def forward(self, x, argdict=None):
            return {"P": x, "S": -x}

    data = opened(vendor_file(name), FILES[name], "tiles")
    model = First(window=(40, 3), out=(40, 3), covers=((0, 40), (0, 3)), overlap=(0, 0))
    values = np.asarray(data.values, dtype=np.float32)
    plan = dasdist.plan(model, data)
    lazy = dasdist.annotate(model, data, stacking="avg", block={"time": 100, "distance": 50})
    for grid, node in zip(plan.grids, nodes(lazy), strict=True):
        region = grid.recorded
        inside = values[region.time.slice, region.distance.slice]
        np.testing.assert_array_equal(node["P"].values, inside)


def test_a_dead_channel_is_named(tmp_path):
    values = np.random.default_rng(1).normal(0, 1, (1000, 101)).astype("float32")
    values[:, 98] = np.nan
    vendor_files.febus(tmp_path / "febus.h5", values, 500)
    data = opened(tmp_path / "febus.h5", "febus", "tiles")
    with pytest.raises(dasdist.UnreadableData, match=r"1 of 101 channels are NaN.*febus\.h5"):
        dasdist.classify(Toy(), data, pbar=False, blinding=(1, 1))


def test_an_xarray_file_without_xdas(das_file):
    data = xr.open_dataset(das_file("irpinia_shot.DAS.nc"))["StrainRate"]
    if not np.issubdtype(data["time"].dtype, np.datetime64):
        start = np.datetime64("2021-01-01", "ns")
        seconds = data["time"].values.astype(float)
        data = data.assign_coords(time=start + (seconds * 1e9).round().astype("timedelta64[ns]"))
    found = dasdist.classify(Toy(gain=1e3), data, thresholds=0.5, blinding=(1, 1), pbar=False)
    assert len(found.picks) > 0
    places = data[data.dims[1]].values[found.picks.channel_index]
    np.testing.assert_allclose(found.picks.distance, places, rtol=1e-12)


def test_gaps_along_the_fibre_that_seisbench_refuses(das_file, phasenet):
    data = xdas.open_dataarray(das_file("lapalma_20211120.nc"))
    found = dasdist.classify(phasenet, data, thresholds=0.3, pbar=False)
    assert found.picks.segment.nunique() > 1
    p = found.picks[found.picks.phase == "P"]
    assert p.channel_index.nunique() == 67
    distances = data.coords["distance"].values
    np.testing.assert_array_equal(p.distance, distances[p.channel_index])
