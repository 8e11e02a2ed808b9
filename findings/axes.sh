#!/usr/bin/env bash
# xdas 0.2.10: what a file says of its channel axis gets lost on the way through xdas.
#
# 1. A CF NetCDF file states distance in feet.  xdas opens it with its native engine, keeps the
#    numbers and drops the unit; written again by xdas, or made an xarray.DataArray, 32.8 ft is 32.8.
# 2. Two ProdML files that follow one another, samples stored as (locus, time), opened with the
#    option made for that, swapped_dims=True, come back as two arrays and not as one: files are put
#    together along the *first* dimension, which that option makes the distance.  dim="time" helps.
#
# Output seen (Python 3.11, November 2026):
#     stated: ft; opened: [0.0, 32.8, 65.6] {}; written again: no unit
#     swapped_dims=True: DataSequence of 2; with dim="time": one array (3, 20)
#
# Exits with 1 if any of this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "xdas==0.2.10" "h5py==3.16.0" "xarray==2026.9.0"
cd "$folder"
"$folder/venv/bin/python" - <<'EOF'
import warnings

warnings.simplefilter("ignore")
import h5py
import numpy as np
import xarray
import xdas

start = np.datetime64("2024-05-01T00:00:00", "ns")
time = start + np.arange(10) * np.timedelta64(10, "ms")
places = ("distance", [0.0, 32.8, 65.6], {"units": "ft"})
stated = xarray.DataArray(np.zeros((10, 3)), {"time": time, "distance": places}, ("time", "distance"))
stated.to_dataset(name="rate").assign_attrs(Conventions="CF-1.8").to_netcdf("a.nc", engine="h5netcdf")
opened = xdas.open_dataarray("a.nc")
opened.to_netcdf("b.nc")
with h5py.File("b.nc") as file:
    units = [file[name].attrs.get("units") for name in file if name.startswith("distance")]
attrs = dict(opened.to_xarray()["distance"].attrs)
values = np.asarray(opened.coords["distance"].values).tolist()
again = "no unit" if units.count(None) == len(units) else str(units)
print(f"stated: ft; opened: {values} {attrs}; written again: {again}")


def prodml(path, first):
    last = first + np.timedelta64(90, "ms")
    with h5py.File(path, "w") as file:
        acquisition = file.create_group("Acquisition")
        acquisition.attrs.update(SpatialSamplingInterval=10.0, StartLocusIndex=0)
        data = acquisition.create_dataset("Raw[0]/RawData", data=np.zeros((3, 10), "float32"))
        data.attrs["Dimensions"] = np.array([b"locus", b"time"])
        for name, at in (("PartStartTime", first), ("PartEndTime", last)):
            data.attrs[name] = np.bytes_(f"{at.astype('M8[us]')}+00:00")


prodml("c.h5", start)
prodml("d.h5", start + np.timedelta64(100, "ms"))
how = {"engine": "prodml", "swapped_dims": True}
several = xdas.open_mfdataarray(["c.h5", "d.h5"], **how)
one = xdas.open_mfdataarray(["c.h5", "d.h5"], dim="time", **how)
kind = type(several).__name__
print(f'swapped_dims=True: {kind} of {len(several)}; with dim="time": one array {one.shape}')

as_seen = (
    values == [0.0, 32.8, 65.6]
    and attrs == {}
    and again == "no unit"
    and (kind, len(several), one.shape) == ("DataSequence", 2, (3, 20))
)
raise SystemExit(not as_seen)
EOF
