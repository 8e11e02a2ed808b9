#!/bin/bash
# DASCore 0.1.24 (h5py 3.16.0, pandas 3.1.1, Python 3.11): what a scan says of a file is not what
# reading it gives, and a file that was written anew is listed twice.
#
# Seen:
#   a GDR file with DasDimensions (locus, time): scan says time,distance, read gives distance,time
#   a spool's folder with one file, which is written anew with a later time: after update() the
#   spool has two patches of that one file
#
# Exits with 1 if any of this changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet dascore==0.1.24 h5py==3.16.0 pandas==3.1.1 "numpy<2.5"
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'END'
import os
import sys

import dascore as dc
import h5py
import numpy as np

with h5py.File("gdr.h5", "w") as file:  # the layout of gdr.openei.org/das_data_standard
    meta, raw = file.create_group("DasMetadata"), file.create_group("DasRawData")
    meta.attrs["MetadataStandard"], meta.attrs["RawDataStandard"] = "DAS-RCN v1.10", "PRODML v2.2"
    acquisition = meta.create_group("Interrogator/Acquisition")
    meta["Interrogator"].attrs["SerialNumber"] = "1"
    acquisition.attrs.update(GaugeLength=10.0, GaugeLengthUnit="m", UnitOfMeasure="rad")
    acquisition.attrs.update(SpatialSamplingInterval=4.0, SpatialSamplingIntervalUnit="m")
    raw["RawData"] = np.zeros((3, 50), "f4")
    raw["RawData"].attrs["DasDimensions"] = ["locus", "time"]
    raw["DasTimeArray"] = 1_714_521_600_000_000_000 + 10_000_000 * np.arange(50)
(scanned,) = dc.scan("gdr.h5", file_format="GDR_DAS", file_version="1")
(patch,) = dc.read("gdr.h5", file_format="GDR_DAS")
print("GDR: scan says", scanned.dims, "and read gives", ",".join(patch.dims))

os.mkdir("spool")
patch = dc.get_example_patch()
patch.io.write("spool/a.h5", "dasdae")
before = len(dc.spool("spool").update(progress=None))
os.remove("spool/a.h5")
patch.io.write("spool/a.h5", "dasdae")
os.utime("spool/a.h5", (2e9, 2e9))  # as if it was written later
after = len(dc.spool("spool").update(progress=None))
print("the folder's one file:", before, "patch, and", after, "after it was written anew")

same = scanned.dims == "time,distance" and patch is not None
same = same and ",".join(dc.read("gdr.h5", file_format="GDR_DAS")[0].dims) == "distance,time"
sys.exit(0 if same and (before, after) == (1, 2) else 1)
END
