"""The same command once more, after all was done: say so at once, with no library of data loaded.

Outputs say what is left in them in two ways: `said_so` knows the command again, `nothing_left` the
recording.  Both look whether all that was written is still there.

A command that ends well leaves in the journal of its outputs what it was asked for, as a hash of
the arguments, the model's files and what the file system says of the data, and the hash of the
run's own description.  Where both are still the same and no part of an output is missing, there is
nothing to do.  In any other case the run itself looks: it knows better, and takes seconds.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from dasdist.api.model_names import is_pair, pair_files
from dasdist.cli.asked import Asked
from dasdist.cli.inputs import check_input
from dasdist.cli.voice import Voice
from dasdist.errors import DasdistError
from dasdist.storage.files import write_atomically
from dasdist.storage.staging import journal_of
from dasdist.units import all_done, results_of

__all__ = ["nothing_left", "remember", "said_so"]

_FILE = "asked.json"


def remember(asked: Asked) -> None:
    """Leave in the journals what was asked for, if it can be told from another request."""
    key = _key(asked)
    for output in asked.outputs if key else ():
        folder = journal_of(Path(output))
        run = _run(folder)
        if run:
            write_atomically(folder / _FILE, json.dumps({"key": key, "run": run}))


def said_so(voice: Voice, asked: Asked) -> bool:
    """Say that nothing is left to do, if that is so beyond doubt; return whether it was said."""
    asked.check()
    if asked.failing.overwrite or asked.failing.retry_failed:
        return False
    key = _key(asked)
    if key is None or not all(_same(journal_of(Path(o)), key) for o in asked.outputs):
        return False
    from dasdist.journal.status import status

    try:
        found = [status(output) for output in asked.outputs]
    except DasdistError:
        return False
    if any(each.state != "complete" or each.damage for each in found) or _lost(asked):
        return False
    first = found[0]
    seconds = (first.report or {}).get("data", {}).get("seconds", 0.0)
    voice.event("start", blocks=first.blocks, done=first.done, data_seconds=seconds)
    voice.say(f"Nothing was left to do: {all_done(first.blocks)}.")
    counts = dict(first.counts)
    voice.say(f"{first.path}: " + results_of(counts))
    voice.fact(
        model=first.model,
        blocks=first.blocks,
        done=first.done,
        failures=0,
        data_seconds=seconds,
        wall_seconds=0.0,
        counts=counts,
    )
    return True


def nothing_left(asked: Asked, recording: Any) -> bool:
    """Tell whether an earlier run has done, or given up, all blocks of all outputs."""
    failing = asked.failing
    if failing.overwrite or failing.retry_failed or not asked.outputs:
        return False
    from dasdist.journal.status import is_complete, journal_folder
    from dasdist.sources import open_recording

    if not all(journal_folder(output) for output in asked.outputs):
        return False
    tolerance = asked.settings.get("tolerance", 0.25)
    identity = open_recording(recording, tolerance=tolerance).identity()
    return all(is_complete(output, identity) for output in asked.outputs) and not _lost(asked)


def _lost(asked: Asked) -> bool:
    """Return whether a part of an output is missing, or has another size."""
    import dasdist
    from dasdist.journal.reading import read_fingerprint, read_history
    from dasdist.journal.status import journal_folder

    for number, output in enumerate(asked.outputs):
        picks = number == 0 and asked.picks
        sink: Any = (dasdist.PicksWriterCallback if picks else dasdist.WriterCallback)(output)
        folder = journal_folder(output) or journal_of(Path(output))
        fingerprint = read_fingerprint(folder) or {}
        if "numbers" in fingerprint:  # of an archive that changed: the run itself looks
            return True
        if sink.lost(read_history(folder, fingerprint).parts):
            return True
    return False


def _same(folder: Path, key: str) -> bool:
    try:
        known = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(known, dict) and known == {"key": key, "run": _run(folder)}


def _run(folder: Path) -> str | None:
    """Return the hash of what a journal says of its run."""
    try:
        return hashlib.sha256((folder / "run.json").read_bytes()).hexdigest()
    except OSError:
        return None


def _key(asked: Asked) -> str | None:
    """Return a hash of all that results depend on; None where files do not tell."""
    weights = list(_weights(asked.model))
    data = check_input(asked.data)
    if not weights or data is None or any("://" in str(output) for output in asked.outputs):
        return None
    facts = {
        "version": version("dasdist"),
        "weights": [hashlib.sha256(content).hexdigest() for content in weights],
        "data": [_stated(path) for path in data],
        "asked": [asked.model, asked.engine, asked.variable, asdict(asked.period)],
        "engine_options": dict(asked.engine_options),
        "settings": sorted(asked.settings.items(), key=str),
        "block": sorted((asked.block or {}).items()),
        "outputs": [str(output) for output in asked.outputs],
    }
    if asked.mask is not None:
        facts["mask"] = hashlib.sha256(Path(asked.mask).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(facts, default=str, sort_keys=True).encode()).hexdigest()


def _weights(model: str) -> Iterator[bytes]:
    """Yield the files of a model; none for code, and for weights that SeisBench keeps."""
    if model == "demo":
        folder = files("dasdist.demo")
        yield from ((folder / name).read_bytes() for name in ("demo.json", "demo.pt"))
    elif is_pair(model):
        yield from (Path(path).read_bytes() for path in pair_files(model))


def _stated(path: str) -> tuple[str, int, int]:
    found = os.stat(path)
    return os.path.abspath(path), found.st_size, found.st_mtime_ns
