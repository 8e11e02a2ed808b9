#!/bin/bash
# In a checkout, with a network: gather what a machine with a GPU and without a network lacks.
#
#   bash tests/benchmarks/gpu/prepare.sh [FOLDER OF THE TEST DATA]
#
# It leaves wheels for Python 3.12 on x86-64 in .whl and weights and waveforms in .gpu, 45 MB in all,
# which git does not see.  Take them along with the checkout, and there:
#
#   python3 -m pip install -q --no-index --no-deps --no-compile --target /tmp/site .whl/*.whl
#   export PYTHONPATH=/tmp/site:$PWD/.gpu/stubs DASDIST_TEST_DATA=$PWD/.gpu/data
#   export SEISBENCH_CACHE_ROOT=/tmp/seisbench NUMBA_CACHE_DIR=/tmp/numba PYTHONUNBUFFERED=1
#   python3 tests/benchmarks/gpu --seconds 430 --out FOLDER
#
# torch, numba, pyarrow, scipy, pandas, h5py, psutil, rich, typer, matplotlib, hypothesis and pytest
# are taken to be there.
set -e
data=${1:-${DASDIST_TEST_DATA:-../shared/data}}
mkdir -p .whl .gpu/data .gpu/stubs/plotly .gpu/stubs/hdf5plugin
for name in /.whl/ /.gpu/; do
    grep -qx "$name" "$(git rev-parse --git-path info/exclude)" ||
        echo "$name" >> "$(git rev-parse --git-path info/exclude)"
done
platforms=()
for tag in _2_28 _2_27 _2_26 _2_24 _2_17 2014 1; do
    platforms+=(--platform "manylinux${tag}_x86_64")
done
python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 \
    --implementation cp "${platforms[@]}" -d .whl \
    dask==2026.8.0 distributed==2026.8.0 tornado zict==3.0.0 tblib locket==1.0.0 partd==1.4.2 \
    zarr==3.1.6 donfig==0.8.1.post1 numcodecs==0.16.6 google-crc32c==1.9.0 \
    xdas==0.2.10 h5netcdf==1.8.2 loky==3.7.0 obspy==1.5.1 watchdog xinterp pyzmq \
    seisbench==0.12.6 nest-asyncio==1.6.0 bottleneck==1.6.0 sqlalchemy decorator==5.3.1 \
    pytest-asyncio==1.5.0
rm -f .whl/dasdist-*.whl
python3 -m pip wheel -q --no-deps -w .whl .  # for the version of the package
# xdas imports both, 60 MB, and needs neither here
touch .gpu/stubs/plotly/{__init__,express}.py .gpu/stubs/hdf5plugin/__init__.py
cp -r "$data"/weights "$data"/waveforms .gpu/data/
rm -rf .gpu/data/weights/seisbench_cache
du -sm .whl .gpu
