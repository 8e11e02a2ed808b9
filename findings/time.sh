#!/bin/bash
# xdas 0.2.10 writes times that nanoseconds cannot count as other times, without a word.
#
# A DataArray keeps its time coordinate in the unit that it was given, and shows it rightly. Its
# `to_netcdf` stores it in nanoseconds, which reach from 1677 to 2262: year 1600 lies in the file as
# 2184, year 1 as 1754, and 2300 as 1715. No error, no warning, and the file opens as any other.
#
# Seen with xdas 0.2.10, numpy 2.4.1, pandas 3.0.0, Python 3.11:
#   0001-01-01 is written and read as 1754-08-30
#   1600-01-01 is written and read as 2184-07-20
#   2300-01-01 is written and read as 1715-06-13
#   2024-01-01 is written and read as 2024-01-01
#
# Exits with an error if xdas does otherwise. What follows: a time before 1900 is not to be believed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "xdas==0.2.10" "numpy==2.4.1" "pandas==3.0.0"
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PYTHON'
import numpy as np
import xdas

READ = {
    "0001-01-01": "1754-08-30",
    "1600-01-01": "2184-07-20",
    "2300-01-01": "1715-06-13",
    "2024-01-01": "2024-01-01",
}
for written, expected in READ.items():
    first = np.datetime64(written, "ms")
    time = {"tie_indices": [0, 99], "tie_values": [first, first + np.timedelta64(990, "ms")]}
    data = xdas.DataArray(np.zeros((100, 2), "f4"), {"time": time, "distance": [0.0, 10.0]})
    assert str(data["time"][0].values)[:10] == written
    data.to_netcdf("data.nc")
    found = str(xdas.open_dataarray("data.nc")["time"][0].values)[:10]
    print(f"{written} is written and read as {found}")
    assert found == expected, "xdas has changed"
PYTHON
