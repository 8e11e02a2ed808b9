#!/usr/bin/env bash
# xarray unpacks numbers, but not the bounds that say which of them are valid.
#
# Seen with xarray 2026.9.0, netCDF4 1.7.4 and numpy 2.4 on Python 3.11:
#   - a packed variable (int16, scale_factor 0.001) with valid_range -1000, 1000 comes from
#     open_dataset as real numbers up to 5.0, none of them NaN: valid_range is not applied;
#   - its attrs still hold valid_range = [-1000, 1000], in counts, beside values in the unit of the
#     samples: whoever applies it to them finds that everything is valid;
#   - netCDF4 masks the values outside, from the same file.
# Output:
#   xarray: 0 of 4 missing, largest 5.0, valid_range [-1000, 1000]
#   netCDF4: 1 of 4 missing, largest 0.9
# What follows: read valid_range as it is stored, before anything is unpacked.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "xarray==2026.9.0" "netCDF4==1.7.4" "numpy<2.5"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import netCDF4
import numpy as np
import xarray

with netCDF4.Dataset("file.nc", "w") as file:
    file.createDimension("time", 4)
    variable = file.createVariable("strain", "i2", ("time",))
    variable.scale_factor = 0.001
    variable.valid_range = np.array([-1000, 1000], "i2")
    variable.set_auto_maskandscale(False)
    variable[:] = [-900, 0, 900, 5000]

with xarray.open_dataset("file.nc") as dataset:
    strain = dataset["strain"].load()
bounds = strain.attrs["valid_range"].tolist()
lost = int(np.isnan(strain.values).sum())
print(f"xarray: {lost} of 4 missing, largest {strain.values.max():.1f}, valid_range {bounds}")
with netCDF4.Dataset("file.nc") as file:
    masked = file["strain"][:]
gone = int(np.ma.count_masked(masked))
print(f"netCDF4: {gone} of 4 missing, largest {masked.max():.1f}")
assert (lost, bounds, gone) == (0, [-1000, 1000], 1), "this has changed"
PYTHON
