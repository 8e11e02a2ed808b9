#!/usr/bin/env bash
# GMMA 1.2.17 (GaMMA) with pandas 3: picks whose times are ISO text end in a TypeError.
#
# What one expects: the association takes the table that its own example reads, a CSV file with a
# column "timestamp" of ISO times, as it comes from pandas.read_csv.
# What it does: it writes datetimes back into the column of text, which pandas before version 3
# took with a warning or without; since then text columns are of type "str" and refuse them.
# Read with parse_dates=["timestamp"] the same file is associated.
#
# Output seen (GMMA 1.2.17, pandas 3.1.1, Python 3.11, Linux x86-64):
#   as text: TypeError
#   as datetimes: 1 event
# What follows: whoever hands over picks for GaMMA says that times are to be parsed.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "GMMA==1.2.17" "pandas==3.1.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
import pandas as pd
from gamma.utils import association

rng = np.random.default_rng(0)
stations = pd.DataFrame(
    {
        "id": [f"S{k}" for k in range(12)],
        "x(km)": rng.uniform(0, 20, 12),
        "y(km)": rng.uniform(0, 20, 12),
        "z(km)": 0.0,
    }
)
away = np.sqrt((stations["x(km)"] - 9) ** 2 + (stations["y(km)"] - 11) ** 2 + 5**2)
origin = pd.Timestamp("2024-01-01T00:00:10")
picks = pd.concat(
    pd.DataFrame(
        {
            "id": stations["id"],
            "timestamp": (origin + pd.to_timedelta(away / speed, unit="s")).dt.strftime(
                "%Y-%m-%dT%H:%M:%S.%f"
            ),
            "type": phase,
            "prob": 0.9,
            "amp": 1.0,
        }
    )
    for phase, speed in (("p", 6.0), ("s", 6.0 / 1.75))
)
config = {
    "dims": ["x(km)", "y(km)", "z(km)"],
    "use_dbscan": False,
    "use_amplitude": False,
    "x(km)": (0, 20),
    "y(km)": (0, 20),
    "z(km)": (0, 15),
    "vel": {"p": 6.0, "s": 6.0 / 1.75},
    "method": "BGMM",
    "oversample_factor": 4,
    "bfgs_bounds": ((-1, 21), (-1, 21), (0, 16), (None, None)),
    "min_picks_per_eq": 8,
    "max_sigma11": 2.0,
    "max_sigma22": 1.0,
    "max_sigma12": 1.0,
    "ncpu": 1,
}


def associated(**reading):
    table = pd.read_csv(io.StringIO(picks.to_csv(index=False)), **reading)
    try:
        events, _ = association(table, stations, config, method=config["method"])
    except TypeError:
        return "TypeError"
    return f"{len(events)} event{'s' * (len(events) != 1)}"


told = {"as text": associated(), "as datetimes": associated(parse_dates=["timestamp"])}
for how, what in told.items():
    print(f"{how}: {what}")
assert told == {"as text": "TypeError", "as datetimes": "1 event"}, "this has changed"
PYTHON
