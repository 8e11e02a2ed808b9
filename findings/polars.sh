#!/usr/bin/env bash
# polars 2.1.0: a folder of Parquet files with a file of metadata in it cannot be scanned.
#
# What one expects: names that begin with "_" or "." are no data to readers of datasets in folders,
# as for pandas, pyarrow and dask; Spark leaves such files (_SUCCESS, _metadata) in every dataset.
# What it does: scan_parquet of the folder raises InvalidOperationError for files with other
# endings, also hidden ones; a pattern of names reads the same folder.
#
# Output seen (polars 2.1.0, pyarrow 26.0.1, Python 3.11, Linux x86-64):
#   parts alone: 6 rows
#   beside _about.json: InvalidOperationError
#   beside .about.json: InvalidOperationError
#   beside _about.json, by a pattern: 6 rows
#   beside _about.json, by pyarrow: 6 rows
# What follows: what describes a dataset lies beside its folder, not in it.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "polars==2.1.0" "pyarrow==26.0.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import polars as pl
import pyarrow.dataset as ds


def rows(read):
    try:
        return f"{read()} rows"
    except pl.exceptions.InvalidOperationError as error:
        return type(error).__name__


def scanned(path):
    return rows(lambda: pl.scan_parquet(path).collect().height)


folder = Path("picks")
folder.mkdir()
for number in (0, 1):
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(folder / f"{number}.parquet")
told = {"parts alone": scanned("picks")}
for name in ("_about.json", ".about.json"):
    (folder / name).write_text("{}")
    told[f"beside {name}"] = scanned("picks")
    (folder / name).unlink()
(folder / "_about.json").write_text("{}")
told["beside _about.json, by a pattern"] = scanned("picks/*.parquet")
told["beside _about.json, by pyarrow"] = rows(lambda: ds.dataset("picks").count_rows())
for how, what in told.items():
    print(f"{how}: {what}")
refused = "InvalidOperationError"
assert [*told.values()] == ["6 rows", refused, refused, "6 rows", "6 rows"], "this has changed"
PYTHON
