#!/usr/bin/env bash
# zarr 3.1.6: a shard that is damaged cannot be replaced by writing all of it.
#
# What one expects: writing a selection that covers a shard whole does not need what the shard
# held, so that data which rotted on a disk can be written anew.
# What it does: the old shard is read first, its index fails its checksum, and the write raises
# ValueError; for a shard inside the array as well as for one cut short by the end of the array.
# The same array without shards takes the write: a chunk that is covered whole is not read.
#
# Output seen (zarr 3.1.6, numpy 2.4.6, Python 3.11, Linux x86-64):
#   with shards, 80 samples: ValueError, Stored and computed checksum do not match
#   with shards, 75 samples: ValueError, Stored and computed checksum do not match
#   without shards, 80 samples: written
#   after the file of the shard was removed: written
# What follows: whoever repairs an archive removes the file of the shard first.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "zarr==3.1.6" "numpy==2.4.6"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import zarr


def rotten(name, samples, **form):
    """An array whose second half is damaged in one bit near the end of its file."""
    array = zarr.create_array(name, shape=(samples,), dtype="f4", compressors=None, **form)
    array[:] = np.arange(samples)
    file = Path(name, "c", "1")
    held = bytearray(file.read_bytes())
    held[-3] ^= 1
    file.write_bytes(held)
    return array, file


def write(array):
    try:
        array[40:] = np.ones(array.shape[0] - 40, "f4")
    except ValueError as error:
        return f"ValueError, {str(error).partition('.')[0]}"
    return "written"


shards = {"chunks": (10,), "shards": (40,)}
told = []
for samples in (80, 75):
    array, file = rotten(f"{samples}.zarr", samples, **shards)
    told.append(write(array))
    print(f"with shards, {samples} samples: {told[-1]}")
told.append(write(rotten("plain.zarr", 80, chunks=(40,))[0]))
print(f"without shards, 80 samples: {told[-1]}")
file.unlink()
told.append(write(array))
print(f"after the file of the shard was removed: {told[-1]}")
refused = "ValueError, Stored and computed checksum do not match"
assert told == [refused, refused, "written", "written"], "this has changed"
PYTHON
