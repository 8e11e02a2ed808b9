#!/usr/bin/env bash
# torch 2.13.0: a file of weights holds a checksum of every tensor, and torch.load looks at none.
#
# Weights of pickers travel as what torch.save makes of a state dict: a zip archive with a CRC-32
# for each tensor.
# What one expects: a bit that rots in it is an error when the weights are loaded, as it is when
# Python's zipfile reads the same archive.
# What it does: torch.load returns another number and says nothing, with weights_only=True and with
# mmap=True; zipfile.testzip names the damaged tensor.
#
# Output seen (torch 2.13.0, Python 3.11, Linux x86-64):
#   saved 2.0, loaded 2.000000238418579
#   with mmap 2.000000238418579
#   zipfile names weights/data/0
# What follows: check such a file with zipfile before it is loaded.
# Ends with 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0"
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import struct
import zipfile
from pathlib import Path

import torch

file = Path("weights.pt")
torch.save({"gain": torch.tensor(2.0)}, file)
held = bytearray(file.read_bytes())
held[held.index(struct.pack("<f", 2.0) + b"PK")] ^= 1  # the tensor's last binary digit
file.write_bytes(held)
loaded = torch.load(file, weights_only=True)["gain"].item()
print(f"saved 2.0, loaded {loaded}")
mapped = torch.load(file, weights_only=True, mmap=True)["gain"].item()
print(f"with mmap {mapped}")
damaged = zipfile.ZipFile(file).testzip()
print(f"zipfile names {damaged}")
assert (loaded, mapped, damaged) == (2 + 2**-22, 2 + 2**-22, "weights/data/0"), "this has changed"
PYTHON
