"""``python -m dasdist`` is the command ``dasdist``, of the Python that one names."""

import os
import sys

import dasdist

# Python puts the current folder first, where data lie, whose modules are not to be run; unless it
# is where dasdist itself is
if not sys.flags.safe_path and os.path.dirname(dasdist.__path__[0]) != os.getcwd():
    sys.path[:] = [path for path in sys.path if path not in ("", os.getcwd())]

from dasdist.cli import app

if __name__ == "__main__":
    app(prog_name="dasdist")
