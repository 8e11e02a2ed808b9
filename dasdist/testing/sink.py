"""What a sink promises: blocks write what they own, whole and repeatably; what is lost is found."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dasdist.callbacks.sink import SinkCallback
from dasdist.errors import DasdistError, InvalidInput, OutputExists, RunSuperseded
from dasdist.geometry import Block, SegmentGrid
from dasdist.testing.callback import check_callback
from dasdist.testing.given import made, maker
from dasdist.testing.sample import accumulated, context_of, sample_grids

__all__ = ["check_sink"]

_Files = dict[Path, bytes]


def check_sink(make: Callable[[Path], SinkCallback], folder: str | Path) -> None:
    """Check a callback whose results last, in files.

    Parameters
    ----------
    make : callable
        Returns a new sink that writes to the path it is given; its model has the annotation keys P
        and S.
    folder : str or Path
        An empty folder for the outputs.

    Raises
    ------
    InvalidInput
        If `make` is not such a function, or `folder` is not an empty folder.
    AssertionError
        If it breaks a promise of :mod:`dasdist.callbacks.sink`.

    Examples
    --------
    >>> import dasdist, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     check_sink(dasdist.WriterCallback, pathlib.Path(folder))
    """
    maker(make, "check_sink", "sink")
    folder = Path(folder)
    if not folder.is_dir() or any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not an empty folder; pass one, such as pytest's tmp_path.")
    sink = made(make, folder / "sink", function="check_sink", what="sink")
    if not isinstance(sink, SinkCallback):
        raise InvalidInput(
            f"check_sink was given a {type(sink).__name__}, which is not a dasdist.SinkCallback; "
            "for callbacks whose results are in memory there is check_callback."
        )
    names = iter(range(1000))
    check_callback(lambda: _without_results(make(folder / f"callback-{next(names)}")))
    grids = sample_grids()
    path = folder / "output"
    parts = _written(make(path), grids, run="first")
    _check_parts(parts)
    whole = _files(path)
    assert whole, f"Nothing lies below {path} after all blocks were written."
    _check_repeats(make(path), grids, path, whole)
    _check_occupied(make(path), grids, path, whole)
    _check_lost(make(path), grids, path, whole, parts)
    if make(path).follows_changes:
        _check_retained(make(path), grids, path, whole, parts)
    _check_superseded(make(path), grids, path)


def _without_results(sink: SinkCallback) -> SinkCallback:
    """Return a sink without results, for these name paths: in each of which it writes once."""
    vars(sink)["get_results_dict"] = dict
    return sink


def _written(sink: SinkCallback, grids: tuple[SegmentGrid, ...], **options: Any) -> dict[int, Any]:
    """Set a sink up and write all blocks; return their parts."""
    sink.setup(context_of(grids, **options))
    return _write(sink, [block for grid in grids for block in grid])


def _write(sink: SinkCallback, blocks: Iterable[Block]) -> dict[int, Any]:
    mapper = sink.mapper()
    return {block.index: accumulated(mapper(block), block).part() for block in blocks}


def _files(path: Path) -> _Files:
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {found: found.read_bytes() for found in paths}


def _check_parts(parts: Mapping[int, Any]) -> None:
    for part in parts.values():
        counts = isinstance(part, Mapping) and all(
            isinstance(name, str) and isinstance(count, int) for name, count in part.items()
        )
        assert counts, f"The part {part!r} is not a mapping of names to whole numbers."


def _check_repeats(
    sink: SinkCallback, grids: tuple[SegmentGrid, ...], path: Path, whole: _Files
) -> None:
    sink.setup(context_of(grids, run="second", resume=True))
    _write(sink, [block for grid in reversed(grids) for block in reversed([*grid])])
    assert _files(path) == whole, (
        "Blocks that were written again, in a resumed run and another order, left other bytes: a "
        "block must write the same bytes each time, and a resumed run must keep what is there."
    )


def _check_occupied(
    sink: SinkCallback, grids: tuple[SegmentGrid, ...], path: Path, whole: _Files
) -> None:
    try:
        sink.setup(context_of(grids, run="third"))
    except OutputExists:
        assert _files(path) == whole, "A run that was refused changed what the output holds."
        return
    raise AssertionError(
        "setup() accepted an output that holds results already, in a run that neither resumes nor "
        "overwrites: raise dasdist.OutputExists."
    )


def _check_lost(
    sink: SinkCallback,
    grids: tuple[SegmentGrid, ...],
    path: Path,
    whole: _Files,
    parts: Mapping[int, Any],
) -> None:
    sink.setup(context_of(grids, run="fourth", resume=True))
    blocks = [block for grid in grids for block in grid]
    assert list(sink.lost(parts)) == [], "lost() names blocks whose results are all there."
    for block in (blocks[0], blocks[-1]):
        for file in _of_block(sink, path, block):
            os.unlink(file)
        found = set(sink.lost(parts))
        assert block.index in found, (
            f"lost() does not name block {block.index}, whose files were removed."
        )
        _write(sink, [blocks[index] for index in sorted(found)])
        assert _files(path) == whole, (
            f"Block {block.index} written again gave other bytes than before."
        )


def _check_retained(
    sink: SinkCallback,
    grids: tuple[SegmentGrid, ...],
    path: Path,
    whole: _Files,
    parts: Mapping[int, Any],
) -> None:
    """After the archive changed, of all but some blocks nothing may be left."""
    sink.setup(context_of(grids, run="fifth", resume=True))
    blocks = [block for grid in grids for block in grid]
    kept = [block.index for block in blocks[1:-1]]
    sink.retain(kept)
    left = set(sink.lost(parts))
    assert left == {blocks[0].index, blocks[-1].index}, (
        f"After retain() of all blocks but the first and the last, lost() names {sorted(left)}."
    )
    _write(sink, [blocks[0], blocks[-1]])
    assert _files(path) == whole, "Blocks removed by retain() and written again left other bytes."


def _of_block(sink: SinkCallback, path: Path, block: Block) -> list[Path]:
    """Return the files that a block writes: those that are new once it was written again."""
    before = {file: file.stat().st_ino for file in _files(path)}
    _write(sink, [block])
    return [file for file in _files(path) if before.get(file) != file.stat().st_ino]


def _check_superseded(sink: SinkCallback, grids: tuple[SegmentGrid, ...], path: Path) -> None:
    """A newer run moves the staging folder of an older one away; nothing late gets in."""
    sink.setup(context_of(grids, run="old", resume=True))
    late = grids[0].block(0)
    accumulator = accumulated(sink.mapper()(late), late)
    for output in sink.outputs:
        staging = output.journal / "staging-old"
        assert staging.is_dir(), (
            f"There is no folder {staging}: files must be written there before they are renamed, "
            "so that a newer run can fence off an older one."
        )
        staging.rename(output.journal / "moved-staging-old")
    before = {file: file.stat().st_ino for file in _files(path)}
    try:
        accumulator.part()
    except RunSuperseded:
        pass
    except DasdistError as error:
        raise AssertionError(f"A late block raised {error!r} and not RunSuperseded.") from error
    else:
        raise AssertionError("A late block of an older run wrote without an error.")
    after = {file: file.stat().st_ino for file in _files(path)}
    assert after == before, "A late block of an older run wrote into the output."
