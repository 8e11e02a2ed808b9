#!/usr/bin/env bash
# Python of the image, as one file: set DASDIST_PYTHON to it for the batch scripts.
# DASDIST_IMAGE is the image; APPTAINER_BIND lists folders beyond your home and the current one.
exec apptainer exec --nv "${DASDIST_IMAGE:?is not set; it is the path of the image dasdist.sif}" python "$@"
