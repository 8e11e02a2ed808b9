#!/usr/bin/env bash
# The image's Python, for what wants the path of a Python: DASDIST_PYTHON of the batch scripts.
# DASDIST_IMAGE names the image; folders beyond your home and the current one: APPTAINER_BIND.
exec apptainer exec --nv "${DASDIST_IMAGE:?name the image, dasdist.sif}" python "$@"
