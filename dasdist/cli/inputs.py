"""What stands on the command line, as what the Python functions take."""

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dasdist.errors import DataWarning, InvalidInput
from dasdist.storage.patterns import bracket_hint, matching
from dasdist.units import count_of

if TYPE_CHECKING:
    from dasdist.sources.engines import AnyFile
    from dasdist.sources.unopened import Refused

__all__ = [
    "check_input",
    "load_model",
    "open_input",
    "parse_block",
    "parse_engine_options",
    "parse_settings",
    "parse_thresholds",
]


def load_model(name: str) -> Any:
    """Load a model by its name; modules are looked for in this folder, too."""
    import dasdist

    _look_here(name)
    return dasdist.from_pretrained(name)


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
        return _of_zarr(name, variable)
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
        return path  # so that the report can list what the index lists
    if variable is not None:
        return _variable(_netcdf(path), str(path), variable)
    try:
        return _opened([str(path)], engine, options)
    except InvalidInput:
        if engine is not None:
            raise
        try:
            dataset = _netcdf(path)
        except InvalidInput:
            dataset = None
        if dataset is None or all(held.ndim != 2 for held in dataset.data_vars.values()):
            raise
        return _variable(dataset, str(path), None)


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

    check_engine(engine, options)
    opener = AnyFile(engine, options)
    with guessed() as notes:
        _first_opened(opener, files)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = xdas.open_mfdataarray(list(files), engine=opener)
        except Exception as error:
            why = (str(error) or repr(error)).splitlines()[0]
            raise InvalidInput(
                f"{_first(files)} could not be opened as one recording: {why}. `dasdist index` "
                "lists what is wrong with each file."
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


def _of_zarr(name: str, variable: str | None) -> Any:
    """Open an array of a Zarr store; without dask if chunks of it may be missing."""
    from dasdist.sources.xarray_arrays import lacks_chunks

    found = _variable(_zarr(name), name, variable)
    if not lacks_chunks(found):
        return found
    return _variable(_zarr(name, chunks=None), name, variable)


def _zarr(name: str, **options: Any) -> Any:
    import xarray

    try:
        with warnings.catch_warnings():  # such a store opens all the same
            warnings.filterwarnings("ignore", "Failed to open Zarr store with consolidated")
            return xarray.open_zarr(name, **options)
    except Exception as error:
        raise InvalidInput(
            f"The Zarr store {name} could not be opened: {type(error).__name__}: {error}. Is it "
            "one that xarray.open_zarr opens, and is the package for its kind of URL installed?"
        ) from error


def _netcdf(path: Path) -> Any:
    import xarray

    try:
        with warnings.catch_warnings():  # HDF5 without dimensions opens all the same
            warnings.filterwarnings("ignore", "The 'phony_dims' kwarg")
            return xarray.open_dataset(path)
    except Exception as error:
        raise InvalidInput(
            f"{path} could not be opened: {type(error).__name__}: {error}. Name the format that "
            "xdas reads with --engine."
        ) from error


def _variable(dataset: Any, name: str, wanted: str | None) -> Any:
    held = {str(key): value for key, value in dataset.data_vars.items()}
    fitting = [key for key, value in held.items() if value.ndim == 2]
    if wanted is not None and wanted not in held:
        raise InvalidInput(
            f"{name} has no variable {wanted!r}; it has {', '.join(sorted(held)) or 'none'}."
        )
    if wanted is None and len(fitting) != 1:
        raise InvalidInput(
            f"{name} has {count_of(len(fitting), 'variable')} of two dimensions "
            f"({', '.join(sorted(fitting)) or 'none'}); name one with --variable."
        )
    return held[wanted or fitting[0]]


def parse_settings(words: Sequence[str]) -> dict[str, Any]:
    """Read ``key=value`` words; values are JSON, or else text.

    Examples
    --------
    >>> parse_settings(["overlap_samples=0.5", "blinding=[0, 0]", "stacking=max"])
    {'overlap_samples': 0.5, 'blinding': (0, 0), 'stacking': 'max'}
    """
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise typer.BadParameter(f"{word!r} is not key=value.", param_hint="--set")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        settings[key] = tuple(value) if isinstance(value, list) else value
    return settings


def parse_engine_options(words: Sequence[str] | None) -> dict[str, Any]:
    """Read ``name=value`` words; values are JSON, numbers with commas between them, or else text.

    Examples
    --------
    >>> parse_engine_options(["overlaps=25,25", "offset=7", "tz=CET", "swapped_dims=true"])
    {'overlaps': (25, 25), 'offset': 7, 'tz': 'CET', 'swapped_dims': True}
    """
    options: dict[str, Any] = {}
    for word in words or ():
        name, equals, text = word.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{word!r} is not name=value.", param_hint="--engine-option")
        try:
            value = json.loads(f"[{text}]") if "," in text and "[" not in text else json.loads(text)
        except json.JSONDecodeError:
            value = {"True": True, "False": False}.get(text, text)
        options[name] = tuple(value) if isinstance(value, list) else value
    return options


def parse_thresholds(words: Sequence[str]) -> Mapping[str, Any]:
    """Read one number for all phases, or ``phase=number`` words.

    Examples
    --------
    >>> parse_thresholds(["0.3"]), parse_thresholds(["P=0.3", "S=0.2"]), parse_thresholds([])
    ({'thresholds': 0.3}, {'thresholds': {'P': 0.3, 'S': 0.2}}, {})
    """
    if not words:
        return {}
    if len(words) == 1 and "=" not in words[0]:
        return {"thresholds": _confidence(words[0])}
    thresholds: dict[str, float] = {}
    for word in words:
        phase, equals, number = word.partition("=")
        if not (phase and equals):
            raise _no_threshold(f"{' '.join(words)!r} mixes one for all phases with others")
        if phase in thresholds:
            raise _no_threshold(f"{' '.join(words)!r} has two for {phase}")
        thresholds[phase] = _confidence(number)
    return {"thresholds": thresholds}


def _confidence(number: str) -> float:
    try:
        value = float(number)
    except ValueError as error:
        raise _no_threshold(f"{number!r} is not a number") from error
    if not 0 <= value <= 1:
        raise _no_threshold(f"{number!r} is not between 0 and 1")
    return value


def _no_threshold(fact: str) -> typer.BadParameter:
    return typer.BadParameter(
        f"{fact}. Write one number for all phases, --threshold 0.3, or one for each, "
        "--threshold P=0.3 --threshold S=0.2.",
        param_hint="--threshold",
    )


def parse_block(word: str | None) -> dict[str, int] | None:
    """Read the core of a block.

    Examples
    --------
    >>> parse_block("time=60000,distance=500")
    {'time': 60000, 'distance': 500}
    """
    if word is None:
        return None
    pairs = [part.partition("=") for part in word.split(",")]
    if not all(key in ("time", "distance") and text.isdigit() for key, _, text in pairs):
        raise typer.BadParameter(
            f"{word!r} is not time=SAMPLES,distance=CHANNELS, or one of the two.",
            param_hint="--block",
        )
    return {key: int(text) for key, _, text in pairs}
