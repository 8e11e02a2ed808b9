"""What an output was made of, for whoever gets it later: ``manifest.json`` in its journal.

::

    {"output": "picks.parquet",
     "model": {"name", "class", "weights", "settings", "citation"},
     "arguments": {...},                                 of the model and of the run
     "settings": {"thresholds": 0.3, ...},               of what was written
     "archive": {"identity", "samples", "channels", "dtype", "start", "stop"},
     "runs": [{"run", "started", "versions": {...}}, ...]}   that wrote here, the newest last

It lies beside the dataset and not in it: polars reads no folder in which there is another file,
also where its name begins with a dot or an underscore.  The run itself never reads it: what a run
must be to go on is in ``run.json``.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dasdist.errors import UnreadableData
from dasdist.geometry import SegmentGrid
from dasdist.safe_text import one_line, without_secrets
from dasdist.storage.files import write_atomically
from dasdist.storage.seal import Damaged, seal, unseal

__all__ = ["NAME", "manifest_lines", "read", "write"]

NAME = "manifest.json"

FORMAT = 1

_LIBRARIES = ("dasdist", "torch", "numpy", "pyarrow")


def write(
    folder: Path,
    output: str,
    settings: Mapping[str, Any],
    run: Mapping[str, Any],
    *,
    fingerprint: Mapping[str, Any],
    grids: Sequence[SegmentGrid],
    citation: str | None,
) -> None:
    """Write down what an output is made of, keeping which runs wrote there before.

    Parameters
    ----------
    folder : Path
        The journal.
    output : str
        Name of the output.
    settings : mapping
        What its results depend on besides model, arguments and data.
    run : mapping
        The run that begins, or goes on: ``"run"``, its id, and ``"started"``.
    fingerprint : mapping
        Of this run.
    grids : sequence of SegmentGrid
        Its segments.
    citation : str or None
        Of the model.
    """
    try:
        runs = list((_read(folder) or {}).get("runs", ()))
    except Damaged:
        runs = []
    spans = [(grid.time.value(0), grid.time.value(grid.time.size - 1)) for grid in grids]
    described = {
        "format": FORMAT,
        "output": output,
        "model": {**fingerprint["model"], "citation": citation},
        "arguments": fingerprint["arguments"],
        "settings": settings,
        "archive": {
            **fingerprint["recording"],
            "start": str(min(first for first, _ in spans)),
            "stop": str(max(last for _, last in spans)),
        },
        "runs": [*runs, {**run, "versions": _versions()}],
    }
    write_atomically(folder / NAME, seal(without_secrets(described), indent=1))


def read(folder: Path) -> dict[str, Any] | None:
    """Return what a journal says that its output is made of; None if it says nothing.

    Raises
    ------
    UnreadableData
        If that is damaged.
    """
    try:
        return _read(folder)
    except Damaged as error:
        raise UnreadableData(
            f"{folder / NAME} {error}. Nothing else is lost: the next run that goes on with this "
            "output writes it anew."
        ) from error


def manifest_lines(manifest: Mapping[str, Any] | None) -> list[str]:
    """Say by which run an output was begun, with what, and how often it was resumed."""
    if not manifest:
        return []
    runs, model = manifest["runs"], manifest["model"]
    first, last = runs[0], runs[-1]
    line = f"begun {first['started']} by run {first['run']}"
    if len(runs) > 1:
        line += f", last resumed {last['started']} by run {last['run']}"
    settings = ", ".join(f"{name} {_short(value)}" for name, value in manifest["settings"].items())
    lines = (
        f"{line}, dasdist {last['versions']['dasdist']}",
        f"weights {model['weights'][:12]}" + f"; {settings}" * bool(settings),
    )
    return [one_line(each) for each in lines]


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={one}" for key, one in value.items())
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return unseal((folder / NAME).read_bytes())[0]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror or error}") from error


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # installed by other means than a wheel, such as conda's
            found[name] = "unknown"
    return found
