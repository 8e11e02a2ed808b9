"""``python -m dasdist`` is the command ``dasdist``, of the Python that one names."""

from dasdist.cli import app

if __name__ == "__main__":
    app(prog_name="dasdist")
