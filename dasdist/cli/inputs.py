"""The model and the data that a command names, as what the Python functions take."""

import sys
import warnings
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dasdist.cli.period import arrays_of_index
from dasdist.cli.stores import is_view, open_netcdf, open_zarr, variable_of
from dasdist.errors import DataWarning, InvalidInput
from dasdist.storage.patterns import bracket_hint, matching
from dasdist.units import count_of

if TYPE_CHECKING:
    from dasdist.sources.engines import AnyFile
    from dasdist.sources.unopened import Refused

__all__ = ["check_input", "load_model", "on_gpu", "open_input"]


def load_model(name: str) -> Any:
    """Load a model by its name; modules are looked for in this folder, too."""
    import dasdist

    _look_here(name)
    return dasdist.from_pretrained(name)


def on_gpu(model: Any) -> Any:
    """Return a model on this process's GPU if there is one, as workers take theirs."""
    import torch

    return model.cuda() if torch.cuda.is_available() else model


def _look_here(name: str) -> None:
    """Let a module of this folder be found, where a name says that there is one."""
    if ":" in name and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def open_input(
    name: str,
    *,
    engine: str | None = None,
    variable: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
) -> Any:
    """Open a recording, lazily.

    Parameters
    ----------
    name : str
        An archive index, a Zarr store (also at a URL), any one file that xdas or xarray can open,
        or a pattern of files.
    engine : str, optional
        Engine for files, or a format that was added.
    variable : str, optional
        Variable of a Zarr store or NetCDF file that holds several.
    engine_options : mapping, optional
        Options of the engine.

    Raises
    ------
    InvalidInput
        If there is nothing of the kind.
    """
    files = check_input(name)
    _look_here(engine or "")
    if engine_options:
        _check_options(name, files, engine, engine_options)
    if files is None:
        return open_zarr(name, variable)
    if files == [name]:
        return _file(Path(name), engine, variable, engine_options or {})
    return _opened(files, engine, engine_options or {})


def _check_options(
    name: str, files: Sequence[str] | None, engine: str | None, options: Mapping[str, Any]
) -> None:
    """Refuse options of an engine where none would be asked."""
    from dasdist.sources.engines import check_engine
    from dasdist.sources.index import is_index

    words = ", ".join(options)
    if files is None:
        raise InvalidInput(f"{name} is a Zarr store, which has no --engine-option ({words}).")
    if files == [name] and is_index(name):
        raise InvalidInput(
            f"{name} is an index, whose files are read as it was made: give --engine-option "
            f"({words}) to `dasdist index`."
        )
    if engine is None:
        check_engine(engine, options)


def check_input(name: str) -> list[str] | None:
    """Return the files of a recording, None for a Zarr store; nothing is opened.

    Raises
    ------
    InvalidInput
        If nothing is there.
    """
    path = Path(name)
    if "://" in name or (path / "zarr.json").exists() or (path / ".zgroup").exists():
        return None
    if path.is_dir():
        raise InvalidInput(
            f"{name} is a folder. Index it first, `dasdist index {name} -o {path.name}.nc`, or "
            "name its files by a pattern in quotation marks, such as "
            f"'{path}/*.h5'."
        )
    if path.is_file():
        return [name]
    if not has_magic(name):
        raise InvalidInput(
            f"There is nothing at {name}; pass an index of `dasdist index`, a Zarr store, a file, "
            "or a pattern of files in quotation marks."
        )
    files = [path for path in matching(name) if not Path(path).is_dir()]
    if not files:
        raise InvalidInput(f"No file matches {name}, seen from {Path.cwd()}.{bracket_hint(name)}")
    return files


def _file(path: Path, engine: str | None, variable: str | None, options: Mapping[str, Any]) -> Any:
    from dasdist.sources.index import is_index

    if is_index(path):
        return _index(path, engine)
    if variable is not None:
        return variable_of(open_netcdf(path), str(path), variable)
    try:
        return _opened([str(path)], engine, options)
    except InvalidInput:
        if engine is not None:
            raise
        try:
            dataset = open_netcdf(path)
        except InvalidInput:
            dataset = None
        if dataset is None or is_view(dataset):
            raise
        if all(held.ndim != 2 for held in dataset.data_vars.values()):
            raise
        return variable_of(dataset, str(path), None)


def _index(path: Path, engine: str | None) -> Any:
    """Return the path of an index, so that the report can list what the index lists.

    Or its arrays, where it may name an engine that no file may name: the user names it now.
    """
    from dasdist.sources.trusted import ENGINES

    if engine is None or engine in ENGINES:
        return path
    from dasdist.sources.engines import check_engine

    check_engine(engine, {})
    return arrays_of_index(path, engine)


def _opened(files: Sequence[str], engine: str | None, options: Mapping[str, Any]) -> Any:
    from dasdist.sources.formats import is_function, known_formats, open_files

    if engine is not None and (is_function(engine) or engine in known_formats()):
        if options:
            raise InvalidInput(f"The format {engine!r} takes no --engine-option.")
        return open_files(files, engine)
    import xdas

    from dasdist.sources.engines import AnyFile, check_engine
    from dasdist.sources.guesses import guessed
    from dasdist.sources.stored_axes import as_stored
    from dasdist.sources.trusted import allow
    from dasdist.sources.unopened import why_not

    check_engine(engine, options)
    allow(engine)
    opener = AnyFile(engine, options)
    with guessed() as notes:
        _first_opened(opener, files)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = xdas.open_mfdataarray(list(files), engine=opener)
        except Exception as error:
            raise InvalidInput(
                f"{_first(files)} could not be opened as one recording: {why_not(error)}. "
                "`dasdist index` lists what is wrong with each file."
            ) from error
    told = [str(w.message) for w in caught]
    lost = [p for p in files if any(t.startswith(f"could not open {p}: ") for t in told)]
    if lost:
        raise _unopened(lost[0], len(lost), len(files), opener.error(lost[0]))
    for note in notes:
        warnings.warn(f"{_first(files)}: {note}.", DataWarning, stacklevel=2)
    return as_stored(found)


def _first_opened(opener: "AnyFile", files: Sequence[str]) -> None:
    """Open the first file that can be: xdas opens files in other processes, and loses warnings."""
    errors = []
    for path in files:
        error = opener.error(path)
        if error is None:
            return
        errors.append(error)
    raise _unopened(files[0], len(files), len(files), errors[0])


def _unopened(path: str, lost: int, files: int, error: "Refused | None") -> InvalidInput:
    """Say in one sentence which files could not be opened, and why the first."""
    reason = error.reason.rstrip(".") if error else "it could be opened a moment later"
    told = InvalidInput(
        f"{path} could not be opened: {reason}."
        if files == 1
        else f"{lost:,} of {count_of(files, 'file')} could not be opened, the first: {path}: "
        f"{reason}. Use `dasdist index`, which lists such files, and pass the index."
    )
    told.__dict__["details"] = error.details if error else ""  # for --verbose
    return told


def _first(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
