#!/bin/bash
# scipy 1.17.1: resample_poly lets a constant oscillate wherever it interpolates.
#
# What one expects: the low-pass that resample_poly designs has a gain of 1 at frequency zero, so a
# constant comes out as that constant, but for the ends, where it sees zeros.
# What it does: the gain is 1 on the average of the `up` phases of the filter only.  Each phase has
# its own, up to 7e-4 off, so that a constant comes out as that constant plus an oscillation with a
# period of `up` samples; with padtype="reflect", too, so it is none of the ends.  Decimation by a
# whole number (up = 1) is exact.  An offset of 1e5 standard deviations at 250 Hz, resampled to
# 100 Hz, becomes a tone of 7.5 standard deviations at 50 Hz.
#
# Output seen (numpy 2.4.6, Python 3.11, Linux x86-64):
#   1/10  1.1e-16
#   2/5   7.5e-05
#   2/1   5.2e-04
#   10/7  6.7e-04
#
# Exits non-zero if this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from scipy.signal import resample_poly

expected = {(1, 10): (0, 1e-12), (2, 5): (7e-5, 8e-5), (2, 1): (5e-4, 6e-4), (10, 7): (6e-4, 7e-4)}
for (up, down), (low, high) in expected.items():
    out = resample_poly(np.ones(4000), up, down, padtype="reflect")
    off = np.abs(out - 1).max()
    print(f"{up}/{down:<3} {off:.1e}")
    assert low <= off <= high, "scipy has changed"
PYTHON
